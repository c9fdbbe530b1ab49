"""What a stage has to compute, counted before it does: the unit in which `estimate` prices it."""

from collections.abc import Sequence
from dataclasses import dataclass

COUNTED_STEPS = 8
"""Steps whose micro-batches are built to count their tokens; the others are taken to be like them."""


@dataclass(frozen=True)
class Work:
    """Tokens to compute, by what is done with them.

    trained: forward and backward. scored: forward only. decoded: sampled, at most; `rows` side by side, with a prompt
    of at most `longest` tokens each. layers: share of the layers that the backward pass goes through.
    weights: share of the weights that have gradients and moments. micro_batch: tokens in one forward pass.
    """

    steps: int = 0
    trained: int = 0
    scored: int = 0
    decoded: int = 0
    rows: int = 0
    longest: int = 0
    layers: float = 1.0
    weights: float = 1.0
    micro_batch: int = 0


def step_tokens(
    units: Sequence[Sequence[Sequence[int]]], steps: Sequence[Sequence[int]], micro_batch_tokens: int
) -> int:
    """Tokens of all steps, shared beginnings once a micro-batch as in training; from up to `COUNTED_STEPS` of them.

    units: the sequences of each example. steps: the examples of each step, by number.
    """
    from burnish.datasets.batches import micro_batches
    from burnish.forest import Forest

    if not steps:
        return 0
    counted = steps[:: max(1, len(steps) // COUNTED_STEPS)][:COUNTED_STEPS]
    tokens = rows = 0
    for numbers in counted:
        of_step = [units[number] for number in numbers]
        rows += len(numbers)
        for group in micro_batches(of_step, micro_batch_tokens):
            forest, _ = Forest.from_sequences([sequence for unit in group for sequence in of_step[unit]])
            tokens += forest.n_tokens
    return round(tokens / max(1, rows) * sum(map(len, steps)))
