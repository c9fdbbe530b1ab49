"""A gate in front of answers: one is given only if a judge finds it good enough, else another is sampled."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from burnish.generation.answer import Answer
from burnish.rewards.judgement import Judge, WeightedJudge, judge_answers


@dataclass(frozen=True)
class Gated:
    """What came of it: the answer that passed, or None; how many were sampled; and the best score of them.

    score is None where the judge had nothing to say of any.
    """

    answer: Answer | None
    attempts: int
    score: float | None


@dataclass(frozen=True, eq=False)
class Gate:
    """A judge, the least score of an answer that is given, and how many are sampled before there is said to be none."""

    judge: Judge
    threshold: float
    attempts: int
    _one: threading.Lock = field(default_factory=threading.Lock)

    def scores(self, answers: Sequence[Answer]) -> list[float | None]:
        """Of each answer, None where the judge has nothing to say; one thread judges at a time.

        Raises BurnishError for a judge that gives no finite score.
        """
        with self._one:
            (found,) = judge_answers([WeightedJudge("gate", self.judge)], answers)
        return [None if one is None else one.score for one in found]


def none_passed(attempts: int, best: float | None, threshold: float) -> str:
    """What is said instead of an answer. best: the best score of them."""
    found = "could be judged" if best is None else f"has a better one than {best:.3g}"
    return f"no answer: of {attempts} none {found}, and it takes {threshold:g}"


def through_gate(sample: Callable[[int], Answer], judge: Judge, *, threshold: float, attempts: int) -> Gated:
    """The first of at most `attempts` answers, `sample(0)`, `sample(1)`, …, whose score is at least `threshold`.

    One of which the judge says nothing does not pass. Raises BurnishError for a judge that gives no finite score.
    """
    best: float | None = None
    for attempt in range(attempts):
        answer = sample(attempt)
        ((judgement,),) = judge_answers([WeightedJudge("gate", judge)], [answer])
        if judgement is None:
            continue
        best = judgement.score if best is None else max(best, judgement.score)
        if judgement.score >= threshold:
            return Gated(answer, attempt + 1, judgement.score)
    return Gated(None, attempts, best)
