"""Layouts of rows that other tools and published data sets have: read as their authors mean them, or refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.datasets.rows import read_conversations, read_labelled, read_preferences, read_rankings
from burnish.errors import DataError

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "Rain?"}
ANSWER = {"role": "assistant", "content": "Yes."}
WORSE = {"role": "assistant", "content": "No."}
CALL = {"role": "assistant", "tool_calls": [{"name": "rain", "arguments": {"place": "Bern"}}]}
RESULT = {"role": "tool", "content": "2 mm"}
TOOLS = [{"name": "rain", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}}]


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def outline(messages: list[Any]) -> list[str]:
    """Each message as its role, its content, and the number of its calls."""
    return [f"{m['role']}: {m['content']}{' +' * len(m.get('tool_calls', ()))}".strip() for m in messages]


def call_turn(place: str) -> dict[str, str]:
    return {"role": "tool_call", "content": json.dumps({"name": "rain", "arguments": {"place": place}})}


CONVERSATIONS: dict[str, tuple[dict[str, Any], list[str], tuple[bool, ...]]] = {
    "Hermes: calls are text of the answer": (
        {
            "conversations": [
                {"from": "human", "value": "Rain?"},
                {"from": "gpt", "value": "<tool_call>rain</tool_call>"},
                {"from": "tool", "value": "2 mm"},
                {"from": "gpt", "value": "Yes."},
            ]
        },
        ["user: Rain?", "assistant: <tool_call>rain</tool_call>", "tool: 2 mm", "assistant: Yes."],
        (True, True),
    ),
    "ms-swift: each call is a turn": (
        {
            "messages": [
                USER,
                call_turn("Bern"),
                call_turn("Chur"),
                RESULT,
                {**RESULT, "role": "tool_response"},
                ANSWER,
            ],
            "tools": TOOLS,
        },
        ["user: Rain?", "assistant:  + +", "tool: 2 mm", "tool: 2 mm", "assistant: Yes."],
        (True, True),
    ),
    "one of them is not learned": (
        {"messages": [USER, call_turn("Bern"), {**call_turn("Chur"), "loss": False}, RESULT, ANSWER]},
        ["user: Rain?", "assistant:  + +", "tool: 2 mm", "assistant: Yes."],
        (False, True),
    ),
    "a table's calls where there are none": (
        {
            "messages": [
                {**USER, "function_call": {"name": None, "arguments": None}, "tool_calls": "[]", "weight": None},
                {**ANSWER, "function_call": {"name": None, "arguments": None}, "tool_calls": []},
            ]
        },
        ["user: Rain?", "assistant: Yes."],
        (True,),
    ),
    "roles with capitals": (
        {"messages": [{**USER, "role": "User"}, {**ANSWER, "role": "Chatbot"}]},
        ["user: Rain?", "assistant: Yes."],
        (True,),
    ),
    "OpenAssistant's role": (
        {"messages": [{**USER, "role": "prompter"}, ANSWER]},
        ["user: Rain?", "assistant: Yes."],
        (True,),
    ),
    "OpenOrca": (
        {"prompt": "Rain?", "system_prompt": "Be brief.", "response": "Yes."},
        ["system: Be brief.", "user: Rain?", "assistant: Yes."],
        (True,),
    ),
    "TRL: all of a completion is learned": (
        {"prompt": [USER, WORSE, USER], "completion": [CALL, RESULT, ANSWER], "tools": TOOLS},
        ["user: Rain?", "assistant: No.", "user: Rain?", "assistant:  +", "tool: 2 mm", "assistant: Yes."],
        (False, True, True),
    ),
    "but not what has weight 0": (
        {"prompt": [USER], "completion": [{**CALL, "weight": 0}, RESULT, ANSWER], "tools": TOOLS},
        ["user: Rain?", "assistant:  +", "tool: 2 mm", "assistant: Yes."],
        (False, True),
    ),
}


@pytest.mark.parametrize(("row", "messages", "learned"), CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_conversations(row: dict[str, Any], messages: list[str], learned: tuple[bool, ...], tmp_path: Path) -> None:
    (conversation,) = read_conversations(write(tmp_path / "rows.jsonl", row))
    assert (outline(conversation.messages), conversation.learned) == (messages, learned)


PREFERENCES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "answers that begin with a call": (
        {"prompt": [USER], "chosen": [CALL, RESULT, ANSWER], "rejected": [CALL, RESULT, WORSE], "tools": TOOLS},
        ["user: Rain?", "assistant:  +", "tool: 2 mm"],
    ),
    "and their prompt is text": (
        {"prompt": "Rain?", "chosen": [CALL, RESULT, ANSWER], "rejected": [CALL, RESULT, WORSE], "tools": TOOLS},
        ["user: Rain?", "assistant:  +", "tool: 2 mm"],
    ),
    "and their prompt is a conversation": (
        {"conversations": [SYSTEM, USER], "chosen": [CALL, RESULT, ANSWER], "rejected": [CALL, RESULT, WORSE]},
        ["system: Be brief.", "user: Rain?", "assistant:  +", "tool: 2 mm"],
    ),
    "the prompt is said again": (
        {"prompt": [USER], "chosen": [SYSTEM, USER, ANSWER], "rejected": [SYSTEM, USER, WORSE]},
        ["system: Be brief.", "user: Rain?"],
    ),
    "the prompt has the system prompt": (
        {"prompt": [SYSTEM, USER], "chosen": [USER, ANSWER], "rejected": [USER, WORSE]},
        ["system: Be brief.", "user: Rain?"],
    ),
    "a system prompt beside conversations": (
        {"system": "Be brief.", "chosen": [USER, ANSWER], "rejected": [USER, WORSE]},
        ["system: Be brief.", "user: Rain?"],
    ),
    "a system prompt beside dialogues": (
        {"system": "Be brief.", **{k: f"\n\nHuman: Rain?\n\nAssistant: {k}" for k in ("chosen", "rejected")}},
        ["system: Be brief.", "user: Rain?"],
    ),
    "OpenAI's preference fine-tuning": (
        {"input": {"messages": [USER], "tools": TOOLS}, "preferred_output": [ANSWER], "non_preferred_output": [WORSE]},
        ["user: Rain?"],
    ),
}


@pytest.mark.parametrize(("row", "prompt"), PREFERENCES.values(), ids=PREFERENCES)
def test_prompts_of_preferences(row: dict[str, Any], prompt: list[str], tmp_path: Path) -> None:
    (preference,) = read_preferences(write(tmp_path / "rows.jsonl", row))
    assert (outline(preference.prompt), preference.unused) == (prompt, ())
    assert preference.chosen != preference.rejected


REFUSED = {
    "a prompt that is not theirs": (
        read_preferences,
        {"prompt": [SYSTEM], "chosen": [USER, ANSWER], "rejected": [USER, WORSE]},
        '"prompt" is not what "chosen" and "rejected" begin with',
    ),
    "answers that go on without a prompt": (
        read_preferences,
        {"question": "Rain?", "chosen": [CALL, RESULT, ANSWER], "rejected": [CALL, RESULT, WORSE]},
        "\"prompt\" is missing; is it 'question'? Then set columns: {prompt: question}",
    ),
    "a completion that asks once more": (
        read_conversations,
        {"prompt": "Rain?", "completion": [USER, ANSWER]},
        "completion[0] is from user after the beginning; expected assistant",
    ),
    "the same with a label": (
        read_labelled,
        {"prompt": "Rain?", "completion": [USER, ANSWER], "label": True},
        "completion[0] is from user after the beginning; expected assistant",
    ),
    "steps of one answer": (
        read_rankings,
        {"prompt": "9.11 or 9.8?", "completions": ["11 > 8.", "So 9.11."], "labels": [True, False]},
        '"completions" with "labels" are the steps of one answer',
    ),
}


@pytest.mark.parametrize(("read", "row", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(read: Any, row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", row)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:1: {reason}")
