"""Text that is not UTF-8: which encoding it is in, told from its bytes (charset-normalizer).

UTF-16 and UTF-32 are told by their byte order mark, or by zero bytes at every second place. Of one-byte and East Asian
encodings those of `CANDIDATES` are tried, and taken only if the text they give looks like some language's.
"""

from burnish.errors import BurnishError

CANDIDATES = [
    *("cp1252", "latin_1", "iso8859_15", "cp1250", "iso8859_2", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1257"),
    *("cp1255", "cp1256", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"),
]
"""Encodings that documents are found in; others, such as those of mainframes, fit to anything by chance."""
_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_SAMPLE = 1 << 18
_MAX_CONTROL_SHARE = 0.05
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))


def decoded(data: bytes) -> tuple[str, str] | None:
    """The text and its encoding; None where no encoding makes a text of it.

    Raises BurnishError where charset-normalizer is not installed.
    """
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None) or _by_zeros(data)
    if encoding is None:
        if len(data) - len(data.translate(None, _CONTROLS)) > _MAX_CONTROL_SHARE * len(data):
            return None
        encoding = _by_language(data)
    if encoding is None:
        return None
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    controls = len(text) - len(text.translate(dict.fromkeys(_CONTROLS)))
    return None if controls > _MAX_CONTROL_SHARE * len(text) else (text, encoding.replace("_", "-"))


def _by_zeros(data: bytes) -> str | None:
    if data.count(0) <= 0.3 * len(data):
        return None
    return "utf-16-be" if not any(data[::2]) else "utf-16-le" if not any(data[1::2]) else None


def _by_language(data: bytes) -> str | None:
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        raise BurnishError(
            "telling the encoding of text needs charset-normalizer; install it with `pip install 'burnish[data]'`"
        ) from None
    # What is not ASCII tells: a sample from where that begins.
    first = next(place for place, byte in enumerate(data) if byte > 127)
    start = max(data.rfind(b"\n", 0, first) + 1, first - 2000, 0)
    best = from_bytes(data[start : start + _SAMPLE], cp_isolation=CANDIDATES, enable_fallback=False).best()
    return None if best is None else best.encoding
