"""Several answers to each task, as they were drawn: judged and chosen from, and what follows for all tasks.

Notable choices:
- of n answers pass@k is the unbiased estimate (`evaluation.pass_at_k`), and pass@1 the mean over all of them;
- cons@k, weighted@k and best@k come from each k answers in a row, n // k times, so that none is used twice;
- who votes or ranks sees nothing of what is expected; answers that come to the same vote together;
- intervals resample tasks, not answers: answers to one task are not independent.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from burnish.generation.answer import Answer
from burnish.methods.answering import Judging, judge_all, judged_answer, judged_chunks, judged_row
from burnish.rewards.judgement import JudgedAnswer, WeightedJudge
from burnish.rewards.votes import Choose, choose_answer, elector, guidance
from burnish.runs.run import Run

WAYS: Mapping[str, Choose] = {"cons": "votes", "weighted": "weighted_votes", "best": "best"}
"""Ways to choose one of k answers, by the measure of it."""


@dataclass(frozen=True)
class AnsweredTask:
    """The judged answers to one task, in the order they were drawn.

    chosen: by the measure (`cons`) and by k, as text, of each k answers in a row the place of the one that is chosen.
    """

    answers: Sequence[JudgedAnswer]
    chosen: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)

    @property
    def shown(self) -> JudgedAnswer:
        """The answer that a person reads: that of most where they voted, else the first; with the mean over all."""
        if len(self.answers) == 1:
            return self.answers[0]
        place = self.chosen.get("cons", {}).get(str(len(self.answers)), [0])[0]
        return replace(self.answers[place], mean=mean(map(worth, self.answers)))


def worth(one: JudgedAnswer) -> float:
    """1 for a right answer, 0 for a wrong one, the score where no judge tells."""
    return one.verdict.score if one.verdict.correct is None else float(one.verdict.correct)


def judge_samples(
    run: Run, label: str, judging: Judging, groups: Sequence[Sequence[Answer]], ks: Sequence[int]
) -> list[AnsweredTask]:
    """Every answer judged, and those chosen among each k."""

    def compute(judges: Sequence[WeightedJudge], part: Sequence[Sequence[Answer]]) -> list[dict[str, Any]]:
        return [
            {"answers": [judged_row(one) for one in of_group], "chosen": _choices(judges, of_group, ks)}
            for of_group in judge_all(judges, part)
        ]

    rows = judged_chunks(run, label, judging, groups, compute)
    tasks = [
        AnsweredTask(
            [judged_answer(answer, one) for answer, one in zip(group, row["answers"], strict=True)], row["chosen"]
        )
        for group, row in zip(groups, rows, strict=True)
    ]
    if any({"cons", "best"} <= task.chosen.keys() and "weighted" not in task.chosen for task in tasks):
        run.notice("weighted@k is left out: answers score below 0, and no vote can count less than nothing")
    return tasks


def _choices(judges: Sequence[WeightedJudge], judged: Sequence[JudgedAnswer], ks: Sequence[int]) -> dict[str, Any]:
    """By way of choosing and k, the places of the chosen, as a JSON object; ways that nobody can go are left out."""
    answers = [one.answer for one in judged]
    scores: dict[Choose, list[float]] = {}
    if elector(judges, answers[0]) is not None:
        scores["votes"] = []
    if all(any(said.correct is None for said in one.judgements.values()) for one in judged):
        scores["best"] = [guidance(judges, one, "best") for one in judged]
        weights = [guidance(judges, one, "weighted_votes") for one in judged]
        if "votes" in scores and min(weights) >= 0:
            scores["weighted_votes"] = weights
    found: dict[str, Any] = {}
    for name, choose in WAYS.items():
        for k in sorted({*ks, len(answers)}) if choose in scores and len(answers) > 1 else ():
            found.setdefault(name, {})[str(k)] = [
                block[0] + choose_answer(judges, [answers[i] for i in block], choose, _of(scores[choose], block)).winner
                for block in blocks(len(answers), k)
            ]
    return found


def _of(scores: Sequence[float], block: range) -> list[float]:
    return [scores[place] for place in block] if scores else []


def blocks(n: int, k: int) -> Iterator[range]:
    """The places of each k in a row; the last n % k of n belong to none."""
    return (range(start, start + k) for start in range(0, n - k + 1, k))


def measures(tasks: Sequence[AnsweredTask], ks: Sequence[int], seed: int) -> dict[str, dict[str, Any]]:
    """pass@k, and cons@k and the like by each way of choosing, over the tasks whose answers are right or wrong.

    Each with its interval over tasks; nothing where no judge tells. Raises ValueError where a task has fewer than k
    answers.
    """
    from burnish.evaluation.pass_at_k import pass_at_k

    told = [task for task in tasks if all(one.verdict.correct is not None for one in task.answers)]
    if not told:
        return {}
    right = [[one.verdict.correct is True for one in task.answers] for task in told]
    found = {f"pass@{k}": summarize([pass_at_k(len(one), sum(one), k) for one in right], seed) for k in ks}
    for name in WAYS:
        for k in (k for k in ks if k > 1):
            chosen = [
                (of_task, task.chosen.get(name, {}).get(str(k))) for task, of_task in zip(told, right, strict=True)
            ]
            if chosen and all(places for _, places in chosen):
                shares = [mean(float(of_task[place]) for place in places or ()) for of_task, places in chosen]
                found[f"{name}@{k}"] = summarize(shares, seed)
    return found


def summarize(values: Sequence[float | bool | None], seed: int) -> dict[str, Any]:
    """Mean, interval over tasks, and count of the values that there are."""
    from burnish.evaluation.statistics import bootstrap_interval

    there = [value for value in values if value is not None]
    if not there:
        return {"value": None, "interval": None, "count": 0}
    return {"value": mean(there), "interval": list(bootstrap_interval(there, seed=seed)), "count": len(there)}


def mean(values: Iterable[float]) -> float:
    """The mean of at least one value."""
    there = list(values)
    return sum(there) / len(there)
