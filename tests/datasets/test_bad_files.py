"""Bad data files, each reported with its file, its line, the reason and what to do."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from burnish.corpus.records import read_rows
from burnish.datasets.rows import read_conversations, read_labelled, read_preferences, read_rankings, read_tasks
from burnish.errors import BurnishError, DataError

GOOD = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
Reader = Callable[..., list[Any]]


def lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def chat(*roles: str) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": "text"} for role in roles]}


SECOND = lines(GOOD)
BAD: dict[str, tuple[Reader, str, bytes, str]] = {
    # what the file is
    "empty": (read_conversations, "rows.jsonl", b"", "rows.jsonl: the file holds no rows"),
    "blank": (read_conversations, "rows.jsonl", b"\n \n", "rows.jsonl: the file holds no rows"),
    "empty array": (read_conversations, "rows.json", b"[]", "rows.json: the file holds no rows"),
    "truncated gzip": (
        read_conversations,
        "rows.jsonl.gz",
        gzip.compress(SECOND * 99)[:-20],
        "the gzip data ends early",
    ),
    "damaged gzip": (
        read_conversations,
        "rows.jsonl.gz",
        gzip.compress(SECOND)[:-8] + b"\0" * 8,
        "the gzip data is damaged",
    ),
    "not parquet": (read_conversations, "rows.parquet", SECOND, "not a Parquet file"),
    "truncated parquet": (read_conversations, "rows.parquet", b"PAR1" + b"\0" * 50, "damaged Parquet"),
    "csv": (
        read_conversations,
        "rows.csv",
        b"question,answer\na,b\n",
        "rows.csv:2: no known format: the keys are 'question', 'a",
    ),
    "utf-16": (
        read_conversations,
        "rows.jsonl",
        SECOND.decode().encode("utf-16"),
        "rows.jsonl:1: the file is UTF-16; save it as UTF-8",
    ),
    "latin-1": (
        read_conversations,
        "rows.jsonl",
        SECOND + b'{"prompt": "caf\xe9"}\n',
        f"rows.jsonl:2: byte {len(SECOND) + 15} (0xe9) is not UTF-8",
    ),
    "latin-1 in an array": (read_conversations, "rows.json", b'[\n{"prompt": "\xe9"}]', "rows.json:2: byte 14 (0xe9)"),
    # what the JSON is
    "invalid json": (
        read_conversations,
        "rows.jsonl",
        SECOND + b'{"messages": [}\n',
        "rows.jsonl:2: invalid JSON at column 15",
    ),
    "truncated line": (
        read_conversations,
        "rows.jsonl",
        SECOND + SECOND[:20],
        "rows.jsonl:2: invalid JSON at column",
    ),
    "indented object": (
        read_conversations,
        "rows.jsonl",
        json.dumps(GOOD, indent=1).encode(),
        "rows.jsonl:1: invalid JSON at column 2: Expecting property name enclosed in double quotes, the text ends "
        "here; an object may not span lines: write one object a line",
    ),
    "python, not json": (
        read_conversations,
        "rows.jsonl",
        b"{'prompt': 'a'}\n",
        "rows.jsonl:1: invalid JSON at column 2",
    ),
    "nan": (read_conversations, "rows.jsonl", SECOND + b'{"prompt": NaN}\n', "rows.jsonl:2: NaN is not JSON"),
    "nan in an array": (read_conversations, "rows.json", b'[\n\n{"prompt": NaN}]', "rows.json:3: NaN is not JSON"),
    "not an object": (
        read_conversations,
        "rows.jsonl",
        SECOND + b'"text"\n',
        'rows.jsonl:2: expected a JSON object such as {"messages": ...}, found "text"',
    ),
    "array of lists": (read_conversations, "rows.json", b"[\n[1, 2]]", "rows.json:2: expected a JSON object"),
    "array not closed": (
        read_conversations,
        "rows.json",
        b"[" + SECOND.strip() + b",\n" + SECOND.strip(),
        "rows.json:2: invalid JSON: the array is not closed; is the file truncated?",
    ),
    "array without comma": (read_conversations, "rows.json", b"[{}\n{}]", "rows.json:2: invalid JSON: expected , or ]"),
    "text after array": (read_conversations, "rows.json", b"[{}]\n{}", "rows.json:2: there is text after the end"),
    "too deep": (read_conversations, "rows.jsonl", b'{"a":' * 100_000, "rows.jsonl:1: maximum recursion depth"),
    # what the row is
    "no known key": (
        read_conversations,
        "rows.jsonl",
        lines({"question": "a", "answer": "b"}),
        "rows.jsonl:1: no known format: the keys are 'question', 'answer'",
    ),
    "misspelt key": (
        read_conversations,
        "rows.jsonl",
        lines({"mesages": []}),
        'rows.jsonl:1: no known format: "mesages" is not a key; did you mean "messages"?',
    ),
    "a document": (read_conversations, "rows.jsonl", lines({"text": "a"}), "use the file in a corpus stage"),
    "mixed formats": (
        read_conversations,
        "rows.jsonl",
        lines(GOOD, {"instruction": "a", "output": "b"}),
        "rows.jsonl:2: the row is Alpaca but line 1 is OpenAI; split the file",
    ),
    "messages of the wrong type": (
        read_conversations,
        "rows.jsonl",
        lines({"messages": "Hi"}),
        'rows.jsonl:1: messages is "Hi"; expected a list of messages',
    ),
    "no messages": (read_conversations, "rows.jsonl", lines({"messages": []}), "messages is an empty list"),
    "message of the wrong type": (
        read_conversations,
        "rows.jsonl",
        lines({"messages": ["Hi"]}),
        'rows.jsonl:1: messages[0] is "Hi"; expected an object with role and content',
    ),
    "misspelt content": (
        read_conversations,
        "rows.jsonl",
        lines({"messages": [{"role": "user", "contents": "Hi"}]}),
        'rows.jsonl:1: messages[0] has no content (did you mean "contents"?)',
    ),
    "unknown role": (
        read_conversations,
        "rows.jsonl",
        lines(chat("user", "assistent")),
        'rows.jsonl:1: messages[1].role is "assistent"; expected system, user, assistant or tool '
        '(did you mean "assistant"?)',
    ),
    "two users": (
        read_conversations,
        "rows.jsonl",
        lines(GOOD, chat("user", "user", "assistant")),
        "rows.jsonl:2: messages[1] is from user after user; expected assistant",
    ),
    "late system": (
        read_conversations,
        "rows.jsonl",
        lines(chat("user", "assistant", "system")),
        "messages[2] is from system after assistant; expected user",
    ),
    "assistant first": (
        read_conversations,
        "rows.jsonl",
        lines(chat("assistant", "user")),
        "messages[0] is from assistant after the beginning; expected system or user",
    ),
    "no assistant": (read_conversations, "rows.jsonl", lines(chat("user")), "messages has no assistant message"),
    "last turn unanswered": (
        read_conversations,
        "rows.jsonl",
        lines(chat("user", "assistant", "user")),
        "messages ends with a message from user; expected assistant",
    ),
    "tool without a call": (
        read_conversations,
        "rows.jsonl",
        lines(chat("user", "tool", "assistant")),
        "messages[1] is from tool after user",
    ),
    "empty content": (
        read_conversations,
        "rows.jsonl",
        lines({"messages": [{"role": "user", "content": " "}]}),
        "messages[0].content is empty",
    ),
    "content of the wrong type": (
        read_conversations,
        "rows.jsonl",
        lines({"messages": [{"role": "user", "content": 4}]}),
        "messages[0].content is 4; expected text",
    ),
    "image": (
        read_conversations,
        "rows.jsonl",
        lines({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        'messages[0].content has a part of type "image_url"; only text is supported',
    ),
    "half a surrogate pair": (
        read_conversations,
        "rows.jsonl",
        b'{"prompt": "a\\ud83d", "completion": "b"}\n',
        "prompt has half of a surrogate pair at character 1",
    ),
    "nothing learned": (
        read_conversations,
        "rows.jsonl",
        lines({"messages": [*chat("user")["messages"], {"role": "assistant", "content": "a", "weight": 0}]}),
        "every assistant message in messages has weight 0",
    ),
    "wrong weight": (
        read_conversations,
        "rows.jsonl",
        lines({"messages": [*chat("user")["messages"], {"role": "assistant", "content": "a", "weight": 0.5}]}),
        "messages[1].weight is 0.5; expected 0 (not learned) or 1",
    ),
    "function call that is not JSON": (
        read_conversations,
        "rows.jsonl",
        lines({"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": "add(2)"}]}),
        "conversations[1].value is not JSON",
    ),
    "tools of the wrong type": (
        read_conversations,
        "rows.jsonl",
        lines({**GOOD, "tools": 4}),
        "tools is 4; expected a list of tool definitions",
    ),
    "answer missing": (
        read_conversations,
        "rows.jsonl",
        lines({"instruction": "a", "outputs": "b"}),
        '"instruction" without an answer: "output" is missing (did you mean "outputs"?)',
    ),
    "empty answer": (read_conversations, "rows.jsonl", lines({"instruction": "a", "output": ""}), "output is empty"),
    "wrong history": (
        read_conversations,
        "rows.jsonl",
        lines({"instruction": "a", "output": "b", "history": [["c"]]}),
        "history is a list of 1; expected a list of [question, answer]",
    ),
    # preferences, labels, tasks
    "rejected missing": (
        read_preferences,
        "rows.jsonl",
        lines({"prompt": "a", "chosen": "b", "reject": "c"}),
        '"rejected" is missing (did you mean "reject"?)',
    ),
    "margin of the wrong type": (
        read_rankings,
        "rows.jsonl",
        lines({"prompt": "a", "chosen": "b", "rejected": "c", "score_chosen": "five", "score_rejected": 3}),
        'score_chosen is "five"; expected a number',
    ),
    "neither a list nor a pair": (
        read_rankings,
        "rows.jsonl",
        lines({"prompt": "a", "chosens": "b"}),
        '"chosen" and "rejected" are missing (did you mean "chosens"?), and so is a ranked list ("responses")',
    ),
    "ranked answers as text": (
        read_rankings,
        "rows.jsonl",
        lines({"prompt": "a", "responses": "b"}),
        'responses is "b"; expected a list of answers, the best first',
    ),
    "a ranked conversation": (
        read_rankings,
        "rows.jsonl",
        lines({"prompt": "a", "responses": [chat("user", "assistant")["messages"], "c"]}),
        "responses[0] is a conversation of 2 messages; expected one answer",
    ),
    "too few ranks": (
        read_rankings,
        "rows.jsonl",
        lines({"prompt": "a", "responses": ["b", "c"], "ranks": [1]}),
        "ranks has 1 numbers for the 2 answers of responses",
    ),
    "scores of the wrong type": (
        read_rankings,
        "rows.jsonl",
        lines({"prompt": "a", "responses": ["b", "c"], "scores": [1, True]}),
        "scores is a list of 2; expected a list of numbers, one for each of responses",
    ),
    "silent dialogue as a prompt": (
        read_preferences,
        "rows.jsonl",
        lines({"prompt": "\n\nHuman: \n\nAssistant:", "chosen": "b", "rejected": "c"}),
        "prompt is a dialogue in which nobody says anything",
    ),
    "no prompt": (
        read_preferences,
        "rows.jsonl",
        lines({"chosen": "b", "rejected": "c"}),
        '"prompt" is missing; the answers hold no prompt either',
    ),
    "answers part early": (
        read_preferences,
        "rows.jsonl",
        lines({"chosen": chat("user", "assistant")["messages"], "rejected": chat("user", "assistant")["messages"] * 2}),
        "chosen and rejected part at message 2 of 2 and 4",
    ),
    "prompt contradicts the answers": (
        read_preferences,
        "rows.jsonl",
        lines(
            {
                "prompt": "other",
                "chosen": chat("user", "assistant")["messages"],
                "rejected": [*chat("user")["messages"], {"role": "assistant", "content": "else"}],
            }
        ),
        '"prompt" is not what "chosen" and "rejected" begin with',
    ),
    "prompt already answered": (
        read_preferences,
        "rows.jsonl",
        lines({"prompt": chat("user", "assistant")["messages"], "chosen": "b", "rejected": "c"}),
        "prompt ends with a message from assistant; expected user or tool",
    ),
    "label missing": (
        read_labelled,
        "rows.jsonl",
        lines({"prompt": "a", "completion": "b", "labels": True}),
        '"label" is missing (did you mean "labels"?)',
    ),
    "label of the wrong type": (
        read_labelled,
        "rows.jsonl",
        lines({"prompt": "a", "completion": "b", "label": "good"}),
        'label is "good"; expected true (desired) or false',
    ),
    "task of an answer only": (
        read_tasks,
        "rows.jsonl",
        lines(chat("system")),
        "messages ends with a message from system; expected user or tool",
    ),
}


@pytest.mark.parametrize(("read", "name", "data", "expected"), BAD.values(), ids=BAD)
def test_bad_file(read: Reader, name: str, data: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert expected in message
    assert message.startswith(str(path))


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(SECOND)
    with pytest.raises(DataError, match=r"no such file; did you mean .*/train\.jsonl\?"):
        read_conversations(tmp_path / "trian.jsonl")
    with pytest.raises(DataError, match=r"folder .* does not exist"):
        read_conversations(tmp_path / "nowhere" / "train.jsonl")
    with pytest.raises(DataError, match=r"\*\.json: no such file"):
        read_conversations(tmp_path / "*.json")
    with pytest.raises(DataError, match="is a folder; name a file or a pattern"):
        read_conversations(tmp_path)
    with pytest.raises(DataError, match="no data file was named"):
        read_conversations([])


def test_wrong_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines({"question": "a", "answer": "b"}))
    with pytest.raises(DataError, match=r'columns: "promt" is not a key; did you mean "prompt"\?'):
        read_conversations(path, columns={"promt": "question"})
    with pytest.raises(DataError, match=r'rows\.jsonl:1: no column "questions" \(did you mean "question"\?\)'):
        read_conversations(path, columns={"prompt": "questions"})


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(BurnishError, match=r"pip install 'burnish\[data\]'"):
        list(read_rows(path))


def test_without_a_collector_the_first_bad_line_is_raised(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(SECOND + b"{\n" + SECOND)
    rows = read_rows(path)
    assert next(rows).line == 1
    with pytest.raises(DataError, match=r"rows\.jsonl:2: invalid JSON"):
        next(rows)
