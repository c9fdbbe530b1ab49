"""The order in which windows are trained on: steps of about equal size, sources by their shares, general text replayed.

Replaying a share of general text while training on a domain is the plain remedy against forgetting
(Ibrahim 2024, arXiv:2403.08763, section 4).

The order is a function of the corpus, the settings and the seed alone: not of how many files the corpus lies in, nor of
how often a training was interrupted, nor of how many processes share a step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from burnish.corpus.mixture import Mixture, drawn
from burnish.corpus.token_corpus import TokenCorpus, WindowIndex
from burnish.corpus.windows import Windows
from burnish.errors import DataError

DOMAIN = "domain"
GENERAL = "general"


@dataclass(frozen=True, eq=False)
class Order:
    """The windows of every optimizer step.

    groups: names. group: `[n]`, of each draw the number of its group. number: `[n]`, its window there. starts:
    `[n_steps + 1]`, where the draws of each step begin.
    """

    groups: tuple[str, ...]
    group: npt.NDArray[np.uint8]
    number: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, step: int) -> list[WindowIndex]:
        if not 0 <= step < len(self):
            raise IndexError(f"step {step} of {len(self)}")
        part = slice(int(self.starts[step]), int(self.starts[step + 1]))
        pairs = zip(self.group[part].tolist(), self.number[part].tolist(), strict=True)
        return [WindowIndex(self.groups[group], number) for group, number in pairs]

    def __iter__(self) -> Iterator[list[WindowIndex]]:
        return (self[step] for step in range(len(self)))

    def tokens(self, corpus: TokenCorpus) -> dict[str, int]:
        """How many tokens are read of each group."""
        return {
            name: int(corpus.train[name].lengths[self.number[self.group == place]].sum(dtype=np.int64))
            for place, name in enumerate(self.groups)
        }


@dataclass(frozen=True, eq=False)
class _Stream:
    """Windows that are read in turn: all of a source, or of several groups as one.

    group, number: of each of them. lengths: their tokens. budget: tokens to read; or windows, where there is a `count`.
    """

    group: npt.NDArray[np.uint8]
    number: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int32]
    budget: float = 0.0
    count: int = 0

    def forever(self, seed: int, place: int, *, ordered: bool) -> Iterator[int]:
        """Places in the stream pass after pass: as they lie, or each pass in an order of its own."""
        epoch = 0
        while True:
            if ordered:
                yield from range(len(self.number))
            else:
                yield from np.random.default_rng([seed, place, epoch]).permutation(len(self.number)).tolist()
            epoch += 1


def mix(
    corpus: TokenCorpus,
    *,
    tokens_per_step: int,
    replay: float,
    seed: int,
    epochs: float,
    domain: str = DOMAIN,
    general: str = GENERAL,
) -> Order:
    """Return the windows of every optimizer step: `epochs` times the domain's tokens, mixed with general text.

    A fraction of a pass is its first part. Where the corpus has a mixture, `epochs` is how much is read of the domain
    in all, and each of its sources has its share of that.

    Windows stay whole, so a step has `tokens_per_step` give or take one, and the general group has the share
    `replay` of all tokens give or take one; neither error adds up over the steps. Each pass has its own
    shuffled order, a function of (seed, source, pass) alone, unless the corpus has an order. General text starts over
    when it runs out.

    Raises:
        DataError: a group is missing or empty, or an argument is out of range.
    """
    if tokens_per_step < 1 or epochs <= 0:
        raise DataError(
            f"tokens_per_step is {tokens_per_step} and epochs {epochs}; expected at least 1 token a step and more than "
            "0 epochs"
        )
    if not 0 <= replay < 1:
        raise DataError(f"replay is {replay}; expected 0 (domain text only) or more, less than 1")
    groups = [domain, general] if replay else [domain]
    for group in groups:
        if not len(corpus.train.get(group, ())):
            raise DataError(f"the corpus has no training text in group {group}; it has {', '.join(corpus.train)}")
    chosen = {group: corpus.train[group] for group in groups}
    streams = _of_sources(corpus, {domain: chosen[domain]}, epochs)
    if not replay:
        return _drawn(corpus, chosen, streams, seed, tokens_per_step)
    again = _pooled({general: chosen[general]}, first=1)
    return _drawn(corpus, chosen, streams, seed, tokens_per_step, replayed=again, replay=replay)


def all_of(corpus: TokenCorpus, *, tokens_per_step: int, seed: int, epochs: float) -> Order:
    """Return the windows of every optimizer step: `epochs` passes over all groups, shuffled together.

    Steps, sources and passes are as `mix` makes them. Raises DataError where nothing would be read.
    """
    return _drawn(corpus, corpus.train, _of_sources(corpus, corpus.train, epochs), seed, tokens_per_step)


def check_passes(groups: Mapping[str, Windows], epochs: float) -> None:
    """Raise DataError where so many passes over all windows of the groups are not one window."""
    count = sum(map(len, groups.values()))
    if round(epochs * count) == 0:
        raise DataError(
            f"epochs {epochs:g} of {count} windows of text is no window, so there would be 0 steps: "
            f"raise epochs to at least {1 / max(count, 1):.2g}"
        )


def _of_sources(corpus: TokenCorpus, groups: Mapping[str, Windows], epochs: float) -> list[_Stream]:
    """A stream of each source where there is a mixture, with its budget; else of all windows.

    Groups that are read in their order are streams of their own: pooled, one would be read behind the other.
    """
    whole = _pooled(groups)
    check_passes(groups, epochs)
    count, total = len(whole.number), int(whole.lengths.sum(dtype=np.int64))
    if corpus.mixture is not None:
        names, source = _sources(groups)
    elif corpus.ordered:
        names, source = list(groups), whole.group.astype(np.int64)
    else:
        return [replace(whole, count=round(epochs * count))]
    sizes = {place: float(whole.lengths[source == place].sum(dtype=np.int64)) for place in range(len(names))}
    there = {names[place]: size for place, size in sizes.items() if size}
    budgets = (corpus.mixture or Mixture.model_validate({})).budgets(there, epochs * total)
    masks = {name: source == names.index(name) for name in there}
    return [
        _Stream(whole.group[mask], whole.number[mask], whole.lengths[mask], round(budgets[name]))
        for name, mask in masks.items()
    ]


def _sources(groups: Mapping[str, Windows]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The names of all sources, and of each window the place of its source among them."""
    names = sorted({name for windows in groups.values() for name in windows.source_names})
    places = {name: place for place, name in enumerate(names)}
    of_groups = [
        np.array([places[name] for name in windows.source_names], dtype=np.int64)[windows.sources]
        for windows in groups.values()
    ]
    return names, np.concatenate(of_groups)


def _pooled(groups: Mapping[str, Windows], *, first: int = 0) -> _Stream:
    """All windows of several groups, whose numbers begin with `first`, as one stream without a budget."""
    counts = [len(windows) for windows in groups.values()]
    return _Stream(
        np.repeat(np.arange(first, first + len(counts)), counts).astype(np.uint8),
        np.concatenate([np.arange(count) for count in counts]).astype(np.int64),
        np.concatenate([windows.lengths for windows in groups.values()]),
    )


def _drawn(
    corpus: TokenCorpus,
    groups: Mapping[str, Windows],
    streams: Sequence[_Stream],
    seed: int,
    tokens_per_step: int,
    *,
    replayed: _Stream | None = None,
    replay: float = 0.0,
) -> Order:
    """Draw from the streams by their budgets, and of what is replayed its share, and part the draws into steps."""

    def forever(place: int) -> Iterator[int]:
        return streams[place].forever(seed, 2 * place, ordered=corpus.ordered)

    again = replayed.forever(seed, 1, ordered=False) if replayed is not None else iter(())
    group: list[int] = []
    number: list[int] = []
    sizes: list[int] = []
    total = had = 0

    def take(stream: _Stream, item: int) -> int:
        group.append(int(stream.group[item]))
        number.append(int(stream.number[item]))
        sizes.append(int(stream.lengths[item]))
        return sizes[-1]

    lengths = [stream.lengths.tolist() for stream in streams]
    budgets = [
        float(sum(lengths[place][item] for item in islice(forever(place), stream.count))) or stream.budget
        for place, stream in enumerate(streams)
    ]
    for place, item in drawn([forever(place) for place in range(len(streams))], lengths, budgets):
        total += take(streams[place], item)
        while replayed is not None and had < replay * total:
            size = take(replayed, next(again))
            total += size
            had += size
    return Order(
        tuple(groups),
        np.array(group, dtype=np.uint8),
        np.array(number, dtype=np.int64),
        _step_starts(sizes, tokens_per_step),
    )


def _step_starts(sizes: Sequence[int], tokens_per_step: int) -> npt.NDArray[np.int64]:
    """Where each step of `tokens_per_step`, give or take one window, begins; and the end."""
    starts = [0]
    total = 0
    for place, size in enumerate(sizes):
        if total >= len(starts) * tokens_per_step:
            starts.append(place)
        total += size
    if len(starts) > 1 and 2 * sum(sizes[starts[-1] :]) < tokens_per_step:
        # Half a step or less has too noisy a gradient for an update of its own.
        starts.pop()
    return np.array([*starts, len(sizes)], dtype=np.int64)
