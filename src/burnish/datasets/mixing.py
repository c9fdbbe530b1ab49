"""The steps of a training in which kinds of examples have the shares that a mixture says, whatever their numbers."""

from collections.abc import Iterator, Sequence

import numpy as np

from burnish.corpus.mixture import Mixture, drawn

UNNAMED = "unnamed"
"""The kind of examples that name none."""


def counts(kinds: Sequence[str | None]) -> dict[str, float]:
    """How many examples there are of each kind, by name."""
    names = sorted({kind or UNNAMED for kind in kinds})
    return {name: float(sum((kind or UNNAMED) == name for kind in kinds)) for name in names}


def mixed_steps(
    kinds: Sequence[str | None], mixture: Mixture, *, batch_size: int, epochs: float, seed: int
) -> list[list[int]]:
    """Example numbers of each step, `epochs` times as many as there are examples in all.

    kinds: that of each example. Each kind is read in an order drawn from (seed, kind, pass), and every step has its
    share give or take one. Fewer are read where every kind is at its cap. Raises DataError where the mixture names
    other kinds than there are.
    """
    sizes = counts(kinds)
    members = [[number for number, kind in enumerate(kinds) if (kind or UNNAMED) == name] for name in sizes]
    budgets = mixture.budgets(sizes, round(epochs * len(kinds)))
    streams = [_forever(len(of_kind), seed, place) for place, of_kind in enumerate(members)]
    wanted = [float(round(budgets[name])) for name in sizes]
    order = [members[kind][item] for kind, item in drawn(streams, [[1] * len(one) for one in members], wanted)]
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _forever(count: int, seed: int, place: int) -> Iterator[int]:
    epoch = 0
    while True:
        yield from np.random.default_rng([seed, place, epoch]).permutation(count).tolist()
        epoch += 1
