"""Files of text: decoded whatever their encoding, and told from files that are none."""

from collections import Counter
from pathlib import Path

from burnish.corpus.encodings import decoded
from burnish.corpus.records import UTF8_BOM, byte_lines, decode, open_bytes
from burnish.errors import DataError

MAX_TEXT_BYTES = 256 << 20
"""A text file is one document and is held in memory, some ten times as large by the time it is tokens."""
CHUNK_BYTES = 1 << 20
MAX_CONTROL_SHARE = 0.1
"""A text has some stray control characters; more of them than this, and it is no text."""
SIGNATURES = {
    b"%PDF-": "a PDF file",
    b"PK\x03\x04": "a ZIP archive (.docx, .xlsx and .epub are such)",
    b"\x89PNG": "a PNG image",
    b"\xd0\xcf\x11\xe0": "an old Office file",
    b"{\\rtf": "an RTF file",
}
"""First bytes of files that are no text whatever they are called."""
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))


class UnreadableDocumentError(DataError):
    """A file that holds no text; in a folder it is skipped as one of its `kind`."""

    def __init__(self, path: Path, kind: str, advice: str, *, whole: bool = False) -> None:
        super().__init__(f"{path}{advice}" if whole else f"{path}: {advice}")
        self.kind, self.advice = kind, advice.lstrip(":0123456789 ") if whole else advice.removeprefix(f"{kind}; ")


def read_text(path: Path, encodings: Counter[str] | None = None) -> str:
    """Return the text of a UTF-8 file, packed or not, without a byte order mark.

    encodings: if given, other encodings are told from the bytes, and counted here.

    Raises:
        DataError: the file is larger than `MAX_TEXT_BYTES` unpacked, or is no text.
    """
    parts, size = [], 0
    with open_bytes(path) as stream:
        # In pieces: a line may be as long as the file, and a small gzip file may unpack to any size.
        for part in byte_lines(path, iter(lambda: stream.read(CHUNK_BYTES), b"")):
            size += len(part)
            if size > MAX_TEXT_BYTES:
                raise UnreadableDocumentError(
                    path, "file that is too large", f"larger than {MAX_TEXT_BYTES >> 20} MiB unpacked; split it"
                )
            parts.append(part)
    data = b"".join(parts)
    for signature, what in SIGNATURES.items():
        if data.startswith(signature):
            raise UnreadableDocumentError(path, "binary file", f"it is {what}, not text; convert it to text first")
    data = data.removeprefix(UTF8_BOM)
    try:
        text = decode(path, data)
    except DataError as error:
        if encodings is not None and (found := decoded(data)) is not None:
            encodings[found[1]] += 1
            return found[0].removeprefix("\ufeff")
        raise UnreadableDocumentError(
            path, "file that is not UTF-8", str(error).removeprefix(str(path)), whole=True
        ) from None
    nulls = data.count(0)
    if nulls > 0.3 * len(data) and (not any(data[::2]) or not any(data[1::2])):
        if encodings is not None and (found := decoded(data)) is not None:
            encodings[found[1]] += 1
            return found[0]
        raise UnreadableDocumentError(
            path, "file that is not UTF-8", "UTF-16 without a byte order mark; save the file as UTF-8"
        )
    if len(data) - len(data.translate(None, _CONTROLS)) > MAX_CONTROL_SHARE * len(data):
        raise UnreadableDocumentError(
            path, "binary file", "more than a tenth of it are control characters; it is no text"
        )
    return text
