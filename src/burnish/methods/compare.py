"""Comparing models on held-out prompts: answers of each, measured by reward, divergence, length, wins and cost.

Notable choices:
- answers are sampled at temperature 1, since only then is the mean log-ratio an estimate of the divergence;
- all answers are scored by one model before the next is loaded, and what each said is kept: a kill loses little.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from burnish.files import atomic_write_text
from burnish.generation.answer import Answer
from burnish.methods.answering import Judging, judge, sample
from burnish.methods.comparing import AnswerScorer, Given, Questions, encode_held_out, judged_wins
from burnish.methods.settings import StopString
from burnish.runs.lineage import stages_behind
from burnish.runs.names import COMPARISON_FILE, SAMPLES_PREFIX
from burnish.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.datasets.rows import Preference, Task
    from burnish.nn.decoder import Decoder
    from burnish.nn.scalar import ScalarModel
    from burnish.rewards.pairwise import PairVerdict
    from burnish.text.tokenizer import Tokenizer

REWARD_MODEL = "reward_model"
"""The reward model's name among the rewards."""
JUDGE = "judge"
"""The judge's name among what decides who wins."""

Metrics = dict[str, Any]


class Settings(BaseModel):
    """How models answer and how much of it is read at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: int = Field(1, ge=1, le=100_000, description="answers of each model to each prompt")
    max_new_tokens: int = Field(256, ge=1, description="longest answer, in tokens")
    stop: list[StopString] = Field([], description="strings that end an answer, which is judged cut before them")
    max_length: int = Field(
        2048, ge=2, description="longest prompt with its answer, in tokens: longer prompts are left out, pairs cut"
    )
    micro_batch_tokens: int = Field(4096, ge=1, description="tokens in one forward pass that scores answers")


@dataclass(frozen=True, kw_only=True)
class ComparedModels:
    """What is compared, and by what.

    models: label: reference of the model. reference: what the divergence is measured from. baseline: the label of the
    model to win against. tokenizer: that of all of them. load, load_reward_model, path: what a reference stands for.
    judging: opens the rewards of answers. reward_model: ranks held-out pairs. compare_pairs: asks a judge
    model, with a `label` for its progress.
    """

    models: Mapping[str, str]
    reference: str
    baseline: str
    tokenizer: "Tokenizer"
    load: "Callable[[str], tuple[Decoder, Tokenizer]]"
    load_reward_model: "Callable[[str], tuple[ScalarModel, Tokenizer]]"
    path: Callable[[str], Path]
    judging: Judging | None = None
    reward_model: str | None = None
    compare_pairs: "Callable[..., Sequence[PairVerdict]] | None" = None


def compare(
    run: Run, compared: ComparedModels, held_out: "tuple[Sequence[Task], Sequence[Preference]]", settings: Settings
) -> Metrics:
    """Measure all models; writes `comparison.json` and `samples-LABEL.jsonl`. held_out: prompts, and pairs if any."""
    questions = encode_held_out(
        run,
        compared.tokenizer,
        *held_out,
        max_length=settings.max_length,
        max_new_tokens=settings.max_new_tokens,
    )
    answers = {label: _answered(run, compared, label, questions, settings) for label in compared.models}
    scorer = AnswerScorer(
        run,
        compared.tokenizer,
        settings.micro_batch_tokens,
        load=compared.load,
        load_reward_model=compared.load_reward_model,
    )
    _score(run, compared, scorer, answers, settings.samples)
    metrics: Metrics = {
        "prompts": len(questions.tasks),
        "pairs": len(questions.pairs["chosen"].answers) if questions.pairs else 0,
        "samples": settings.samples,
        "reference": compared.reference,
        "baseline": compared.baseline,
        "models": {label: _measured(run, compared, label, answers, settings.samples) for label in answers},
    }
    if questions.pairs:
        metrics["pairs_ranked_right"] = _pairs_ranked_right(run, compared, scorer, questions)
    for label, of_model in answers.items():
        lines = (json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in of_model.rows())
        atomic_write_text(run.folder / f"{SAMPLES_PREFIX}{label}.jsonl", "".join(lines))
    atomic_write_text(run.folder / COMPARISON_FILE, json.dumps(metrics, indent=2) + "\n")
    return metrics


@dataclass
class ModelAnswers:
    """A model's answers, `n` to each prompt in a row, and what was found out about them.

    rewards and wins: by the reward's or judge's name, a number an answer; None where a judge says nothing of it.
    """

    answers: list[Answer]
    given: Given
    rewards: dict[str, list[float | None]] = field(default_factory=dict)
    wins: dict[str, list[float | None]] = field(default_factory=dict)
    logps: "list[Tensor]" = field(default_factory=list)
    reference_logps: "list[Tensor]" = field(default_factory=list)

    def rows(self) -> Iterator[dict[str, Any]]:
        """What is written of each answer, as values that JSON can hold."""
        for i, one in enumerate(self.answers):
            yield {
                "prompt": one.prompt,
                "completion": one.text,
                "tokens": len(one.tokens),
                "finished": one.finished,
                "rewards": {name: values[i] for name, values in self.rewards.items() if values[i] is not None},
                "log_ratio": (self.logps[i] - self.reference_logps[i]).sum().item(),
            }


def _answered(run: Run, compared: ComparedModels, label: str, questions: Questions, settings: Settings) -> ModelAnswers:
    """A model's answers as they were sampled."""
    from burnish.generation.sampling import Sampling

    groups = sample(
        run,
        f"{SAMPLES_PREFIX}{label}",
        lambda: compared.load(compared.models[label]),
        questions.tasks,
        Sampling(temperature=1.0, max_new_tokens=settings.max_new_tokens, stop_strings=tuple(settings.stop)),
        n=settings.samples,
    )
    sampled = [one for group in groups for one in group]
    return ModelAnswers(sampled, questions.answered(sampled, settings.samples))


def _score(
    run: Run, compared: ComparedModels, scorer: AnswerScorer, answers: Mapping[str, ModelAnswers], n: int
) -> None:
    """Fill in log-ratios, rewards and wins: all answers by one model before the next is loaded."""
    for label, of_model in answers.items():
        of_model.logps = scorer.logps(label, compared.models[label], of_model.given)
    for label, of_model in answers.items():
        of_model.reference_logps = scorer.logps(f"{label}@reference", compared.reference, of_model.given)
    if compared.judging is not None:
        _reward(run, compared.judging, answers, n)
    from burnish.evaluation.comparison import wins

    baseline = answers[compared.baseline]
    for label, of_model in answers.items():
        if of_model is not baseline:
            of_model.wins = {
                name: [
                    None if one is None or other is None else wins([one], [other])[0]
                    for one, other in zip(values, baseline.rewards[name], strict=True)
                ]
                for name, values in of_model.rewards.items()
            }
            if compared.compare_pairs is not None:
                ask = partial(compared.compare_pairs, label=f"judge {label}")
                of_model.wins[JUDGE] = list(judged_wins(ask, of_model.answers, baseline.answers))


def _reward(run: Run, judging: Judging, answers: Mapping[str, ModelAnswers], n: int) -> None:
    """What the judges say of each answer of each model; they are opened once for all of them."""
    groups = [
        of_model.answers[start : start + n]
        for of_model in answers.values()
        for start in range(0, len(of_model.answers), n)
    ]
    judged = [one for group in judge(run, "rewards", judging, groups) for one in group]
    names = dict.fromkeys(name for one in judged for name in one.judgements)
    said = iter(judged)
    for of_model in answers.values():
        of_this = [next(said) for _ in of_model.answers]
        of_model.rewards = {
            name: [one.judgements[name].score if name in one.judgements else None for one in of_this] for name in names
        }


def _measured(
    run: Run, compared: ComparedModels, label: str, answers: Mapping[str, ModelAnswers], n: int
) -> dict[str, Any]:
    """What `comparison.json` says of a model."""
    from burnish.evaluation.comparison import answer_divergences, measured, training_cost
    from burnish.objectives.kl import ESTIMATORS

    own = answers[label]

    def mean(values: Sequence[float | None]) -> dict[str, Any]:
        groups = [values[start : start + n] for start in range(0, len(values), n)]
        whole = [value for group in groups if None not in group for value in group if value is not None]
        return measured(whole, n=n, seed=run.seed).row()

    return {
        "reward": {name: mean(values) for name, values in own.rewards.items()},
        "kl": {
            name: mean(answer_divergences(own.logps, own.reference_logps, name))
            for name in ESTIMATORS
            if name != "k2"  # biased where the models are far apart, as trained ones are
        },
        "tokens": mean([float(len(one.tokens)) for one in own.answers]),
        "cut_off": sum(not one.finished for one in own.answers) / len(own.answers),
        "win_rate": {name: mean(values) for name, values in own.wins.items()},
        "training": training_cost(stages_behind(compared.path(compared.models[label]))),
    }


def _pairs_ranked_right(
    run: Run, compared: ComparedModels, scorer: AnswerScorer, questions: Questions
) -> dict[str, Any]:
    """Of the held-out pairs, the share that the reward model and each implicit reward rank right.

    An implicit reward is a sum over tokens: what it owes to length is told by its mean and by the correlation.
    """
    from burnish.evaluation.comparison import implicit_rewards, length_correlation, pairs_ranked_right

    sides, seed = questions.pairs, run.seed
    longer = [len(a) - len(b) for a, b in zip(*(given.answers for given in sides.values()), strict=True)]
    found: dict[str, Any] = {}
    reference = [scorer.logps(f"@{side}", compared.reference, given) for side, given in sides.items()]
    for label, model in compared.models.items():
        if compared.path(model) == compared.path(compared.reference):
            continue  # its implicit reward is 0 for every answer
        own = [scorer.logps(f"{label}@{side}", model, given) for side, given in sides.items()]
        both = list(zip(own, reference, strict=True))
        chosen, rejected = (implicit_rewards(*side) for side in both)
        means = [implicit_rewards(*side, per_token=True) for side in both]
        found[label] = pairs_ranked_right(chosen, rejected, seed=seed).row() | {
            "per_token": pairs_ranked_right(*means, seed=seed).row(),
            "length_correlation": length_correlation(chosen, rejected, longer),
        }
    if compared.reward_model is not None and questions.ranked:
        rewards = [scorer.rewards(f"@{side}", compared.reward_model, given) for side, given in questions.ranked.items()]
        found[REWARD_MODEL] = pairs_ranked_right(*rewards, seed=seed).row()
    return found


def summarized(metrics: Metrics) -> dict[str, Any]:
    """What `summary.json` says of a comparison: by measure, and by model."""
    found: dict[str, Any] = {"kl": {}, "answer_tokens": {}}
    for label, row in metrics["models"].items():
        found["kl"][label] = row["kl"]["k1"]["value"]
        found["answer_tokens"][label] = row["tokens"]["value"]
        for key in ("reward", "win_rate"):
            for name, measured in row[key].items():
                found.setdefault(key, {}).setdefault(name, {})[label] = measured["value"]
    if "pairs_ranked_right" in metrics:
        found["pairs_ranked_right"] = {name: one["value"] for name, one in metrics["pairs_ranked_right"].items()}
    return found
