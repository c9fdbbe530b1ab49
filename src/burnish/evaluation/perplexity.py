"""Perplexity: how surprised a decoder is by text, a token at a time."""

import math
from collections.abc import Iterator, Sequence

import torch

from burnish.forest import Forest
from burnish.nn.decoder import Decoder


@torch.inference_mode()
def perplexity(decoder: Decoder, sequences: Sequence[Sequence[int]], *, micro_batch_tokens: int = 8192) -> float:
    """exp of the mean negative log-probability of a token given the tokens before it in its sequence.

    sequences: token ids; they never see each other. Every token but a sequence's first is scored, exactly
        once and with the same weight, so the value does not depend on how sequences are batched.
    micro_batch_tokens: tokens a forward pass; a longer sequence gets a pass of its own.

    Raises ValueError when no token can be scored.
    """
    scored = [sequence for sequence in sequences if len(sequence) > 1]
    if not scored:
        raise ValueError("perplexity needs a sequence of at least two tokens: the first token is never scored")
    was_training = decoder.training
    decoder.eval()
    total, count = 0.0, 0
    try:
        for batch in _batches(scored, micro_batch_tokens):
            forest = Forest.from_segments((sequence, -1) for sequence in batch).to(decoder.device)
            predicted = (forest.predecessors >= 0).nonzero().squeeze(-1)
            # Summed in float64: a held-out set has more tokens than float32 has digits.
            total -= decoder.logps(forest, predicted).double().sum().item()
            count += len(predicted)
    finally:
        decoder.train(was_training)
    return math.exp(total / count)


def _batches(sequences: Sequence[Sequence[int]], limit: int) -> Iterator[list[Sequence[int]]]:
    """Sequences in order of length, so that equal ones share a kernel call, cut at `limit` tokens."""
    batch: list[Sequence[int]] = []
    tokens = 0
    for sequence in sorted(sequences, key=len):
        if batch and tokens + len(sequence) > limit:
            yield batch
            batch, tokens = [], 0
        batch.append(sequence)
        tokens += len(sequence)
    if batch:
        yield batch
