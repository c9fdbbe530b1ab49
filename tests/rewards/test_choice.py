"""Multiple choice: how options are written in files, and which one an answer takes."""

from typing import Any

import pytest

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.rewards.choice import MultipleChoice, read_options
from burnish.rewards.votes import Election

TEXTS = ["Paris", "Rome", "Berlin", "The Hague"]


@pytest.mark.parametrize(
    ("choices", "answer", "right"),
    [
        (TEXTS, 1, 1),
        (TEXTS, "B", 1),
        (TEXTS, "Rome", 1),
        ({"text": TEXTS, "label": ["1", "2", "3", "4"]}, "2", 1),
        ({"a": "Paris", "b": "Rome"}, "b", 1),
        (TEXTS, 0, 0),
        ({"text": TEXTS, "label": [1, 2, 3, 4]}, 2, 1),  # the label, not the third option
        ({"text": TEXTS, "label": ["1", "2", "3", "4"]}, 2, 1),
    ],
)
def test_options_are_read_as_data_sets_write_them(choices: Any, answer: Any, right: int) -> None:
    assert read_options({"choices": choices, "answer": answer}, "choices", "answer").right == right


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "'choices': got None"),
        ({"choices": ["one"], "answer": 0}, "at least two texts"),
        ({"choices": ["a", ""], "answer": 0}, "at least two texts"),
        ({"choices": {"text": TEXTS, "label": ["A"]}, "answer": "A"}, "at least two texts"),
        ({"choices": TEXTS, "answer": 4}, "a place from 0 to 3"),
        ({"choices": TEXTS, "answer": True}, "got True"),
        ({"choices": ["a", "a"], "answer": "a"}, "the text of an option"),
        ({"choices": {"text": ["a", "b"], "label": ["A", "A"]}, "answer": "A"}, "are not all different"),
        ({"choices": {"text": ["a", "b"], "label": [1, 2]}, "answer": 1.0}, "got 1.0"),
        ({"choices": {"text": ["a", "b"], "label": 1}, "answer": 1}, "at least two texts"),
    ],
)
def test_rows_without_options_are_said(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_options(row, "choices", "answer")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("B", 1),
        ("b.", 1),
        ("(B)", 1),
        ("B) Rome", 1),
        ("**B**: Rome", 1),
        ("Rome", 1),
        ("rome.", 1),
        ("The answer is (B).", 1),
        ("A? No, the answer is **C**.", 2),
        ("It is Rome, of course.", 1),
        ("Paris or Rome", None),
        ("Romeo", None),
        ("E", None),
        ("", None),
        ("<think>A) Paris?</think>The Hague", 3),
        ("<answer>D</answer>", 3),
        ("A good question", None),
    ],
)
def test_which_option_an_answer_takes(text: str, place: int | None) -> None:
    options = read_options({"choices": TEXTS, "answer": 0}, "choices", "answer")
    assert options.taken(text) == place


def test_choices_are_judged_and_vote() -> None:
    row = {"choices": TEXTS, "answer": "B"}
    answers = [Answer([], text, row) for text in ("Paris", "B", "Rome", "who knows")]
    judged = MultipleChoice()(answers)
    assert [one.correct for one in judged] == [False, True, True, False]
    assert [one.reason for one in judged] == ["other choice", "correct", "correct", "no choice"]
    assert MultipleChoice().elect(answers) == Election(1, 2, 3)


def test_long_answers_are_read_in_time() -> None:
    options = read_options({"choices": TEXTS, "answer": 0}, "choices", "answer")
    for piece in ("answer is ", "(*[ ", "A", "answer\n", "option: ("):
        options.taken(piece * (100_000 // len(piece)))
