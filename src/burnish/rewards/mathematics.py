"""Mathematics: whether the expression that a completion gives equals the row's, by math-verify.

Notable choices:
- what is read is the inside of `<answer>…</answer>`, else the last `\\boxed{…}`, else the last formula or number;
- math-verify runs in a process of its own: what takes longer than its time is wrong, and ends only that process;
- many answers of a group are the same text, which is judged once.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.rewards.format import R1_TAGS, Tags
from burnish.rewards.judgement import Judgement, verdict
from burnish.rewards.scorer import Scorer
from burnish.rewards.votes import Election, elect_equal

MAX_CHARACTERS = 20_000
"""Of an answer that is read, from its end."""
_WORDS = re.compile(r"[^\W\d_]{2,}\s+[^\W\d_]{2,}")
_MATHEMATICAL = re.compile(r"[\d\\$=]")
_BOXED = "\\boxed{"
Read = tuple[str, bool]
"""A text, and whether it is an answer alone."""


def last_boxed(text: str) -> str | None:
    """What the last `\\boxed{…}` holds, also where a cut completion never closes it; None where there is none."""
    _, found, rest = text.rpartition(_BOXED)
    depth = 1
    for place, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if not depth:
            return rest[:place]
    return rest if found else None


def gold_text(row: Mapping[str, Any], key: str) -> str:
    """The expected expression of a row, as text. Raises DataError where there is none."""
    value = row.get(key)
    text = "" if isinstance(value, bool) or not isinstance(value, str | int | float) else str(value).strip()
    if not text or (_WORDS.search(text) and not _MATHEMATICAL.search(text)):
        raise DataError(
            f"'{key}': got {value!r:.80}; expected a number or a formula, such as 12 or \\frac{{1}}{{2}}; `exact` "
            "compares words"
        )
    return text


@dataclass(frozen=True)
class MathVerifier:
    """A completion is right if what it answers equals the expression under the row's `key`."""

    scorer: Scorer
    key: str = "answer"
    tags: Tags = R1_TAGS
    _judged: dict[tuple[str, Read], Judgement] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, answers: Sequence[Answer], /) -> list[Judgement]:
        """Judge each answer."""
        self._judged.clear()
        return [self._verify(answer) for answer in answers]

    def elect(self, answers: Sequence[Answer], /) -> Election:
        """The answer whose expression equals that of most."""

        @cache
        def equal(one: Read, other: Read) -> bool:
            reply = self.scorer.ask({"gold": one, "said": other})
            return one == other or (reply is not None and reply.get("right") is True)

        said = [self._said(answer.text) for answer in answers]
        return elect_equal([one if one[0] else None for one in said], equal)

    def check(self, row: Mapping[str, Any]) -> None:
        """Raise DataError where the row's expression cannot be read."""
        gold = gold_text(row, self.key)
        reply = self.scorer.ask({"gold": (gold, True), "said": (gold, True)})
        if reply is None or reply.get("expected") is None:
            why = "takes too long to read" if reply is None else reply.get("error", "math-verify finds none in it")
            raise DataError(f"'{self.key}': {why}: {gold[:80]!r}; expected a number or a formula")

    def _said(self, text: str) -> Read:
        said = self.tags.without_thoughts(text)
        block = self.tags.answer_block(said)
        answer = (said if block is None else block)[-MAX_CHARACTERS:]
        boxed = last_boxed(answer)
        return (answer if boxed is None else boxed).strip(), block is not None or boxed is not None

    def _verify(self, answer: Answer) -> Judgement:
        asked = (gold_text(answer.row, self.key), self._said(answer.text))
        if asked not in self._judged:
            self._judged[asked] = self._asked(*asked) if asked[1][0] else verdict(False, "no answer", "it says nothing")
        return self._judged[asked]

    def _asked(self, gold: str, said: Read) -> Judgement:
        reply = self.scorer.ask({"gold": (gold, True), "said": said})
        if reply is None:
            return verdict(False, "too slow", f"took longer than {self.scorer.timeout_seconds:g} s to compare")
        if reply.get("right") is True:
            return verdict(True)
        if reply.get("found") is None:
            return verdict(False, "no expression", str(reply.get("error", "there is no number or formula in it")))
        return verdict(False, "another value", f"answered {str(reply['found'])[:80]}, expected {gold[:80]}")
