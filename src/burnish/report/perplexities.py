"""What the report shows of perplexities: before and after each training, and of several models beside each other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from burnish.report.formatting import pair
from burnish.report.verdicts import verdict


@dataclass(frozen=True)
class PerplexityChange:
    """A perplexity before and after training; lower is better. interval: of the relative change, where it is known."""

    name: str
    before: float
    after: float
    interval: tuple[float, float] | None

    @property
    def relative(self) -> float:
        return self.after / self.before - 1

    @property
    def verdict(self) -> str:
        return verdict(self.interval, lower_is_better=True)


def perplexities(summary: Mapping[str, Any]) -> Iterator[PerplexityChange]:
    for name, values in summary.get("perplexity", {}).items():
        if isinstance(values, dict) and values.get("before") and values.get("after"):
            interval = pair(summary.get("perplexity_interval", {}).get(name))
            yield PerplexityChange(name, float(values["before"]), float(values["after"]), interval)


def perplexity_rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[float, PerplexityChange | None]]]]:
    """Of each group of text, every model's perplexity and, but for the first model, its change from the first's."""
    intervals = summary.get("perplexity_by_model_interval", {})
    for name, by_model in summary.get("perplexity_by_model", {}).items():
        first = next(iter(by_model.values()))
        yield (
            name,
            [
                (
                    value,
                    PerplexityChange(label, first, value, pair(intervals.get(name, {}).get(label))) if index else None,
                )
                for index, (label, value) in enumerate(by_model.items())
            ],
        )
