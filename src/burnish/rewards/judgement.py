"""What every judge of an answer returns: rules, execution, learned models, chat models and functions of a user's.

Notable choices:
- a judge gets many answers at once, so that equal queries run once and a model scores a batch;
- a judge may have nothing to say of an answer (None): it then counts neither in its own mean nor in the sum of all;
- what a judge returns is checked: a judgement for each answer, with finite scores.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from burnish.errors import BurnishError
from burnish.generation.answer import Answer


@dataclass(frozen=True)
class Judgement:
    """What a judge says of one answer.

    score: more is better. correct: whether it is right, of judges that tell right from wrong; None of all others.
    reason: one of a judge's few fixed words, fit for counting. detail: for a person to read.
    token_scores: one for each of the answer's tokens, None at those that have none, such as all but the last of a step
        of a process reward model; the score only sums them up. None where the score is all.
    """

    score: float
    correct: bool | None = None
    reason: str = ""
    detail: str = ""
    token_scores: Sequence[float | None] | None = None


@dataclass(frozen=True)
class JudgedAnswer:
    """An answer and what judges say of it.

    verdict: of all judges together. judgements: of each that said something, by name. votes: how many of the sampled
    answers come to the same, where they voted. mean: over all sampled answers to the same task, where this is one of
    several: the share of them that are right, or their mean score where no judge tells that.
    """

    answer: Answer
    verdict: Judgement
    judgements: Mapping[str, Judgement]
    votes: int | None = None
    mean: float | None = None

    def row(self) -> dict[str, Any]:
        """What is written of it, as values that JSON can hold."""
        verdict, several = self.verdict, len(self.judgements) > 1
        row: dict[str, Any] = {"prompt": self.answer.prompt, "completion": self.answer.text}
        if verdict.correct is not None:
            row |= {"correct": verdict.correct, "reason": verdict.reason, "detail": verdict.detail}
        if verdict.correct is None or several or verdict.score != verdict.correct:
            row["score"] = verdict.score
        if several:
            row["scores"] = {name: one.score for name, one in self.judgements.items()}
        further = {"votes": self.votes, "mean": self.mean, "calls": self.answer.calls or None}
        return row | {key: value for key, value in further.items() if value is not None}


class Judge(Protocol):
    """Judges answers: a judgement of each, None where there is nothing to say; a bare number is a score."""

    def __call__(self, answers: Sequence[Answer], /) -> Sequence[Judgement | float | None]: ...


@dataclass(frozen=True)
class WeightedJudge:
    """One of several judges.

    name: in metrics and results. weight: what its scores are multiplied by before they are added to those of others.
    applies: whether it judges answers to a row; None: to every row. log_odds: whether its scores are log-odds, such as
    those of a reward model, rather than shares.
    """

    name: str
    judge: Judge
    weight: float = 1.0
    applies: Callable[[Mapping[str, Any]], bool] | None = None
    log_odds: bool = False


def verdict(correct: bool, reason: str = "", detail: str = "") -> Judgement:
    """A judgement of right or wrong: the score is 1 or 0."""
    return Judgement(float(correct), correct, reason or ("correct" if correct else "wrong"), detail)


def each(function: Callable[[Sequence[Mapping[str, Any]], str, Mapping[str, Any]], float | bool | Judgement]) -> Judge:
    """A judge out of a function of one (prompt, text of the answer, row).

    The function returns a number, True or False for right or wrong, or a `Judgement`.
    """

    def judge(answers: Sequence[Answer], /) -> list[Judgement]:
        return [as_judgement(function(answer.prompt, answer.text, answer.row)) for answer in answers]

    return judge


def as_judgement(value: Any) -> Judgement:
    """What a function returned, as a judgement. Raises TypeError where it is no number either."""
    if isinstance(value, Judgement):
        return value
    if value is True or value is False:
        return verdict(value)
    try:
        return Judgement(float(value.__float__()))
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"it returned {value!r:.80}; expected a number, True, False, or a Judgement") from None


def judge_answers(judges: Sequence[WeightedJudge], answers: Sequence[Answer]) -> list[list[Judgement | None]]:
    """For each judge its judgement of each answer; None where it does not apply or has nothing to say.

    Raises BurnishError for a judge that does not return a judgement with a finite score for each answer.
    """
    return [_judge(judge, answers) for judge in judges]


def _judge(judge: WeightedJudge, answers: Sequence[Answer]) -> list[Judgement | None]:
    places = [i for i, answer in enumerate(answers) if judge.applies is None or judge.applies(answer.row)]
    asked = [answers[i] for i in places]
    found = [None if one is None else as_judgement(one) for one in judge.judge(asked)] if asked else []
    if len(found) != len(asked):
        raise BurnishError(
            f"judge '{judge.name}': {len(found)} judgements of {len(asked)} answers, the first of them "
            f"{asked[0].named}; return one each"
        )
    for answer, one in zip(asked, found, strict=True):
        scores = [] if one is None else [one.score, *(each for each in one.token_scores or () if each is not None)]
        wrong = next((score for score in scores if not math.isfinite(score)), None)
        if wrong is not None:
            raise BurnishError(f"judge '{judge.name}': {wrong} for {answer.named}; return finite numbers")
        if one is not None and one.token_scores is not None and len(one.token_scores) != len(answer.tokens):
            raise BurnishError(
                f"judge '{judge.name}': {len(one.token_scores)} token_scores for the {len(answer.tokens)} tokens of "
                f"{answer.named}; return one for each token"
            )
    result: list[Judgement | None] = [None] * len(answers)
    for place, one in zip(places, found, strict=True):
        result[place] = one
    return result


def judged_answers(
    judges: Sequence[WeightedJudge], answers: Sequence[Answer], judged: Sequence[Sequence[Judgement | None]]
) -> list[JudgedAnswer]:
    """Each answer with what `judge_answers` found."""
    found = []
    for answer, said in zip(answers, zip(*judged, strict=True), strict=True):
        by_name = {judge.name: one for judge, one in zip(judges, said, strict=True) if one is not None}
        found.append(JudgedAnswer(answer, together(judges, said), by_name))
    return found


def scores(judged: Sequence[Sequence[Judgement | None]]) -> list[list[float]]:
    """The scores of what `judge_answers` gives; NaN where a judge says nothing."""
    return [[math.nan if one is None else one.score for one in judgements] for judgements in judged]


def together(judges: Sequence[WeightedJudge], judgements: Sequence[Judgement | None]) -> Judgement:
    """All that judges say of one answer as one judgement.

    The score is the weighted sum. An answer is correct if all say so that tell right from wrong; reason and detail are
    those of the first that finds it wrong, else of the first that gives a reason.
    """
    said = [(judge.weight, one) for judge, one in zip(judges, judgements, strict=True) if one is not None]
    told = [one for _, one in said if one.correct is not None]
    wrong = [one for one in told if not one.correct]
    shown = next((one for one in [*wrong, *told, *(one for _, one in said)] if one.reason), None)
    by_token = [
        [None if score is None else weight * score for score in one.token_scores]
        for weight, one in said
        if one.token_scores is not None
    ]
    return Judgement(
        score=sum(weight * one.score for weight, one in said),
        correct=not wrong if told else None,
        reason=shown.reason if shown else "",
        detail=shown.detail if shown else "",
        token_scores=[_sum(scores) for scores in zip(*by_token, strict=True)] if by_token else None,
    )


def _sum(scores: Sequence[float | None]) -> float | None:
    """What a token has scored; None where nobody has scored it."""
    found = [score for score in scores if score is not None]
    return sum(found) if found else None
