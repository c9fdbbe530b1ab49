"""Files and folders are complete or absent, and every failure names the path."""

import hashlib
import os
import socket
from pathlib import Path

import pytest

from burnish.errors import BurnishError
from burnish.files import (
    atomic_file,
    atomic_folder,
    atomic_write_bytes,
    atomic_write_text,
    open_regular,
    regular_file,
    sha256,
)


def test_sha256(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(data)
    assert sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()
    with pytest.raises(BurnishError, match=r"cannot read .*missing: No such file"):
        sha256(tmp_path / "missing")


def test_only_regular_files_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    assert regular_file(str(tmp_path / "link")) == tmp_path / "link"
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"text"
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    monkeypatch.chdir(tmp_path)  # a socket's address may not be as long as the path of a test's folder
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("socket")
    listening.close()
    for path, reason in {
        tmp_path / "folder": "is a folder, not a file",
        tmp_path / "pipe": "is a pipe, which ends only when its writer says so",
        tmp_path / "socket": "is a socket, not a file",
        Path("/dev/zero"): "is a device, not a file",
        tmp_path / "missing": "No such file",
        tmp_path / "loop": "(?i)too many",
        tmp_path / ("x" * 5000): "(?i)too long",
        tmp_path / "a\0b": "not the name of a file",
        tmp_path / "a\ud800": "not the name of a file",
    }.items():
        for read in (regular_file, open_regular, sha256):
            with pytest.raises(BurnishError, match=reason):
                read(path)


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file.txt"
    atomic_write_text(path, "first ü\n")
    atomic_write_bytes(path, b"second")
    assert path.read_bytes() == b"second"
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]
    assert path.stat().st_mode & 0o044  # as readable for others as any new file


def test_a_file_survives_a_failed_writer(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic_write_text(path, "old")

    def write_half() -> None:
        with atomic_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("old", [False, True])
def test_a_folder_appears_whole(tmp_path: Path, old: bool) -> None:
    path = tmp_path / "folder"
    if old:
        path.mkdir()
        (path / "old").write_text("old")
    with atomic_folder(path) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner/file").write_text("new")
        assert (path / "old").exists() == old
    assert [str(file.relative_to(path)) for file in sorted(path.rglob("*"))] == ["inner", "inner/file"]
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o055


def test_a_folder_survives_a_failed_writer(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").write_text("old")

    def write_half() -> None:
        with atomic_folder(path) as temporary:
            (temporary / "half").write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(BurnishError, match=r"cannot write .*folder: No space left on device"):
        write_half()
    assert [file.name for file in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "model"
    interrupted = atomic_folder(path)
    (interrupted.__enter__() / "half").write_text("half")
    interrupted_file = atomic_file(tmp_path / "file")
    interrupted_file.__enter__().write_text("half")
    with atomic_folder(path) as temporary:
        (temporary / "whole").write_text("whole")
    atomic_write_text(tmp_path / "file", "whole")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "model"]
    assert [file.name for file in path.iterdir()] == ["whole"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for write in (lambda p: atomic_write_text(p, ""), lambda p: atomic_folder(p).__enter__()):
        with pytest.raises(BurnishError, match=r"cannot write .*file/inside: (Not a directory|File exists)"):
            write(tmp_path / "file" / "inside")
