"""Perplexity: how surprised a decoder is by text, a token at a time."""

import math
from collections.abc import Iterator, Sequence

import torch

from burnish.forest import Forest
from burnish.nn.decoder import Decoder

Surprise = tuple[float, int]
"""Negative log-probability of a text in nats, and how many of its tokens were scored."""


def perplexity(decoder: Decoder, sequences: Sequence[Sequence[int]], *, micro_batch_tokens: int = 8192) -> float:
    """exp of the mean negative log-probability of a token given the tokens before it in its sequence.

    sequences: token ids; they never see each other. Every token but a sequence's first is scored, exactly
        once and with the same weight, so the value does not depend on how sequences are batched.
    micro_batch_tokens: tokens a forward pass; a longer sequence gets a pass of its own.

    Raises ValueError when no token can be scored.
    """
    return mean_perplexity(surprises(decoder, sequences, micro_batch_tokens=micro_batch_tokens))


def mean_perplexity(texts: Sequence[Surprise]) -> float:
    """The perplexity of texts together, every scored token with the same weight. Raises ValueError where none is."""
    count = sum(tokens for _, tokens in texts)
    if not count:
        raise ValueError("perplexity needs a sequence of at least two tokens: the first token is never scored")
    return math.exp(sum(nats for nats, _ in texts) / count)


@torch.inference_mode()
def surprises(
    decoder: Decoder, sequences: Sequence[Sequence[int]], *, micro_batch_tokens: int = 8192
) -> list[Surprise]:
    """The surprise of each sequence, in their order; arguments as for `perplexity`."""
    found: list[Surprise] = [(0.0, 0)] * len(sequences)
    was_training = decoder.training
    decoder.eval()
    try:
        for numbers in _batches(sequences, micro_batch_tokens):
            forest = Forest.from_segments((sequences[number], -1) for number in numbers).to(decoder.device)
            predicted = (forest.predecessors >= 0).nonzero().squeeze(-1)
            # Summed in float64: a held-out set has more tokens than float32 has digits.
            logps = decoder.logps(forest, predicted).double()
            counts = [len(sequences[number]) - 1 for number in numbers]
            for number, count, part in zip(numbers, counts, logps.split(counts), strict=True):
                found[number] = -part.sum().item(), count
    finally:
        decoder.train(was_training)
    return found


def _batches(sequences: Sequence[Sequence[int]], limit: int) -> Iterator[list[int]]:
    """Numbers of the sequences that can be scored, in order of length so that equal ones share a kernel call."""
    batch: list[int] = []
    tokens = 0
    scored = [number for number, sequence in enumerate(sequences) if len(sequence) > 1]
    for number in sorted(scored, key=lambda number: len(sequences[number])):
        if batch and tokens + len(sequences[number]) > limit:
            yield batch
            batch, tokens = [], 0
        batch.append(number)
        tokens += len(sequences[number])
    if batch:
        yield batch
