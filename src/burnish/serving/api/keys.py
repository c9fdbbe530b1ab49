"""API keys: a file with a name and a hash a line, never a key.

A key is 256 random bits, so that a plain SHA-256 of it cannot be searched for.
"""

import hashlib
import hmac
import re
import secrets
from pathlib import Path

from burnish.errors import BurnishError
from burnish.files import atomic_write_text

_LINE = re.compile(r"(?P<name>[\w.-]{1,64}) sha256:(?P<hash>[0-9a-f]{64})")


def read_keys(file: Path) -> dict[str, str]:
    """Hashes by name. Raises BurnishError for a line that is none, naming it, and where there is no key at all."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BurnishError(f"{file}: cannot be read ({error}); make a key: burnish serve --new-key NAME") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line.strip())
        if parts is None:
            raise BurnishError(
                f"{file}:{number}: expected a name and a hash (NAME sha256:...), as burnish serve --new-key writes them"
            )
        if parts["name"] in found:
            raise BurnishError(f"{file}:{number}: a second key named {parts['name']}; give it another name")
        found[parts["name"]] = parts["hash"]
    if not found:
        raise BurnishError(f"{file}: has no key; make one: burnish serve --keys {file} --new-key NAME")
    return found


def add_key(file: Path, name: str) -> str:
    """A new key, of which the file gets the hash; it is shown once and cannot be found again."""
    known = read_keys(file) if file.exists() else {}
    if not re.fullmatch(r"[\w.-]{1,64}", name):
        raise BurnishError(f"--new-key {name!r}: expected up to 64 letters, digits, dots, dashes or underscores")
    if name in known:
        raise BurnishError(f"{file}: has a key named {name} already; remove its line or take another name")
    key = f"burnish-{secrets.token_urlsafe(32)}"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    if text and not text.endswith("\n"):
        text += "\n"
    atomic_write_text(file, f"{text}{name} sha256:{_hash(key)}\n")
    return key


def owner(keys: dict[str, str], key: str) -> str | None:
    """The name of a key, None for an unknown one; takes as long for a near miss as for another."""
    hashed, found = _hash(key), None
    for name, known in keys.items():
        if hmac.compare_digest(hashed, known):
            found = name
    return found


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
