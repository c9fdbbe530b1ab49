"""Judges of words: what counts as the same, what is expected, expressions that are stopped, and votes."""

import time
from typing import Any

import pytest

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.rewards.choice import MultipleChoice
from burnish.rewards.format import Tags
from burnish.rewards.judgement import Judge, Judgement, WeightedJudge
from burnish.rewards.numbers import NumberVerifier
from burnish.rewards.texts import CommonForm, ContainedText, ExactText, MatchedText, compiled, expected_texts
from burnish.rewards.votes import Electing, Election, elector


def said(text: str, **row: Any) -> Answer:
    return Answer([{"role": "user", "content": "?"}], text, row)


def one(judge: Judge, text: str, **row: Any) -> Judgement:
    (judgement,) = judge([said(text, **row)])
    assert isinstance(judgement, Judgement)
    assert 0 <= judgement.score <= 1
    assert judgement.correct is (judgement.reason == "correct")
    return judgement


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        ("Paris", "Paris", True),
        (" the  red\nvalve. ", "The red valve", True),
        ("\uff30\uff41\uff52\uff49\uff53", "Paris", True),
        ("Cafe\u0301", "Café", True),
        ("“Paris!”", "paris", True),
        ("<think>Rome? No.</think>Paris", "Paris", True),
        ("So: <answer>Paris</answer> it is", "Paris", True),
        ("Paris, France", "Paris", False),
        ("Rome", ["Paris", "Rome"], True),
        ("12", 12, True),
        ("-5", 5, False),
        ("-5", -5, True),
        (".5", "5", False),
        ("5 %", "5", False),
        ("", "Paris", False),
        ("...", "Paris", False),
    ],
)
def test_an_exact_answer_is_the_expected_text_in_another_form(text: str, answer: Any, right: bool) -> None:
    assert one(ExactText(), text, answer=answer).correct is right


def test_what_does_not_count_can_be_made_to_count() -> None:
    strict = CommonForm(unicode=False, case=False, space=False, punctuation=False)
    assert one(ExactText(form=strict), "Paris", answer="Paris").correct
    for text in ("paris", "Paris.", "Paris ", "\uff30aris"):
        assert not one(ExactText(form=strict), text, answer="Paris").correct
        assert one(ExactText(), text, answer="Paris").correct


def test_a_conversation_expects_its_own_answer() -> None:
    row = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "Turn it left."}]}
    assert expected_texts(row, "answer") == ["Turn it left."]
    assert one(ExactText(), "turn it left", **row).correct


@pytest.mark.parametrize("row", [{}, {"answer": ""}, {"answer": []}, {"answer": ["a", " "]}, {"answer": {"a": 1}}])
def test_a_row_without_an_expected_text_is_said(row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"'answer': got .*expected a text"):
        expected_texts(row, "answer")


def test_contained_texts_are_counted() -> None:
    row = {"answer": ["red valve", "pump"]}
    assert one(ContainedText(), "Close the Red  Valve, then stop the pump.", **row) == Judgement(1.0, True, "correct")
    half = one(ContainedText(), "Close the red valve.", **row)
    assert (half.score, half.correct, half.detail) == (0.5, False, "does not say pump")
    assert one(ContainedText(require_all=False), "Close the red valve.", **row).correct
    assert one(ContainedText(require_all=False), "Nothing.", **row).score == 0
    assert not one(ContainedText(), "the red valves and the pump", **row).correct, "whole words"
    assert one(ContainedText(words=False), "the red valves and the pump", **row).correct
    assert one(ContainedText(), "C++ and C", answer="C++").correct


def test_an_expression_finds_or_compares() -> None:
    assert one(MatchedText(r"\bE\d{3}\b"), "It says E104.").correct
    assert one(MatchedText(r"\bE\d{3}\b"), "It says E1045.").reason == "no match"
    judge = MatchedText(r"answer is (\w+)", "answer")
    assert one(judge, "The answer is red. No: the answer is BLUE.", answer="blue").correct
    assert one(judge, "The answer is blue. No: the answer is red.", answer="blue").reason == "other words"
    assert one(MatchedText(r"\d+", whole=True), " 104 ").correct
    assert not one(MatchedText(r"\d+", whole=True), "104 or 105").correct


def test_an_expression_that_runs_away_is_stopped() -> None:
    start = time.monotonic()
    for whole in (True, False):
        hostile = MatchedText(r"(?:a|aa|a?b)+c" if not whole else r"(?:(?:a|a)*)*b", whole=whole, timeout_seconds=0.1)
        assert not one(hostile, "a" * 5_000 + "!").correct
    assert time.monotonic() - start < 60
    with pytest.raises(DataError, match="not a regular expression"):
        compiled("(")
    with pytest.raises(DataError, match="expected at most"):
        compiled("a" * 3_000)


@pytest.mark.parametrize(
    ("judge", "texts", "expected"),
    [
        (ExactText(), ["red", "blue", "Blue.", ""], Election(1, 2, 3)),
        (ContainedText(), ["a b", "A  b", "c"], Election(0, 2, 3)),
        (MatchedText(r"\bis (\w+)", "answer"), ["is red", "it is blue", "this is Blue", "none"], Election(1, 2, 3)),
        (NumberVerifier(), ["5", "it is 6", "6.0", "none"], Election(1, 2, 3)),
        (ExactText(), ["", ""], Election(0, 0, 0)),
    ],
)
def test_answers_vote_by_what_they_come_to(judge: Electing, texts: list[str], expected: Election) -> None:
    assert judge.elect([said(text, answer="x") for text in texts]) == expected


def test_the_judge_of_the_row_holds_the_election() -> None:
    numbers, exact = NumberVerifier(), ExactText()
    judges = [
        WeightedJudge("plain", lambda answers: [1.0] * len(answers)),
        WeightedJudge("numbers", numbers, applies=lambda row: row["kind"] == "sum"),
        WeightedJudge("exact", exact),
    ]
    assert elector(judges, said("5", kind="sum")) is numbers
    assert elector(judges, said("5", kind="word")) is exact
    assert elector(judges[:1], said("5", kind="sum")) is None


SPECIAL = Tags(("|reason|", "|/reason|"), ("|summary|", "|/summary|"))


@pytest.mark.parametrize(
    "judge",
    [
        NumberVerifier(tags=SPECIAL),
        ExactText(tags=SPECIAL),
        ContainedText(tags=SPECIAL),
        MatchedText(r"\d+", "answer", tags=SPECIAL),
        MultipleChoice(tags=SPECIAL),
    ],
    ids=lambda judge: type(judge).__name__,
)
def test_answers_stand_in_the_tags_that_are_named(judge: Any) -> None:
    row = {"answer": "12", "choices": ["11", "12"]}
    right = "|reason|11 or 12|/reason||summary|12|/summary| not 11"
    wrong = "|reason|12|/reason||summary|11|/summary| not 12"
    assert one(judge, right, **row).correct
    assert not one(judge, wrong, **row).correct
    election = judge.elect([said(text, **row) for text in (wrong, right, right.replace("11 or", ""))])
    assert (election.winner, election.votes) == (1, 2)
    # Without these tags all of it is the answer, or what stands in others.
    assert not one(judge, "<answer>12</answer> |summary|11|/summary|", **row).correct
