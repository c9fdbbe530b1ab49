"""What a method says of the rows that it held out, before and after it has trained."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.datasets.batches import Batch
    from burnish.nn.decoder import Decoder
    from burnish.objectives.objective import Objective

Metrics = dict[str, Any]
"""What a method measured, as values that JSON can hold."""


def objective_metrics(
    decoder: "Decoder", objective: "Objective[Tensor]", batches: "Sequence[Batch]"
) -> dict[str, float]:
    """The objective's mean loss and metrics over the batches, without training; nothing where there are none."""
    import torch

    from burnish.objectives.objective import measure

    decoder.eval()
    with torch.inference_mode():
        moved = (batch.to(decoder.device) for batch in batches)
        return measure(objective, ((batch, decoder.logps(batch.forest, batch.scored)) for batch in moved))


def comparison(before: Metrics, after: Metrics, n_rows: int) -> Metrics:
    """A method's metrics of what it held out; nothing where it held out nothing."""
    return {"heldout": {"rows": n_rows, "before": before, "after": after}} if n_rows else {}


def by_time(events: Sequence[Mapping[str, float]], name: str) -> dict[str, float]:
    """A metric's mean over the first fifth of a training, and over the last."""
    fifth = max(1, len(events) // 5)
    parts = {"first": events[:fifth], "last": events[-fifth:]}
    return {when: sum(event[name] for event in part) / fifth for when, part in parts.items()}
