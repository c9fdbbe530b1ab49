"""What a model says of a prompt's own tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from burnish.forest import Forest
from burnish.nn.decoder import Decoder

_SCORED_AT_ONCE = 256
"""Prompt tokens whose distributions over the vocabulary are held at the same time."""


@dataclass(frozen=True)
class PromptToken:
    """A token of a prompt: its log-probability in nats and the most probable ones in its place."""

    token: int
    logp: float | None
    alternatives: Sequence[tuple[int, float]] = ()


@torch.inference_mode()
def score_prompt(decoder: Decoder, prompt: Sequence[int], alternatives: int) -> list[PromptToken]:
    """What the model says of a prompt's own tokens, each behind those before it; nothing predicts the first."""
    decoder.eval()
    forest = Forest.from_segments([(prompt, -1)]).to(decoder.device)
    hidden = decoder(forest)[:-1]
    scored = [PromptToken(prompt[0], None)]
    for start in range(0, len(hidden), _SCORED_AT_ONCE):
        logps = decoder.logits(hidden[start : start + _SCORED_AT_ONCE]).log_softmax(-1)
        tokens = forest.tokens[start + 1 : start + 1 + len(logps)]
        own = logps.gather(1, tokens[:, None]).squeeze(1).tolist()
        top = logps.topk(max(1, alternatives))
        for token, logp, best, values in zip(
            tokens.tolist(), own, top.indices.tolist(), top.values.tolist(), strict=True
        ):
            pairs = list(zip(best, values, strict=True))[:alternatives]
            scored.append(PromptToken(token, logp, pairs))
    return scored
