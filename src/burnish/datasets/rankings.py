"""Ranked answers for reward models: rows to tokens to batches.

Notable choices:
- an answer goes on to the end of what the chat template writes, beyond the token that ends it: a reward is read at the
  last token, and that is the one that `apply_chat_template` gives to those who use the saved model in transformers;
- a pair is a list of two.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from burnish.datasets.answers import OnLong, fit_answers, judged_tokens
from burnish.datasets.batches import Batch, micro_batches
from burnish.datasets.report import Account, Report, encode_all
from burnish.datasets.rows import Ranking
from burnish.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class RankedExample:
    """Token ids of a prompt and of its answers, the best first. margin: by how much, for two answers; else None."""

    prompt: list[int]
    answers: list[list[int]]
    margin: float | None = None

    @property
    def sequences(self) -> list[list[int]]:
        """The prompt with each answer."""
        return [self.prompt + answer for answer in self.answers]


def ranked_examples(
    rankings: Iterable[Ranking], tokenizer: Tokenizer, *, max_length: int, on_long: OnLong = "drop"
) -> tuple[list[RankedExample], Report]:
    """Encode ranked answers with the whole of what the chat template writes after them.

    Arguments as for `preference_examples`, and so are the reasons to drop a row.
    """

    def encode(row: Ranking, account: Account) -> RankedExample:
        names = ("chosen", "rejected") if len(row.answers) == 2 else [f"{n + 1}." for n in range(len(row.answers))]
        answers = dict(zip(names, row.answers, strict=True))
        prompt, tokens = judged_tokens(row, answers, tokenizer, account, whole=True)
        tokens = fit_answers(prompt, answers, tokens, account, max_length, on_long, tokenizer.context_length)
        if row.remark is not None:
            account.note(row.remark)
        return RankedExample(prompt, tokens, row.margin if len(tokens) == 2 else None)

    return encode_all(rankings, encode, "rankings")


def ranked_batches(
    examples: Sequence[RankedExample], *, micro_batch_tokens: int, margin_weight: float = 0.0
) -> list[Batch]:
    """Micro-batches whose rows are answers, list by list, the best first.

    The scored tokens are the last of each answer. Columns: `list_sizes` `[n_lists]`, and `margins` `[n_lists]`, the
    examples' margins (0 where there is none) times `margin_weight`.
    """
    batches = []
    for group in micro_batches([example.sequences for example in examples], micro_batch_tokens):
        sequences = [sequence for number in group for sequence in examples[number].sequences]
        margins = [margin_weight * (examples[number].margin or 0.0) for number in group]
        batches.append(
            Batch.from_rows(
                sequences,
                [[False] * (len(sequence) - 1) + [True] for sequence in sequences],
                columns={
                    "list_sizes": torch.tensor([len(examples[number].answers) for number in group]),
                    "margins": torch.tensor(margins),
                },
            )
        )
    return batches
