"""Every key of a row is used where its meaning is known, refused where it is no text, or counted and named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from burnish.datasets.examples import conversation_examples
from burnish.datasets.rows import (
    Conversation,
    read_conversations,
    read_labelled,
    read_preferences,
    read_rankings,
    read_tasks,
)
from burnish.errors import DataError
from burnish.text.tokenizer import Tokenizer
from workshop import CHATML, tiny_tokenizer

USER = {"role": "user", "content": "2 + 2?"}
ASSISTANT = {"role": "assistant", "content": "4"}
THINKING = {**ASSISTANT, "reasoning_content": "Two and two."}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
def test_reasoning_under_each_of_its_names(key: str, tmp_path: Path) -> None:
    row = {"messages": [USER, {**ASSISTANT, key: "Two and two."}]}
    (conversation,) = read_conversations(write(tmp_path / "rows.jsonl", row))
    assert conversation.messages == [USER, THINKING]
    pair = {"prompt": [USER], "chosen": [{**ASSISTANT, key: "Two and two."}], "rejected": [ASSISTANT]}
    (preference,) = read_preferences(write(tmp_path / "pairs.jsonl", pair))
    assert (preference.chosen, preference.rejected, preference.fault) == ([THINKING], [ASSISTANT], None)


def test_reasoning_twice(tmp_path: Path) -> None:
    same = {"messages": [USER, {**THINKING, "thinking": "Two and two."}]}
    (conversation,) = read_conversations(write(tmp_path / "rows.jsonl", same))
    assert conversation.messages == [USER, THINKING]
    differs = {"messages": [USER, {**THINKING, "thinking": "Three."}]}
    with pytest.raises(DataError, match="reasoning_content and thinking, which differ"):
        read_conversations(write(tmp_path / "rows.jsonl", differs))
    wrong = {"messages": [USER, {**ASSISTANT, "thinking": ["Three."]}]}
    with pytest.raises(DataError, match=r"messages\[1\]\.thinking is a list of 1; expected text"):
        read_conversations(write(tmp_path / "rows.jsonl", wrong))


def test_reasoning_as_a_part_of_the_content(tmp_path: Path) -> None:
    parts = [{"type": "thinking", "thinking": "Two and two."}, {"type": "text", "text": "4"}]
    (conversation,) = read_conversations(
        write(tmp_path / "rows.jsonl", {"messages": [USER, {"role": "assistant", "content": parts}]})
    )
    assert conversation.messages == [USER, THINKING]


KWARGS: dict[str, tuple[Any, Any]] = {
    "object": ({"enable_thinking": False}, {"enable_thinking": False}),
    "text": ('{"enable_thinking": false}', {"enable_thinking": False}),
    "empty": ({}, None),
    "null": (None, None),
    "list": ([1], "chat_template_kwargs is a list of 1; expected an object"),
    "no JSON": ("yes", "chat_template_kwargs is not JSON"),
    "the caller's": ({"add_generation_prompt": True}, "chat_template_kwargs.add_generation_prompt"),
    "another template": ({"chat_template": "{{ 1 }}"}, "chat_template_kwargs.chat_template"),
}


@pytest.mark.parametrize(("value", "expected"), KWARGS.values(), ids=KWARGS)
def test_variables_of_the_chat_template(value: Any, expected: Any, tmp_path: Path) -> None:
    row = {"prompt": "2 + 2?", "chat_template_kwargs": value, "completion": "4", "label": True}
    path = write(tmp_path / "rows.jsonl", row)
    for read in (read_conversations, read_labelled, read_tasks):
        if isinstance(expected, str):
            with pytest.raises(DataError) as caught:
                read(path)
            assert expected in str(caught.value)
        else:
            (item,) = read(path)
            assert item.template_kwargs == expected


SAME: dict[str, dict[str, Any]] = {
    "Dolly": {"instruction": "Add.", "context": "2 2", "response": "4", "category": "closed_qa"},
    "Alpaca": {"instruction": "Add.", "input": "2 2", "output": "4"},
    "an instruction in the input": {"instruction": "", "input": "Add.\n2 2", "output": "4"},
    "no input": {"instruction": "Add.\n2 2", "input": "", "output": "4"},
}


@pytest.mark.parametrize("row", SAME.values(), ids=SAME)
def test_what_an_instruction_is_about(row: dict[str, Any], tmp_path: Path) -> None:
    (conversation,) = read_conversations(write(tmp_path / "rows.jsonl", row))
    assert [message["content"] for message in conversation.messages] == ["Add.\n2 2", "4"]
    assert conversation.unused == (("category",) if "category" in row else ())


MEDIA: dict[str, dict[str, Any]] = {
    "images": {"messages": [{"role": "user", "content": "<image>What?"}, ASSISTANT], "images": ["a.png"]},
    "videos": {
        "conversations": [{"from": "human", "value": "<video>"}, {"from": "gpt", "value": "x"}],
        "videos": ["a"],
    },
    "audios": {"instruction": "<audio>", "output": "a", "audios": ["a.wav"]},
    "image": {"prompt": "What?", "completion": "a", "image": {"bytes": None, "path": "a.png"}},
    "image of a message": {"messages": [{**USER, "images": ["a.png"]}, ASSISTANT]},
    "image part": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ASSISTANT]},
    "image placeholder part": {"messages": [{"role": "user", "content": [{"type": "image"}]}, ASSISTANT]},
    "audio part": {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}, ASSISTANT]},
    "image under another name": {"prompt": "<image>\nWhat?", "completion": "a", "image_path": "a.png"},
    "image with a capital": {"prompt": "What?", "completion": "a", "Images": ["a.png"]},
    "frames": {"prompt": "<|video_pad|>What?", "completion": "a", "frames": ["a", "b"]},
    "pixels": {"instruction": "What?", "input": "<img>", "output": "a", "pixel_values": [[1]]},
    **{
        f"{key} that the text has a place for": {
            "prompt": f"{place}What?",
            "completion": "a",
            "answer": "a",
            key: value,
        }
        for place, key, value in (
            ("<image>", "img", "a.png"),
            ("<image>\n", "photo", "cat"),
            ("<image>", "files", ["a.png"]),
            ("<video>", "url", "https://example.com/a"),
            ("<video>", "clip", 7),
            ("<audio>", "wav", "UklGRg=="),
            ("<image>", "screenshot", {"b64": "iVBORw0KGgo="}),
            ("<image>", "id", "coco/7.jpg"),
            ("<image>", "x", "data:image/png;base64,iVBORw0KGgo="),
        )
    },
    "img of a message": {"messages": [{"role": "user", "content": "<image>What?", "img": "a.png"}, ASSISTANT]},
    "img beside messages": {"messages": [{"role": "user", "content": "<image>What?"}, ASSISTANT], "img": "a.png"},
    "bytes": {"prompt": "What?", "completion": "a", "answer": "a", "picture": {"bytes": "iVBORw0KGgo="}},
    "bytes in a list": {"prompt": "What?", "completion": "a", "scans": [{"bytes": None, "path": "scan7"}]},
    "samples": {"prompt": "What?", "completion": "a", "said": {"path": None, "array": [0.5], "sampling_rate": 16000}},
    "image in a part of text": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a", "image": "a.png"}]}, ASSISTANT]
    },
    "image that a tool returns": {
        "messages": [
            USER,
            {"role": "assistant", "tool_calls": [{"name": "draw", "arguments": {}}]},
            {"role": "tool", "content": [{"type": "image"}]},
            ASSISTANT,
        ]
    },
}


@pytest.mark.parametrize("row", MEDIA.values(), ids=MEDIA)
def test_rows_with_media_are_refused(row: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", row)
    for read in (read_conversations, read_tasks):
        with pytest.raises(DataError, match=r"rows\.jsonl:1: .*only text is supported"):
            read(path)


def test_rows_without_their_media_are_not(tmp_path: Path) -> None:
    row = {
        "messages": [{"role": "user", "content": "What is <image> in HTML?"}, ASSISTANT],
        "images": [],
        "audios": "[]",
        "video": None,
    }
    (conversation,) = read_conversations(write(tmp_path / "rows.jsonl", row))
    assert conversation.messages[0]["content"] == "What is <image> in HTML?"
    assert conversation.unused == ("audios",)
    noted = {"prompt": "Describe a cat.", "completion": "It purrs.", "image_url": "https://example.com/cat.png"}
    (conversation,) = read_conversations(write(tmp_path / "rows.jsonl", noted))
    assert conversation.unused == ("image_url",)


def test_what_is_noted_about_a_text_with_a_placeholder_is_no_medium(tmp_path: Path) -> None:
    row = {"prompt": "What is <video> in HTML?", "completion": "A tag.", "id": "q-7", "source": "forum", "rank": 3}
    (conversation,) = read_conversations(write(tmp_path / "rows.jsonl", row))
    assert conversation.unused == ("id", "source", "rank")
    named = {"prompt": "<image>What?", "completion": "a", "cover": "the first one"}
    with pytest.raises(DataError, match=r"cover is .*only text is supported: leave out the rows that have cover"):
        read_conversations(write(tmp_path / "rows.jsonl", named))
    empty = {"prompt": "What is it?", "completion": "a", "picture": {"bytes": None, "path": None}}
    assert len(read_conversations(write(tmp_path / "rows.jsonl", empty))) == 1


UNUSED: dict[str, tuple[Any, dict[str, Any], tuple[str, ...]]] = {
    "none": (read_conversations, {"messages": [USER, ASSISTANT], "id": None, "tags": [], "note": ""}, ()),
    "of a row": (read_conversations, {"messages": [USER, ASSISTANT], "id": 4, "source": "a"}, ("id", "source")),
    "of another format": (
        read_conversations,
        {"messages": [USER, ASSISTANT], "prompt": "2 + 2?"},
        ("prompt",),
    ),
    "a second answer": (read_conversations, {"prompt": "a", "completion": "b", "response": "c"}, ("response",)),
    "a second context": (
        read_conversations,
        {"instruction": "a", "input": "b", "context": "c", "output": "d"},
        ("context",),
    ),
    "history of a prompt": (
        read_conversations,
        {"prompt": "a", "completion": "b", "history": [["c", "d"]]},
        ("history",),
    ),
    "system beside one": (
        read_conversations,
        {"messages": [{"role": "system", "content": "a"}, USER, ASSISTANT], "system": "b"},
        ("system",),
    ),
    "the same system twice": (
        read_conversations,
        {"messages": [{"role": "system", "content": "a"}, USER, ASSISTANT], "system": "a"},
        (),
    ),
    "of messages": (
        read_conversations,
        {"messages": [{**USER, "id": 4}, {**ASSISTANT, "name": "bot", "annotations": ["x"], "refusal": None}]},
        ("messages[].id", "messages[].annotations"),
    ),
    "of parts": (
        read_conversations,
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"a": 1}}]},
                ASSISTANT,
            ]
        },
        ("messages[].content[].cache_control",),
    ),
    "scores of a pair": (
        read_preferences,
        {"prompt": "a", "chosen": "b", "rejected": "c", "score_chosen": 4, "prompt_id": "x"},
        ("score_chosen", "prompt_id"),
    ),
    "scores of a ranking": (
        read_rankings,
        {"prompt": "a", "chosen": "b", "rejected": "c", "score_chosen": 4, "score_rejected": 2},
        (),
    ),
    "the prompt of an implicit one": (
        read_preferences,
        {"prompt": "2 + 2?", "chosen": [USER, ASSISTANT], "rejected": [USER, {**ASSISTANT, "content": "5"}]},
        (),
    ),
    "of a task": (read_tasks, {"prompt": [{**USER, "id": 3}], "sql": "select 4"}, ("prompt[].id",)),
    "of a label": (read_labelled, {"prompt": "a", "completion": "b", "label": True, "rating": 3}, ("rating",)),
}


@pytest.mark.parametrize(("read", "row", "expected"), UNUSED.values(), ids=UNUSED)
def test_keys_that_nothing_reads(read: Any, row: dict[str, Any], expected: tuple[str, ...], tmp_path: Path) -> None:
    (item,) = read(write(tmp_path / "rows.jsonl", row))
    assert item.unused == expected


def test_columns_are_used_and_what_they_hide_is_not(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", {"question": "2 + 2?", "prompt": "template", "answer": "4", "id": 1})
    (conversation,) = read_conversations(path, columns={"prompt": "question", "completion": "answer"})
    assert conversation.messages == [USER, ASSISTANT]
    assert conversation.unused == ("id", 'prompt (columns takes another for "prompt")')


def test_the_report_counts_and_names_them(tmp_path: Path, tokenizer: Tokenizer) -> None:
    row = {"messages": [USER, ASSISTANT], "id": 4}
    path = write(tmp_path / "rows.jsonl", {**row, "source": "a"}, row, {"messages": [USER, ASSISTANT]})
    _, report = conversation_examples(read_conversations(path), tokenizer, max_length=99)
    assert report.summary() == "3 examples kept, 0 dropped, 0 cut\n  not read: id (in 2 rows), source (in 1 row)"
    report.write(tmp_path / "report.jsonl")
    assert [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()] == [
        {"file": str(path), "line": 1, "action": "unused", "reason": f'nothing reads the key "{key}", in {rows}'}
        for key, rows in (("id", "2 rows"), ("source", "1 row"))
    ]


GOOD = {"instruction": "2 + 2?", "output": "4"}
USELESS: dict[str, tuple[dict[str, Any], str]] = {
    "empty output": ({**GOOD, "output": " "}, "output is empty"),
    "null output": ({**GOOD, "output": None}, '"instruction" without an answer: output is null'),
    "empty instruction": ({**GOOD, "instruction": ""}, "instruction is empty"),
    "null instruction": ({**GOOD, "instruction": None}, "instruction is null"),
}


@pytest.mark.parametrize(("row", "reason"), USELESS.values(), ids=USELESS)
def test_rows_that_teach_nothing_are_dropped_and_reported(
    row: dict[str, Any], reason: str, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    path = write(tmp_path / "rows.jsonl", GOOD, row, GOOD)
    examples, report = conversation_examples(read_conversations(path), tokenizer, max_length=99)
    assert len(examples) == 2
    assert report.dropped == [(str(path), 2, reason)]
    with pytest.raises(DataError) as caught:
        read_conversations(write(tmp_path / "rows.jsonl", row, row))
    assert str(caught.value) == f"{path}:1: {reason} (also in line 2)"


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([USER], "messages has no assistant message, so there is nothing to learn"),
        ([USER, ASSISTANT, USER], "messages ends with a message from user; expected assistant"),
        ([USER, {**ASSISTANT, "weight": 0}], "every assistant message in messages has weight 0"),
        ([USER, {**ASSISTANT, "loss": False}], "every assistant message in messages has weight 0"),
        ([USER, {**ASSISTANT, "content": ""}], "messages[1].content is empty"),
        ([{**USER, "content": "\n"}, ASSISTANT], "messages[0].content is empty"),
    ],
)
def test_conversations_that_teach_nothing_are_dropped(messages: list[Any], reason: str, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", {"messages": [USER, ASSISTANT]}, {"messages": messages})
    kept, dropped = read_conversations(path)
    assert kept.fault is None
    assert dropped.fault is not None
    assert dropped.fault.startswith(reason)


@pytest.mark.parametrize(
    ("read", "good"),
    [
        (read_preferences, {"prompt": "a", "chosen": "b", "rejected": "c"}),
        (read_rankings, {"prompt": "a", "responses": ["b", "c"]}),
        (read_labelled, {"prompt": "a", "completion": "b", "label": True}),
    ],
)
def test_judged_rows_without_a_prompt_are_dropped(read: Any, good: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", good, {**good, "prompt": ""}, {**good, "prompt": None})
    assert [item.fault for item in read(path)] == [None, "prompt is empty", "prompt is null"]


def test_a_variable_that_the_template_never_reads_is_noted() -> None:
    tokenizer = replace(tiny_tokenizer(), chat_template=CHATML + "{% if enable_thinking is defined %}{% endif %}")
    messages = [{"role": "user", "content": "2"}, {"role": "assistant", "content": "4"}]
    row = Conversation(messages, None, template_kwargs={"enable_thinking": False, "enable_thinkin_g": True})
    _, report = conversation_examples([row], tokenizer, max_length=99)
    said = "the chat template never reads enable_thinkin_g of chat_template_kwargs"
    assert [reason for _, _, reason in report.noted] == [said]
