"""What every verifier returns, and what the stages that sample, align and evaluate ask of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Verdict:
    """The judgement of one completion.

    `reason` is one of a verifier's few fixed words, fit for counting; `detail` is for a person to read.
    """

    correct: bool
    reason: str
    detail: str = ""


class Verifier(Protocol):
    """Judges completions against rows of a task file; a row holds whatever the verifier reads."""

    def __call__(self, completion: str, row: Mapping[str, Any]) -> Verdict:
        """Judge one completion."""
        ...

    def verify_many(self, completions: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        """Judge `completions[i]` against `rows[i]`."""
        ...
