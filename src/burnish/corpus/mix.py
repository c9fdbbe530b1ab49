"""The order in which windows are trained on: steps of about equal size, with general text replayed.

Replaying a share of general text while training on a domain is the plain remedy against forgetting
(Ibrahim 2024, arXiv:2403.08763, section 4).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from burnish.corpus.token_corpus import TokenCorpus, WindowIndex
from burnish.errors import DataError

DOMAIN = "domain"
GENERAL = "general"


def mix(
    corpus: TokenCorpus,
    *,
    tokens_per_step: int,
    replay: float,
    seed: int,
    epochs: float,
    domain: str = DOMAIN,
    general: str = GENERAL,
) -> list[list[WindowIndex]]:
    """Return the windows of every optimizer step: `epochs` passes over the domain, mixed with general text.

    A fraction of a pass is its first part.

    Windows stay whole, so a step has `tokens_per_step` give or take one, and the general group has the share
    `replay` of all tokens give or take one; neither error adds up over the steps. Each pass has its own
    shuffled order, a function of (seed, group, pass) alone. General text starts over when it runs out.

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
    lengths = {group: corpus.train[group].lengths for group in groups}
    remaining = round(epochs * len(lengths[domain]))
    if not remaining:
        raise DataError(_no_window(epochs, len(lengths[domain])))

    def interleaved() -> Iterator[WindowIndex]:
        total = drawn = 0
        replayed = _shuffled_forever(general, len(lengths[general]), seed, 1) if replay else iter(())
        for window in islice(_shuffled_forever(domain, len(lengths[domain]), seed, 0), remaining):
            yield window
            total += lengths[window.group][window.number]
            while drawn < replay * total:
                again = next(replayed)
                yield again
                length = lengths[again.group][again.number]
                total += length
                drawn += length

    return _in_steps(interleaved(), lengths, tokens_per_step)


def all_of(corpus: TokenCorpus, *, tokens_per_step: int, seed: int, epochs: float) -> list[list[WindowIndex]]:
    """Return the windows of every optimizer step: `epochs` passes over all groups, shuffled together.

    Steps and passes are as `mix` makes them. Raises DataError where nothing would be read.
    """
    lengths = {group: windows.lengths for group, windows in corpus.train.items()}
    windows = [WindowIndex(group, number) for group, of_group in lengths.items() for number in range(len(of_group))]
    count = round(epochs * len(windows))
    if not count:
        raise DataError(_no_window(epochs, len(windows)))
    order = islice(_shuffled_forever("", len(windows), seed, 0), count)
    return _in_steps((windows[place.number] for place in order), lengths, tokens_per_step)


def _no_window(epochs: float, count: int) -> str:
    return (
        f"epochs {epochs:g} of {count} windows of text is no window, so there would be 0 steps: "
        f"raise epochs to at least {1 / max(count, 1):.2g}"
    )


def _in_steps(
    windows: Iterable[WindowIndex], lengths: Mapping[str, Sequence[int]], tokens_per_step: int
) -> list[list[WindowIndex]]:
    """Windows in their order, parted into steps of `tokens_per_step` give or take one window."""
    steps: list[list[WindowIndex]] = [[]]
    total = 0
    for window in windows:
        if total >= len(steps) * tokens_per_step:
            steps.append([])
        steps[-1].append(window)
        total += lengths[window.group][window.number]
    last = sum(lengths[window.group][window.number] for window in steps[-1])
    if len(steps) > 1 and 2 * last < tokens_per_step:
        # Half a step or less has too noisy a gradient for an update of its own.
        steps[-2:] = [steps[-2] + steps[-1]]
    return steps


def _shuffled_forever(group: str, count: int, seed: int, number: int) -> Iterator[WindowIndex]:
    """Yield the windows of a group pass after pass, each pass in an order of its own."""
    epoch = 0
    while True:
        for index in np.random.default_rng([seed, number, epoch]).permutation(count).tolist():
            yield WindowIndex(group, index)
        epoch += 1
