"""A new task beside an old one, at the size of a laptop: parities of two-digit numbers, and additions.

As the ParityMNIST of Shenfeld 2025 (arXiv:2509.04259, section 4), without pictures: to a number any digit of the same
parity is right, so that policies which solve the task can be very different. The model has seen such answers before, a
part of them wrong, and some digits more often than others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from burnish.datasets.examples import Example
from burnish.datasets.rows import Task
from burnish.lab.reasoning.arithmetic import END, Addition, draw
from burnish.text.tokenizer import Tokenizer

ALPHABET = f"{END}0123456789+=?"
NUMBERS = range(10, 100)
RIGHT_BEFORE = 0.8
"""How often the answers that the model has read are right."""
_FALL = 0.5
"""Among the digits of a parity each larger one is so many times as frequent in what it has read."""


@dataclass(frozen=True)
class Parity:
    """A number whose parity an answer must have."""

    number: int

    @property
    def question(self) -> str:
        """What the model is asked."""
        return f"?{self.number}="

    @property
    def right(self) -> list[int]:
        """The digits that are right answers."""
        return [digit for digit in range(10) if digit % 2 == self.number % 2]

    def read(self, rng: np.random.Generator) -> str:
        """An answer as the model has read them: often right, small digits more often than large ones."""
        digits = (
            self.right if rng.random() < RIGHT_BEFORE else [digit for digit in range(10) if digit not in self.right]
        )
        weights = _FALL ** np.arange(5)
        return str(digits[rng.choice(5, p=weights / weights.sum())])


def documents(rng: np.random.Generator, count: int, *, parities: float) -> list[str]:
    """What the model reads at first: additions of two digits, right ones, and a share of parities."""
    found = []
    for _ in range(count):
        if rng.random() < parities:
            parity = Parity(int(rng.choice(NUMBERS)))
            found.append(f"{END}{parity.question}{parity.read(rng)}{END}")
        else:
            addition = draw(rng, 2, heldout=False)
            found.append(f"{END}{addition.question}{addition.answer}{END}")
    return found


def additions(rng: np.random.Generator, count: int) -> list[Addition]:
    """Additions that were not read: the old task."""
    return [draw(rng, 2, heldout=True) for _ in range(count)]


def example(tokenizer: Tokenizer, parity: Parity, answer: str) -> Example:
    """An answer to imitate, with its end."""
    prompt, said = tokenizer.encode(END + parity.question), tokenizer.encode(answer + END)
    return Example([*prompt, *said], [False] * len(prompt) + [True] * len(said))


def tasks(parities: Sequence[Parity]) -> list[Task]:
    """The numbers as rows that a judge reads."""
    return [Task([{"role": "user", "content": one.question}], {"number": one.number}) for one in parities]
