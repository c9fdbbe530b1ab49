"""The lab's text: the same on every call, apart for training and holding out, and refused where it is none."""

from pathlib import Path

import numpy as np
import pytest

from burnish.errors import BurnishError, DataError
from burnish.lab.text import START, LabText, load_text


def prose(folder: Path, *, shuffled: bool = False, paragraphs: int = 400) -> Path:
    """Paragraphs of several kilobytes, each of them a part of its own."""
    parts = [f"Paragraph {number}. " + f"word{number} " * 600 for number in range(paragraphs)]
    file = folder / "prose.txt"
    file.write_text("\n\n".join(reversed(parts) if shuffled else parts), encoding="utf-8")
    return file


def documents(side: np.ndarray) -> set[bytes]:
    return {part.strip() for part in side.tobytes().split(bytes([START])) if part.strip()}


def test_the_standard_library_is_there_and_always_the_same() -> None:
    text = load_text()
    assert len(text.train) > 1_000_000
    assert 0.02 < len(text.heldout) / len(text.train) < 0.2
    assert text.identity == load_text().identity
    assert not documents(text.train) & documents(text.heldout)


def test_a_hash_and_not_the_order_decides_the_side(tmp_path: Path) -> None:
    one = load_text(prose(tmp_path))
    other = load_text(prose(tmp_path, shuffled=True))
    assert documents(one.heldout) == documents(other.heldout)
    assert documents(one.train) == documents(other.train)
    assert one.identity != other.identity


def test_windows_are_the_text_in_order() -> None:
    text = LabText(np.arange(10, dtype=np.uint8), np.arange(7, dtype=np.uint8), "toy")
    assert text.windows(4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert text.windows(3, heldout=True).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(DataError, match="held-out text of 7 tokens is shorter than one sequence of 8"):
        text.windows(8, heldout=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"short", "5 bytes; the lab needs at least"),
        (b"\xff" * 100_000, "not UTF-8 text"),
        (b"a\x00b" * 100_000, "holds a zero byte"),
        (b"one part " * 10_000, "fell on one side"),
    ],
)
def test_files_that_are_no_text_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "text"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        load_text(file)
    assert str(file) in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match="cannot read"):
        load_text(tmp_path / "missing.txt")
