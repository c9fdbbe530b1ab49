"""Broken and hostile data files give an error with file and line: no traceback, no hang, no memory without end."""

import bz2
import gzip
import json
import lzma
import os
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from burnish.corpus import json_arrays, json_values, packed, records
from burnish.corpus.json_values import JsonValueError, parse_json
from burnish.corpus.records import expand, read_rows
from burnish.errors import DataError


def read(path: Path) -> list[Any]:
    return [row.value for row in read_rows(path)]


ROW = b'{"text": "a"}\n'
BROKEN: dict[str, tuple[bytes, str]] = {
    "deep list": (b'{"text": ' + b"[" * 5000 + b"]" * 5000 + b"}\n", ":1: maximum recursion depth exceeded"),
    "deep object": (ROW + b'{"a":' * 300 + b"1" + b"}" * 300, ":2: maximum recursion depth exceeded"),
    "a little too deep": (
        b'{"a":' * 129 + b"1" + b"}" * 129,
        ":1: maximum recursion depth exceeded: lists and objects",
    ),
    "deep array": (b"[\n" + b"[" * 100_000, "rows:2: maximum recursion depth"),
    "NaN": (ROW + b'{"a": NaN}', ":2: NaN is not JSON"),
    "infinity": (ROW + b'{"a": -Infinity}', ":2: -Infinity is not JSON"),
    "infinite by its exponent": (ROW + b'{"a": 1e999}', ":2: the number 1e999 is too large"),
    "infinite and negative": (ROW + b'{"a": [-2e308]}', ":2: the number -2e308 is too large"),
    "a whole number without end": (
        ROW + b'{"a": ' + b"9" * 5000 + b"}",
        ":2: the number 9999999999999999999… has 5000 dig",
    ),
    "a key twice": (ROW + b'{"a": {"b": 1, "b": 2}}', ':2: the key "b" is written twice'),
    "half a pair in text": (
        ROW + rb'{"a": [{"b": "x\ud83d"}]}',
        ":2: a[0].b has half of a surrogate pair at character 1",
    ),
    "half a pair in a key": (
        ROW + rb'{"a": {"\udc00": 1}}',
        ":2: a key of a has half of a surrogate pair at character 0",
    ),
    "half a pair in an array": (rb'[{"a": "\uD800"}]', ":1: a has half of a surrogate pair"),
    "NUL bytes": (b"\0" * 1000, ":1: invalid JSON at column 1"),
    "UTF-16 without a mark": (ROW.decode().encode("utf-16-le"), "the file has NUL bytes, so it is UTF-16"),
    "UTF-16": (ROW.decode().encode("utf-16"), ":1: the file is UTF-16"),
    "a mark only": (b"\xef\xbb\xbf", "the file holds no rows"),
    "zstd": (b"\x28\xb5\x2f\xfd" + b"\0" * 99, "Zstandard"),
    "xz": (b"\xfd7zXZ\0\0\0", " xz "),
    "zip": (b"PK\x03\x04" + b"\0" * 99, "a zip archive"),
    "gzip twice": (gzip.compress(gzip.compress(ROW)), "packed twice, with gzip inside"),
    "gzip header only": (gzip.compress(ROW)[:12], "the gzip data ends early"),
    "gzip then rubbish": (gzip.compress(ROW) + b"rubbish", "the gzip data is damaged"),
    "text after an array": (b"[{}]\n\n[{}]", ":3: there is text after the end of the JSON array"),
    "array in the middle of a word": (b'[{"a": tru', ":1: invalid JSON at column"),
    "array that ends after a comma": (b'[{"a": 1},\n', ":2: invalid JSON at column 1: Expecting value"),
}


@pytest.mark.parametrize(("data", "expected"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("packed", [False, True])
def test_broken_files(data: bytes, expected: str, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(gzip.compress(data) if packed and not data.startswith(b"\x1f\x8b") else data)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert expected in str(caught.value)


def test_what_is_deep_long_and_odd_but_right(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "[" * 5000},
        {"a": json.loads("[" * 127 + "]" * 127)},
        {"n": [int("9" * 1000), -1.7976931348623157e308, 0, -0.0, 5e-324]},
        {"emoji": "\U0001f600", "nul": "\0", "escape": "\x1b[31m"},
        {"a": "x" * 3_000_000},
    ]
    path = tmp_path / "rows"
    for ascii_only in (False, True):
        path.write_text("".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows), encoding="utf-8")
        assert read(path) == rows
        path.write_text(json.dumps(rows, ensure_ascii=ascii_only), encoding="utf-8")
        assert read(path) == rows


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_an_array_in_small_pieces(
    indent: int | None, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_arrays, "CHUNK", chunk)
    monkeypatch.setattr(records, "MAX_ROW_BYTES", 4)
    rows = [{"é" * index: [index, "\U0001f600 ü", {"a": -1.5e3, "b": None}], "c": True} for index in range(9)]
    text = json.dumps(rows, ensure_ascii=False, indent=indent)
    path = tmp_path / "rows.json"
    path.write_text(f"\n \r\n{text}\n\n", encoding="utf-8")
    found = list(read_rows(path))
    assert [row.value for row in found] == rows
    lines = path.read_bytes().decode().split("\n")
    starts = [number for number, line in enumerate(lines, start=1) if line == " {"] if indent else [3] * 9
    assert [row.line for row in found] == starts
    path.write_text(f"\n{text[:-40]}\ud800{text[-40:]}", encoding="utf-8", errors="surrogatepass")
    position = path.read_bytes().index(b"\xed\xa0\x80")
    with pytest.raises(DataError, match=rf"byte {position} \(0xed\) is not UTF-8"):
        read(path)
    broken = text[:-30] + "]" + text[-30:]
    path.write_text(broken, encoding="utf-8")
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(broken)
    with pytest.raises(DataError, match=rf":{expected.value.lineno}: invalid JSON at column {expected.value.colno}:"):
        read(path)


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows"
    for module in (records, json_values, json_arrays):
        monkeypatch.setattr(module, "MAX_ROW_BYTES", 10_000)
    monkeypatch.setattr(json_arrays, "CHUNK", 1000)
    for data, reason in {
        ROW + b'{"text": "' + b"a" * 20_000 + b'"}\n': ":2: the row is longer than 10,000 bytes",
        b'[{"text": "' + b"a" * 20_000 + b'"}]': ":1: the row is longer than 10,000 bytes",
        b"\0" * 20_000: ":1: the file has NUL bytes where there should be rows",
        b" " * 20_000: ":1: nothing but blanks in 10,000 bytes",
    }.items():
        path.write_bytes(data)
        with pytest.raises(DataError) as caught:
            read(path)
        assert f"{path}{reason}" in str(caught.value)


def _bomb(path: Path, pieces: Iterator[bytes]) -> Path:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        for piece in pieces:
            file.write(packer.compress(piece))
        file.write(packer.flush())
    return path


BOMBS: dict[str, tuple[list[bytes], str]] = {
    "blank lines": ([b"\n" * 2**20], "compressed by more than 200"),
    "rows": ([ROW * 80_000], "compressed by more than 200"),
    "a line": ([b'{"text": "', b"a" * 2**20], "compressed by more than 200"),
    "an array": ([b"[", b'{"text": "a"},' * 80_000], "compressed by more than 200"),
}


@pytest.mark.parametrize(("pieces", "reason"), BOMBS.values(), ids=BOMBS)
def test_gzip_bombs_are_not_unpacked(
    pieces: list[bytes], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "FREE_BYTES", 2**20)
    path = _bomb(tmp_path / "bomb.gz", iter([*pieces[:-1], *pieces[-1:] * 60]))
    rows = read_rows(path)
    with pytest.raises(DataError, match=rf"bomb\.gz: .* bytes of it become .*{reason}"):
        deque(rows, maxlen=0)


def test_ordinary_text_may_be_packed_well(tmp_path: Path) -> None:
    path = _bomb(tmp_path / "rows.gz", iter([ROW * 60_000]))
    assert path.stat().st_size * 200 < 60_000 * len(ROW)
    assert sum(1 for _ in read_rows(path)) == 60_000


def test_blank_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(ROW + b"\n \r\n\t\n  " + ROW + b"\n" * 9000 + ROW + b"\n\n")
    assert [row.line for row in read_rows(path)] == [1, 5, 9006]


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, reason in {
        tmp_path / "pipe": "is a pipe",
        Path("/dev/zero"): "is a device",
        tmp_path: "is a folder; name a file or a pattern",
        tmp_path / "missing.jsonl": "no such file",
    }.items():
        with pytest.raises(DataError, match=reason):
            read(path)
    with pytest.raises(DataError, match=r"(?i)too long"):
        expand("x" * 5000)


def test_json_text_inside_a_row_has_the_same_limits() -> None:
    for text in ("[" * 5000 + "]" * 5000, '{"a": 1, "a": 2}', "1e999", "NaN", "9" * 2000, r'"\ud800"'):
        with pytest.raises(JsonValueError):
            parse_json(text)


PACKERS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pyarrow.compress(data, "zstd", asbytes=True),
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_every_packer_is_read_whole_broken_and_as_a_bomb(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = PACKERS[suffix]
    rows = b"".join(b'{"text": "%d"}\n' % number for number in range(5000))
    path = tmp_path / f"rows.jsonl.{suffix}"
    path.write_bytes(pack(rows))
    assert [row["text"] for row in read(path)] == [str(number) for number in range(5000)]
    path.write_bytes(pack(rows[:7000]) + pack(rows[7000:]))
    assert len(read(path)) == 5000
    path.write_bytes(pack(rows)[:-20])
    with pytest.raises(DataError, match=r"rows\.jsonl\.\w+: the \w+ data (ends early|is damaged)"):
        read(path)
    monkeypatch.setattr(packed, "FREE_BYTES", 2**18)
    monkeypatch.setattr(packed, "CHUNK", 2**17)
    path.write_bytes(pack(ROW * 100_000))
    with pytest.raises(DataError, match="compressed by more than 200"):
        deque(read_rows(path), maxlen=0)
