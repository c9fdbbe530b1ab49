"""Draws composed questions, keeps those whose query has an answer, and divides them into training and test."""

import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
from checks import Checks

from composed.airports import AirportQuestions
from composed.filters import Filters
from composed.flights import FlightQuestions
from composed.parts import Composed
from composed.planes import PlaneQuestions
from composed.weather import WeatherQuestions
from composed.words import Turns, Voice, ways

MAX_ROWS = 400  # one for each day of the year, and some more
HELD_OUT = 0.15
"""Share of the combinations that only the test set asks."""
_OTHER_TABLES = 0.3
_ALWAYS_TRAINED = frozenset({"table", "airline"})  # what has no parts to combine
_HELLO = ways("please |hi, |ok so |quick question: |can you tell me: ||hello, |I was wondering: ", "just curious, ")


@dataclass(frozen=True)
class Row:
    """One question with its gold SQL.

    `combination` are the parts that it is composed of, `new_wordings` how many of them only the test set says so.
    """

    text: str
    sql: str
    combination: str
    ordered: bool
    new_wordings: int

    def row(self, system: str, split: str) -> dict[str, object]:
        """The row of the data files."""
        return {
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": self.text},
                {"role": "assistant", "content": self.sql},
            ],
            "sql": self.sql,
            "ordered": self.ordered,
            "combination": self.combination,
            "new_wordings": self.new_wordings,
            "split": split,
        }


class Composer:
    """Draws questions about the database behind `connection`; deterministic in `seed`.

    `forbidden` are questions that must not be drawn, in any spelling: the hand-written test set.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, seed: int, forbidden: frozenset[str] = frozenset()
    ) -> None:
        def column(sql: str) -> tuple[str, ...]:
            return tuple(row[0] for row in connection.execute(sql).fetchall())

        dests = column("select dest from flights group by dest having count(*) > 100 order by dest")
        tails = column(
            "select tailnum from flights join planes using (tailnum) group by tailnum having count(*) > 150 order by 1"
        )
        airports = connection.execute(
            "select faa, name from airports where length(name) < 32 and regexp_full_match(faa, '[A-Z]{3}') order by faa"
        ).fetchall()
        airlines = dict(connection.execute("select carrier, name from airlines").fetchall())
        self._flights = FlightQuestions(Filters(dests, tails))
        self._other_tables = {
            **WeatherQuestions().shapes,
            **PlaneQuestions(tails).shapes,
            **AirportQuestions(tuple(airports), airlines).shapes,
        }
        self._checks = Checks(connection)
        self._seed = seed
        self._forbidden = frozenset(plain(text) for text in forbidden)

    def train(self) -> Iterator[Row]:
        """Questions for training, without end, no two with the same words."""
        return self._draw("train", testing=False)

    def test(self) -> Iterator[Row]:
        """Questions for the test set: combinations and wordings that `train` never yields."""
        return self._draw("test", testing=True)

    def _draw(self, stream: str, *, testing: bool) -> Iterator[Row]:
        rng = random.Random(f"{self._seed} composed {stream}")
        seen: set[str] = set()
        verdicts: dict[str, bool] = {}
        turns = None if testing else Turns()
        while True:
            voice = Voice(rng, turns)
            asked = voice.weighted(self._other_tables if voice.chance(_OTHER_TABLES) else self._flights.shapes)(voice)
            if self.held_out(asked.combination) != testing or (testing and not voice.new_words):
                continue
            text = _typed(voice, asked)
            key = plain(text)
            if key in seen or key in self._forbidden or "{" in text:
                continue
            if asked.sql not in verdicts:
                sorts = asked.ordered or " limit " in asked.sql
                verdicts[asked.sql] = self._checks.worth_asking(asked.sql, sorts=sorts, max_rows=MAX_ROWS, holes=True)
            if verdicts[asked.sql]:
                seen.add(key)
                yield Row(text, asked.sql, " + ".join(asked.combination), asked.ordered, voice.new_words)

    def held_out(self, combination: tuple[str, ...]) -> bool:
        """Whether a combination is for the test set alone. Single parts never are: something has to teach them."""
        if len(combination) < 3 or combination[0] in _ALWAYS_TRAINED:
            return False
        digest = hashlib.sha256(f"{self._seed} {combination}".encode()).digest()
        return digest[0] < HELD_OUT * 256


def plain(text: str) -> str:
    """A question without what its spelling adds: case, punctuation and spaces."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _typed(voice: Voice, asked: Composed) -> str:
    """The question as somebody types it: tidy, or without capitals, without an end, with a slip."""
    text = (
        re.sub(r"\s+", " ", asked.text)
        .strip()
        .replace(" ,", ",")
        .replace(" ?", "?")
        .replace("Inc..", "Inc.")
        .replace("Co..", "Co.")
    )
    copied = "faa from airports where name" in asked.sql  # a name that has to be copied as it is written
    if voice.chance(0.03) and not copied:
        text = _slip(voice, text)
    if voice.chance(0.05):
        hello = voice.say(_HELLO)
        text = f"{hello}{text[0].lower() if text[:2].istitle() else text[0]}{text[1:]}"
    if voice.chance(0.3) and not copied:
        text = text.lower()
    elif not voice.chance(0.1):
        text = text[0].upper() + text[1:]
    if voice.chance(0.3):
        text = text.rstrip("?.")
    return text


def _slip(voice: Voice, text: str) -> str:
    """One long word of `text` with a letter lost or two letters exchanged."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if len(word) > 6 and word.isalpha() and word.islower()]
    if not places:
        return text
    place = voice.one(places)
    word = words[place]
    at = voice.between(2, len(word) - 3)
    words[place] = (
        word[:at] + word[at + 1 :] if voice.chance(0.5) else word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    )
    return " ".join(words)
