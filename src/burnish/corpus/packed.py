"""Files that are packed by gzip, bzip2, xz or Zstandard, told by their first bytes and read as what they hold.

Notable choices:
- a file that becomes larger out of all proportion is not read on: text is compressed by 3 to 10, a bomb by thousands;
- xz and Zstandard may ask for gigabytes of memory to unpack: more than `MAX_MEMORY` they do not get;
- several packed files behind each other are read as one, as their own tools do.
"""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

from burnish.errors import DataError

MAGICS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "Zstandard"}
CHUNK = 2**20
MAX_RATIO = 200
"""Bytes that one packed byte may become."""
FREE_BYTES = 16 * 2**20
"""What any packed file may become."""
MAX_MEMORY = 256 * 2**20
_LONGEST_MAGIC = max(map(len, MAGICS))


def packer_of(file: io.BufferedReader) -> str | None:
    """What a file, open at its beginning, is packed by."""
    head = file.peek(_LONGEST_MAGIC)
    return next((name for magic, name in MAGICS.items() if head.startswith(magic)), None)


def unpacked(path: Path, file: io.BufferedReader) -> io.BufferedReader:
    """The bytes that a file holds, unpacked where it is packed.

    Raises DataError, also while it is read: the data is damaged, ends early or unpacks to too much; or what unpacks it
    is not installed.
    """
    packer = packer_of(file)
    return file if packer is None else io.BufferedReader(_Unpacked(path, file, packer), CHUNK)


class _Unpacked(io.RawIOBase):
    def __init__(self, path: Path, file: io.BufferedReader, packer: str) -> None:
        self._path, self._file, self._packer = path, file, packer
        self._stream: Any = _stream(path, file, packer)
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        name = f"{self._path}: the {self._packer} data"
        try:
            data = self._stream.read(len(buffer))
        except EOFError:
            raise DataError(f"{name} ends early; the file is truncated, copy it again") from None
        except lzma.LZMAError as error:
            if "memory" in str(error).lower():
                raise DataError(f"{name} needs more than {MAX_MEMORY >> 20} MiB to unpack; unpack it first") from None
            raise DataError(f"{name} is damaged ({error}); copy the file again") from None
        except (OSError, zlib.error) as error:
            if isinstance(error, OSError) and error.errno is not None and not isinstance(error, gzip.BadGzipFile):
                raise
            raise DataError(f"{name} is damaged ({error}); copy the file again") from None
        self._given += len(data)
        if self._given > FREE_BYTES and self._given > MAX_RATIO * self._file.tell():
            raise DataError(
                f"{self._path}: {self._file.tell():,} bytes of it become {self._given:,} or more; no data is "
                f"compressed by more than {MAX_RATIO}, so the file is not read. If it is what you want, unpack it first"
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._file.close()
        super().close()


def _stream(path: Path, file: io.BufferedReader, packer: str) -> Any:
    if packer == "gzip":
        return gzip.GzipFile(fileobj=file)
    if packer == "bzip2":
        return bz2.BZ2File(file)
    if packer == "xz":
        return _Xz(file)
    try:
        import pyarrow
    except ImportError:
        raise DataError(f"{path}: unpacking Zstandard needs pyarrow: pip install 'burnish[data]'") from None
    return pyarrow.CompressedInputStream(file, "zstd")


class _Xz:
    """An xz file as a stream that takes bounded memory, which `lzma.LZMAFile` has no setting for."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._pieces = self._unpacked(file)
        self._left = b""

    def read(self, size: int) -> bytes:
        if not self._left:
            self._left = next(self._pieces, b"")
        data, self._left = self._left[:size], self._left[size:]
        return data

    def close(self) -> None:
        self._pieces.close()

    @staticmethod
    def _unpacked(file: io.BufferedReader) -> Generator[bytes, None, None]:
        rest = b""
        while packed := rest or file.read1(CHUNK):
            rest = b""
            decompressor = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=MAX_MEMORY)
            while not decompressor.eof:
                if data := decompressor.decompress(packed, CHUNK):
                    yield data
                packed = b""
                if decompressor.needs_input and not decompressor.eof and not (packed := file.read1(CHUNK)):
                    raise EOFError
            rest = decompressor.unused_data.lstrip(b"\0")
