"""Parquet rows are those that JSON would have: without the nulls that a table makes, with text for dates and bytes."""

import datetime
import json
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.corpus import parquet_rows
from burnish.corpus.records import read_rows
from burnish.datasets.rows import read_conversations, read_rankings
from burnish.errors import DataError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def read(path: Path) -> list[Any]:
    return [row.value for row in read_rows(path)]


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def tool(name: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


TEXT = {"type": "string"}
USER = {"role": "user", "content": "a"}
SAME: dict[str, list[dict[str, Any]]] = {
    "arguments of other calls": [
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [call("f", x=1, deep={"a": "b"})]}]},
        {"messages": [USER, {"role": "assistant", "content": "b", "tool_calls": [call("g", y="z", deep={"c": 1})]}]},
    ],
    "keys of other messages": [
        {"messages": [{**USER, "name": "Ann"}, {"role": "assistant", "content": "b", "weight": 0}]},
        {"messages": [USER, {"role": "assistant", "content": "", "reasoning_content": "c"}]},
    ],
    "properties of other tools": [
        {"tools": [tool("f", x=TEXT, y={"type": "integer"}), tool("g", z={**TEXT, "description": "d"})]},
        {"tools": [tool("h", w={"type": "object", "properties": {"v": TEXT, "u": {**TEXT, "enum": ["a"]}}})]},
    ],
    "defaults that are null": [
        {"tools": [tool("f", x={"type": ["string", "null"], "default": None}, y={"type": ["string"], "default": "a"})]},
        {"tools": [tool("f", x={"type": ["string", "null"], "default": "b"}, z={"type": ["string"]})]},
    ],
    "a default that only is null": [{"tools": [tool("f", x={**TEXT, "default": None})]}],
    "a constant": [{"tools": [tool("f", x={"const": None, "type": "null"}), tool("g", y={"type": "string"})]}],
    "null among values": [{"tools": [tool("f", x={**TEXT, "enum": ["a", None]}, y={"enum": [None]})]}],
    "null in lists": [{"scores": [1.5, None, 2.0], "names": [None], "empty": []}],
    "objects without keys": [
        {"a": {"b": {"c": 1}}, "list": [{"x": 1}, {}]},
        {"a": {"b": {}}, "list": []},
        {"a": {}, "list": [{}]},
    ],
}


@pytest.mark.parametrize("rows", SAME.values(), ids=SAME)
def test_rows_come_back_as_they_were(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    assert read(write(tmp_path / "rows.parquet", rows)) == rows


def test_a_missing_default_stays_missing(tmp_path: Path) -> None:
    rows = [{"tools": [tool("f", x={**TEXT, "default": "a"})]}, {"tools": [tool("g", x=TEXT)]}]
    assert read(write(tmp_path / "rows.parquet", rows)) == rows


def test_nothing_foreign_reaches_the_chat_template(tmp_path: Path) -> None:
    rows = [
        {
            "messages": [USER, {"role": "assistant", "content": None, "tool_calls": [call("f", x=1)]}],
            "tools": [tool("f", x={"type": "integer"})],
            "chat_template_kwargs": {"enable_thinking": True},
        },
        {
            "messages": [USER, {"role": "assistant", "content": None, "tool_calls": [call("g", y="z")]}],
            "tools": [tool("g", y=TEXT)],
            "chat_template_kwargs": {"custom": "c"},
        },
        {"messages": [USER, {"role": "assistant", "content": "b"}], "tools": [], "chat_template_kwargs": None},
    ]
    as_text = [{key: json.dumps(value) for key, value in row.items()} for row in rows]
    lines = tmp_path / "rows.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = [(row.messages, row.tools, row.template_kwargs) for row in read_conversations(lines)]
    assert expected[0][2] == {"enable_thinking": True}
    for kind in (rows, as_text):
        found = read_conversations(write(tmp_path / "rows.parquet", kind))
        assert [(row.messages, row.tools, row.template_kwargs) for row in found] == expected


PARAMETERS = ("city", "day", "unit", "place")
NAMES = st.sampled_from(PARAMETERS)
# Some object of the column has a default that is not null, so that those without one can be told apart.
DEFAULTS = {"messages": [], "tools": [tool("f", **{name: {"type": ["string"], "default": "a"} for name in PARAMETERS})]}
SCHEMAS = st.deferred(
    lambda: (
        st.fixed_dictionaries(
            {"type": st.just(["string"])},
            optional={
                "description": st.text(max_size=3),
                "enum": st.lists(st.none() | st.text(max_size=2), max_size=3),
            },
        )
        | st.fixed_dictionaries({"type": st.just(["string", "null"]), "default": st.none() | st.text(max_size=2)})
    )
)
FUNCTIONS = st.builds(
    lambda name, properties: tool(name, **properties), NAMES, st.dictionaries(NAMES, SCHEMAS, min_size=1)
)
VALUES = st.fixed_dictionaries(
    {}, optional={"n": st.integers(-5, 5), "s": st.text(max_size=2), "l": st.lists(st.booleans())}
)
CALLS = st.builds(lambda name, arguments: call(name, **arguments), NAMES, VALUES)
ANSWERS = st.fixed_dictionaries({"role": st.just("assistant"), "content": st.text(max_size=3)}) | st.fixed_dictionaries(
    {
        "role": st.just("assistant"),
        "content": st.none() | st.text(max_size=3),
        "tool_calls": st.lists(CALLS, min_size=1, max_size=2),
    }
)
ROWS = st.lists(
    st.fixed_dictionaries({"messages": st.lists(ANSWERS, max_size=3), "tools": st.lists(FUNCTIONS, max_size=3)}),
    min_size=1,
    max_size=4,
)


@settings(max_examples=30, deadline=None)
@given(rows=ROWS)
def test_any_rows_come_back_as_they_were(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    rows = [DEFAULTS, *rows]
    try:
        write(path, rows)
    except pyarrow.ArrowNotImplementedError:
        return  # Parquet has no object that never has a key
    assert read(path) == rows


DAY = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)
EXOTIC: dict[str, tuple[Any, Any]] = {
    "timestamp": (pyarrow.array([DAY.replace(tzinfo=None)]), "2024-05-06 07:08:09.000000"),
    "timestamp with a zone": (pyarrow.array([DAY]), "2024-05-06 07:08:09.000000Z"),
    "nanoseconds": (pyarrow.array([1], pyarrow.timestamp("ns")), "1970-01-01 00:00:00.000000001"),
    "date": (pyarrow.array([DAY.date()]), "2024-05-06"),
    "time": (pyarrow.array([DAY.time()]), "07:08:09.000000"),
    "whole decimal": (pyarrow.array([Decimal(12)]), 12),
    "large decimal": (pyarrow.array([Decimal("1" * 30)]), int("1" * 30)),
    "decimal": (pyarrow.array([Decimal("4.10")]), 4.1),
    "decimal that no float is": (pyarrow.array([Decimal("0.12345678901234567890")]), "0.12345678901234567890"),
    "bytes of text": (pyarrow.array(["é".encode()]), "é"),
    "fixed bytes": (pyarrow.array([b"abc"], pyarrow.binary(3)), "abc"),
    "categories": (pyarrow.array(["a"]).dictionary_encode(), "a"),
    "map": (
        pyarrow.array([[("a", 1), ("b", None)]], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
        {"a": 1, "b": None},
    ),
    "nested": (
        pyarrow.array([[{"a": DAY, "b": [Decimal("0.5")]}]]),
        [{"a": "2024-05-06 07:08:09.000000Z", "b": [0.5]}],
    ),
    "fixed list": (pyarrow.array([[1, 2]], pyarrow.list_(pyarrow.int8(), 2)), [1, 2]),
    "half float": (pyarrow.array([1.5], pyarrow.float16()), 1.5),
    "large text": (pyarrow.array(["a"], pyarrow.large_string()), "a"),
    "null": (pyarrow.nulls(1), None),
}


@pytest.mark.parametrize(("column", "expected"), EXOTIC.values(), ids=EXOTIC)
def test_types_that_json_does_not_have(column: Any, expected: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"x": column}), path)
    (row,) = read(path)
    assert row == {"x": expected}
    json.dumps(row)


REFUSED: dict[str, tuple[Any, str]] = {
    "NaN": (pyarrow.array([1.0, float("nan")]), ':2: the column "x" is nan, which is no number that JSON has'),
    "infinity in a list": (pyarrow.array([[1.0], [float("inf")]]), ':2: the column "x" is inf'),
    "pictures": (
        pyarrow.array([b"\xff\xd8"]),
        ': the column "x" (binary) has values that are not text, such as pictures',
    ),
    "pictures in objects": (pyarrow.array([{"bytes": b"\xff\xd8", "path": "a"}]), "only text is supported"),
    "a key twice in a map": (
        pyarrow.array([[("a", 1), ("a", 2)]], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
        ':1: the column "x" has the same key twice in one map',
    ),
}


@pytest.mark.parametrize(("column", "expected"), REFUSED.values(), ids=REFUSED)
def test_values_that_are_refused(column: Any, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"x": column}), path)
    with pytest.raises(DataError) as caught:
        read(path)
    assert f"{path}" in str(caught.value)
    assert expected in str(caught.value)


def test_scores_are_numbers_of_any_type(tmp_path: Path) -> None:
    scores = pyarrow.array([[Decimal("0.1"), Decimal("0.9")]])
    table = pyarrow.table({"prompt": ["a"], "responses": [["b", "c"]], "scores": scores})
    parquet.write_table(table, tmp_path / "rows.parquet")
    (ranking,) = read_rankings(tmp_path / "rows.parquet")
    assert [answer[0]["content"] for answer in ranking.answers] == ["c", "b"]


def test_columns_of_one_name(tmp_path: Path) -> None:
    table = pyarrow.Table.from_arrays([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["prompt", "prompt"])
    parquet.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="two columns called 'prompt'"):
        read(tmp_path / "rows.parquet")


def test_a_column_of_equal_texts_is_not_unfolded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "FREE_BYTES", 2**20)
    path = tmp_path / "bomb.parquet"
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 4096, pyarrow.int32()), ["a" * 2**12])
    parquet.write_table(pyarrow.table({"text": column}), path, compression="zstd", write_statistics=False)
    assert path.stat().st_size < 2000
    with pytest.raises(DataError, match=r"bomb\.parquet: [\d,]+ bytes that become [\d,]+ or more"):
        read(path)


def test_what_a_file_says_of_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.parquet"
    parquet.write_table(pyarrow.table({"n": pyarrow.array(np.zeros(2_000_000, np.int8))}), path)
    monkeypatch.setattr(parquet_rows, "FREE_VALUES", 2**20)
    with pytest.raises(DataError, match=r"bomb\.parquet: [\d,]+ bytes that stand for 2,000,000 values"):
        read(path)
    parquet.write_table(pyarrow.table({"text": ["a" * 2_000_000]}), path, compression="zstd")
    monkeypatch.setattr(parquet_rows, "FREE_BYTES", 2**20)
    with pytest.raises(DataError, match=r"bomb\.parquet: [\d,]+ bytes that become 2,[\d,]+ or more"):
        read(path)


def test_damaged_files(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", [{"text": f"text {index}", "n": index} for index in range(500)])
    whole = path.read_bytes()
    for seed in range(60):
        data = bytearray(whole)
        for step in range(8):
            data[(seed * 131 + step * 977) % len(data)] ^= 1 << (seed % 8)
        path.write_bytes(data)
        with suppress(DataError):
            assert len(read(path)) <= 500
