"""Learned judges: the score of a reward model at a conversation's last token, and the implicit reward of a policy."""

from collections.abc import Sequence

import torch

from burnish.datasets.batches import Batch, micro_batches
from burnish.errors import DataError
from burnish.forest import Forest
from burnish.generation.answer import Answer
from burnish.nn.decoder import Decoder
from burnish.nn.scalar import ScalarModel
from burnish.rewards.judgement import Judge, Judgement
from burnish.text.chat import Encoding, Message, encode_answers
from burnish.text.tokenizer import Tokenizer


def by_reward_model(
    model: ScalarModel, tokenizer: Tokenizer, *, probability: bool = False, micro_batch_tokens: int = 4096
) -> Judge:
    """Prompt and answer in the reward model's own chat template, scored at its end, as transformers would.

    The answers to one prompt share it. An answer that was cut is scored as if it had ended there. probability: σ of the
    score, which an outcome reward model was trained to make the probability of being right.
    """

    def judge(answers: Sequence[Answer], /) -> list[Judgement]:
        sequences = [_encoding(tokenizer, answer).tokens for answer in answers]
        scores = [0.0] * len(answers)
        model.eval()
        with torch.no_grad():
            for members in micro_batches([[sequence] for sequence in sequences], micro_batch_tokens):
                forest, ends = Forest.from_sequences([sequences[number] for number in members])
                last = torch.tensor([forest.offsets[end + 1] - 1 for end in ends], device=model.device)
                found = model(forest.to(model.device), last)
                if probability:
                    found = found.sigmoid()
                for number, score in zip(members, found.tolist(), strict=True):
                    scores[number] = score
        return [Judgement(score) for score in scores]

    return judge


def by_implicit_reward(
    model: Decoder,
    reference: Decoder,
    tokenizer: Tokenizer,
    *,
    beta: float = 0.1,
    per_token: bool = False,
    micro_batch_tokens: int = 4096,
) -> Judge:
    """The implicit reward of a model that preferences have trained: β log π/π_ref (Rafailov 2023, arXiv:2305.18290).

    reference: what the model was trained from, with the same tokenizer. per_token: each token of the answer has its
    part of it as its score (Rafailov 2024, arXiv:2404.12358) where the answer is tokenized as it was sampled.
    """

    def judge(answers: Sequence[Answer], /) -> list[Judgement]:
        encoded = [_encoding(tokenizer, answer) for answer in answers]
        judgements = [Judgement(0.0)] * len(answers)
        units = [[encoding.tokens] for encoding in encoded]
        for members in micro_batches(units, micro_batch_tokens) if units else ():
            batch = Batch.from_rows(
                [encoded[number].tokens for number in members], [encoded[number].mask for number in members]
            ).to(model.device)
            with torch.inference_mode():
                own, base = (one.eval().logps(batch.forest, batch.scored)[batch.entries] for one in (model, reference))
            parts = (beta * (own.double() - base.double())).cpu().split([sum(encoded[i].mask) for i in members])
            for number, part in zip(members, parts, strict=True):
                encoding, tokens = encoded[number], list(answers[number].tokens)
                learned = [token for token, own in zip(encoding.tokens, encoding.mask, strict=True) if own]
                by_token = part.tolist() if per_token and tokens and tokens == learned else None
                judgements[number] = Judgement(part.sum().item(), token_scores=by_token)
        return judgements

    return judge


def _encoding(tokenizer: Tokenizer, answer: Answer) -> Encoding:
    """The whole conversation as the chat template writes it: reward models are trained to be read at its last token."""
    messages: list[Message] = [*answer.prompt, {"role": "assistant", "content": answer.text}]  # type: ignore[list-item]
    n_answers = sum(message["role"] == "assistant" for message in messages)
    (encoding,) = encode_answers(tokenizer, messages, learned=[False] * (n_answers - 1) + [True])
    if unread := [part for part in encoding.lost if part.place < len(messages) - 1]:
        raise DataError(
            f"the chat template of the judging model {tokenizer.source} leaves out the {unread[0].what} of message "
            f"{unread[0].place + 1} of a prompt, so it would judge answers to another one"
        )
    return encoding
