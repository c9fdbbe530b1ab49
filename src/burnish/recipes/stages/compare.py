"""compare: several models answer the same prompts, and are measured by reward, divergence, length, wins and cost."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.files import atomic_write_text
from burnish.methods.answering import Sampled, sample
from burnish.methods.comparing import (
    Given,
    Questions,
    Scorer,
    encode_held_out,
    judged_wins,
    read_held_out,
    score_answers,
)
from burnish.recipes.language.places import KeyPath, did_you_mean
from burnish.recipes.schema.asking import decoding_work, probe_prompts
from burnish.recipes.schema.judges import ChatJudge
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.rewards import (
    LearnedReward,
    RewardConfig,
    check_rewards,
    check_rows,
    open_rewards,
    reward_names,
)
from burnish.recipes.schema.stage import (
    FileReference,
    Metrics,
    ModelReference,
    Name,
    RewardModelReference,
    StageConfig,
    StageContext,
)
from burnish.runs.names import COMPARISON_FILE, SAMPLES_PREFIX

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.datasets.rows import Preference, Task
    from burnish.recipes.plan.work import Work

REWARD_MODEL = "reward_model"
"""The reward model's name among the rewards."""
JUDGE = "judge"
"""The judge's name among what decides who wins."""


class CompareStage(Prompted, StageConfig):
    """Samples answers of each model, at temperature 1, and measures them on the same held-out prompts.

    For each model: mean reward, KL from the reference, length, share of answers cut off, win rate against a baseline,
    and time and memory of the stages that made it. Where the prompts are preferences, also how often the reward model
    and each model's implicit reward rank a pair right. Writes `comparison.json` and `samples-LABEL.jsonl`.
    """

    type: Literal["compare"] = Field("compare", description="compare")
    prompts: FileReference = Field(description="held-out tasks, or preferences, whose pairs are then ranked as well")
    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")
    models: dict[Name, ModelReference] = Field(
        min_length=1, description="label: model, for example {sft: '@sft', dpo: '@dpo'}; all with one tokenizer"
    )
    reference: ModelReference = Field(description="model that the divergence is measured from, for example @sft")
    baseline: Name | None = Field(None, description="label of the model to win against; the first if left out")
    reward_model: RewardModelReference | None = Field(
        None, description="reward model that scores answers and ranks held-out pairs: @STAGE or a folder"
    )
    rewards: list[RewardConfig] = Field([], description="further rewards of the answers")
    judge: ChatJudge | None = Field(None, description="judge model that compares answers with the baseline's")
    samples: int = Field(1, ge=1, description="answers of each model to each prompt")
    max_new_tokens: int = Field(256, ge=1, description="longest answer, in tokens")
    max_length: int = Field(
        2048, ge=2, description="longest prompt with its answer, in tokens: longer prompts are left out, pairs cut"
    )
    micro_batch_tokens: int = Field(4096, ge=1, description="tokens in one forward pass that scores answers")

    resumable: ClassVar[bool] = True

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        if self.baseline is not None and self.baseline not in self.models:
            hint = did_you_mean(self.baseline, self.models) or "."
            yield (
                ("baseline",),
                f"got '{self.baseline}'; not a label of `models`{hint} Expected one of: {', '.join(self.models)}",
            )
        names = reward_names(self._rewards)
        for index, name in enumerate(names):
            if name in (*names[:index], JUDGE):
                place = index - (self.reward_model is not None)
                yield ("rewards", place), f"there is a '{name}' already; give this one a `name` of its own"
        if REWARD_MODEL in self.models:
            yield ("models", REWARD_MODEL), "is what the results call the reward model; choose another label"
        if self.max_new_tokens >= self.max_length:
            yield (
                ("max_new_tokens",),
                f"got {self.max_new_tokens}; leaves no room for a prompt: expected less than max_length "
                f"({self.max_length})",
            )

    def check(self, context: StageContext) -> None:
        if self.judge is not None:
            self.judge.check()
        tasks, _ = self.read(context)
        check_rows(tasks, self.rewards)
        check_rewards(context, self.rewards, tasks)
        probe_prompts(context, tasks, self.reference, *self.models.values())

    def read(self, context: StageContext) -> "tuple[list[Task], list[Preference]]":
        """The prompts, and the pairs where the file has some, with the system prompt where they have none."""
        tasks, pairs = read_held_out(context.paths(self.prompts), self.columns)
        return self.with_system(context, tasks), self.with_system(context, pairs)

    def work(self, context: StageContext) -> "Work | None":
        tasks, pairs = self.read(context)
        models, new = list(self.models.values()), self.max_new_tokens
        decoding = decoding_work(context, tasks, models, n=self.samples, max_new_tokens=new)
        # Every answer is scored by its model and by the reference, held-out pairs by each.
        scored = 2 * (decoding.scored * self.samples + decoding.decoded) * (2 if pairs else 1) if decoding else 0
        return replace(decoding, scored=scored) if decoding else None

    def run(self, context: StageContext) -> Metrics:
        from burnish.generation.sampling import Sampling

        tokenizer = context.load_tokenizer(self.reference)
        questions = encode_held_out(
            context,
            tokenizer,
            *self.read(context),
            max_length=self.max_length,
            max_new_tokens=self.max_new_tokens,
        )
        sampling = Sampling(temperature=1.0, max_new_tokens=self.max_new_tokens)
        answers: dict[str, Answers] = {}
        for label, model in self.models.items():
            name, load = f"{SAMPLES_PREFIX}{label}", partial(context.load, model)
            groups = sample(context, name, load, questions.tasks, sampling, n=self.samples)
            sampled = [one for group in groups for one in group]
            answers[label] = Answers(sampled, questions.answered(sampled, self.samples))
        scorer = Scorer(
            context,
            tokenizer,
            self.micro_batch_tokens,
            load=context.load,
            load_reward_model=context.load_reward_model,
        )
        asked = [task for task in questions.tasks for _ in range(self.samples)]
        self._score(context, scorer, asked, answers)
        metrics: Metrics = {
            "prompts": len(questions.tasks),
            "pairs": len(questions.pairs["chosen"].answers) if questions.pairs else 0,
            "samples": self.samples,
            "reference": self.reference,
            "baseline": self._baseline,
            "models": {label: self._measured(context, label, answers) for label in answers},
        }
        if questions.pairs:
            metrics["pairs_ranked_right"] = self._pairs_ranked_right(context, scorer, questions)
        for label, of_model in answers.items():
            lines = (json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in of_model.rows(asked))
            atomic_write_text(context.folder / f"{SAMPLES_PREFIX}{label}.jsonl", "".join(lines))
        atomic_write_text(context.folder / COMPARISON_FILE, json.dumps(metrics, indent=2) + "\n")
        return metrics

    def summary(self, metrics: Metrics) -> dict[str, Any]:
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

    @property
    def _baseline(self) -> str:
        return self.baseline or next(iter(self.models))

    @property
    def _rewards(self) -> list[RewardConfig]:
        """All rewards, that of the reward model first."""
        if self.reward_model is None:
            return self.rewards
        return [LearnedReward.model_validate({"type": REWARD_MODEL, "model": self.reward_model}), *self.rewards]

    def _score(
        self, context: StageContext, scorer: Scorer, asked: "Sequence[Task]", answers: "Mapping[str, Answers]"
    ) -> None:
        """Fill in log-ratios, rewards and wins: all answers by one model before the next is loaded."""
        from burnish.evaluation.comparison import wins

        for label, of_model in answers.items():
            of_model.logps = scorer.logps(label, self.models[label], of_model.given)
        for label, of_model in answers.items():
            of_model.reference_logps = scorer.logps(f"{label}@reference", self.reference, of_model.given)
        sampled = {label: of_model.sampled for label, of_model in answers.items()}
        rewards = open_rewards(context, self._rewards)
        for label, by_name in score_answers(context, rewards, asked, sampled).items():
            answers[label].rewards = by_name
        baseline = answers[self._baseline]
        for label, of_model in answers.items():
            if of_model is not baseline:
                of_model.wins = {
                    name: wins(values, baseline.rewards[name]) for name, values in of_model.rewards.items()
                }
                if self.judge is not None:
                    of_model.wins[JUDGE] = judged_wins(
                        partial(self.judge.compare, context, label=f"judge {label}"),
                        asked,
                        of_model.sampled,
                        baseline.sampled,
                    )

    def _measured(self, context: StageContext, label: str, answers: "Mapping[str, Answers]") -> dict[str, Any]:
        """What `comparison.json` says of a model."""
        from burnish.evaluation.comparison import answer_divergences, measured, training_cost
        from burnish.objectives.kl import ESTIMATORS
        from burnish.runs.lineage import stages_behind

        own = answers[label]

        def mean(values: Sequence[float]) -> dict[str, Any]:
            return measured(values, n=self.samples, seed=context.seed).row()

        return {
            "reward": {name: mean(values) for name, values in own.rewards.items()},
            "kl": {
                name: mean(answer_divergences(own.logps, own.reference_logps, name))
                for name in ESTIMATORS
                if name != "k2"  # biased where the models are far apart, as trained ones are
            },
            "tokens": mean([float(len(one.tokens)) for one in own.sampled]),
            "cut_off": sum(not one.finished for one in own.sampled) / len(own.sampled),
            "win_rate": {name: mean(values) for name, values in own.wins.items()},
            "training": training_cost(stages_behind(context.path(self.models[label]))),
        }

    def _pairs_ranked_right(self, context: StageContext, scorer: Scorer, questions: Questions) -> dict[str, Any]:
        """Of the held-out pairs, the share that the reward model and each implicit reward rank right.

        An implicit reward is a sum over tokens: what it owes to length is told by its mean and by the correlation.
        """
        from burnish.evaluation.comparison import implicit_rewards, length_correlation, pairs_ranked_right

        sides, seed = questions.pairs, context.seed
        longer = [len(a) - len(b) for a, b in zip(*(given.answers for given in sides.values()), strict=True)]
        found: dict[str, Any] = {}
        reference = [scorer.logps(f"@{side}", self.reference, given) for side, given in sides.items()]
        for label, model in self.models.items():
            if context.path(model) == context.path(self.reference):
                continue  # its implicit reward is 0 for every answer
            own = [scorer.logps(f"{label}@{side}", model, given) for side, given in sides.items()]
            both = list(zip(own, reference, strict=True))
            chosen, rejected = (implicit_rewards(*side) for side in both)
            means = [implicit_rewards(*side, per_token=True) for side in both]
            found[label] = pairs_ranked_right(chosen, rejected, seed=seed).row() | {
                "per_token": pairs_ranked_right(*means, seed=seed).row(),
                "length_correlation": length_correlation(chosen, rejected, longer),
            }
        if self.reward_model is not None and questions.ranked:
            rewards = [scorer.rewards(f"@{side}", self.reward_model, given) for side, given in questions.ranked.items()]
            found[REWARD_MODEL] = pairs_ranked_right(*rewards, seed=seed).row()
        return found


@dataclass
class Answers:
    """A model's answers, in the order of the prompts, and what was found out about them.

    rewards and wins: by the reward's or judge's name, a number an answer.
    """

    sampled: list[Sampled]
    given: Given
    rewards: dict[str, list[float]] = field(default_factory=dict)
    wins: dict[str, list[float]] = field(default_factory=dict)
    logps: "list[Tensor]" = field(default_factory=list)
    reference_logps: "list[Tensor]" = field(default_factory=list)

    def rows(self, tasks: "Sequence[Task]") -> Iterator[dict[str, Any]]:
        """What is written of each answer, as values that JSON can hold."""
        for i, (task, one) in enumerate(zip(tasks, self.sampled, strict=True)):
            yield {
                "prompt": task.prompt,
                "completion": one.text,
                "tokens": len(one.tokens),
                "finished": one.finished,
                "rewards": {name: values[i] for name, values in self.rewards.items()},
                "log_ratio": (self.logps[i] - self.reference_logps[i]).sum().item(),
            }
