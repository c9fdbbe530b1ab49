"""Judging a number: whether a completion ends with the one that the row gives, as in GSM8K.

Notable choices:
- numbers are compared exactly, as fractions: 0.5, 1/2, .50 and 50% are one number, 0.333 is not 1/3;
- nothing is evaluated: an answer is the number that is written, never an expression that has to be computed;
- the unit does not count, and a percent sign is one where the other side has none: 25% is 25.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from burnish.errors import DataError
from burnish.rewards.format import answer_block
from burnish.rewards.verdict import Verdict

_MARK = "####"
_LONGEST = 100
"""Characters of the longest number that is read: a model may write digits without end."""
_UNSIGNED = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(
    rf"""(?<![\w.,])                              # not inside a word or another number
         (?P<sign>(?<![\w)%])[-+−]\s?)?           # a sign, unless something is subtracted from
         [$€£]?\s?(?P<inner>(?<=[$€£])[-+−])?     # -$5 and $-5
         (?P<value>{_UNSIGNED})
         (?:\s?/\s?(?P<over>\d+(?![\d.,]*\d)))?   # 3/4
         (?P<percent>\s?\\?%)?""",
    re.VERBOSE,
)
_FRACTION = re.compile(r"\\[dt]?frac\{(-?\d+)\}\{(\d+)\}")


@dataclass(frozen=True)
class Number:
    """A number as it was written."""

    value: Fraction
    percent: bool = False

    def equals(self, other: "Number") -> bool:
        """The same number; a percentage is compared with a plain one by its digits or by its value."""
        if self.value == other.value:
            return True
        return self.percent != other.percent and self._share() == other._share()

    def _share(self) -> Fraction:
        return self.value / 100 if self.percent else self.value


def last_number(text: str) -> Number | None:
    """The last number in a text, or None."""
    text = _FRACTION.sub(r"\1/\2", text).replace("{,}", ",")
    return next((found for match in reversed(list(_NUMBER.finditer(text))) if (found := _read(match))), None)


def answer_number(completion: str) -> Number | None:
    """The number that a completion gives as its answer.

    That is the last number of `<answer>…</answer>`; without the tag the first one after the last `####`; without
    that the last one of all.
    """
    answer = answer_block(completion)
    if answer is not None:
        return last_number(answer)
    _, mark, after = completion.rpartition(_MARK)
    if not mark:
        return last_number(completion)
    text = _FRACTION.sub(r"\1/\2", after).replace("{,}", ",")
    match = _NUMBER.search(text)
    return None if match is None else _read(match)


@dataclass(frozen=True)
class NumberVerifier:
    """A completion is right if the number it answers with is that of the row's `key`.

    The row's value is a number or a text as `answer_number` reads it, such as GSM8K's answers, which end in `#### N`.
    """

    key: str = "answer"

    def __call__(self, completion: str, row: Mapping[str, Any]) -> Verdict:
        expected = self.gold(row)
        found = answer_number(completion)
        if found is None:
            return Verdict(False, "no number", "the completion has no number")
        if found.equals(expected):
            return Verdict(True, "correct")
        return Verdict(False, "wrong number", f"answered {found.value}, expected {expected.value}")

    def verify_many(self, completions: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        """Judge `completions[i]` against `rows[i]`."""
        return [self(completion, row) for completion, row in zip(completions, rows, strict=True)]

    def gold(self, row: Mapping[str, Any]) -> Number:
        """The row's number. Raises DataError where it has none."""
        value = row.get(self.key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        number = answer_number(str(value)) if isinstance(value, str) or is_number else None
        if number is None:
            raise DataError(
                f"'{self.key}': no number in {value!r:.80}; expected one, or a text that ends with `#### N`"
            )
        return number


def _read(match: re.Match[str]) -> Number | None:
    written = match["value"].replace(",", "")
    over = match["over"] or "1"
    if len(written) > _LONGEST or len(over) > _LONGEST or not int(over):
        return None
    negative = ((match["sign"] or "").strip() + (match["inner"] or "")) in ("-", "−")
    value = Fraction(written) / int(over)
    return Number(-value if negative else value, match["percent"] is not None)
