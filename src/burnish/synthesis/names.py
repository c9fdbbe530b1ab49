"""What a term names: a function with its parameters, a class, an option, or a thing."""

import re
from dataclasses import dataclass

_SIGNATURE = re.compile(
    r"(?:[\w*&]+[ *&]+)*(?P<name>[\w.:$~]+)(?P<arguments>\(.*\))(?:\s*(?:->|→).*|\s+[\w.]+)?$", re.DOTALL
)
_KEYWORD = re.compile(
    r"(?:class|exception|module|struct|interface|enum|type|attribute|data|const|static)\s+(?P<name>\S+)$"
)


@dataclass(frozen=True, slots=True)
class Named:
    """What a definition's term names: its name, and the parenthesis behind it where it can be called."""

    name: str
    arguments: str = ""

    @property
    def code(self) -> bool:
        """Whether it is written as code."""
        return bool(self.arguments) or re.fullmatch(r"[\w.:$-]*[_.:$][\w.:$]*|--?\w[\w-]*", self.name) is not None

    @property
    def shown(self) -> str:
        """As a question writes it."""
        return f"`{self.name}{'()' if self.arguments else ''}`" if self.code else self.name


def named(term: str) -> Named | None:
    """What a term names; None where it is none, such as a sentence."""
    bare = term.strip().strip("`").strip()
    if (signature := _SIGNATURE.match(bare)) is not None:
        return Named(signature["name"], " ".join(signature["arguments"].split()))
    if (keyword := _KEYWORD.match(bare)) is not None:
        return Named(keyword["name"])
    if not bare or len(bare.split()) > 6 or bare.endswith((".", ":", ";", "?", "!")) or not re.search(r"\w", bare):
        return None
    return Named(bare)


def defaults(arguments: str) -> list[tuple[str, str]]:
    """Parameters of a signature that have a default, with it as written."""
    inner = arguments[1:-1].replace("[,", ",").replace("]", "") if arguments.count("[") == arguments.count("]") else ""
    if "[," not in arguments:
        inner = arguments[1:-1]
    found = []
    for part in _top_level(inner):
        match = re.fullmatch(r"\s*\**(\w+)\s*(?::[^=]*)?=\s*(.{1,40}?)\s*", part)
        if match is not None and match[2].count("(") == match[2].count(")"):
            found.append((match[1], match[2]))
    return found


def _top_level(text: str) -> list[str]:
    """The parts between the commas that stand in no bracket and no quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def looks(value: str) -> str:
    """What kind of value a text is, so that a wrong option is of the same kind."""
    bare = value.strip("`")
    if re.fullmatch(r"[-+]?\d[\d,._]*", bare):
        return "number"
    if bare[:1] in "\"'":
        return "text"
    return "word" if re.fullmatch(r"[\w.]+", bare) else "other"
