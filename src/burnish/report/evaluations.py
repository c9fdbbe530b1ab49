"""What the report shows of an evaluation: scores of each model, gains, groups, reasons, and answers side by side."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from burnish.evaluation.statistics import bootstrap_interval, paired_bootstrap_interval
from burnish.report import formatting, sampling
from burnish.report.bars import SERIES_COLOURS, ScoreBar
from burnish.report.verdicts import verdict
from burnish.rewards.judgement import JudgedAnswer
from burnish.runs.record import StageRecord

MAX_REASONS = 8
"""Reasons that are named; rarer ones are counted together."""

# How the answers of the first and the last model compare: heading, (right before, right after), examples shown.
OUTCOMES = (
    ("Learned", (False, True), 4),
    ("Still wrong", (False, False), 4),
    ("Unlearned", (True, False), 3),
    ("Right before and after", (True, True), 2),
)


@dataclass(frozen=True)
class Gain:
    """What changed between two models on the same questions, `count` of them: in shares of 1, or in scores."""

    before: str
    after: str
    count: int
    difference: float
    interval: tuple[float, float]
    p: float | None = None

    @property
    def verdict(self) -> str:
        return verdict(self.interval, count=self.count, p=self.p)


@dataclass(frozen=True)
class Group:
    """The scores of all models on one group of questions."""

    name: str
    count: int
    bars: Sequence[ScoreBar]


@dataclass(frozen=True)
class ShownExample:
    """One question with every model's answer."""

    question: str
    gold: str | None
    answers: Sequence[tuple[ScoreBar, JudgedAnswer]]


@dataclass(frozen=True)
class OutcomeGroup:
    """Questions on which the first and last model compare in one way, and a few of them."""

    heading: str
    count: int
    examples: Sequence[ShownExample]


@dataclass(frozen=True)
class MeasuredValues:
    """One more thing that was measured of all models, as texts: value and interval of each."""

    name: str
    values: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Evaluation:
    """Everything the report shows of one stage's answers.

    shares: whether scores are shares of right answers; else they are mean scores, which have no scale of their own.
    measured: what each of several judges says, and how much the answers repeat themselves.
    """

    stage: str
    count: int
    shares: bool
    models: Sequence[ScoreBar]
    measured: Sequence[MeasuredValues]
    gains: Sequence[Gain]
    groups: Sequence[Group]
    reasons: Sequence[tuple[str, Sequence[int]]]
    outcomes: Sequence[OutcomeGroup]


def evaluation(stage: StageRecord, *, seed: int) -> Evaluation:
    """Compare the models that answered the same questions."""
    labels = list(stage.answers)
    shares = any(one.verdict.correct is not None for answers in stage.answers.values() for one in answers)
    answers = _judged_by_all(stage.answers) if shares else stage.answers
    right = {label: [_worth(one, shares) for one in of_model] for label, of_model in answers.items()}
    recorded = scores_of(stage)
    models = _bars(right, recorded, seed)
    found = stage.record.get("metrics", {}).get("differences", [])
    tested = {(one["before"], one["after"]): float(one["p"]) for one in found}
    pairs = [*pairwise(labels), *((earlier, labels[-1]) for earlier in labels[:-2])]
    return Evaluation(
        stage=stage.name,
        count=len(right[labels[0]]),
        shares=shares,
        models=models,
        measured=[*_measured(recorded, labels), *_retrieval_costs(stage, labels), *_tool_costs(stage, labels)],
        gains=[_gain(right, before, after, seed, tested.get((before, after))) for before, after in pairs],
        groups=list(_groups(answers, right, recorded, seed)),
        reasons=_reasons(answers) if shares else [],
        outcomes=list(_outcomes(answers, models)) if shares and len(labels) > 1 else [],
    )


def scores_of(stage: StageRecord) -> Mapping[str, Any]:
    """The scores by model that an evaluation recorded; nothing for other stages."""
    found: Mapping[str, Any] = stage.record.get("metrics", {}).get("scores", {}) if stage.type == "evaluate" else {}
    return found


def _judged_by_all(answers: Mapping[str, Sequence[JudgedAnswer]]) -> dict[str, list[JudgedAnswer]]:
    """The answers to the questions that every model's are right or wrong of; others have scores only."""
    told = [all(one.verdict.correct is not None for one in row) for row in zip(*answers.values(), strict=True)]
    return {label: [one for one, yes in zip(rows, told, strict=True) if yes] for label, rows in answers.items()}


def _measured(recorded: Mapping[str, Any], labels: Sequence[str]) -> Iterator[MeasuredValues]:
    """What each of several judges said, and the repetition, where the stage recorded them of all models."""
    of_models = [recorded.get(label, {}) for label in labels]
    judges = dict.fromkeys(name for one in of_models for name in one.get("judges", {}))
    for name, values in sampling.measured(of_models):
        yield MeasuredValues(name, [_texts(value) for value in values])
    for name in judges:
        yield MeasuredValues(name, [_texts(one.get("judges", {}).get(name)) for one in of_models])
    if all("repeated_ngrams" in one for one in of_models):
        yield MeasuredValues(
            "repeated 4-grams", [_texts({"kind": "accuracy", **one["repeated_ngrams"]}) for one in of_models]
        )


def _retrieval_costs(stage: StageRecord, labels: Sequence[str]) -> Iterator[MeasuredValues]:
    """What it costs to ask models with what was retrieved; nothing for those that were asked without."""
    found = stage.record.get("metrics", {}).get("retrieval", {})
    for key, name in (("milliseconds", "milliseconds of search a task"), ("tokens", "tokens added to a prompt")):
        if found:
            texts = [f"{found[label][key]:,.1f}" if label in found else "" for label in labels]
            yield MeasuredValues(name, [(text, "") for text in texts])


def _tool_costs(stage: StageRecord, labels: Sequence[str]) -> Iterator[MeasuredValues]:
    """What tools came to, of models that were asked with any."""
    found = stage.record.get("metrics", {}).get("tools", {})
    ways: Mapping[str, tuple[str, Callable[[float], str]]] = {
        "calls": ("calls of tools an answer", formatting.number),
        "failed": ("calls that failed", formatting.percent),
        "unfinished": ("answers that did not end", lambda count: f"{count:,}"),
    }
    for key, (name, shown) in ways.items() if found else ():
        texts = [shown(found[label][key]) if label in found else "" for label in labels]
        yield MeasuredValues(name, [(text, "") for text in texts])


def _texts(score: Mapping[str, Any] | None) -> tuple[str, str]:
    """A score and its interval; nothing where it is missing."""
    if score is None or score["value"] is None:
        return "", ""
    shown = formatting.percent if score["kind"] == "accuracy" else formatting.number
    return shown(score["value"]), " to ".join(shown(end) for end in score["interval"])


def _bars(right: Mapping[str, Sequence[float]], recorded: Mapping[str, Any], seed: int) -> list[ScoreBar]:
    """Scores of all models; an interval that the stage recorded is kept, so that one thing has one figure."""
    bars = []
    for index, (label, verdicts) in enumerate(right.items()):
        interval = formatting.pair(recorded.get(label, {}).get("interval")) or bootstrap_interval(verdicts, seed=seed)
        bars.append(ScoreBar(label, index % SERIES_COLOURS, sum(verdicts) / len(verdicts), interval))
    return bars


def _worth(one: JudgedAnswer, shares: bool) -> float:
    """What an answer counts; of one of several to a question the mean over them."""
    if one.mean is not None:
        return one.mean
    return float(one.verdict.correct or False) if shares else one.verdict.score


def _gain(right: Mapping[str, Sequence[float]], before: str, after: str, seed: int, p: float | None) -> Gain:
    count = len(right[after])
    difference = (sum(right[after]) - sum(right[before])) / count
    return Gain(before, after, count, difference, paired_bootstrap_interval(right[before], right[after], seed=seed), p)


def _groups(
    answers: Mapping[str, Sequence[JudgedAnswer]],
    right: Mapping[str, Sequence[float]],
    recorded: Mapping[str, Any],
    seed: int,
) -> Iterator[Group]:
    """Scores by group, in the order in which groups first appear; nothing when there is only one."""
    members: dict[str, list[int]] = {}
    for question, answer in enumerate(next(iter(answers.values()))):
        if answer.answer.row["group"] is not None:
            members.setdefault(str(answer.answer.row["group"]), []).append(question)
    if len(members) > 1:
        for name, questions in members.items():
            of_group = {label: [verdicts[question] for question in questions] for label, verdicts in right.items()}
            scores_of_group = {label: score.get("groups", {}).get(name, {}) for label, score in recorded.items()}
            yield Group(name, len(questions), _bars(of_group, scores_of_group, seed))


def _reasons(answers: Mapping[str, Sequence[JudgedAnswer]]) -> list[tuple[str, Sequence[int]]]:
    """Why answers were wrong: each reason with its count by model, the most frequent first."""
    counts = {
        label: Counter(one.verdict.reason or "no reason given" for one in rows if not one.verdict.correct)
        for label, rows in answers.items()
    }
    total: Counter[str] = sum(counts.values(), Counter())
    named = [reason for reason, _ in total.most_common(MAX_REASONS)]
    table: list[tuple[str, Sequence[int]]] = [
        (reason, [count[reason] for count in counts.values()]) for reason in named
    ]
    rest = [count.total() - sum(count[reason] for reason in named) for count in counts.values()]
    return [*table, ("other reasons", rest)] if any(rest) else table


def _outcomes(answers: Mapping[str, Sequence[JudgedAnswer]], models: Sequence[ScoreBar]) -> Iterator[OutcomeGroup]:
    rows_by_model = list(answers.values())
    first, last = rows_by_model[0], rows_by_model[-1]
    for heading, (before, after), shown in OUTCOMES:
        questions = [
            question
            for question in range(len(first))
            if (first[question].verdict.correct, last[question].verdict.correct) == (before, after)
        ]
        # Spread over the test set, which often lists questions of one kind together.
        spread = sorted({questions[index * len(questions) // shown] for index in range(shown)}) if questions else []
        examples = [
            ShownExample(
                question=first[question].answer.question,
                gold=first[question].answer.row["gold"],
                answers=[(model, rows[question]) for model, rows in zip(models, rows_by_model, strict=True)],
            )
            for question in spread
        ]
        yield OutcomeGroup(heading, len(questions), examples)
