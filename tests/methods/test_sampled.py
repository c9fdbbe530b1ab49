"""Choosing among samples, where every choice can be told by hand."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from burnish.generation.answer import Answer
from burnish.methods.sampled import AnsweredTask, judge_samples, measures
from burnish.rewards.judgement import Judgement, WeightedJudge
from burnish.rewards.numbers import NumberVerifier
from burnish.runs.run import Run

# Two answers are 1 and two are 2, which is right; the more probable an answer, the earlier it was drawn.
SAID, LOGPS, RIGHT = ("1", "2", "2", "1"), (-1.0, -2.0, -3.0, -4.0), 2


def answered(folder: Path, scores: Sequence[float] | None) -> tuple[list[AnsweredTask], Run]:
    """One task with four answers, judged by its number and, where there are some, by scores that know nothing of it."""
    answers = [
        Answer([{"role": "user", "content": "1 + 1?"}], text, {"answer": RIGHT}, logp=logp)
        for text, logp in zip(SAID, LOGPS, strict=True)
    ]
    judges = [WeightedJudge("numbers", NumberVerifier())]
    if scores is not None:
        by_logp = dict(zip(LOGPS, scores, strict=True))
        judges.append(WeightedJudge("score", lambda said: [Judgement(by_logp[one.logp]) for one in said]))

    @contextmanager
    def opened() -> Iterator[Sequence[WeightedJudge]]:
        yield judges

    run = Run(folder)
    return judge_samples(run, "model", opened, [answers], [1, 2, 4]), run


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        # Of equally many votes those of the most probable answer win: 1 in the first pair and of all four.
        (None, {"cons@2": 0.5, "cons@4": 0.0}),
        # All four votes: 4 + 1 for 1, 3.5 + 2 for 2.
        (
            (4.0, 3.5, 2.0, 1.0),
            {"cons@2": 0.5, "cons@4": 0.0, "weighted@2": 0.5, "weighted@4": 1.0, "best@2": 0.5, "best@4": 0.0},
        ),
        ((0.0, 0.0, 9.0, 9.5), {"weighted@2": 0.0, "best@2": 0.0, "best@4": 0.0, "weighted@4": 0.0}),
    ],
)
def test_each_way_of_choosing(tmp_path: Path, scores: Sequence[float] | None, expected: dict[str, float]) -> None:
    tasks, _ = answered(tmp_path, scores)
    found = measures(tasks, [1, 2, 4], seed=0)
    assert {name: found[name]["value"] for name in expected} == expected
    assert {name: found[name]["value"] for name in ("pass@1", "pass@2", "pass@4")} == pytest.approx(
        {"pass@1": 1 / 2, "pass@2": 5 / 6, "pass@4": 1}
    )
    assert ("best@2" in found) == (scores is not None)
    assert tasks[0].shown.mean == 0.5


def test_votes_that_would_count_less_than_nothing_are_left_out_with_a_word(tmp_path: Path) -> None:
    tasks, run = answered(tmp_path, (1.0, 2.0, -3.0, 4.0))
    assert "weighted@2" not in measures(tasks, [2], seed=0)
    assert run.notices == ["weighted@k is left out: answers score below 0, and no vote can count less than nothing"]


def test_fewer_answers_than_k_are_an_error_that_names_both(tmp_path: Path) -> None:
    tasks, _ = answered(tmp_path, None)
    with pytest.raises(ValueError, match="k = 8 answers to a problem, got n = 4"):
        measures(tasks, [8], seed=0)
