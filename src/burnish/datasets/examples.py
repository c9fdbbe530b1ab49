"""Validated rows → token examples, with a report of every row that was left out or cut.

Notable choices:
- an example ends with the last token that is learned: a template's text after it teaches nothing;
- an example over `max_length` is dropped unless the caller asks for it to be cut: a cut answer teaches a
  model to stop in the middle, a cut prompt asks another question;
- in a preference the prompt's tokens are an exact, shared prefix of both sequences, because the forest stores
  them once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from burnish.datasets.answers import (
    OnLong,
    check_carried,
    fit_answers,
    judged_tokens,
    learned_length,
    note_beyond_context,
)
from burnish.datasets.report import Account, DropError, Report, encode_all
from burnish.datasets.rows import Conversation, Labelled, Preference, Task
from burnish.text.chat import Encoding, encode_answers, encode_question
from burnish.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Example:
    """A sequence to imitate where `mask` is True; both have one entry a token.

    conversation: the number, among those that were encoded, of the conversation that it is an example of.
    task_type: that of the conversation.
    """

    tokens: list[int]
    mask: list[bool]
    conversation: int = 0
    task_type: str | None = None


@dataclass(frozen=True, slots=True)
class PreferenceExample:
    """Token ids of a prompt and of the two answers that may follow it."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def sequences(self) -> list[list[int]]:
        """The prompt with each answer, the chosen one first."""
        return [self.prompt + answer for answer in (self.chosen, self.rejected)]

    @property
    def masks(self) -> list[list[bool]]:
        """For each sequence, True where a token belongs to the answer."""
        return [[False] * len(self.prompt) + [True] * len(answer) for answer in (self.chosen, self.rejected)]


@dataclass(frozen=True, slots=True)
class LabelledExample:
    """Token ids of a prompt and of one answer, and whether that is a desired one."""

    prompt: list[int]
    answer: list[int]
    desired: bool

    @property
    def sequences(self) -> list[list[int]]:
        """The prompt with the answer, as the only one."""
        return [self.prompt + self.answer]

    @property
    def masks(self) -> list[list[bool]]:
        """True where a token belongs to the answer."""
        return [[False] * len(self.prompt) + [True] * len(self.answer)]


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids that end where the model is to continue, and the row that a verifier reads."""

    tokens: list[int]
    row: dict[str, Any]


def conversation_examples(
    conversations: Iterable[Conversation], tokenizer: Tokenizer, *, max_length: int, on_long: OnLong = "drop"
) -> tuple[list[Example], Report]:
    """Encode conversations with the tokenizer's chat template, the assistant's tokens masked True.

    Where the template writes an answer differently once other turns follow, a row gives an example for each such
    answer, which the report says. A row is dropped if a part of it is not in what the template writes.

    Args:
        max_length: tokens an example may have; longer ones are dropped, or cut with `on_long="cut"`.

    Raises:
        DataError: the chat template refuses rows; they are listed by file and line.
    """

    def encode(row: Conversation, account: Account) -> list[Example]:
        found = encode_answers(
            tokenizer, row.messages, tools=row.tools, variables=row.template_kwargs, learned=row.learned
        )
        for encoding in found:
            check_carried(encoding, row.messages)
        if not any(any(encoding.mask) for encoding in found):
            raise DropError("the chat template marks none of its answers as generated")
        for remark in dict.fromkeys(remark for encoding in found for remark in encoding.remarks):
            account.note(remark)
        if len(found) > 1:
            account.note(f"{len(found)} examples: the chat template writes an answer differently once others follow")
        examples = []
        too_long = []
        for encoding in found:
            try:
                fitted = _fit(encoding, account, max_length, on_long)
                note_beyond_context(len(fitted.tokens), tokenizer.context_length, account)
                examples.append(replace(fitted, task_type=row.task_type))
            except DropError as error:
                too_long.append(str(error))
        if not examples:
            raise DropError(too_long[0])
        for reason in too_long:
            account.cut(f"one of its {len(found)} examples left out: {reason}")
        return examples

    groups, report = encode_all(conversations, encode)
    examples = [replace(example, conversation=number) for number, group in enumerate(groups) for example in group]
    report.kept = len(examples)
    return examples, report


def hold_out(examples: Sequence[Example], share: float, *, seed: Sequence[int]) -> tuple[list[Example], list[Example]]:
    """The examples to train on, in their order, and those of a `share` of the conversations, drawn by `seed`.

    A conversation is never parted: what one of its examples asks is in the next one's prompt, so that a loss on the
    one would be of text that was learned. At least one conversation is left to train on.
    """
    conversations = sorted({example.conversation for example in examples})
    order = np.random.default_rng(seed).permutation(len(conversations)).tolist()
    n_heldout = min(round(len(conversations) * share), len(conversations) - 1)
    place = {conversations[index]: place for place, index in enumerate(order)}
    kept = [example for example in examples if place[example.conversation] >= n_heldout]
    heldout = [example for example in examples if place[example.conversation] < n_heldout]
    return kept, sorted(heldout, key=lambda example: place[example.conversation])


def _fit(encoding: Encoding, account: Account, max_length: int, on_long: OnLong) -> Example:
    """Return the example up to its last learned token, or cut. Raises DropError where it is too long."""
    mask = encoding.mask
    length = learned_length(mask)
    if length > max_length:
        reason = f"{length} tokens, more than max_length {max_length}"
        if on_long == "drop":
            raise DropError(reason)
        if not any(mask[:max_length]):
            raise DropError(f"{reason}, and no answer begins before that")
        account.cut(reason)
        length = max_length
    return Example(encoding.tokens[:length], mask[:length])


def preference_examples(
    preferences: Iterable[Preference], tokenizer: Tokenizer, *, max_length: int, on_long: OnLong = "drop"
) -> tuple[list[PreferenceExample], Report]:
    """Encode preferences; `max_length` bounds the prompt with the longer of its answers.

    With `on_long="cut"` the answers lose their end, the prompt never. A pair is dropped whose prompt leaves no room,
    whose answers are the same tokens, or that the chat template refuses or does not carry.
    """

    def encode(row: Preference, account: Account) -> PreferenceExample:
        if row.remark is not None:
            account.note(row.remark)
        answers = {"chosen": row.chosen, "rejected": row.rejected}
        prompt, (chosen, rejected) = judged_tokens(row, answers, tokenizer, account)
        chosen, rejected = fit_answers(
            prompt, answers, (chosen, rejected), account, max_length, on_long, tokenizer.context_length
        )
        return PreferenceExample(prompt, chosen, rejected)

    return encode_all(preferences, encode, "pairs")


def labelled_examples(
    labelled: Iterable[Labelled],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    on_long: OnLong = "drop",
    whole: bool = False,
) -> tuple[list[LabelledExample], Report]:
    """Encode single judged answers. Arguments as `preference_examples`, and so are the reasons to drop one.

    whole: with what the chat template writes after the token that ends an answer.
    """

    def encode(row: Labelled, account: Account) -> LabelledExample:
        answers = {"answer": row.answer}
        prompt, tokens = judged_tokens(row, answers, tokenizer, account, whole=whole)
        (answer,) = fit_answers(prompt, answers, tokens, account, max_length, on_long, tokenizer.context_length)
        return LabelledExample(prompt, answer, row.desired)

    return encode_all(labelled, encode)


def task_prompts(tasks: Iterable[Task], tokenizer: Tokenizer, *, max_length: int) -> tuple[list[Prompt], Report]:
    """Encode the prompts of tasks and drop those over `max_length`: a cut prompt is another question."""

    def encode(row: Task, account: Account) -> Prompt:
        encoding = encode_question(tokenizer, row.prompt, tools=row.tools, variables=row.template_kwargs)
        check_carried(encoding, row.prompt)
        tokens = encoding.tokens
        for remark in encoding.remarks:
            account.note(remark)
        if len(tokens) > max_length:
            raise DropError(f"the prompt has {len(tokens)} tokens, more than max_length {max_length}")
        return Prompt(tokens, row.row)

    return encode_all(tasks, encode, "prompts")
