"""Sizes of memory as people write them: `512MB`, `1.5 GiB`."""

import re

from burnish.errors import BurnishError

PATTERN = r"^\s*(\d+(?:\.\d+)?)\s*([KMGkmg][Ii]?[Bb])\s*$"
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def size_in_bytes(text: str, key: str = "memory_limit") -> int:
    """Bytes of a size such as "512MB". Raises BurnishError, naming `key`, for anything else."""
    match = re.fullmatch(PATTERN, text)
    if match is None:
        raise BurnishError(f"{key}: expected a size such as '512MB' or '1GiB', got {text!r}")
    return int(float(match[1]) * _UNITS[match[2].upper()])
