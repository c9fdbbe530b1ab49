"""What models say of answers that are given: log-probabilities of a policy, rewards of a reward model."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from burnish.datasets.batches import Batch, micro_batches
from burnish.forest import Forest
from burnish.nn.decoder import Decoder
from burnish.nn.scalar import ScalarModel

Tokens = Sequence[int]


@torch.inference_mode()
def answer_logps(
    decoder: Decoder, prompts: Sequence[Tokens], answers: Sequence[Tokens], *, micro_batch_tokens: int = 4096
) -> list[Tensor]:
    """log p of each token of `answers[i]` after `prompts[i]`, in nats: one float32 tensor `[len(answer)]` for each."""
    result = [torch.empty(0)] * len(answers)
    for group in _groups(prompts, answers, micro_batch_tokens):
        batch = Batch.from_rows(
            [[*prompts[i], *answers[i]] for i in group],
            [[False] * len(prompts[i]) + [True] * len(answers[i]) for i in group],
        ).to(decoder.device)
        logps = decoder.logps(batch.forest, batch.scored)[batch.entries].float().cpu()
        for i, part in zip(group, logps.split([len(answers[i]) for i in group]), strict=True):
            result[i] = part.clone()
    return result


@torch.inference_mode()
def answer_rewards(
    model: ScalarModel, prompts: Sequence[Tokens], answers: Sequence[Tokens], *, micro_batch_tokens: int = 4096
) -> list[float]:
    """The reward of `answers[i]` after `prompts[i]`, read at the answer's last token."""
    result = [0.0] * len(answers)
    for group in _groups(prompts, answers, micro_batch_tokens):
        forest, ends = Forest.from_sequences([[*prompts[i], *answers[i]] for i in group])
        last = torch.stack([forest.path(end)[-1] for end in ends])
        rewards = model(forest.to(model.device), last.to(model.device)).tolist()
        for i, reward in zip(group, rewards, strict=True):
            result[i] = reward
    return result


def _groups(prompts: Sequence[Tokens], answers: Sequence[Tokens], micro_batch_tokens: int) -> Iterator[list[int]]:
    """Numbers of the answers that go into one forward pass; nothing for an empty list."""
    if answers:
        units = [[[*prompt, *answer]] for prompt, answer in zip(prompts, answers, strict=True)]
        yield from micro_batches(units, micro_batch_tokens)
