"""Intents and values become questions with gold SQL, every one of them executed before it is kept.

What is held out for the test set:

- phrasings: an intent's `test` phrasings occur nowhere else;
- values: those of divided slots (values.py) never occur in training; for intents whose slots are all shared, the
  combinations of values are divided instead, so that no (intent, values) of the test set occurs in training;
- intents: `unseen` intents occur nowhere else.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
from checks import Checks
from intents import Intent
from values import TEST_SHARE, Pool, Value

MAX_ROWS = 120  # a longer gold result tells no more and costs time in every comparison
_MAX_COMBINATIONS = 4000


@dataclass(frozen=True)
class Question:
    """One question, its gold SQL and where both came from."""

    text: str
    sql: str
    intent: Intent
    values: tuple[str, ...]
    ordered: bool
    split: str

    def row(self, system: str) -> dict[str, object]:
        """The row of the data files: a conversation, and what the verifier reads."""
        return {
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": self.text},
                {"role": "assistant", "content": self.sql},
            ],
            "sql": self.sql,
            "ordered": self.ordered,
            "intent": self.intent.name,
            "values": dict(zip(self.intent.slots, self.values, strict=True)),
            "split": self.split,
        }


class Generator:
    """Draws questions; deterministic in `seed`, and each intent draws from a stream of its own.

    `pools` are the values by slot; `connection` is the database that gold queries are executed in.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, pools: dict[str, Pool], seed: int) -> None:
        self._checks = Checks(connection)
        self._pools = pools
        self._seed = seed

    def train(self, intent: Intent) -> Iterator[Question]:
        """Questions for training, without end unless the values run out; phrasings take turns."""
        return self._draw(intent, intent.train, self._combinations(intent, "train"), "seen")

    def test(self, intent: Intent, *, split: str) -> Iterator[Question]:
        """Questions for the test set, of an intent that is "seen" or "unseen" in training."""
        kind = "test" if split == "seen" else "unseen"
        return self._draw(intent, intent.test, self._combinations(intent, kind), split)

    def _combinations(self, intent: Intent, kind: str) -> list[tuple[Value, ...]]:
        """Shuffled fillings of the intent's slots; those of "train" and "test" have none in common."""
        rng = random.Random(f"{self._seed} {intent.name}")
        pools = [self._pools[slot] for slot in intent.slots]
        if any(pool.train != pool.test for pool in pools):
            rng = random.Random(f"{self._seed} {intent.name} {kind}")
            return _sample(rng, [pool.train if kind == "train" else pool.test for pool in pools])
        every = _sample(rng, [pool.train for pool in pools])
        cut = max(1, int(len(every) * TEST_SHARE))
        return {"train": every[cut:], "test": every[:cut], "unseen": every}[kind]

    def _draw(
        self, intent: Intent, phrasings: Sequence[str], combinations: list[tuple[Value, ...]], split: str
    ) -> Iterator[Question]:
        usable: list[tuple[tuple[Value, ...], str]] = []
        turn = 0
        for combination in combinations:
            sql = intent.sql.format(**{s: v.sql for s, v in zip(intent.slots, combination, strict=True)})
            if not self._checks.worth_asking(sql, sorts=intent.sorts, max_rows=MAX_ROWS):
                continue
            usable.append((combination, sql))
            yield self._question(intent, phrasings[turn % len(phrasings)], combination, sql, split)
            turn += 1
        # Values ran out: ask about each again in the words it has not been asked in.
        for shift in range(1, len(phrasings)):
            for position, (combination, sql) in enumerate(usable):
                yield self._question(intent, phrasings[(position + shift) % len(phrasings)], combination, sql, split)

    @staticmethod
    def _question(intent: Intent, phrasing: str, combination: tuple[Value, ...], sql: str, split: str) -> Question:
        text = phrasing.format(**{s: v.text for s, v in zip(intent.slots, combination, strict=True)})
        text = text.replace("..", ".")  # a name such as "Southwest Airlines Co." at the end of a sentence
        values = tuple(value.text for value in combination)
        return Question(text, sql, intent, values, intent.ordered(phrasing), split)


def _sample(rng: random.Random, pools: Sequence[Sequence[Value]]) -> list[tuple[Value, ...]]:
    """The product of `pools`, shuffled; a sample of it when it is large."""
    size = 1
    for pool in pools:
        size *= len(pool)
    if size <= _MAX_COMBINATIONS:
        product = list(itertools.product(*pools))
        rng.shuffle(product)
        return product
    drawn = (tuple(rng.choice(pool) for pool in pools) for _ in range(_MAX_COMBINATIONS))
    return list(dict.fromkeys(drawn))
