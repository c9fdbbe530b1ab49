"""Ratings by a judge model: what it is shown, what is read of its reply, and replies without a rating."""

import pytest

from burnish.errors import BurnishError
from burnish.generation.answer import Answer
from burnish.rewards.pairwise import Messages
from burnish.rewards.rating import UNCLEAR, RatingJudge

ANSWERS = [Answer([{"role": "user", "content": "Which?"}], text, {"answer": "blue"}) for text in ("red", "blue")]


def test_the_last_rating_counts_and_thoughts_do_not() -> None:
    asked: list[Messages] = []

    def ask(messages: Messages) -> str:
        asked.append(messages)
        said = messages[1]["content"]
        return "<think>[[1]]</think>[[2]]... no, [[9]]" if "<answer>\nblue" in said else "eleven: [[11]]"

    red, blue = RatingJudge(ask, "Be strict.", concurrency=1, expected="answer")(ANSWERS)
    assert (red.score, red.reason, red.correct) == (0.55, UNCLEAR, None)
    assert (blue.score, blue.reason) == (0.9, "rated")
    assert "Be strict." in asked[0][0]["content"]
    assert "user: Which?" in asked[0][1]["content"]
    assert "<reference_answer>\nblue\n</reference_answer>" in asked[0][1]["content"]


def test_a_judge_that_never_rates_is_an_error() -> None:
    with pytest.raises(BurnishError, match="none of the judge's 2 replies ends with a rating"):
        RatingJudge(lambda _: "fine", "")(ANSWERS)
    assert RatingJudge(lambda _: "fine", "")([]) == []
