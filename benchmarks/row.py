"""What a row of the table is. Nothing here imports torch: the harness stays small beside what it measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Config = dict[str, Any]
"""What a worker is told, and what it answers: JSON objects."""


class BenchmarkError(Exception):
    """A row cannot be measured; the message says which side failed and how."""


@dataclass(frozen=True)
class Target:
    """What Burnish wants to reach: `ratio` times the peer's rate or more, `peak_rss_ratio` of its memory or less."""

    ratio: float
    peak_rss_ratio: float | None = None

    def met(self, ratio: float, peak_rss_ratio: float) -> bool:
        return ratio >= self.ratio and (self.peak_rss_ratio is None or peak_rss_ratio <= self.peak_rss_ratio)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison. `module` is run as `python -m MODULE SIDE CONFIG` and has three sides (see `worker.main`):

    - `prepare` writes models and data into `folder` once, and returns further keys for the configuration;
    - `ours` and `peer` do the work and return `value` in `unit`, higher being better.

    parameters: sizes that both sides are given; `quick` replaces some of them for a smoke test, `search` for the
        runs that look for the peer's fastest configuration.
    axes: the peer's settings and the values to try. The search goes through the axes in order, from the first value of
        each, until no change of a single setting is faster.
    check: settings for one untimed run of each side, in float32, whose `evidence` must agree.
    tolerance: how far apart two numbers of evidence may be, in their own unit (nats).
    """

    name: str
    work: str
    module: str
    peer: str
    unit: str
    target: Target
    parameters: Mapping[str, Any]
    axes: Mapping[str, Sequence[Any]]
    check: Mapping[str, Any]
    quick: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 0.01
    packages: Sequence[str] = ()
    """Distributions of the peer, whose versions are recorded."""
