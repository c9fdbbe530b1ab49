"""A learned reward: the score that a reward model gives to a conversation at its last token."""

from collections.abc import Sequence

import torch

from burnish.datasets.batches import micro_batches
from burnish.forest import Forest
from burnish.nn.scalar import ScalarModel
from burnish.rewards.functions import RewardFunction, Sample
from burnish.text.chat import encode_conversation
from burnish.text.tokenizer import Tokenizer


def by_reward_model(model: ScalarModel, tokenizer: Tokenizer, *, micro_batch_tokens: int = 4096) -> RewardFunction:
    """Prompt and completion in the reward model's own chat template, scored at its end, as transformers would.

    The answers to one prompt share it. A completion that was cut is scored as if it had ended there.
    """

    def reward(samples: Sequence[Sample], /) -> list[float]:
        sequences = [_encoded(tokenizer, sample) for sample in samples]
        scores = [0.0] * len(samples)
        model.eval()
        with torch.no_grad():
            for members in micro_batches([[sequence] for sequence in sequences], micro_batch_tokens):
                forest, ends = Forest.from_sequences([sequences[number] for number in members])
                last = torch.tensor([forest.offsets[end + 1] - 1 for end in ends], device=model.device)
                found = model(forest.to(model.device), last).tolist()
                for number, score in zip(members, found, strict=True):
                    scores[number] = score
        return scores

    return reward


def _encoded(tokenizer: Tokenizer, sample: Sample) -> list[int]:
    """The whole conversation as the chat template writes it: reward models are trained to be read at its last token."""
    messages = [*sample.prompt, {"role": "assistant", "content": sample.completion}]
    return encode_conversation(tokenizer, messages)[0]  # type: ignore[arg-type]
