"""Answers of which some tokens have a label, for process and outcome reward models: rows to tokens to batches.

Notable choices:
- steps follow the prompt as the chat template opens an answer, a separator behind each (`burnish.text.steps`), and
  nothing closes them: a step is judged before it is known whether another follows;
- an outcome is read at the last token of all that the chat template writes, as by transformers' sequence classifiers.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from burnish.datasets.answers import OnLong, check_carried, learned_length
from burnish.datasets.batches import Batch, micro_batches
from burnish.datasets.examples import labelled_examples
from burnish.datasets.report import Account, DropError, Report, encode_all
from burnish.datasets.rows import Labelled, Stepwise
from burnish.text.chat import encode_question
from burnish.text.steps import encode_steps
from burnish.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class LabelledSequence:
    """Token ids of a prompt with an answer.

    mask: one entry a token, True where it has a label. labels: these. n_prompt: tokens of the prompt.
    """

    tokens: list[int]
    mask: list[bool]
    labels: list[float]
    n_prompt: int = 0

    @property
    def sequences(self) -> list[list[int]]:
        """The tokens, as the only sequence."""
        return [self.tokens]

    @property
    def prompt(self) -> tuple[int, ...]:
        """The tokens of the prompt, which answers to it have in common."""
        return tuple(self.tokens[: self.n_prompt])


def stepwise_examples(
    answers: Iterable[Stepwise],
    tokenizer: Tokenizer,
    *,
    step_separator: str,
    max_length: int,
    on_long: OnLong = "drop",
    label_at: Literal["steps", "tokens"] = "steps",
    last_step_only: bool = False,
) -> tuple[list[LabelledSequence], Report]:
    """Encode answers whose steps are labelled.

    A step that has the separator inside is kept with a remark: in an answer that is judged it would be several. With
    `on_long="cut"` an answer loses what does not fit, its prompt never.

    label_at: the last token of a step has its label, that of the separator, or all of its tokens. last_step_only: no
    step but the last has one. Raises DataError where the chat template refuses rows, by file and line.
    """

    def encode(row: Stepwise, account: Account) -> LabelledSequence:
        encoding = encode_question(tokenizer, row.prompt, tools=row.tools, variables=row.template_kwargs)
        check_carried(encoding, row.prompt)
        for remark in encoding.remarks:
            account.note(remark)
        steps = [step.removesuffix(step_separator) for step in row.steps]
        if parted := [place for place, step in enumerate(steps, 1) if step_separator in step]:
            account.note(
                f"step {parted[0]} has the separator {step_separator!r} inside ({len(parted)} such steps); the answers "
                "that are judged later are split there"
            )
        if last_step_only and row.labels[-1] is None:
            raise DropError("the last step has no label")
        own, ends = encode_steps(tokenizer, steps, step_separator)
        tokens = [*encoding.tokens, *own]
        labels: list[float | None] = [None] * len(tokens)
        start = len(encoding.tokens)
        for place, (end, label) in enumerate(zip(ends, row.labels, strict=True), 1):
            end += len(encoding.tokens)
            if place == len(ends) or not last_step_only:
                first = start if label_at == "tokens" else end
                labels[first : end + 1] = [label] * (end + 1 - first)
            start = end + 1
        return _fit(tokens, labels, len(encoding.tokens), account, max_length, on_long)

    return encode_all(answers, encode, "answers")


def outcome_examples(
    answers: Iterable[Labelled],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    on_long: OnLong = "drop",
    label_at: Literal["answer", "tokens"] = "answer",
) -> tuple[list[LabelledSequence], Report]:
    """Encode answers that are right or wrong as a whole. Arguments as for `labelled_examples`.

    label_at: the last token has the label, or all tokens that follow the prompt.
    """
    examples, report = labelled_examples(answers, tokenizer, max_length=max_length, on_long=on_long, whole=True)
    found = []
    for example in examples:
        n_labels = len(example.answer) if label_at == "tokens" else 1
        n_before = len(example.prompt) + len(example.answer) - n_labels
        mask = [False] * n_before + [True] * n_labels
        labels = [float(example.desired)] * n_labels
        found.append(LabelledSequence(example.prompt + example.answer, mask, labels, len(example.prompt)))
    return found, report


def with_all_tokens(example: LabelledSequence) -> LabelledSequence:
    """The same answer with an entry for each of its tokens; the label of those that have none is NaN."""
    labels = iter(example.labels)
    of_tokens = [next(labels) if labelled else math.nan for labelled in example.mask[example.n_prompt :]]
    mask = [False] * example.n_prompt + [True] * len(of_tokens)
    return replace(example, mask=mask, labels=of_tokens)


def label_batches(examples: Sequence[LabelledSequence], *, micro_batch_tokens: int) -> list[Batch]:
    """Micro-batches whose rows are answers, those to one prompt together. Column: `labels` `[n_entries]`."""
    units = _units(examples, micro_batch_tokens)
    batches = []
    for chosen in micro_batches([[one.tokens for one in unit] for unit in units], micro_batch_tokens):
        rows = [one for number in chosen for one in units[number]]
        labels = torch.tensor([label for row in rows for label in row.labels])
        batches.append(
            Batch.from_rows([row.tokens for row in rows], [row.mask for row in rows], columns={"labels": labels})
        )
    return batches


def _units(examples: Sequence[LabelledSequence], micro_batch_tokens: int) -> list[list[LabelledSequence]]:
    """The answers to each prompt, in parts where they are more than a micro-batch."""
    units: dict[tuple[int, ...], list[list[LabelledSequence]]] = {}
    room: dict[tuple[int, ...], int] = {}
    for one in examples:
        size = len(one.tokens) - one.n_prompt
        parts = units.setdefault(one.prompt, [])
        if not parts or not one.n_prompt or size > room[one.prompt]:
            parts.append([])
            room[one.prompt] = micro_batch_tokens - one.n_prompt
        parts[-1].append(one)
        room[one.prompt] -= size
    return [part for parts in units.values() for part in parts]


def _fit(
    tokens: list[int], labels: list[float | None], n_prompt: int, account: Account, max_length: int, on_long: OnLong
) -> LabelledSequence:
    """The sequence up to its last label, or cut. Raises DropError where it is too long."""
    mask = [label is not None for label in labels]
    length = learned_length(mask)
    if length > max_length:
        reason = f"{length} tokens, more than max_length {max_length}"
        if on_long == "drop":
            raise DropError(reason)
        length = learned_length(mask[:max_length])
        if not length:
            raise DropError(f"{reason}, and no step with a label ends before that")
        account.cut(reason)
    kept = [label for label in labels[:length] if label is not None]
    return LabelledSequence(tokens[:length], mask[:length], kept, n_prompt)
