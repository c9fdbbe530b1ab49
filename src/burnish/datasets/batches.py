"""Examples to batches: a forest, the tokens to score, and which row each scored token counts for.

Rows are whole sequences (a document, a conversation, one answer of a pair). Rows that begin alike share their
tokens in the forest, so a token may count for several rows; it is scored once.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from burnish.datasets.examples import Example, LabelledExample, PreferenceExample
from burnish.forest import Forest


@dataclass(frozen=True)
class Column:
    """A further tensor of a batch that an objective reads, and of what it has a value each.

    entry: `[n_entries]`; row: `[n_rows]`; list: of as many values as there are ranked lists; batch: a scalar.
    """

    name: str
    per: Literal["entry", "row", "list", "batch"]


REFERENCE_LOGPS = Column("reference_logps", "entry")
"""log p of each entry under the model that training starts from."""


@dataclass(frozen=True, eq=False)
class Batch:
    """One forward pass of training.

    scored: `[n_scored]` int64, indices of the tokens whose log-probability is needed, each once.
    entries: `[n_entries]` int64, positions in `scored`; row by row, in the order of the sequence.
    rows: `[n_entries]` int64, the row that each entry counts for.
    columns: further tensors by name, for example `reference_logps` `[n_entries]`; objectives declare what they read.
    sources: what the trees of `forest` are written from, in order, for an encoder-decoder.
    """

    forest: Forest
    scored: Tensor
    entries: Tensor
    rows: Tensor
    n_rows: int
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    sources: Forest | None = None

    @classmethod
    def from_rows(
        cls,
        sequences: Sequence[Sequence[int]],
        masks: Sequence[Sequence[bool]],
        *,
        columns: Mapping[str, Tensor] | None = None,
        sources: Sequence[Sequence[int]] | None = None,
    ) -> Self:
        """Build from token sequences and masks that are True where a token is scored.

        sources: what each sequence is written from; equal ones are encoded once.

        Raises ValueError where a sequence and its mask differ in length or a first token is to be scored.
        """
        written_from = None
        if sources is None:
            forest, ends = Forest.from_sequences(sequences)
        else:
            forest, ends, written_from = _by_source(sequences, sources)
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
            columns or {},
            written_from,
        )

    @property
    def n_entries(self) -> int:
        return len(self.entries)

    @cached_property
    def row_lengths(self) -> Tensor:
        """Entries of each row: int64 `[n_rows]`."""
        return torch.bincount(self.rows, minlength=self.n_rows)

    def has(self, column: Column) -> bool:
        return column.name in self.columns

    def with_columns(self, **columns: Tensor) -> Self:
        """The same batch with further columns."""
        return replace(self, columns={**self.columns, **columns})

    def column(self, column: Column) -> Tensor:
        """A column as declared. Raises ValueError where the batch lacks it or it has another number of values."""
        if column.name not in self.columns:
            found = ", ".join(sorted(self.columns)) or "none"
            raise ValueError(f"the batch has no column '{column.name}', which the objective reads; it has: {found}")
        values = self.columns[column.name]
        expected = {"entry": (self.n_entries,), "row": (self.n_rows,), "batch": ()}.get(column.per)
        if expected is not None and tuple(values.shape) != expected:
            raise ValueError(
                f"the column '{column.name}' has the shape {list(values.shape)}; expected {list(expected)}, a value "
                f"for each {column.per}"
            )
        return values

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
            moved,
            None if self.sources is None else self.sources.to(device),
        )


def _by_source(
    sequences: Sequence[Sequence[int]], sources: Sequence[Sequence[int]]
) -> tuple[Forest, list[int], Forest]:
    """A tree for each distinct source, of the sequences written from it; the segments they end in; the sources.

    Raises ValueError where sequences of one source begin with different tokens: they would be two trees.
    """
    rows: dict[tuple[int, ...], list[int]] = {}
    for row, source in enumerate(sources):
        rows.setdefault(tuple(source), []).append(row)
    # Pairs of equal lengths are neighbours, and share kernel calls.
    ordered = sorted(rows, key=lambda source: (len(source), [len(sequences[row]) for row in rows[source]]))
    trees, ends, first = [], [-1] * len(sequences), 0
    for numbers in (rows[source] for source in ordered):
        tree, own_ends = Forest.from_sequences([sequences[row] for row in numbers], min_shared=1)
        if len(tree.roots) > 1:
            raise ValueError(f"rows {numbers} have one source, but begin with different tokens")
        for row, end in zip(numbers, own_ends, strict=True):
            ends[row] = first + end
        trees.append(tree)
        first += tree.n_segments
    return Forest.side_by_side(trees), ends, Forest.from_segments((source, -1) for source in ordered)


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
    return grouped_steps(range(n_examples), batch_size=batch_size, epochs=epochs, seed=seed)


def grouped_steps(groups: Sequence[Hashable], *, batch_size: int, epochs: float, seed: int) -> list[list[int]]:
    """As `shuffled_steps` of groups, the examples of each one behind the other. groups: that of each example."""
    members: dict[Hashable, list[int]] = {}
    for number, group in enumerate(groups):
        members.setdefault(group, []).append(number)
    of_group = list(members.values())
    total = round(len(groups) * epochs)
    order: list[int] = []
    epoch = 0
    while len(order) < total:
        for group in np.random.default_rng([seed, epoch]).permutation(len(of_group)).tolist():
            order += of_group[group]
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
    """Micro-batches of supervised examples, one a row."""
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
    """Micro-batches whose rows are chosen, rejected, chosen, ...

    reference_logps: for each pair the reference's log-probabilities of its answers' tokens, chosen first; they
    become the column of that name, `[n_entries]`.
    """
    batches = []
    for group in micro_batches([pair.sequences for pair in pairs], micro_batch_tokens):
        columns = {}
        if reference_logps is not None:
            columns["reference_logps"] = torch.cat([reference_logps[i] for i in group])
        batches.append(
            Batch.from_rows(
                [sequence for i in group for sequence in pairs[i].sequences],
                [mask for i in group for mask in pairs[i].masks],
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
    """Micro-batches of single judged answers, one a row.

    reference_logps: for each example the reference's log-probabilities of its answer's tokens; they become the column
    of that name, `[n_entries]`. kl: a scalar that all batches get as a column. A further column: `desired` `[n_rows]`
    bool.
    """
    desired = torch.tensor([example.desired for example in examples])
    return [
        Batch.from_rows(
            [sequence for i in group for sequence in examples[i].sequences],
            [mask for i in group for mask in examples[i].masks],
            columns={
                "reference_logps": torch.cat([reference_logps[i] for i in group]),
                "desired": desired[group],
                "kl": kl,
            },
        )
        for group in micro_batches([example.sequences for example in examples], micro_batch_tokens)
    ]
