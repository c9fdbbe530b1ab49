"""How far a trained model has gone from the one it was trained from, on given text: exact, over all tokens."""

from collections.abc import Sequence

import torch
from torch import Tensor

from burnish.forest import Forest
from burnish.nn.decoder import Decoder


@torch.inference_mode()
def log_probabilities(decoder: Decoder, sequences: Sequence[Sequence[int]]) -> Tensor:
    """Log-probabilities of every next token behind every token but the last of each sequence, `[tokens, vocab]`."""
    decoder.eval()
    forest = Forest.from_segments((sequence, -1) for sequence in sequences)
    scored = (forest.predecessors >= 0).nonzero().squeeze(-1)
    return decoder.logits(decoder.predictions(forest, scored).hidden).log_softmax(-1)


def kl(from_logps: Tensor, to_logps: Tensor) -> float:
    """KL(from || to) in nats, the mean over rows; both `[rows, vocab]` log-probabilities."""
    return float((from_logps.exp() * (from_logps - to_logps)).sum(-1).mean())
