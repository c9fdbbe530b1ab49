"""The record that one intent is."""

import re
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Intent:
    """One kind of question.

    `sql` and the phrasings hold slots in braces (see values.py), the same ones in each. `train` phrasings are for training
    and preference sampling, `test` phrasings for the test set alone. An intent is `ordered` when its
    SQL sorts, and it sorts exactly when the question asks for an order or for the extremes of one.
    """

    name: str
    sql: str
    train: tuple[str, ...]
    test: tuple[str, ...]

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """Names of the slots, in the order of the SQL."""
        return tuple(dict.fromkeys(re.findall(r"{(\w+)}", self.sql)))

    @cached_property
    def ordered(self) -> bool:
        """Whether the order of the result's rows matters: the outermost query sorts."""
        return re.search(r" order by [^()]*(\([^()]*\))?[^()]*$", self.sql) is not None

    def __post_init__(self) -> None:
        for phrasing in (*self.train, *self.test):
            if set(re.findall(r"{(\w+)}", phrasing)) != set(self.slots):
                raise ValueError(f"intent {self.name}: the slots of {phrasing!r} are not those of {self.sql!r}")
