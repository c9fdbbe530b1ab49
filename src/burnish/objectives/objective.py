"""What an objective is, and how what it says of a step's parts becomes the step's loss and metrics.

Notable choices:
- every number comes as a sum and its count, so that its value does not depend on how a step is split or sharded; a mean
  over pairs stands beside a mean over tokens without either knowing of the other;
- what the loss is divided by is known before the model has run, so a gradient can be added up batch by batch;
- numbers leave the device once a step, all together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from burnish.datasets.batches import Batch, Column

Number = Tensor | float
Outputs = TypeVar("Outputs")
Read = TypeVar("Read", contravariant=True)


@dataclass(frozen=True)
class Mean:
    """A mean of the step: this batch's sum, a scalar, and the number of things that it is over; none, no mean."""

    sum: Tensor
    count: Number

    def __post_init__(self) -> None:
        # What is logged must not keep a batch's graph until the end of the step.
        object.__setattr__(self, "sum", self.sum.detach())

    @property
    def parts(self) -> tuple[Number, ...]:
        return self.sum, self.count

    @staticmethod
    def of_step(parts: Sequence[Sequence[float]]) -> float | None:
        """The value from the `parts` of all batches."""
        sums, counts = (sum(column) for column in zip(*parts, strict=True))
        return sums / counts if counts else None


@dataclass(frozen=True)
class Total:
    """Means over different things that are added up: a loss of several terms, a difference of two means."""

    terms: tuple[Mean, ...]

    @property
    def parts(self) -> tuple[Number, ...]:
        return tuple(part for term in self.terms for part in term.parts)

    @staticmethod
    def of_step(parts: Sequence[Sequence[float]]) -> float | None:
        """The sum of the terms' means; none where a term has none."""
        places = range(0, len(parts[0]), 2)
        means = [Mean.of_step([of_batch[place : place + 2] for of_batch in parts]) for place in places]
        known = [mean for mean in means if mean is not None]
        return sum(known) if len(known) == len(means) else None


@dataclass(frozen=True)
class Smallest:
    """The smallest of the step's values: this batch's, a scalar."""

    value: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", self.value.detach())

    @property
    def parts(self) -> tuple[Number, ...]:
        return (self.value,)

    @staticmethod
    def of_step(parts: Sequence[Sequence[float]]) -> float | None:
        return min(value for (value,) in parts)


@dataclass(frozen=True)
class Largest(Smallest):
    """The largest of the step's values: this batch's, a scalar."""

    @staticmethod
    def of_step(parts: Sequence[Sequence[float]]) -> float | None:
        return max(value for (value,) in parts)


Metric = Mean | Total | Smallest
Measured = tuple[tuple[Tensor, ...], dict[str, Metric]]
"""Of a batch: the sums of the terms of the loss, scalars with their graph, and the metrics without."""


class Objective(Protocol[Read]):
    """The model's outputs for a batch -> the terms of the loss, and metrics.

    The outputs are the log-probabilities `[n_scored]` unless `train` is given another way to compute them.
    """

    @property
    def reads(self) -> tuple[Column, ...]:
        """The columns that every batch must have."""
        ...

    def counts(self, batch: Batch, /) -> tuple[Number, ...]:
        """What each term of the loss is divided by: this batch's part, the step's is the sum over its batches."""
        ...

    def __call__(self, outputs: Read, batch: Batch, /) -> Measured: ...


def step_counts(objective: Objective[Outputs], batches: Sequence[Batch]) -> list[Number]:
    """What each term of a step's loss is divided by. Raises ValueError where a batch lacks a column."""
    for batch in batches:
        for column in objective.reads:
            batch.column(column)
    return [sum(counts) for counts in zip(*(objective.counts(batch) for batch in batches), strict=True)]


def loss_of(losses: Sequence[Tensor], counts: Sequence[Number]) -> Tensor:
    """A batch's part of the step's loss: its terms, each divided by the step's count."""
    return torch.stack([loss / count for loss, count in zip(losses, counts, strict=True)]).sum()


def batch_metrics(objective: Objective[Outputs], measured: Measured, batch: Batch) -> dict[str, Metric]:
    """The metrics of a batch, the loss as the first of them."""
    losses, metrics = measured
    terms = (Mean(loss, count) for loss, count in zip(losses, objective.counts(batch), strict=True))
    return {"loss": Total(tuple(terms)), **metrics}


def step_metrics(batches: Sequence[Mapping[str, Metric]]) -> dict[str, float]:
    """The metrics of a step from those of its batches; one that is over nothing is left out."""
    found: dict[str, list[Metric]] = {}
    for metrics in batches:
        for name, metric in metrics.items():
            found.setdefault(name, []).append(metric)
    numbers = iter(_numbers([part for same in found.values() for metric in same for part in metric.parts]))
    values = {}
    for name, same in found.items():
        value = same[0].of_step([[next(numbers) for _ in metric.parts] for metric in same])
        if value is not None:
            values[name] = value
    return values


@torch.no_grad()
def measure(objective: Objective[Outputs], results: Iterable[tuple[Batch, Outputs]]) -> dict[str, float]:
    """Loss and metrics over batches with the model's outputs for them, without a gradient; nothing for no batch."""
    return step_metrics([batch_metrics(objective, objective(outputs, batch), batch) for batch, outputs in results])


def _numbers(parts: Sequence[Number]) -> list[float]:
    """As Python's numbers, those on a device brought over in one transfer."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    moved = iter(torch.stack([tensor.double() for tensor in tensors]).tolist() if tensors else [])
    return [next(moved) if isinstance(part, Tensor) else float(part) for part in parts]
