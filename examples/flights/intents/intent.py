"""The record that one intent is."""

import re
from dataclasses import dataclass
from functools import cached_property

# Words by which a question asks for its rows in an order, not merely for the most or the least of something.
_ASKS_FOR_ORDER = re.compile(r"\b(rank the|order|ordered|sort|sorted|first|ascending|descending)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Intent:
    """One kind of question.

    `sql` and the phrasings hold slots in braces (see values.py), the same ones in each. `train` phrasings are for
    training and preference sampling, `test` phrasings for the test set alone.
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
    def sorts(self) -> bool:
        """Whether the outermost query sorts its rows."""
        return re.search(r" order by [^()]*(\([^()]*\))?[^()]*$", self.sql) is not None

    def ordered(self, phrasing: str) -> bool:
        """Whether the order of the result's rows matters: the query sorts them and the question asks for it."""
        several = not self.sql.endswith(" limit 1")
        return self.sorts and several and _ASKS_FOR_ORDER.search(phrasing) is not None

    def __post_init__(self) -> None:
        for phrasing in (*self.train, *self.test):
            if set(re.findall(r"{(\w+)}", phrasing)) != set(self.slots):
                raise ValueError(f"intent {self.name}: the slots of {phrasing!r} are not those of {self.sql!r}")
