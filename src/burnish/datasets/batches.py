"""Examples to batches: a forest, the tokens to score, and which row each scored token counts for.

Rows are whole sequences (a document, a conversation, one answer of a pair). Rows that begin alike share their
tokens in the forest, so a token may count for several rows; it is scored once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from torch import Tensor

from burnish.datasets.examples import Example, LabelledExample, PreferenceExample
from burnish.forest import Forest


@dataclass(frozen=True, eq=False)
class Batch:
    """One forward pass of training.

    scored: `[n_scored]` int64, indices of the tokens whose log-probability is needed, each once.
    entries: `[n_entries]` int64, positions in `scored`; row by row, in the order of the sequence.
    rows: `[n_entries]` int64, the row that each entry counts for.
    weight: this batch's share of the step's denominator (tokens, pairs, ...).
    columns: further tensors of the objective, for example `reference_logps` `[n_entries]`.
    """

    forest: Forest
    scored: Tensor
    entries: Tensor
    rows: Tensor
    n_rows: int
    weight: float
    columns: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def from_rows(
        cls,
        sequences: Sequence[Sequence[int]],
        masks: Sequence[Sequence[bool]],
        *,
        weight: float | None = None,
        columns: Mapping[str, Tensor] | None = None,
    ) -> Self:
        """Build from token sequences and masks that are True where a token is scored.

        The default weight is the number of entries. Raises ValueError where a sequence and its mask differ in
        length or a first token is to be scored.
        """
        forest, ends = Forest.from_sequences(sequences)
        indices = []
        for row, (sequence, mask, end) in enumerate(zip(sequences, masks, ends, strict=True)):
            if len(sequence) != len(mask):
                raise ValueError(f"row {row}: {len(sequence)} tokens but a mask of {len(mask)}")
            if mask[0]:
                raise ValueError(f"row {row}: its first token cannot be scored, nothing comes before it")
            indices.append(forest.path(end)[torch.tensor(mask, dtype=torch.bool)])
        flat = torch.cat(indices)
        scored, entries = torch.unique(flat, return_inverse=True)
        rows = torch.repeat_interleave(torch.tensor([len(index) for index in indices]))
        return cls(
            forest,
            scored,
            entries,
            rows,
            len(sequences),
            len(flat) if weight is None else weight,
            columns or {},
        )

    def row_sums(self, values: Tensor) -> Tensor:
        """Sum `values` `[n_entries]` for each row: `[n_rows]`."""
        return values.new_zeros(self.n_rows).index_add(0, self.rows, values)

    def to(self, device: torch.device) -> Self:
        """The same batch on `device`."""
        if self.scored.device == device:
            return self
        moved = {name: column.to(device) for name, column in self.columns.items()}
        return type(self)(
            self.forest.to(device),
            self.scored.to(device),
            self.entries.to(device),
            self.rows.to(device),
            self.n_rows,
            self.weight,
            moved,
        )


@dataclass(frozen=True)
class Steps:
    """The batches of each optimizer step, built when they are asked for.

    plan: the example numbers of each step; build: turns them into the step's micro-batches.
    """

    plan: Sequence[Sequence[int]]
    build: Callable[[Sequence[int]], list[Batch]]

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, step: int) -> list[Batch]:
        return self.build(self.plan[step])


def shuffled_steps(n_examples: int, *, batch_size: int, epochs: float, seed: int) -> list[list[int]]:
    """Example numbers of each step: every epoch is a new permutation drawn from (seed, epoch).

    A fraction of an epoch is its first part. The last step of the run may be smaller.
    """
    total = round(n_examples * epochs)
    order: list[int] = []
    epoch = 0
    while len(order) < total:
        order.extend(np.random.default_rng([seed, epoch]).permutation(n_examples).tolist())
        epoch += 1
    return [order[start : min(start + batch_size, total)] for start in range(0, total, batch_size)]


def micro_batches(units: Sequence[Sequence[Sequence[int]]], max_tokens: int) -> list[list[int]]:
    """Split units into runs whose forests hold about `max_tokens` tokens at most; returns unit numbers.

    A unit is the sequences that must stay together (one conversation; both answers of a pair). What all
    sequences share is counted once. Units of similar length go together, since equal segments share kernel calls.
    A unit longer than the limit is a batch of its own.
    """
    shared = _shared_by_all([sequence for unit in units for sequence in unit])
    sizes = [sum(len(s) - shared for s in unit) - _shared_within(unit, shared) for unit in units]
    batches: list[list[int]] = []
    room = 0
    for number in sorted(range(len(units)), key=lambda unit: (sizes[unit], unit)):
        if not batches or sizes[number] > room:
            batches.append([])
            room = max_tokens - shared
        batches[-1].append(number)
        room -= sizes[number]
    return batches


def _shared_by_all(sequences: Sequence[Sequence[int]]) -> int:
    first, last = min(map(tuple, sequences)), max(map(tuple, sequences))
    # In lexicographic order all others lie between these two and share what they share.
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _shared_within(unit: Sequence[Sequence[int]], shared: int) -> int:
    """Tokens saved because the unit's own sequences begin alike, beyond what all units share."""
    return (len(unit) - 1) * (_shared_by_all(unit) - shared)


def supervised_batches(examples: Sequence[Example], *, micro_batch_tokens: int) -> list[Batch]:
    """Micro-batches of supervised examples; the weight is the number of scored tokens."""
    return [
        Batch.from_rows([examples[i].tokens for i in group], [examples[i].mask for i in group])
        for group in micro_batches([[example.tokens] for example in examples], micro_batch_tokens)
    ]


def document_batches(documents: Sequence[Sequence[int]], *, micro_batch_tokens: int) -> list[Batch]:
    """Micro-batches in which every token but each document's first is scored."""
    return supervised_batches(
        [Example(list(tokens), [False] + [True] * (len(tokens) - 1)) for tokens in documents],
        micro_batch_tokens=micro_batch_tokens,
    )


def preference_batches(
    pairs: Sequence[PreferenceExample],
    *,
    micro_batch_tokens: int,
    reference_logps: Sequence[Tensor] | None = None,
) -> list[Batch]:
    """Micro-batches whose rows are chosen, rejected, chosen, ...; the weight is the number of pairs.

    The column `mean_chosen_length`, a scalar, is the mean number of tokens of all the chosen answers.

    reference_logps: for each pair the reference's log-probabilities of its answers' tokens, chosen first; they
    become the column of that name, `[n_entries]`.
    """
    batches = []
    mean_chosen_length = torch.tensor(sum(len(pair.chosen) for pair in pairs) / len(pairs))
    for group in micro_batches([pair.sequences for pair in pairs], micro_batch_tokens):
        columns = {"mean_chosen_length": mean_chosen_length}
        if reference_logps is not None:
            columns["reference_logps"] = torch.cat([reference_logps[i] for i in group])
        batches.append(
            Batch.from_rows(
                [sequence for i in group for sequence in pairs[i].sequences],
                [mask for i in group for mask in pairs[i].masks],
                weight=len(group),
                columns=columns,
            )
        )
    return batches


def labelled_batches(
    examples: Sequence[LabelledExample],
    *,
    micro_batch_tokens: int,
    reference_logps: Sequence[Tensor],
    kl: Tensor,
) -> list[Batch]:
    """Micro-batches of single judged answers, one a row; the weight is the number of answers.

    reference_logps: for each example the reference's log-probabilities of its answer's tokens; they become the column
    of that name, `[n_entries]`. kl: a scalar that all batches get as a column. Further columns: `desired` `[n_rows]`
    bool, and `desired_share`, a scalar, the share of desired answers among all the examples.
    """
    desired = torch.tensor([example.desired for example in examples])
    return [
        Batch.from_rows(
            [sequence for i in group for sequence in examples[i].sequences],
            [mask for i in group for mask in examples[i].masks],
            weight=len(group),
            columns={
                "reference_logps": torch.cat([reference_logps[i] for i in group]),
                "desired": desired[group],
                "desired_share": desired.float().mean(),
                "kl": kl,
            },
        )
        for group in micro_batches([example.sequences for example in examples], micro_batch_tokens)
    ]
