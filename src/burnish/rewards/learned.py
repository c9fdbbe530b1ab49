"""A learned reward: the score that a reward model gives to a conversation at its last token."""

from collections.abc import Sequence

import torch

from burnish.datasets.batches import micro_batches
from burnish.errors import DataError
from burnish.forest import Forest
from burnish.nn.scalar import ScalarModel
from burnish.rewards.functions import RewardFunction, Sample
from burnish.text.chat import Message, encode_answers
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
    messages: list[Message] = [*sample.prompt, {"role": "assistant", "content": sample.completion}]  # type: ignore[list-item]
    n_answers = sum(message["role"] == "assistant" for message in messages)
    (encoding,) = encode_answers(tokenizer, messages, learned=[False] * (n_answers - 1) + [True])
    if unread := [part for part in encoding.lost if part.place < len(messages) - 1]:
        raise DataError(
            f"the chat template of the reward model {tokenizer.source} leaves out the {unread[0].what} of message "
            f"{unread[0].place + 1} of a prompt, so it would judge answers to another one"
        )
    return encoding.tokens
