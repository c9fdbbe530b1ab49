"""Every format that is read becomes the same messages."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from burnish.datasets.rows import (
    RowPlace,
    read_conversations,
    read_labelled,
    read_preferences,
    read_tasks,
)
from burnish.errors import DataError

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "2 + 2?"}
ASSISTANT = {"role": "assistant", "content": "4"}
WRONG = {"role": "assistant", "content": "5"}
HUMAN = {"from": "human", "value": "2 + 2?"}
GPT = {"from": "gpt", "value": "4"}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": 2}}}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


CONVERSATIONS = {
    "openai": {"messages": [SYSTEM, USER, ASSISTANT]},
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, USER, ASSISTANT]},
    "parts": {"messages": [SYSTEM, {"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]}, ASSISTANT]},
    "sharegpt": {"conversations": [HUMAN, GPT], "system": "Be brief."},
    "sharegpt with roles": {"conversations": [SYSTEM, USER, ASSISTANT]},
    "alpaca": {"instruction": "2 + 2?", "input": "", "output": "4", "system": "Be brief."},
    "prompt": {"prompt": "2 + 2?", "completion": "4", "system": "Be brief."},
    "prompt of messages": {"prompt": [SYSTEM, USER], "completion": [ASSISTANT]},
    "null counts as missing": {"messages": None, "prompt": "2 + 2?", "response": "4", "system": "Be brief."},
}


@pytest.mark.parametrize("row", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_every_conversation_format_gives_the_same_messages(row: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", row)
    (conversation,) = read_conversations(path)
    assert conversation.messages == [SYSTEM, USER, ASSISTANT]
    assert conversation.learned == (True,)
    assert conversation.place == RowPlace(str(path), 1)


def test_alpaca_joins_instruction_and_input_and_keeps_history(tmp_path: Path) -> None:
    row = {"instruction": "Add.", "input": "2, 2", "output": "4", "history": [["Hello", "Hi"]]}
    (conversation,) = read_conversations(write(tmp_path / "rows.jsonl", row))
    assert [message["content"] for message in conversation.messages] == ["Hello", "Hi", "Add.\n2, 2", "4"]
    assert conversation.learned == (True, True)


def test_only_the_completion_of_a_prompt_is_learned(tmp_path: Path) -> None:
    row = {"prompt": [USER, WRONG, USER], "completion": "4"}
    (conversation,) = read_conversations(write(tmp_path / "rows.jsonl", row))
    assert conversation.learned == (False, True)


def test_weight_zero_excludes_a_message(tmp_path: Path) -> None:
    row = {"messages": [USER, {**WRONG, "weight": 0}, USER, {**ASSISTANT, "weight": 1}]}
    (conversation,) = read_conversations(write(tmp_path / "rows.jsonl", row))
    assert conversation.learned == (False, True)
    assert conversation.messages == [USER, WRONG, USER, ASSISTANT]


def test_tool_calls_of_openai_and_sharegpt(tmp_path: Path) -> None:
    openai = {
        "messages": [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "4"},
            ASSISTANT,
        ],
        "tools": TOOLS,
    }
    sharegpt = {
        "conversations": [
            HUMAN,
            {"from": "function_call", "value": json.dumps(CALL["function"])},
            {"from": "observation", "value": "4"},
            GPT,
        ],
        "tools": json.dumps(TOOLS),
    }
    (first,) = read_conversations(write(tmp_path / "openai.jsonl", openai))
    (second,) = read_conversations(write(tmp_path / "sharegpt.jsonl", sharegpt))
    assert first.messages == second.messages
    assert first.messages[1] == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert first.tools == second.tools == TOOLS
    assert first.learned == second.learned == (True, True)


PREFERENCES = {
    "text": {"prompt": "2 + 2?", "chosen": "4", "rejected": "5", "system": "Be brief."},
    "messages": {"prompt": [SYSTEM, USER], "chosen": [ASSISTANT], "rejected": [WRONG]},
    "one message each": {"prompt": [SYSTEM, USER], "chosen": ASSISTANT, "rejected": WRONG},
    "implicit prompt": {"chosen": [SYSTEM, USER, ASSISTANT], "rejected": [SYSTEM, USER, WRONG]},
    "prompt repeated in the answers": {
        "prompt": "2 + 2?",
        "chosen": [SYSTEM, USER, ASSISTANT],
        "rejected": [SYSTEM, USER, WRONG],
    },
    "pairwise sharegpt": {
        "conversations": [{"from": "system", "value": "Be brief."}, HUMAN],
        "chosen": GPT,
        "rejected": {"from": "gpt", "value": "5"},
    },
    "alpaca": {"instruction": "2 + 2?", "chosen": "4", "rejected": "5", "system": "Be brief."},
}


@pytest.mark.parametrize("row", PREFERENCES.values(), ids=PREFERENCES)
def test_every_preference_format_gives_the_same_pair(row: dict[str, Any], tmp_path: Path) -> None:
    (preference,) = read_preferences(write(tmp_path / "rows.jsonl", row))
    assert preference.prompt == [SYSTEM, USER]
    assert preference.chosen == [ASSISTANT]
    assert preference.rejected == [WRONG]


@pytest.mark.parametrize(("key", "value"), [("label", True), ("label", 0), ("kto_tag", False)])
def test_labelled(key: str, value: object, tmp_path: Path) -> None:
    (labelled,) = read_labelled(write(tmp_path / "rows.jsonl", {"prompt": "2 + 2?", "completion": "4", key: value}))
    assert (labelled.prompt, labelled.answer, labelled.desired) == ([USER], [ASSISTANT], bool(value))


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "2 + 2?", "answer": 4},
        {"prompt": [USER], "answer": 4},
        {"messages": [USER, ASSISTANT], "answer": 4},
        {"messages": [USER], "answer": 4},
        {"instruction": "2 + 2?", "output": "4", "answer": 4},
    ],
)
def test_tasks_keep_the_whole_row_and_leave_the_answer_out_of_the_prompt(row: dict[str, Any], tmp_path: Path) -> None:
    (task,) = read_tasks(write(tmp_path / "rows.jsonl", row))
    assert task.prompt == [USER]
    assert task.row == row


def test_columns_rename_keys_and_keep_the_old_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", {"question": "2 + 2?", "answer": "4"})
    columns = {"prompt": "question", "response": "answer"}
    (conversation,) = read_conversations(path, columns=columns)
    assert conversation.messages == [USER, ASSISTANT]
    (task,) = read_tasks(path, columns=columns)
    assert task.prompt == [USER]
    assert task.row["answer"] == "4"


def test_the_same_rows_from_every_kind_of_file(tmp_path: Path) -> None:
    rows = [{"messages": [USER, {"role": "assistant", "content": f"é {i}"}]} for i in range(3)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    files = {
        "rows.jsonl": lines,
        "without-last-newline.jsonl": lines.rstrip(),
        "crlf.jsonl": lines.replace(b"\n", b"\r\n"),
        "bom.jsonl": b"\xef\xbb\xbf" + lines,
        "blank-lines.jsonl": b"\n" + lines.replace(b"\n", b"\n\n"),
        "rows.json": json.dumps(rows, ensure_ascii=False).encode(),
        "indented.json": b"\xef\xbb\xbf\r\n" + json.dumps(rows, indent=2).encode(),
        "rows.jsonl.gz": gzip.compress(lines),
        "gzip-without-suffix.jsonl": gzip.compress(lines),
        "rows.json.gz": gzip.compress(json.dumps(rows).encode()),
    }
    expected = [row["messages"] for row in rows]
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        assert [row.messages for row in read_conversations(tmp_path / name)] == expected, name


def test_the_elements_of_an_array_know_their_lines(tmp_path: Path) -> None:
    rows = [{"messages": [USER, ASSISTANT]}] * 3
    (tmp_path / "rows.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    text = (tmp_path / "rows.json").read_text(encoding="utf-8").split("\n")
    expected = [number for number, line in enumerate(text, start=1) if line == " {"]
    assert [row.place.line for row in read_conversations(tmp_path / "rows.json")] == expected


def test_parquet_rows(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"messages": [USER, ASSISTANT], "sql": None}, {"messages": [SYSTEM, USER, ASSISTANT], "sql": "SELECT 4"}]
    for index, row in enumerate(rows):
        parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / f"{index}.parquet")
    conversations = read_conversations(str(tmp_path / "*.parquet"))
    assert [conversation.messages for conversation in conversations] == [row["messages"] for row in rows]


def test_files_patterns_and_lists_of_them_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(tmp_path / f"{name}.jsonl", {"prompt": name})
    assert [task.prompt[0]["content"] for task in read_tasks(tmp_path / "?.jsonl")] == ["a", "b", "c"]
    listed = read_tasks([tmp_path / "c.jsonl", f"{tmp_path}/[ab].jsonl"])
    assert [task.prompt[0]["content"] for task in listed] == ["c", "a", "b"]


def test_ten_kinds_of_problem_are_reported_together_and_the_rest_is_counted(tmp_path: Path) -> None:
    rows = [{"prompt": "?", "completion": "!" if index == 3 else index} for index in range(15)]
    path = write(tmp_path / "rows.jsonl", *rows)
    with pytest.raises(DataError) as caught:
        read_conversations(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 11
    assert lines[0] == f"{path}:1: completion is 0; expected text"
    assert lines[3].startswith(f"{path}:5: ")
    assert lines[-1] == "and 4 more problems"


def test_one_reason_is_told_once_with_its_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", *[{"prompt": "", "completion": "!"}] * 9)
    with pytest.raises(DataError) as caught:
        read_conversations(path)
    assert str(caught.value) == f"{path}:1: prompt is empty (also in line 2, 3, 4, 5 and 4 more)"
