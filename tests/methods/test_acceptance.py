"""What is accepted of a group and what is kept of it: right or good enough, ended, new, the first few."""

from typing import Any

import pytest

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.methods.acceptance import AcceptanceSettings, kept
from burnish.rewards.judgement import JudgedAnswer, Judgement, WeightedJudge, verdict
from burnish.rewards.numbers import NumberVerifier

JUDGES = [WeightedJudge("numbers", NumberVerifier())]


def judged(text: str, judgement: Judgement, *, finished: bool = True) -> JudgedAnswer:
    return JudgedAnswer(Answer([{"role": "user", "content": "6?"}], text, finished=finished), judgement, {})


RIGHT = [verdict(yes) for yes in (True, False, True, True, True, True)]
TEXTS = ["2 * 3 = 6", "5", "3 + 3 = 6", "So 2*3 = 6", "2 * 3 = 6 ", "six: 6"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"deduplicate": "none"}, [0, 2, 3, 4, 5]),
        ({}, [0, 2, 3, 5]),
        ({"deduplicate": "reasoning"}, [0, 2, 5]),
        ({"deduplicate": "reasoning", "max_per_prompt": 2}, [0, 2]),
        ({"deduplicate": "none", "max_per_prompt": 3}, [0, 2, 3]),
        ({"threshold": 2.0}, []),
    ],
)
def test_of_those_that_are_right_the_new_ones_are_kept(settings: dict[str, Any], expected: list[int]) -> None:
    group = [judged(*one) for one in zip(TEXTS, RIGHT, strict=True)]
    accepted, found = kept(JUDGES, group, AcceptanceSettings(**settings))
    assert [place for place, yes in enumerate(found) if yes] == expected
    if "threshold" not in settings:
        assert accepted == [True, False, True, True, True, True]


def test_scores_are_held_to_the_threshold_and_cut_or_empty_answers_are_none() -> None:
    scores = [0.4, 0.5, 0.9, 0.9, 0.9]
    group = [judged(f"{score} {i}", Judgement(score)) for i, score in enumerate(scores[:3])]
    group += [judged("cut", Judgement(0.9), finished=False), judged(" ", Judgement(0.9))]
    assert kept([], group, AcceptanceSettings(threshold=0.5)) == ([False, True, True, False, False],) * 2
    with pytest.raises(DataError, match=r"no judge told right from wrong of an answer to '6\?': set `threshold`.*0\.4"):
        kept([], group, AcceptanceSettings())
