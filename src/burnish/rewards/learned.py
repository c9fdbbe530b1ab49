"""A learned reward: the score that a reward model gives to a conversation at its last token."""

from collections.abc import Sequence

import torch

from burnish.datasets.batches import micro_batches
from burnish.errors import DataError
from burnish.forest import Forest
from burnish.generation.answer import Answer
from burnish.nn.scalar import ScalarModel
from burnish.rewards.judgement import Judge, Judgement
from burnish.text.chat import Message, encode_answers
from burnish.text.tokenizer import Tokenizer


def by_reward_model(model: ScalarModel, tokenizer: Tokenizer, *, micro_batch_tokens: int = 4096) -> Judge:
    """Prompt and answer in the reward model's own chat template, scored at its end, as transformers would.

    The answers to one prompt share it. An answer that was cut is scored as if it had ended there.
    """

    def judge(answers: Sequence[Answer], /) -> list[Judgement]:
        sequences = [_encoded(tokenizer, answer) for answer in answers]
        scores = [0.0] * len(answers)
        model.eval()
        with torch.no_grad():
            for members in micro_batches([[sequence] for sequence in sequences], micro_batch_tokens):
                forest, ends = Forest.from_sequences([sequences[number] for number in members])
                last = torch.tensor([forest.offsets[end + 1] - 1 for end in ends], device=model.device)
                found = model(forest.to(model.device), last).tolist()
                for number, score in zip(members, found, strict=True):
                    scores[number] = score
        return [Judgement(score) for score in scores]

    return judge


def _encoded(tokenizer: Tokenizer, answer: Answer) -> list[int]:
    """The whole conversation as the chat template writes it: reward models are trained to be read at its last token."""
    messages: list[Message] = [*answer.prompt, {"role": "assistant", "content": answer.text}]  # type: ignore[list-item]
    n_answers = sum(message["role"] == "assistant" for message in messages)
    (encoding,) = encode_answers(tokenizer, messages, learned=[False] * (n_answers - 1) + [True])
    if unread := [part for part in encoding.lost if part.place < len(messages) - 1]:
        raise DataError(
            f"the chat template of the reward model {tokenizer.source} leaves out the {unread[0].what} of message "
            f"{unread[0].place + 1} of a prompt, so it would judge answers to another one"
        )
    return encoding.tokens
