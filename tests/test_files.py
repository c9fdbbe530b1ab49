"""Files and folders are complete or absent, and every failure names the path."""

import hashlib
import multiprocessing
import os
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import save_file

from burnish.errors import BurnishError
from burnish.files import (
    atomic_file,
    atomic_folder,
    atomic_write_bytes,
    atomic_write_text,
    open_regular,
    pattern_parts,
    regular_file,
    remove_folder,
    sha256,
)
from burnish.runs.folder import read_object, write_object


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


def write_often(path: Path, content: str, times: int) -> None:
    for _ in range(times):
        atomic_write_text(path, content)
        with atomic_folder(path.with_suffix(".folder")) as temporary:
            (temporary / "inner").write_text(content)


def test_threads_and_processes_that_write_the_same_path_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [letter * 5000 for letter in "abcdefgh"]
    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(write_often, path, content, 25) for content in contents[:4]]:
            future.result()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_often, args=(path, content, 25)) for content in contents[4:6]]
    for process in processes:
        process.start()
    write_often(path, contents[6], 25)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert path.read_text() in contents
    assert path.with_suffix(".folder").joinpath("inner").read_text() in contents
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "file.folder"]


def test_a_living_writer_of_the_same_path_keeps_its_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with ThreadPoolExecutor(1) as elsewhere:
        slow_file, slow_folder = atomic_file(path), atomic_folder(tmp_path / "folder")
        elsewhere.submit(lambda: slow_file.__enter__().write_text("slow")).result()
        elsewhere.submit(lambda: (slow_folder.__enter__() / "inner").write_text("slow")).result()
        atomic_write_text(path, "fast")
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / "inner").write_text("fast")
        assert path.read_text() == "fast"
        for slow in (slow_file, slow_folder):
            elsewhere.submit(slow.__exit__, None, None, None).result()
    assert path.read_text() == (tmp_path / "folder/inner").read_text() == "slow"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


KILLED_WRITER = """
import os, sys
from burnish.files import atomic_file
context = atomic_file(sys.argv[1])
context.__enter__().write_text("half")
os._exit(1)
"""


def test_only_what_dead_processes_left_of_the_same_path_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "answers-[1]*.jsonl"
    subprocess.run([sys.executable, "-c", KILLED_WRITER, str(path)], check=False)
    subprocess.run([sys.executable, "-c", KILLED_WRITER, f"{path}.more"], check=False)
    (left,) = [file for file in tmp_path.iterdir() if ".more." not in file.name]
    (other,) = [file for file in tmp_path.iterdir() if ".more." in file.name]
    owner = left.name.removeprefix(f".{path.name}.")
    place, pid, started, thread, number = owner.removesuffix(".part").split("-")
    alive = psutil.Process(os.getppid())

    def left_by(place: str, pid: int, started: float) -> Path:
        file = tmp_path / f".{path.name}.{place}-{pid}-{int(started)}-{thread}-{number}.part"
        file.write_text("")
        return file

    living = left_by(place, alive.pid, alive.create_time())
    number_went_to_another = left_by(place, alive.pid, alive.create_time() - 3600)
    on_another_machine = left_by("0" * 8, int(pid), float(started))
    long_dead_there = left_by("1" * 8, int(pid), float(started))
    os.utime(long_dead_there, (0, 0))
    atomic_write_text(path, "whole")
    assert set(tmp_path.iterdir()) == {path, other, living, on_another_machine}
    assert not left.exists()
    assert not number_went_to_another.exists()


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002, 0o077])
def test_the_umask_says_who_may_read(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with atomic_file(tmp_path / "tensors") as temporary:
            save_file({"a": torch.zeros(1)}, temporary)
        atomic_write_text(tmp_path / "text", "")
        with atomic_folder(tmp_path / "model") as folder:
            save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
            (folder / "inner").mkdir(0o700)
    finally:
        assert os.umask(before) == umask, "no writer changes the mask, not even for a moment"
    modes = {str(file.relative_to(tmp_path)): stat.S_IMODE(file.stat().st_mode) for file in tmp_path.rglob("*")}
    files, folders = 0o666 & ~umask, 0o777 & ~umask
    assert modes == {
        "tensors": files, "text": files, "model": folders, "model/model.safetensors": files, "model/inner": folders
    }  # fmt: skip


def test_names_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    for name in ("n" * 255, "ü" * 127):
        atomic_write_text(tmp_path / name, "text")
        with atomic_folder(tmp_path / f"{name[:-1]}f") as folder:
            (folder / "inner").write_text("")
    assert len(list(tmp_path.iterdir())) == 4


def test_cleaning_up_does_not_hide_what_went_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_arguments: object, **_options: object) -> None:
        raise OSError(30, "Read-only file system")

    def fill_the_disk() -> None:
        with atomic_file(tmp_path / "file"):
            monkeypatch.setattr(Path, "unlink", read_only)
            raise OSError(28, "No space left on device")

    with pytest.raises(BurnishError, match=r"cannot write .*file: No space left on device"):
        fill_the_disk()


def test_what_safetensors_cannot_write_is_named(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_file(tmp_path / "tensors") as temporary:
            save_file({"a": torch.zeros(1)}, temporary / "inside")

    with pytest.raises(BurnishError, match=r"cannot write .*tensors: .*"):
        write()


@pytest.mark.parametrize(
    ("written", "there", "rest"),
    [
        ("[draft]/docs/*.md", "[draft]/docs", "*.md"),
        ("[draft]/[ab]/*.md", "[draft]", "[ab]/*.md"),
        ("[draft]/docs/**/*.md", "[draft]/docs", "**/*.md"),
        ("*.md", "", "*.md"),
    ],
)
def test_folders_that_are_there_are_no_part_of_a_pattern(written: str, there: str, rest: str, tmp_path: Path) -> None:
    (tmp_path / "[draft]/docs").mkdir(parents=True)
    assert pattern_parts(tmp_path / written) == (tmp_path / there, rest)


def test_a_relative_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert pattern_parts(Path("a/*.md")) == (Path(), "a/*.md")


def test_names_that_are_no_utf8_are_written_and_read_as_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xf0\x9f\x98\x80")
    write_object(tmp_path / "a.json", {"path": name})
    assert read_object(tmp_path / "a.json") == {"path": name}
    assert (tmp_path / "a.json").read_text("utf-8") == '{\n  "path": "caf\\udce9 \U0001f600"\n}\n'


def test_a_linked_folder_is_emptied_where_it_is(tmp_path: Path) -> None:
    other, kept = tmp_path / "large disk", tmp_path / "kept.txt"
    (other / "inner").mkdir(parents=True)
    (other / "inner/file").write_text("1")
    (other / "file").write_text("1")
    kept.write_text("1")
    (other / "link").symlink_to(kept)
    link = tmp_path / "cache"
    link.symlink_to(other)
    remove_folder(link)
    assert link.is_symlink()
    assert list(other.iterdir()) == []
    assert kept.read_text() == "1"
    remove_folder(other)
    assert not other.exists()
    with pytest.raises(BurnishError, match=r"cannot remove .*large disk: No such file"):
        remove_folder(other)
