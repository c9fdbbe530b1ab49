"""The pairwise judge: position bias cancels, verdicts are read where they stand, scores add up."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import BurnishError
from burnish.rewards.pairwise import AnswerPair, Messages, PairVerdict, PairwiseJudge, round_robin, scores

PROMPT = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Which {one}?"}]


def shown(messages: Messages) -> tuple[str, str]:
    """The two answers in the order in which the judge sees them."""
    text = str(messages[1]["content"])
    a, b = (text.split(f"<answer_{name}>\n")[1].split(f"\n</answer_{name}>")[0] for name in "AB")
    return a, b


def by_length(messages: Messages) -> str:
    a, b = shown(messages)
    return "Thinking. [[A]]" if len(a) > len(b) else "[[A]]? No: [[B]]" if len(b) > len(a) else "[[C]]"


def judged(ask: object, *pairs: tuple[str, str]) -> list[PairVerdict]:
    return PairwiseJudge(ask).judge([AnswerPair(PROMPT, *pair) for pair in pairs])  # type: ignore[arg-type]


def test_both_orders_agree_on_the_better_answer() -> None:
    found = judged(by_length, ("long answer", "short"), ("short", "long answer"), ("aa", "bb"))
    assert [one.share for one in found] == [1.0, 0.0, 0.5]
    assert not any(one.unclear for one in found)


@pytest.mark.parametrize("bias", ["[[A]]", "[[B]]"])
def test_a_judge_that_goes_by_the_place_calls_everything_a_tie(bias: str) -> None:
    assert [one.share for one in judged(lambda _: bias, ("x", "y"), ("y", "x"))] == [0.5, 0.5]


def test_what_a_judge_thinks_is_no_verdict() -> None:
    def ask(messages: Messages) -> str:
        if shown(messages) == ("good", "bad"):
            return "<think>[[B]]? I have to say [[A]], [[B]] or [[C]].</think>[[A]]"
        return "<think>I end with [[A]], [[B]] or [[C]]. The answers"

    assert judged(ask, ("good", "bad")) == [PairVerdict(0.75, unclear=1)]


def test_a_tie_in_one_order_is_half_a_win() -> None:
    def ask(messages: Messages) -> str:
        return "[[A]]" if shown(messages) == ("good", "bad") else "[[C]]"

    assert judged(ask, ("good", "bad")) == [PairVerdict(0.75)]


def test_the_judge_reads_conversation_criterion_and_answers() -> None:
    asked: list[Messages] = []

    def ask(messages: Messages) -> str:
        asked.append(messages)
        return "[[A]]"

    PairwiseJudge(ask, "Prefer {braces}.", concurrency=1).judge([AnswerPair(PROMPT, "one {a}", "two [[B]]")])
    assert [shown(messages) for messages in asked] == [("one {a}", "two [[B]]"), ("two [[B]]", "one {a}")]
    assert all("Prefer {braces}." in messages[0]["content"] for messages in asked)
    assert all("system: Be kind.\n\nuser: Which {one}?" in messages[1]["content"] for messages in asked)


def test_replies_without_a_verdict_are_ties_and_counted() -> None:
    def ask(messages: Messages) -> str:
        return "[[A]]" if shown(messages)[0] == "good" else "Both have merits."

    assert judged(ask, ("good", "bad"), ("x", "y")) == [PairVerdict(0.75, 1), PairVerdict(0.5, 2)]
    with pytest.raises(BurnishError, match="none of the judge's 4 replies ends with a verdict"):
        judged(lambda _: "Both have merits.", ("x", "y"), ("y", "z"))


def test_equal_answers_are_not_asked_about() -> None:
    def never(_: Messages) -> str:
        raise AssertionError("asked about equal answers")

    assert judged(never, ("same", "same")) == [PairVerdict(0.5)]
    assert judged(never) == []


def test_several_requests_wait_at_once_and_results_keep_their_order() -> None:
    barrier = threading.Barrier(3, timeout=10)

    def ask(messages: Messages) -> str:
        barrier.wait()
        time.sleep(0.01 * len(shown(messages)[0]))
        return by_length(messages)

    done: list[int] = []
    pairs = [AnswerPair(PROMPT, "x" * (6 - i), "y" * i) for i in range(1, 4)]
    found = PairwiseJudge(ask, concurrency=3).judge(pairs, on_progress=done.append)
    assert [one.share for one in found] == [1.0, 1.0, 0.5]
    assert done == [1, 2, 3]


def test_an_error_of_the_endpoint_comes_through() -> None:
    def fail(_: Messages) -> str:
        raise BurnishError("no server")

    with pytest.raises(BurnishError, match="no server"):
        judged(fail, ("x", "y"))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_round_robin_ranks_as_the_judge_does(lengths: list[int]) -> None:
    """Scores add up to half of the comparisons, and a longer answer never has less."""
    answers = [f"{place}:{'x' * length}" for place, length in enumerate(lengths)]
    rounds = round_robin(PROMPT, answers)
    assert len(rounds) == len(answers) * (len(answers) - 1) // 2
    judgements = PairwiseJudge(by_length, concurrency=1).judge([comparison for _, comparison in rounds])
    found = scores(len(answers), [(places, one) for (places, _), one in zip(rounds, judgements, strict=True)])
    assert sum(found) == pytest.approx(len(answers) / 2 if len(answers) > 1 else 0.0)
    for one, length in zip(found, lengths, strict=True):
        for other, its_length in zip(found, lengths, strict=True):
            assert (one > other) == (length > its_length) if len(answers) > 1 else one == 0
