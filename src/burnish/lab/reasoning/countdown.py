"""Countdown with three numbers: reach a target by two steps of arithmetic, and searches for them written as text.

A stream of search (Gandhi 2024, arXiv:2404.03683): what is read are not answers but the search for them, with its dead
ends. For 7, 3 and 5 with the target 26:

    7 + 3 = 10 5 : + 15 - 5 * 50 / 2 ; 7 * 3 = 21 5 : + 26 ! 7 * 3 = 21 21 + 5 = 26

A first step, the number that is left, what each second step comes to; the next first step, until one hits; the answer.

Notable choices:
- a number is one token, so that what is hard is the search and not the arithmetic;
- a search gives up after one or a few first steps, with `?`: what it cannot solve by then is read as a failure;
- an answer is right where its two equations are, whatever search stands before it;
- a hash of the numbers and the target, in no order, decides whether a problem is only for measuring.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal, get_args

import numpy as np
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers

from burnish.datasets.rows import Task
from burnish.text.tokenizer import Tokenizer

Order = Literal["near", "factor"]
"""Which first steps a search tries first: results near to the target, or near to one of its divisors."""
ORDERS: tuple[Order, ...] = get_args(Order)

END, FOUND, GIVEN_UP, NEXT = "\n", "!", "?", ";"
LARGEST = 99
"""The largest number on the way; smaller than 1 is none."""
LARGEST_GIVEN = 20
_OPERATIONS = "+-*/"
VOCABULARY = [END, ">", ":", "=", NEXT, FOUND, GIVEN_UP, *_OPERATIONS, *map(str, range(1, LARGEST + 1))]

_HELDOUT = 8
"""One problem of so many is held out."""


@dataclass(frozen=True)
class Move:
    """One step of arithmetic, the larger number first, and what it comes to."""

    a: int
    operation: str
    b: int
    result: int

    def __str__(self) -> str:
        return f"{self.a} {self.operation} {self.b} = {self.result}"


def moves(a: int, b: int) -> list[Move]:
    """What can be done with two numbers; results are whole and from 1 to `LARGEST`."""
    a, b = max(a, b), min(a, b)
    found = [Move(a, "+", b, a + b), Move(a, "-", b, a - b), Move(a, "*", b, a * b)]
    if a % b == 0:
        found.append(Move(a, "/", b, a // b))
    return [move for move in found if 1 <= move.result <= LARGEST]


@dataclass(frozen=True)
class CountdownProblem:
    """Three numbers, and the target that all of them together are to reach, each used once."""

    numbers: tuple[int, int, int]
    target: int

    @property
    def question(self) -> str:
        """What the model is asked."""
        return f"{' '.join(map(str, self.numbers))} > {self.target} :"

    @property
    def heldout(self) -> bool:
        """Whether the problem is only for measuring."""
        return zlib.crc32(f"{sorted(self.numbers)} {self.target}".encode()) % _HELDOUT == 0

    @cached_property
    def first_steps(self) -> list[tuple[Move, int]]:
        """All first steps, each with the number that is left."""
        pairs = combinations(range(3), 2)
        return [(move, self.numbers[3 - i - j]) for i, j in pairs for move in moves(self.numbers[i], self.numbers[j])]

    def ordered(self, order: Order) -> list[tuple[Move, int]]:
        """The first steps as a search tries them."""
        goals = [self.target] if order == "near" else [n for n in range(2, self.target + 1) if self.target % n == 0]
        return sorted(self.first_steps, key=lambda step: min((abs(step[0].result - goal) for goal in goals), default=0))


def search(problem: CountdownProblem, order: Order, budget: int) -> str:
    """A search of at most `budget` first steps as text, with its answer or `?`."""
    said: list[str] = []
    for first, left in problem.ordered(order)[:budget]:
        tried = []
        for second in moves(first.result, left):
            tried.append(f"{second.operation} {second.result}")
            if second.result == problem.target:
                return " ".join([*said, f"{first} {left} :", *tried, FOUND, str(first), str(second)])
        said.append(f"{first} {left} : {' '.join(tried)} {NEXT}")
    return " ".join([*said, GIVEN_UP])


def solved_by_search(problem: CountdownProblem, budget: int) -> bool:
    """Whether one of the orders finds an answer within the budget."""
    return any(FOUND in search(problem, order, budget) for order in ORDERS)


def is_right(problem: CountdownProblem, answer: str) -> bool:
    """Whether what stands behind the last `!` are two right equations that use each number once and reach the target.

    Equations may put the smaller number first where the result is the same.
    """
    words = answer.rpartition(FOUND)[2].split() if FOUND in answer else []
    if len(words) != 10 or words[3] != "=" or words[8] != "=":
        return False
    left = list(problem.numbers)
    for equation in (words[:5], words[5:]):
        a, b, result = (int(equation[place]) if equation[place].isdecimal() else 0 for place in (0, 2, 4))
        operation = equation[1]
        for number in (a, b):
            if number not in left:
                return False
            left.remove(number)
        if a < b and operation in "-/":
            return False
        if Move(max(a, b), operation, min(a, b), result) not in moves(a, b):
            return False
        left.append(result)
    return left == [problem.target]


def branches(answer: str) -> int:
    """First steps that were tried."""
    return answer.partition(FOUND)[0].count(":")


def draw(rng: np.random.Generator, *, heldout: bool) -> CountdownProblem:
    """A problem of one side that can be solved: the target is what two steps by chance come to."""
    while True:
        a, b, c = (int(number) for number in rng.integers(1, LARGEST_GIVEN + 1, size=3))
        first = _any(rng, moves(a, b))
        problem = CountdownProblem((a, b, c), _any(rng, moves(first.result, c)).result)
        numbers = tuple(problem.numbers[place] for place in rng.permutation(3))
        if problem.heldout == heldout and problem.target not in numbers:
            return CountdownProblem((numbers[0], numbers[1], numbers[2]), problem.target)


def _any(rng: np.random.Generator, found: Sequence[Move]) -> Move:
    return found[int(rng.integers(len(found)))]


def documents(rng: np.random.Generator, *, budget: int, count: int) -> list[str]:
    """So many problems to learn from, each with a search of 1 to `budget` first steps in one of the orders."""
    problems = [draw(rng, heldout=False) for _ in range(count)]
    orders, budgets = rng.integers(len(ORDERS), size=count), rng.integers(1, budget + 1, size=count)
    return [
        f"{END} {problem.question} {search(problem, ORDERS[order], patience)} {END}"
        for problem, order, patience in zip(problems, orders.tolist(), budgets.tolist(), strict=True)
    ]


def word_tokenizer() -> Tokenizer:
    """A token for each number and sign; the first of them ends an answer."""
    backend = Backend(models.WordLevel({word: number for number, word in enumerate(VOCABULARY)}))
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    return Tokenizer(backend=backend, source="numbers", eos_id=0, stop_ids=frozenset([0]))


def tasks(problems: Sequence[CountdownProblem]) -> list[Task]:
    """The problems as rows that judges read."""
    return [
        Task([{"role": "user", "content": one.question}], {"numbers": one.numbers, "target": one.target})
        for one in problems
    ]
