"""What a file may hold, and the error of one that holds more or cannot be read."""

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Part = tuple[str, str | None]
"""A text, and its name in the file where it has one."""

MAX_BYTES = 256 << 20
"""What a packed file may hold, all its members together."""
MAX_HTML_BYTES = 32 << 20
MAX_RATIO = 300


class UnreadableError(Exception):
    """Why a file cannot be read: what is counted together, and what to do about it."""

    def __init__(self, kind: str, advice: str = "") -> None:
        super().__init__(kind)
        self.kind, self.advice = kind, advice


def _zstd(path: Path) -> Any:
    import pyarrow

    return pyarrow.CompressedInputStream(str(path), "zstd")


_UNPACKERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": _zstd,
}


def limited(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    for magic, unpack in _UNPACKERS.items():
        if data.startswith(magic):
            with unpack(path) as packed:
                data = packed.read(limit + 1)
            break
    if len(data) > limit:
        raise UnreadableError("file that is too large", f"larger than {limit >> 20} MiB")
    return data


def check_archive(path: Path) -> None:
    """Refuse archives that say, or turn out, to hold more than a document does."""
    if not zipfile.is_zipfile(path):
        start = path.read_bytes()[:8] if path.stat().st_size < MAX_BYTES else b""
        encrypted = start.startswith(b"\xd0\xcf\x11\xe0")
        raise UnreadableError(
            f"{'encrypted' if encrypted else 'damaged'} {path.suffix.lower()} file",
            "save it without a password" if encrypted else "it is no ZIP archive; copy it again",
        )
    with zipfile.ZipFile(path) as archive:
        total = sum(member.file_size for member in archive.infolist())
    if total > MAX_BYTES or total > max(MAX_RATIO * path.stat().st_size, 16 << 20):
        raise UnreadableError("archive out of proportion", f"{total:,} bytes unpacked of {path.stat().st_size:,}")
