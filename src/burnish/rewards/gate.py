"""A gate in front of answers: one is given only if a judge finds it good enough, else another is sampled."""

from collections.abc import Callable
from dataclasses import dataclass

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
