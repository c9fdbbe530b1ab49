"""Whatever lies in a folder of documents: what cannot be read is told with its reason, and nothing else is lost."""

import bz2
import gzip
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from burnish.corpus.preparation.pipeline import prepare
from burnish.corpus.preparation.shard_task import ShardTask
from burnish.corpus.preparation.sources import DocumentSource
from burnish.corpus.preparation.steps.basic import ExactDuplicates, Normalize
from burnish.corpus.preparation.steps.near_duplicates import MinHash

GOOD = "A document that is as it should be, with a number of words in it."


def zip_bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b"\0" * (40 << 20))
    return file.getvalue()


def pdf(*extra: bytes) -> bytes:
    """A page without text, and what else its trailer has."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>",
        *extra,
    ]
    data = b"%PDF-1.4\n"
    places = []
    for number, one in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    encrypt = b" /Encrypt 4 0 R /ID [<00> <00>]" if extra else b""
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    trailer = b"trailer << /Size %d /Root 1 0 R%s >>\n" % (len(objects) + 1, encrypt)
    return data + head + table + trailer + b"startxref\n%d\n%%%%EOF\n" % len(data)


def warc(name: bytes) -> bytes:
    """Two records of ten bytes."""
    head = b"WARC/1.0\r\nWARC-Type: warcinfo\r\nWARC-Record-ID: <urn:%s>\r\nContent-Length: 10\r\n\r\n" % name
    return 2 * (head + b"a: letter.\r\n\r\n")


LOCK = b"<< /Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P -4 >>" % (b"41" * 32, b"42" * 32)

FILES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "broken PDF": ("broken.pdf", lambda: b"%PDF-1.7\n1 0 obj\n<< /Type", "damaged .pdf file"),
    "encrypted PDF": ("locked.pdf", lambda: pdf(LOCK), "encrypted .pdf file"),
    "scanned PDF": ("scan.pdf", pdf, "without text"),
    "zip bomb": ("bomb.docx", zip_bomb, "archive out of proportion"),
    "no archive": ("letter.docx", lambda: b"PK\x03\x04 not really", "damaged .docx file"),
    "gzip bomb": ("bomb.txt.gz", lambda: gzip.compress(b"a" * (64 << 20)), ".txt file that cannot be read"),
    "bzip2 bomb": ("bomb.jsonl.bz2", lambda: bz2.compress(b"a" * (64 << 20)), ".jsonl file that cannot be read"),
    "line of 200 MB": ("line.jsonl", lambda: b'{"text": "' + b"a" * (200 << 20) + b'"}', ".jsonl file that cannot"),
    "empty": ("empty.txt", lambda: b"", "empty file"),
    "blank": ("blank.md", lambda: b" \n\n \t", "empty file"),
    "binary": ("image.txt", lambda: bytes(range(256)) * 20, "file that is not UTF-8"),
    "zeros": ("zeros.txt", lambda: bytes(5000), "file that is not UTF-8"),
    "deep page": ("deep.html", lambda: b"<div>" * 10_000 + b"x", "page that is nested too deeply"),
    "large page": ("large.html", lambda: b"<p>x</p>" * (5 << 20), "too large"),
    "rows without text": ("log.jsonl", lambda: b'{"at": 1}\n', 'file without text in "text"'),
    "broken rows": ("half.jsonl", lambda: b'{"text": "a"}\n{"text": "b', "rows without text"),
    "broken table": ("table.parquet", lambda: b"PAR1 no", ".parquet file that cannot be read"),
    "image": ("photo.png", lambda: b"\x89PNG", ".png file"),
    "broken archive": ("site.warc.gz", lambda: gzip.compress(b"WARC/1.0\r\nnonsense"), "damaged .warc file"),
    "archive of wrong length": (
        "long.warc",
        lambda: warc(b"long").replace(b": 10\r", b": 120\r"),
        "damaged .warc file",
    ),
    "cut archive": ("cut.warc", lambda: warc(b"cut")[:-8], "damaged .warc file"),
    "wide table": ("wide.csv", lambda: b"text,n\na,1,2\n", 'file without text in "text"'),
}
SLOW = {"line of 200 MB", "gzip bomb", "bzip2 bomb", "large page", "zip bomb"}
"""They are made, or read, for seconds."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in FILES if name in SLOW]
)
def test_a_large_bad_file_is_told_and_nothing_else_lost(tmp_path: Path, name: str) -> None:
    check(tmp_path, [name])


@pytest.mark.slow
def test_bad_files_are_told_and_nothing_else_lost(tmp_path: Path) -> None:
    check(tmp_path, [name for name in FILES if name not in SLOW])


def check(tmp_path: Path, names: list[str]) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text(GOOD, encoding="utf-8")
    (folder / "z.txt").write_text(GOOD.upper() + " Other.", encoding="utf-8")
    for name in names:
        (folder / FILES[name][0]).write_bytes(FILES[name][1]())
    record = prepare([DocumentSource(paths=[str(folder)])], [Normalize()], tmp_path / "out")
    kept = set(pl.read_parquet(tmp_path / "out" / "documents" / "*.parquet")["origin"])
    assert {"a.txt", "z.txt"} <= kept
    told = {one["file"]: one["reason"] for one in record.skipped}
    for name in names:
        file, _, reason = FILES[name]
        assert reason in told.get(file, ""), (name, told.get(file))
    assert len(record.skipped) == len(names)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of POSIX")
def test_what_is_no_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    (folder / "deeper").mkdir(parents=True)
    (folder / "a.txt").write_text(GOOD, encoding="utf-8")
    os.mkfifo(folder / "pipe.txt")
    (folder / "deeper" / "round").symlink_to(folder)
    (folder / "itself.txt").symlink_to(folder / "itself.txt")
    (folder / "null.txt").symlink_to("/dev/zero")
    (folder / "nowhere.txt").symlink_to(folder / "missing")
    locked = folder / "locked"
    locked.mkdir()
    (locked / "b.txt").write_text(GOOD, encoding="utf-8")
    locked.chmod(0)
    try:
        record = prepare([DocumentSource(paths=[str(folder)])], [Normalize()], tmp_path / "out")
    finally:
        locked.chmod(0o700)
    told = {one["file"]: one["reason"] for one in record.skipped}
    assert {"pipe.txt", "deeper/round/", "itself.txt", "null.txt", "nowhere.txt"} <= told.keys()
    assert record.documents == (2 if os.geteuid() == 0 else 1)  # root may read everything


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8")
def test_what_no_table_takes_is_written_out(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/na\xffme.txt")).write_text(GOOD, encoding="utf-8")
    cell = '{"cell_type": "markdown", "source": "Half a pair \\ud800 is here."}'
    (folder / "half.ipynb").write_text(f'{{"cells": [{cell}]}}', encoding="utf-8")
    record = prepare([DocumentSource(paths=[str(folder)])], [Normalize()], tmp_path / "out")
    kept = pl.read_parquet(tmp_path / "out" / "documents" / "*.parquet").sort("origin")
    assert kept.select("origin", "text").rows() == [
        ("half.ipynb", "Half a pair \ufffd is here."),
        ("na\\xffme.txt", GOOD),
    ]
    assert record.read.encodings == {"UTF-8 with lone surrogates": 1}


@pytest.mark.slow
def test_many_tiny_files(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    for number in range(20_000):
        place = folder / f"{number // 1000}"
        if number % 1000 == 0:
            place.mkdir(parents=True)
        (place / f"{number}.txt").write_text(f"Note {number}.", encoding="utf-8")
    assert prepare([DocumentSource(paths=[str(folder)])], [Normalize()], tmp_path / "out").documents == 20_000


PROGRAM = """
import sys
from pathlib import Path
from burnish.corpus.preparation import pipeline, sources
from burnish.corpus.preparation.sources import DocumentSource, shards_of
from burnish.corpus.preparation.steps.basic import ExactDuplicates, Normalize
from burnish.corpus.preparation.steps.near_duplicates import MinHash

pipeline.shards_of = lambda *args: shards_of(*args, max_bytes=20_000)
source = DocumentSource(paths=[sys.argv[1]])
pipeline.prepare([source], [Normalize(), ExactDuplicates(), MinHash(threshold=0.7)], Path(sys.argv[2]))
"""


def contents(output: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(output)): file.read_bytes()
        for name in ("documents", "removed", "clusters")
        for file in sorted((output / name).glob("*.parquet"))
    }


@pytest.mark.slow
@pytest.mark.parametrize("shares", [(0.4, 0.6), (0.75, 0.3, 0.9), (0.55, 0.65, 0.7, 0.8)])
def test_a_run_that_is_killed_leaves_the_same_in_the_end(tmp_path: Path, shares: tuple[float, ...]) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(300):
        text = " ".join(f"word{(number // 3) * 50 + place}" for place in range(60)) + f" {number % 3} " + "x " * 200
        (folder / f"{number:03d}.txt").write_text(text, encoding="utf-8")

    def start(output: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder), str(output)])

    begun = time.monotonic()
    assert start(tmp_path / "whole").wait() == 0
    whole = time.monotonic() - begun
    for share in shares:
        process = start(tmp_path / "killed")
        try:
            process.wait(share * whole)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert start(tmp_path / "killed").wait() == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert len(contents(tmp_path / "whole")) > 10


def test_a_file_that_vanishes_or_changes_while_it_is_worked_on_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.txt").write_text(f"{GOOD} {name}", encoding="utf-8")
    whole = ShardTask.whole

    def meanwhile(task: ShardTask) -> bool:  # files are known and hashed by now, and not yet read
        (folder / "b.txt").unlink(missing_ok=True)
        (folder / "c.txt").write_text(f"{GOOD} changed", encoding="utf-8")
        return whole(task)

    monkeypatch.setattr(ShardTask, "whole", meanwhile)
    record = prepare([DocumentSource(paths=[str(folder)])], [Normalize()], tmp_path / "out")
    assert record.documents == 2
    assert [(one["file"], one["reason"]) for one in record.skipped] == [("b.txt", ".txt file that cannot be read")]
    monkeypatch.undo()
    (folder / "c.txt").write_text(f"{GOOD} c", encoding="utf-8")
    prepare([DocumentSource(paths=[str(folder)])], [Normalize()], tmp_path / "out")
    kept = pl.read_parquet(tmp_path / "out" / "documents" / "*.parquet")["text"].to_list()
    assert sorted(kept) == [f"{GOOD} a", f"{GOOD} c"]


@pytest.mark.slow
def test_on_ray_the_output_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from burnish.corpus.preparation import pipeline
    from burnish.corpus.preparation.engines import OnRay
    from burnish.corpus.preparation.sources import shards_of

    monkeypatch.setattr(pipeline, "shards_of", lambda *args: shards_of(*args, max_bytes=500))
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.txt").write_text(f"{GOOD} Number {number // 2}.", encoding="utf-8")
    steps = [Normalize(), ExactDuplicates(), MinHash()]
    here = prepare([DocumentSource(paths=[str(folder)])], steps, tmp_path / "here")
    there = prepare([DocumentSource(paths=[str(folder)])], steps, tmp_path / "there", engine=OnRay(workers=2))
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    assert here.n_shards == there.n_shards > 2
