"""Pairs, ranked lists and labelled answers in the formats that people have; rows that teach nothing have a fault."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.datasets.dialogues import dialogue_pair, dialogue_prompt, is_dialogue, is_dialogue_prompt
from burnish.datasets.rows import Ranking, read_labelled, read_preferences, read_rankings
from burnish.text.chat import Message

Q = "\n\nHuman: Hi.\n\nAssistant: Hello.\n\nHuman: 2 + 2?"


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def contents(messages: list[Message]) -> list[tuple[str, Any]]:
    return [(message["role"], message["content"]) for message in messages]


def texts(ranking: Ranking) -> list[Any]:
    return [answer[0]["content"] for answer in ranking.answers]


def test_an_hh_dialogue_is_a_prompt_and_two_answers(tmp_path: Path) -> None:
    row = {"chosen": f"{Q}\n\nAssistant: 4.\n\nThat is it.", "rejected": f"{Q}\n\nAssistant: 5."}
    (pair,) = read_preferences(write(tmp_path, row))
    assert contents(pair.prompt) == [("user", "Hi."), ("assistant", "Hello."), ("user", "2 + 2?")]
    assert contents(pair.chosen) == [("assistant", "4.\n\nThat is it.")]
    assert contents(pair.rejected) == [("assistant", "5.")]
    assert pair.fault is None
    (pair,) = read_preferences(write(tmp_path, {"prompt": f"{Q}\n\nAssistant:", "chosen": " 4.", "rejected": " 5."}))
    assert contents(pair.prompt) == [("user", "Hi."), ("assistant", "Hello."), ("user", "2 + 2?")]


# What no parser could tell from a turn of its own, and white space at the ends, which HH's format adds.
WORDS = (
    st.text(min_size=1).map(str.strip).filter(lambda text: text and "Human:" not in text and "Assistant:" not in text)
)


@given(st.lists(WORDS, min_size=1, max_size=5).filter(lambda turns: len(turns) % 2 == 1), WORDS, WORDS)
def test_every_dialogue_comes_back(turns: list[str], good: str, bad: str) -> None:
    speakers = ["Human", "Assistant"]
    shared = "".join(f"\n\n{speakers[i % 2]}: {words}" for i, words in enumerate(turns))
    pair = f"{shared}\n\nAssistant: {good}", f"{shared}\n\nAssistant: {bad}"
    assert all(map(is_dialogue, pair))
    found = dialogue_pair(*pair)
    assert found is not None
    expected = [("user" if i % 2 == 0 else "assistant", words) for i, words in enumerate(turns)]
    assert (contents(found[0]), *found[1:]) == (expected, good, bad)
    assert is_dialogue_prompt(f"{shared}\n\nAssistant:")
    assert contents(dialogue_prompt(f"{shared}\n\nAssistant:")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n\nHuman: a\n\nHuman: b\n\nAssistant: ", [("user", "a\n\nb")]),
        ("\n\nHuman: a\n\nAssistant: \n\nHuman: b\n\nAssistant: ", [("user", "a\n\nb")]),
        ("\n\nHuman: say Human: a\n\nAssistant: ", [("user", "say Human: a")]),
    ],
)
def test_turns_of_one_speaker_are_one_message(text: str, expected: list[tuple[str, str]]) -> None:
    assert contents(dialogue_prompt(text)) == expected


def test_an_ordinary_text_is_no_dialogue() -> None:
    for text in ("Human: only", "The Assistant: x\n\nHuman: y", "What does \n\nHuman: a\n\nAssistant: b mean?"):
        assert not is_dialogue(text)
    assert not is_dialogue_prompt(f"{Q}\n\nAssistant: 4")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, 'chosen and rejected are equal ("b")'),
        ({"prompt": "a", "chosen": "b", "rejected": " \n"}, "the rejected answer is empty"),
        ({"prompt": "a", "chosen": "", "rejected": ""}, "the chosen and the rejected answer are empty"),
        (
            {"prompt": "a", "chosen": [{"role": "assistant", "content": ""}], "rejected": "c"},
            "the chosen answer is empty",
        ),
        ({"chosen": f"{Q}\n\nAssistant: 4", "rejected": f"{Q}\n\nAssistant: "}, "the rejected answer is empty"),
        (
            {"chosen": f"{Q}\n\nAssistant: 4", "rejected": f"{Q}\n\nAssistant: 4 "},
            'chosen and rejected are equal ("4")',
        ),
        *(
            (
                {"chosen": f"{Q}\n\nAssistant: 4", "rejected": rejected},
                "the dialogues chosen and rejected differ in more than the assistant's last answer",
            )
            for rejected in (
                "\n\nHuman: Hi.\n\nAssistant: Bye.\n\nHuman: 2 + 2?\n\nAssistant: 4",
                f"{Q}\n\nAssistant: 4\n\nHuman: Thanks",
            )
        ),
    ],
)
def test_pairs_that_teach_nothing(row: dict[str, Any], fault: str, tmp_path: Path) -> None:
    file = write(tmp_path, row)
    assert [pair.fault for pair in read_preferences(file)] == [fault]
    assert [ranking.fault for ranking in read_rankings(file)] == [fault]


@pytest.mark.parametrize(
    ("row", "expected", "remark"),
    [
        ({"responses": ["a", "b", "c"]}, ["a", "b", "c"], None),
        ({"completions": ["a", "b", "c"], "ranks": [3, 1, 2]}, ["b", "c", "a"], None),
        ({"responses": ["a", "b", "c"], "scores": [0.1, 0.9, 0.5]}, ["b", "c", "a"], None),
        (
            {"responses": ["a", "b", "c"], "ranks": [2, 2, 1]},
            ["c", "a"],
            "left out: answer 2 is ranked like answer 1",
        ),
        ({"responses": ["a", " ", "b", "a"]}, ["a", "b"], "left out: answer 2 is empty, answer 4 repeats a better one"),
        ({"responses": [{"role": "assistant", "content": "a"}, [{"from": "gpt", "value": "b"}]]}, ["a", "b"], None),
        ({"chosen": "a", "rejected": "b"}, ["a", "b"], None),
    ],
)
def test_ranked_lists(row: dict[str, Any], expected: list[str], remark: str | None, tmp_path: Path) -> None:
    (ranking,) = read_rankings(write(tmp_path, {"prompt": "Which letter?", **row}))
    assert contents(ranking.prompt) == [("user", "Which letter?")]
    assert (texts(ranking), ranking.remark, ranking.fault) == (expected, remark, None)


def test_a_list_without_two_answers_to_tell_apart(tmp_path: Path) -> None:
    (ranking,) = read_rankings(write(tmp_path, {"prompt": "a", "responses": ["b", "c"], "scores": [1, 1]}))
    assert ranking.fault == (
        "responses holds fewer than two answers to tell apart: left out: answer 2 is ranked like answer 1"
    )


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=6, unique=True))
def test_ranks_and_scores_are_the_same_order_reversed(
    tmp_path_factory: pytest.TempPathFactory, values: list[int]
) -> None:
    answers = [f"answer {value}" for value in values]
    folder = tmp_path_factory.mktemp("ranked")
    by_score, by_rank = read_rankings(
        write(
            folder,
            {"prompt": "a", "responses": answers, "scores": values},
            {"prompt": "a", "responses": answers, "ranks": [-value for value in values]},
        )
    )
    assert texts(by_score) == texts(by_rank) == [f"answer {value}" for value in sorted(values, reverse=True)]


@pytest.mark.parametrize(
    ("row", "margin"),
    [
        ({}, None),
        ({"margin": 2}, 2.0),
        ({"margin": -0.5}, -0.5),
        ({"score_chosen": 4.5, "score_rejected": 3}, 1.5),
        ({"margin": None, "score_chosen": 4.5}, None),
        ({"margin": "2.5"}, 2.5),
    ],
)
def test_margins(row: dict[str, Any], margin: float | None, tmp_path: Path) -> None:
    (ranking,) = read_rankings(write(tmp_path, {"prompt": "a", "chosen": "b", "rejected": "c", **row}))
    assert ranking.margin == margin


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "2 + 2?", "completion": "4"},
        {
            "prompt": [{"role": "user", "content": "2 + 2?"}],
            "completion": [{"role": "assistant", "content": "4"}],
        },
        {"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]},
        {"prompt": "\n\nHuman: 2 + 2?\n\nAssistant:", "completion": "4"},
    ],
)
def test_unpaired_rows(row: dict[str, Any], tmp_path: Path) -> None:
    """TRL's standard and conversational unpaired preference, LLaMA-Factory's, and TRL's HH as prompt and completion."""
    (labelled,) = read_labelled(write(tmp_path, {**row, "label": False}))
    assert contents(labelled.prompt) == [("user", "2 + 2?")]
    assert contents(labelled.answer) == [("assistant", "4")]
    assert (labelled.desired, labelled.fault) == (False, None)


def test_an_empty_unpaired_answer_has_a_fault(tmp_path: Path) -> None:
    rows = read_labelled(write(tmp_path, {"prompt": "a", "completion": "", "label": True}))
    assert [row.fault for row in rows] == ["the answer is empty"]


def test_labels_and_margins_of_a_table_of_text(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("prompt,completion,label\na,b,true\na,b,FALSE\na,b,1\na,b,0\n")
    assert [row.desired for row in read_labelled(table)] == [True, False, True, False]
    table.write_text("prompt,chosen,rejected,score_chosen,score_rejected\na,b,c,4.5,3\n")
    assert [row.margin for row in read_rankings(table)] == [1.5]
