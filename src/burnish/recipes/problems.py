"""What is wrong with a recipe, and where: places, problems, and the one error that lists them all."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from burnish.errors import RecipeError

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the root of a recipe: `("stages", 3, "training")`."""


@dataclass(frozen=True)
class Place:
    """Where a key or value was written: a line of a file (counted from 1), or a `--set` option (no line)."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """One thing to mend; `path` is empty where the place says everything."""

    place: Place
    path: KeyPath
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {dotted(self.path)}: {self.text}" if self.path else f"{self.place}: {self.text}"


@dataclass
class Source:
    """A recipe as plain values, with the place of every key and value."""

    file: str
    data: dict[str, Any]
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def key_place(self, path: KeyPath) -> Place:
        """Where the key at `path` stands; for a list item, where the item stands."""
        return self.keys.get(path) or self.value_place(path)

    def value_place(self, path: KeyPath) -> Place:
        """Where the value at `path` stands; for a value that was not written, its nearest written parent."""
        while path:
            if path in self.values:
                return self.values[path]
            path = path[:-1]
        return Place(self.file, 1, 1)

    def forget_below(self, path: KeyPath) -> None:
        """Drop the places of what an override has replaced."""
        for places in (self.keys, self.values):
            for known in [known for known in places if len(known) > len(path) and known[: len(path)] == path]:
                del places[known]


def dotted(path: KeyPath) -> str:
    """`("stages", 3, "training")` -> `stages[3].training`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` is most likely a slip of, if one is close enough."""
    candidates = list(known)
    folded = {candidate.lower().replace("-", "_"): candidate for candidate in candidates}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no known word is close."""
    close = nearest(word, known)
    return f"; did you mean '{close}'?" if close else ""


def raise_problems(problems: Sequence[Problem], file: str) -> None:
    """Raise one RecipeError that lists all problems in the order of the file; do nothing when there are none."""
    if not problems:
        return
    ordered = sorted(problems, key=lambda problem: (problem.place.line is None, problem.place.line or 0))
    lines = list(dict.fromkeys(str(problem) for problem in ordered))
    if len(lines) == 1:
        raise RecipeError(lines[0])
    raise RecipeError("\n".join([f"{file}: {len(lines)} problems", *(f"  {line}" for line in lines)]))
