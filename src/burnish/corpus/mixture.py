"""How much of each source is read: weights or a temperature, caps on repeats, and draws that keep to them all along.

A source is a name: of the documents of a corpus, of the kind of task of a conversation.
"""

from collections.abc import Iterator, Mapping, Sequence, Sized

from pydantic import BaseModel, ConfigDict, Field

from burnish.errors import DataError

MAX_SOURCES = 1000
"""Sources of a mixture at most."""
SHOWN = 8
"""Names that an error lists."""


class Mixture(BaseModel):
    """Shares of sources in what is trained on, whatever their sizes.

    By temperature T the share of a source of size n is n^(1/T) of the sum of these (Conneau 2019, arXiv:1911.02116,
    whose α is 1/T). A cap on repeats keeps a small source from being learned by heart; what it leaves is
    read of the others, by their shares (Chung 2023, arXiv:2304.09151, algorithm 1).
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    weights: dict[str, float] = Field(
        {}, description="share of each source, by its name; of numbers that do not add up to 1 their shares of the sum"
    )
    temperature: float = Field(
        1.0, gt=0, description="1 reads sources as they are large, a higher one small ones more often than that"
    )
    max_repeats: float | None = Field(
        None, ge=1, description="how often a source may be read; the others fill its share"
    )

    def problem(self) -> tuple[str, str] | None:
        """What no type shows to be wrong, the key first; None where nothing is."""
        if self.weights and self.temperature != 1:
            return "temperature", f"got {self.temperature:g} beside weights, which say the shares: remove one of them"
        if any(weight < 0 for weight in self.weights.values()) or (self.weights and not any(self.weights.values())):
            return "weights", f"got {self.weights}; expected shares of 0 or more, not all of them 0"
        return None

    def shares(self, sizes: Mapping[str, float]) -> dict[str, float]:
        """The share of each source before any cap; they add up to 1.

        Raises:
            DataError: the weights do not name just the sources that there are.
        """
        if self.weights and (wrong := sorted({*self.weights} ^ {*sizes})):
            raise DataError(
                f"mixture: got weights for {_named(self.weights)}, but there are {_named(sorted(sizes))}: give each of "
                f"these a weight, and no other ({_named(wrong)})"
            )
        raw = {
            name: self.weights.get(name, 0.0) if self.weights else size ** (1 / self.temperature)
            for name, size in sizes.items()
        }
        total = sum(raw.values())
        return {name: value / total for name, value in raw.items()}

    def budgets(self, sizes: Mapping[str, float], total: float) -> dict[str, float]:
        """How much to read of each source, of `total` in all; less only where every source is at its cap."""
        shares = self.shares(sizes)
        caps = {name: size * self.max_repeats if self.max_repeats else float("inf") for name, size in sizes.items()}
        found: dict[str, float] = {}
        free = {name: share for name, share in shares.items() if share}
        while free:
            left = total - sum(found.values())
            wanted = {name: left * share / sum(free.values()) for name, share in free.items()}
            capped = {name: caps[name] for name, size in wanted.items() if size >= caps[name]}
            if not capped:
                found |= wanted
                break
            found |= capped
            free = {name: share for name, share in free.items() if name not in capped}
        return {name: found.get(name, 0.0) for name in sizes}


def check_number(sources: Sized) -> None:
    """Raise DataError where there are so many sources that they are none to be weighed."""
    if len(sources) > MAX_SOURCES:
        raise DataError(
            f"the documents have more sources than the {MAX_SOURCES:,} that a mixture weighs at most: give the rows of "
            'data files a "source", or name the sources in a `documents` stage'
        )


def drawn(
    streams: Sequence[Iterator[int]], sizes: Sequence[Sequence[int]], budgets: Sequence[float]
) -> Iterator[tuple[int, int]]:
    """Draw from several streams in turn until each has had its budget: the number of the stream, and what it gave.

    Next is always the stream that has had the smallest part of its budget, so that every stretch of the draws has the
    shares of the whole, give or take one item of each.

    streams: numbers of items without end. sizes: of each stream, the sizes of its items by their numbers.
    """
    had = [0.0] * len(streams)
    open_streams = [number for number, budget in enumerate(budgets) if budget > 0]
    while open_streams:
        stream = min(open_streams, key=lambda number: had[number] / budgets[number])
        item = next(streams[stream])
        yield stream, item
        had[stream] += sizes[stream][item]
        if had[stream] >= budgets[stream]:
            open_streams.remove(stream)


def _named(names: Mapping[str, float] | Sequence[str]) -> str:
    listed = [*names]
    more = len(listed) - SHOWN
    return ", ".join(listed[:SHOWN]) + (f" and {more} more" if more > 0 else "")
