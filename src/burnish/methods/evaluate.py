"""Measuring models on tasks: each answers all of them, judges say what the answers are worth, with intervals."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from burnish.files import atomic_write_text
from burnish.generation.answer import Answer
from burnish.methods.answering import Judging, Load, choose, judge, sample
from burnish.methods.settings import StopString
from burnish.rewards.judgement import JudgedAnswer
from burnish.rewards.votes import VOTE_TEMPERATURE, Choose
from burnish.runs.names import ANSWERS_PREFIX
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.rewards.choice import MultipleChoice

NGRAM = 4
"""Tokens of the pieces whose repetition is counted."""


class Settings(BaseModel):
    """How answers are got."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_new_tokens: int = Field(128, ge=1, description="longest answer, in tokens")
    repetition_penalty: float = Field(1.0, gt=0, description="above 1, what was said is less likely")
    stop: list[StopString] = Field([], description="strings that end an answer, which is cut before them")
    votes: int = Field(
        1,
        ge=1,
        description="sampled answers a task, of which one is the answer (`choose`); 1 answers greedily",
    )
    choose: Choose = Field(
        "votes",
        description="which of several sampled answers is the answer: `votes`, what most come to; `best`, what scores "
        "highest with the judges that do not tell right from wrong; `weighted_votes`, votes that count what they score",
    )
    temperature: float = Field(VOTE_TEMPERATURE, gt=0, description="of the sampled answers, with votes above 1")


@dataclass(frozen=True, eq=False)
class Choices:
    """Tasks that are answered by choosing the most probable option.

    judge: reads the options of a row. applies: which rows those are. The rest is as for `choose`.
    """

    judge: "MultipleChoice"
    applies: Callable[[Mapping[str, Any]], bool]
    by_label: bool = False
    length_normalized: bool = True


def evaluate(
    run: Run,
    models: Mapping[str, Load],
    tasks: "Sequence[Task]",
    judging: Judging,
    settings: Settings,
    *,
    choices: Sequence[Choices] = (),
    groups: "Callable[[Task], str | None]" = lambda _: None,
    reported: Mapping[str, tuple[str, Sequence[str]]] | None = None,
) -> dict[str, Any]:
    """Scores of each model over all tasks and by group; all answers are kept in `answers-LABEL.jsonl`.

    judging: opens the judges. groups: tells a task's group, if it has one. reported: further scores by name: of which
    model, and of which groups together. A score is the share of right answers where judges tell right
    from wrong, else a mean.
    """
    scores: dict[str, Any] = {}
    for label, load in models.items():
        answers = answer_all(run, label, load, tasks, judging, settings, choices)
        names = [groups(task) for task in tasks]
        rows = (
            one.row() | {"group": group, "gold": _gold(one.answer.row)}
            for one, group in zip(answers, names, strict=True)
        )
        lines = "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
        atomic_write_text(run.folder / f"{ANSWERS_PREFIX}{label}.jsonl", lines)
        taken = {name: members for name, (model, members) in (reported or {}).items() if model == label}
        scores[label] = _scores(answers, names, taken, run.seed)
        run.display.say(f"  {label}: {_described(scores[label], len(tasks))}")
    return {"tasks": len(tasks), "scores": scores}


def answer_all(
    run: Run,
    label: str,
    load: Load,
    tasks: "Sequence[Task]",
    judging: Judging,
    settings: Settings,
    choices: Sequence[Choices] = (),
) -> list[JudgedAnswer]:
    """One judged answer to each task: written greedily, one of several, or chosen among the task's options."""
    from burnish.generation.sampling import Sampling

    kinds = [next((one for one in choices if one.applies(task.row)), None) for task in tasks]
    temperature = 0.0 if settings.votes == 1 else settings.temperature
    sampling = Sampling(
        temperature=temperature,
        max_new_tokens=settings.max_new_tokens,
        repetition_penalty=settings.repetition_penalty,
        stop_strings=tuple(settings.stop),
    )
    written = [task for task, kind in zip(tasks, kinds, strict=True) if kind is None]
    groups: dict[Choices | None, Iterator[list[Answer]]] = {
        None: iter(sample(run, label, load, written, sampling, n=settings.votes))
    }
    for number, one in enumerate(choices):
        asked = [task for task, kind in zip(tasks, kinds, strict=True) if kind is one]
        options = [one.judge.options(task.row) for task in asked]
        name = f"{label}-chosen-{number}"
        taken = choose(run, name, load, asked, options, by_label=one.by_label, length_normalized=one.length_normalized)
        groups[one] = iter([[answer] for answer in taken])
    answers = [next(groups[kind]) for kind in kinds]
    chosen = settings.choose if settings.votes > 1 else None
    return [judged for (judged,) in judge(run, label, judging, answers, choose=chosen)]


def summarized(
    metrics: Mapping[str, Any], metric: str | None, judges: Sequence[str], reported: Mapping[str, str]
) -> dict[str, Any]:
    """What `summary.json` says of the measurements: by model, what is reported apart, by each of several judges.

    metric: name of the score; accuracy or score if None. reported: the model of each score that is reported apart.
    """
    scores: Mapping[str, Any] = metrics["scores"]
    named = dict(scores) | {name: scores[model]["reported"][name] for name, model in reported.items()}
    result = _entry(metric or next(iter(scores.values()))["kind"], named)
    for name in judges:
        there = {label: score["judges"][name] for label, score in scores.items() if name in score["judges"]}
        if there:
            result |= _entry(f"{name}_{next(iter(there.values()))['kind']}", there)
    result |= _entry("repeated_ngrams", {label: one["repeated_ngrams"] for label, one in scores.items()})
    if "perplexity_by_model" in metrics:
        result["perplexity_by_model"] = metrics["perplexity_by_model"]
        result["perplexity_by_model_interval"] = metrics["perplexity_change"]
    return result


def _entry(name: str, scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        name: {label: score["value"] for label, score in scores.items()},
        f"{name}_interval": {label: score["interval"] for label, score in scores.items()},
    }


def _scores(
    answers: Sequence[JudgedAnswer],
    groups: Sequence[str | None],
    reported: Mapping[str, Sequence[str]],
    seed: int,
) -> dict[str, Any]:
    """Score and interval over all tasks, in each group, in what is reported apart, and by each of several judges."""
    from burnish.evaluation.repetition import repeated_ngrams

    kind = "accuracy" if any(one.verdict.correct is not None for one in answers) else "score"
    members: dict[str, list[JudgedAnswer]] = {}
    for one, group in zip(answers, groups, strict=True):
        if group is not None:
            members.setdefault(group, []).append(one)

    def score(of: Sequence[JudgedAnswer]) -> dict[str, Any]:
        return _score([one.verdict.score if kind == "score" else one.verdict.correct for one in of], seed)

    return {
        "kind": kind,
        **score(answers),
        "groups": {group: score(of_group) for group, of_group in members.items()},
        "reported": {
            name: score([one for group in wanted for one in members[group]]) for name, wanted in reported.items()
        },
        "judges": {name: _by_judge(name, answers, seed) for name in _judge_names(answers)},
        "repeated_ngrams": _score([repeated_ngrams(one.answer.tokens, NGRAM) for one in answers], seed),
    }


def _judge_names(answers: Sequence[JudgedAnswer]) -> list[str]:
    """The judges that said something of any answer; none where there is only one, whose score is that of all."""
    names = list(dict.fromkeys(name for one in answers for name in one.judgements))
    return names if len(names) > 1 else []


def _by_judge(name: str, answers: Sequence[JudgedAnswer], seed: int) -> dict[str, Any]:
    said = [one.judgements[name] for one in answers if name in one.judgements]
    kind = "accuracy" if any(one.correct is not None for one in said) else "score"
    return {"kind": kind, **_score([one.score if kind == "score" else one.correct for one in said], seed)}


def _score(values: Sequence[float | bool | None], seed: int) -> dict[str, Any]:
    """Mean, interval and count of the values that there are."""
    from burnish.evaluation.statistics import bootstrap_interval

    there = [value for value in values if value is not None]
    if not there:
        return {"value": None, "interval": None, "count": 0}
    return {
        "value": sum(there) / len(there),
        "interval": list(bootstrap_interval(there, seed=seed)),
        "count": len(there),
    }


def _described(scores: Mapping[str, Any], n_tasks: int) -> str:
    if scores["kind"] == "score":
        return f"mean score {scores['value']:.3g} of {n_tasks} answers"
    return f"{scores['value']:.1%} of {scores['count']} right"


def _gold(row: Mapping[str, Any]) -> str | None:
    """The right answer that a task's row shows, if it shows one: the assistant's last message, or its `answer`."""
    messages = row.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if isinstance(last, dict) and last.get("role") == "assistant":
        return str(last.get("content"))
    answer = row.get("answer")
    return str(answer) if isinstance(answer, str | int | float) else None
