"""What judged answers come to: scores with their intervals, over all tasks and apart, and how two models differ."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from burnish.methods.sampled import AnsweredTask, mean, summarize
from burnish.rewards.judgement import JudgedAnswer

NGRAM = 4
"""Tokens of the pieces whose repetition is counted."""


def scores_of(
    answered: Sequence[AnsweredTask],
    groups: Sequence[str | None],
    reported: Mapping[str, Sequence[str]],
    seed: int,
) -> dict[str, Any]:
    """Score and interval over all tasks, in each group, in what is reported apart, and by each of several judges."""
    from burnish.evaluation.repetition import repeated_ngrams

    answers = [one for task in answered for one in task.answers]
    kind = "accuracy" if any(one.verdict.correct is not None for one in answers) else "score"
    members: dict[str, list[AnsweredTask]] = {}
    for task, group in zip(answered, groups, strict=True):
        if group is not None:
            members.setdefault(group, []).append(task)

    def score(of: Sequence[AnsweredTask]) -> dict[str, Any]:
        told = [[one.verdict for one in task.answers] for task in of]
        return summarize(
            [_mean([one.score if kind == "score" else one.correct for one in said]) for said in told], seed
        )

    return {
        "kind": kind,
        **score(answered),
        "groups": {group: score(of_group) for group, of_group in members.items()},
        "reported": {
            name: score([task for group in wanted for task in members[group]]) for name, wanted in reported.items()
        },
        "judges": {name: _by_judge(name, answered, seed) for name in _judge_names(answers)},
        "repeated_ngrams": summarize(
            [mean(repeated_ngrams(one.answer.tokens, NGRAM) for one in task.answers) for task in answered], seed
        ),
    }


def _mean(values: Sequence[float | bool | None]) -> float | None:
    """The mean of the values that there are; None where there are none."""
    there = [value for value in values if value is not None]
    return mean(there) if there else None


def _judge_names(answers: Sequence[JudgedAnswer]) -> list[str]:
    """The judges that said something of any answer; none where there is only one, whose score is that of all."""
    names = list(dict.fromkeys(name for one in answers for name in one.judgements))
    return names if len(names) > 1 else []


def _by_judge(name: str, answered: Sequence[AnsweredTask], seed: int) -> dict[str, Any]:
    said = [[one.judgements[name] for one in task.answers if name in one.judgements] for task in answered]
    kind = "accuracy" if any(one.correct is not None for of_task in said for one in of_task) else "score"
    values = [_mean([one.score if kind == "score" else one.correct for one in of_task]) for of_task in said]
    return {"kind": kind, **summarize(values, seed)}


def described(scores: Mapping[str, Any], n_tasks: int) -> str:
    """A model's result in a line."""
    if scores["kind"] == "score":
        return f"mean score {scores['value']:.3g} of {n_tasks} answers"
    named = [f"{name} {one['value']:.1%}" for name, one in scores.get("measures", {}).items() if one["count"]]
    return (
        f"{', '.join(named)} of {scores['count']} tasks"
        if named
        else f"{scores['value']:.1%} of {scores['count']} right"
    )


def differences(worths: Mapping[str, Sequence[float]], seed: int) -> Iterator[dict[str, Any]]:
    """Each model against the one before it, and the last against all others: interval, and p of a permutation test."""
    from burnish.evaluation.statistics import paired_bootstrap_interval, paired_permutation_test

    labels = list(worths)
    for before, after in [*pairwise(labels), *((earlier, labels[-1]) for earlier in labels[:-2])]:
        one, other = worths[before], worths[after]
        yield {
            "before": before,
            "after": after,
            "value": mean(other) - mean(one),
            "interval": list(paired_bootstrap_interval(one, other, seed=seed)),
            "p": paired_permutation_test(one, other, seed=seed),
        }
