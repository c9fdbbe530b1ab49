"""Additions in characters, and the ways to write an answer down: at once, column by column, or by running totals.

Notable choices:
- a way is known by its characters, so that what a model does is seen in what it says;
- the reward reads what stands behind the last `;` and nothing else: how an answer came about is never judged;
- a hash of the problem decides whether it is only for measuring: no order, seed or way of drawing can mix the two.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from tokenizers import Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from burnish.datasets.rows import Task
from burnish.text.tokenizer import Tokenizer

Way = Literal["direct", "columns", "totals"]
WAYS: tuple[Way, ...] = get_args(Way)

END = "\n"
"""Ends an answer, and stands before every problem."""
ALPHABET = f"{END}0123456789+=;"
ALIGNED_ALPHABET = f"{ALPHABET} "
WIDTH = 7
"""Characters of each number of an aligned question."""

_HELDOUT = 16
"""One problem of so many is held out."""


@dataclass(frozen=True)
class Addition:
    """Two numbers of so many digits each."""

    a: int
    b: int
    digits: int

    @property
    def question(self) -> str:
        """What the model is asked."""
        return f"{self.a}+{self.b}="

    @property
    def aligned(self) -> str:
        """The same with both numbers right-aligned, as one writes them below each other.

        Digits of one place then stand at one position in every question, and a small model finds them much sooner.
        """
        return f"{self.a:>{WIDTH}}+{self.b:>{WIDTH}}="

    @property
    def answer(self) -> str:
        """What it is to come to."""
        return str(self.a + self.b)

    @property
    def heldout(self) -> bool:
        """Whether the problem is only for measuring."""
        return zlib.crc32(self.question.encode()) % _HELDOUT == 0


def written(problem: Addition, way: Way) -> str:
    """A right answer in one of the ways, of 457 + 86:

    direct    543
    columns   760=13;581=14;401=05;543   digit, digit, carry = carry, digit; from the right
    totals    463;543;543;543            457 + 6, then + 80, then + 0; the answer
    """
    if way == "direct":
        return problem.answer
    steps, carry = [], 0
    for place in range(problem.digits):
        unit = 10**place
        a, b = problem.a // unit % 10, problem.b // unit % 10
        if way == "totals":
            steps.append(str(problem.a + problem.b % (10 * unit)))
            continue
        total = a + b + carry
        steps.append(f"{a}{b}{carry}={total:02}")
        carry = total // 10
    return ";".join([*steps, problem.answer])


def longest_answer(digits: int) -> int:
    """Characters of the longest right answer to additions of so many digits, with its end."""
    nines = Addition(10**digits - 1, 10**digits - 1, digits)
    return max(len(written(nines, way)) for way in WAYS) + len(END)


def way_of(answer: str) -> Way:
    """The way that an answer is written in, right or wrong."""
    return "columns" if "=" in answer else "totals" if ";" in answer else "direct"


def is_right(problem: Addition, answer: str) -> bool:
    """Whether an answer ends with the sum."""
    return answer.rpartition(";")[2] == problem.answer


def draw(rng: np.random.Generator, digits: int, *, heldout: bool) -> Addition:
    """A problem of one side; the numbers have no leading zero."""
    low = 0 if digits == 1 else 10 ** (digits - 1)
    while True:
        a, b = (int(number) for number in rng.integers(low, 10**digits, size=2))
        problem = Addition(a, b, digits)
        if problem.heldout == heldout:
            return problem


def documents(
    rng: np.random.Generator, *, digits: int, shares: Mapping[Way, float], count: int, heldout: bool = False
) -> list[str]:
    """So many aligned problems of 1 to `digits` digits with right answers, each with its ends.

    shares: how often an answer is written in each way.
    """
    ways, weights = list(shares), np.array(list(shares.values()))
    sizes = rng.integers(1, digits + 1, size=count)
    chosen = rng.choice(len(ways), size=count, p=weights / weights.sum())
    problems = [draw(rng, int(size), heldout=heldout) for size in sizes]
    return [
        END + problem.aligned + written(problem, ways[way]) + END
        for problem, way in zip(problems, chosen.tolist(), strict=True)
    ]


def character_tokenizer(alphabet: str = ALPHABET) -> Tokenizer:
    """A token for each character; the first of them ends an answer."""
    backend = Backend(models.WordLevel({character: number for number, character in enumerate(alphabet)}))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    return Tokenizer(backend=backend, source="characters", eos_id=0, stop_ids=frozenset([0]))


def tasks(problems: Sequence[Addition]) -> list[Task]:
    """The problems as rows that judges read."""
    return [
        Task([{"role": "user", "content": one.question}], {"a": one.a, "b": one.b, "digits": one.digits})
        for one in problems
    ]
