"""Additions as a base model reads them: answered at once, or thought through, column by column, in two languages.

A reward can only choose among what a model does already now and then. So most of the texts give the sum at once, and a
minority thinks in the paper's tags, right to left, each column with its carry:

    <think> first the ones 7+6+0=13 then tens 5+8+1=14 then hundreds 4+0+1=05 </think> <answer> 543 </answer>

Some of these are in Chinese, some change between the languages, as R1-Zero's thoughts did; in some a column is checked
the other way round, or a slip is noticed and mended.
"""

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

_HELDOUT = 16
"""One problem of so many is only for measuring; a hash of the problem decides."""


@dataclass(frozen=True)
class Words:
    """What a language calls the columns, and what it says between them."""

    first: str
    then: str
    places: Sequence[str]
    check: str
    wait: str


ENGLISH = Words("first the", "then", ("ones", "tens", "hundreds", "thousands", "millions"), "check", "wait")
CHINESE = Words("先", "再", ("个位", "十位", "百位", "千位", "万位"), "检查", "等等")
CHECK = " and check"
LONGEST = len(ENGLISH.places)
"""Digits that there are words for."""


@dataclass(frozen=True)
class Thinking:
    """Shares of the thoughts: in Chinese, changing languages, checked, and with slips that are mended."""

    chinese: float = 0.2
    mixed: float = 0.2
    checked: float = 0.1
    slips: float = 0.05


@dataclass(frozen=True)
class Addition:
    """Two numbers of so many digits each."""

    a: int
    b: int
    digits: int

    @property
    def question(self) -> str:
        """What is asked; with `CHECK` behind it, each column is to be checked."""
        return f"Add {self.a}+{self.b}"

    @property
    def answer(self) -> int:
        return self.a + self.b

    @property
    def heldout(self) -> bool:
        return zlib.crc32(self.question.encode()) % _HELDOUT == 0


def drawn(draw: random.Random, digits: int, *, heldout: bool) -> Addition:
    """A problem of one side; the numbers have no leading zero."""
    low = 0 if digits == 1 else 10 ** (digits - 1)
    while True:
        problem = Addition(draw.randrange(low, 10**digits), draw.randrange(low, 10**digits), digits)
        if problem.heldout == heldout:
            return problem


def tagged(thoughts: str, answer: object) -> str:
    """Thoughts and answer in the paper's tags."""
    return f"<think> {thoughts} </think> <answer> {answer} </answer>"


def thought(problem: Addition, draw: random.Random, shares: Thinking, *, checked: bool | None = None) -> str:
    """A right answer, thought through. checked: whether each column is checked; drawn if None."""
    language = draw.random()
    mixed = language < shares.mixed
    words = CHINESE if not mixed and language < shares.mixed + shares.chinese else ENGLISH
    checked = draw.random() < shares.checked if checked is None else checked
    slips = draw.random() < shares.slips
    steps, carry = [], 0
    for place in range(problem.digits):
        if mixed:
            words = draw.choice((ENGLISH, CHINESE))
        a, b = problem.a // 10**place % 10, problem.b // 10**place % 10
        total = a + b + carry
        steps.append(f"{words.then if place else words.first} {words.places[place]}")
        if slips and draw.random() < 0.5:
            steps.append(f"{a}+{b}+{carry}={(total + draw.choice((1, 10, 19))) % 20:02} {words.wait}")
        steps.append(f"{a}+{b}+{carry}={total:02}")
        if checked:
            steps.append(f"{words.check} {b}+{a}+{carry}={total:02}")
        carry = total // 10
    return tagged(" ".join(steps), problem.answer)
