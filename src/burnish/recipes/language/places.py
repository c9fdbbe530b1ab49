"""What is wrong with a recipe, and where: places, problems, and the one error that lists them all."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from burnish.errors import RecipeError

MAX_SHOWN = 20
"""Problems that one error lists; further ones are counted."""
_LONGEST_KEY = 80
_LONGEST_WORD = 300
_LONGEST_TEXT = 2000

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the root of a recipe: `("stages", 3, "training")`."""


@dataclass(frozen=True)
class Place:
    """Where a key or value was written: a line of a file (counted from 1), or a `--set` option (no line)."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return clipped(self.source, 4 * _LONGEST_KEY) if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """One thing to mend; `path` is empty where the place says everything."""

    place: Place
    path: KeyPath
    text: str

    def __str__(self) -> str:
        # A path or name of thousands of characters must not hide what is to be done about it.
        words = re.sub(rf"\S{{{_LONGEST_WORD},}}", lambda word: clipped(word[0], _LONGEST_KEY) + word[0][-1], self.text)
        text = clipped(words, _LONGEST_TEXT)
        return f"{self.place}: {dotted(self.path)}: {text}" if self.path else f"{self.place}: {text}"


@dataclass
class Source:
    """A recipe as plain values, with the place of every key and value."""

    file: str
    data: dict[str, Any]
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    has_lines: bool = True

    def key_place(self, path: KeyPath) -> Place:
        """Where the key at `path` stands; for a list item, where the item stands."""
        return self.keys.get(path) or self.value_place(path)

    def value_place(self, path: KeyPath) -> Place:
        """Where the value at `path` stands; for a value that was not written, its nearest written parent."""
        while path:
            if path in self.values:
                return self.values[path]
            path = path[:-1]
        return Place(self.file, 1, 1) if self.has_lines else Place(self.file)

    def forget_below(self, path: KeyPath) -> None:
        """Drop the places of what an override has replaced."""
        for places in (self.keys, self.values):
            for known in [known for known in places if len(known) > len(path) and known[: len(path)] == path]:
                del places[known]


def dotted(path: KeyPath) -> str:
    """`("stages", 3, "training")` -> `stages[3].training`."""
    text = ""
    for step in path:
        key = f"[{step}]" if isinstance(step, int) else clipped(step, _LONGEST_KEY)
        text += f".{key}" if text and isinstance(step, str) else key
    return text


def clipped(text: str, limit: int) -> str:
    """At most `limit` characters of a text."""
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` is most likely a slip of, if one is close enough."""
    candidates = list(known)
    folded = {candidate.lower().replace("-", "_"): candidate for candidate in candidates}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no known word is close."""
    if len(word) > _LONGEST_KEY:
        return ""
    close = nearest(word, known)
    return f"; did you mean '{close}'?" if close else ""


def in_order(place: Place) -> tuple[bool, int]:
    """Sorts places as a reader meets them: the file's lines, then options."""
    return place.line is None, place.line or 0


def raise_problems(problems: Sequence[Problem], file: str, *, further: int = 0) -> None:
    """Raise one RecipeError that lists the first problems in the order of the file; do nothing when there are none.

    further: problems that are only counted.
    """
    if not problems:
        return
    ordered = sorted(problems, key=lambda problem: in_order(problem.place))
    lines = list(dict.fromkeys(str(problem) for problem in ordered))
    if len(lines) + further == 1:
        raise RecipeError(lines[0])
    more = len(lines) - MAX_SHOWN + further if len(lines) > MAX_SHOWN else further
    shown = [f"  {line}" for line in lines[:MAX_SHOWN]] + ([f"  and {more:,} more"] if more else [])
    raise RecipeError("\n".join([f"{file}: {len(lines) + further:,} problems", *shown]))
