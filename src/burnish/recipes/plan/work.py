"""What a stage has to compute, counted before it does: the unit in which `estimate` prices it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

COUNTED_STEPS = 8
"""Steps whose micro-batches are built to count their tokens; the others are taken to be like them."""


@dataclass(frozen=True)
class Work:
    """Tokens to compute, by what is done with them.

    trained: forward and backward. scored: forward only. decoded: sampled, at most; `rows` side by side, with a prompt
    of at most `longest` tokens each. layers: share of the layers that the backward pass goes through.
    weights: share of the weights that have gradients and moments. micro_batch: tokens in one forward pass.
    beside: parameters of another model in memory, which is only asked. disk: bytes that are kept of what it said.
    embedded: tokens that the encoder in the folder, or package, `encoder` makes vectors of.
    sources: of an encoder-decoder, whose other tokens are those of targets, how many of the source come with each.
    networks: how many of the model's size read what is trained on, with a critic two. copies: weights held beside the
    model's own, in models: a reference, a critic.
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
    beside: int = 0
    disk: int = 0
    sources: float = 0.0
    networks: int = 1
    copies: float = 0.0
    embedded: int = 0
    encoder: str | None = None


def together(works: Sequence[Work]) -> Work:
    """The work of asking models several things, one after the other, in a stage that trains none."""
    return replace(
        works[0],
        scored=sum(work.scored for work in works),
        decoded=sum(work.decoded for work in works),
        rows=max(work.rows for work in works),
        longest=max(work.longest for work in works),
        beside=max(work.beside for work in works),
    )


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


def taught(
    given: Work,
    sampled: Work,
    *,
    written: Sequence[int],
    share: float,
    rows: int,
    longest: int,
    teacher: tuple[int, float],
    stored: int | None,
) -> Work:
    """The work of learning from a teacher.

    given, sampled: if all answers were given, with a single pass over them as `scored`, and if all were sampled.
    written: tokens that the student and the teacher sample. share: of the steps that sample. teacher: its parameters,
    and how many times the student's they are: a token of it is priced as so many of the student's. stored: bytes of
    what it says of given answers, where that is kept.
    """
    parameters, times = teacher
    trained = round(share * sampled.trained + (1 - share) * given.trained)
    asked = trained if stored is None else given.scored
    return replace(
        given,
        trained=trained,
        scored=round(asked * times),
        decoded=round(written[0] + written[1] * times),
        rows=rows if any(written) else 0,
        longest=longest if any(written) else 0,
        beside=parameters,
        disk=stored or 0,
    )
