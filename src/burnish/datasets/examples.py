"""Validated rows → token examples, with a report of every row that was left out or cut.

Notable choices:
- an example ends with the last token that is learned: a template's text after it teaches nothing;
- an example over `max_length` is dropped unless the caller asks for it to be cut: a cut answer teaches a
  model to stop in the middle, a cut prompt asks another question;
- in a preference the prompt's tokens are an exact, shared prefix of both sequences, because the forest stores
  them once.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from burnish.datasets.answers import OnLong, fit_answers, judged_tokens, learned_length
from burnish.datasets.report import Account, DropError, Report, encode_all
from burnish.datasets.rows import Conversation, Labelled, Preference, Task
from burnish.text.chat import encode_conversation, encode_prompt
from burnish.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Example:
    """A sequence to imitate where `mask` is True; both have one entry a token."""

    tokens: list[int]
    mask: list[bool]


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

    Args:
        max_length: tokens an example may have; longer ones are dropped, or cut with `on_long="cut"`.

    Raises:
        DataError: the chat template refuses rows; they are listed by file and line.
    """

    def encode(row: Conversation, account: Account) -> Example:
        tokens, mask = encode_conversation(tokenizer, row.messages, tools=row.tools)
        mask = _only_learned(mask, row.learned)
        length = learned_length(mask)
        if length > max_length:
            reason = f"{length} tokens, more than max_length {max_length}"
            if on_long == "drop":
                raise DropError(reason)
            if not any(mask[:max_length]):
                raise DropError(f"{reason}, and no answer begins before that")
            account.cut(reason)
            length = max_length
        return Example(tokens[:length], mask[:length])

    return encode_all(conversations, encode)


def preference_examples(
    preferences: Iterable[Preference], tokenizer: Tokenizer, *, max_length: int, on_long: OnLong = "drop"
) -> tuple[list[PreferenceExample], Report]:
    """Encode preferences; `max_length` bounds the prompt with the longer of its answers.

    With `on_long="cut"` the answers lose their end, the prompt never. A pair is dropped whose prompt leaves no room,
    whose answers are the same tokens, or that the chat template refuses or does not carry.
    """

    def encode(row: Preference, account: Account) -> PreferenceExample:
        answers = {"chosen": row.chosen, "rejected": row.rejected}
        prompt, (chosen, rejected) = judged_tokens(row, answers, tokenizer, account)
        chosen, rejected = fit_answers(prompt, answers, (chosen, rejected), account, max_length, on_long)
        return PreferenceExample(prompt, chosen, rejected)

    return encode_all(preferences, encode, "pairs")


def labelled_examples(
    labelled: Iterable[Labelled], tokenizer: Tokenizer, *, max_length: int, on_long: OnLong = "drop"
) -> tuple[list[LabelledExample], Report]:
    """Encode single judged answers. Arguments as `preference_examples`, and so are the reasons to drop one."""

    def encode(row: Labelled, account: Account) -> LabelledExample:
        answers = {"answer": row.answer}
        prompt, tokens = judged_tokens(row, answers, tokenizer, account)
        (answer,) = fit_answers(prompt, answers, tokens, account, max_length, on_long)
        return LabelledExample(prompt, answer, row.desired)

    return encode_all(labelled, encode)


def task_prompts(tasks: Iterable[Task], tokenizer: Tokenizer, *, max_length: int) -> tuple[list[Prompt], Report]:
    """Encode the prompts of tasks and drop those over `max_length`: a cut prompt is another question."""

    def encode(row: Task, _: Account) -> Prompt:
        tokens = encode_prompt(tokenizer, row.prompt, tools=row.tools)
        if len(tokens) > max_length:
            raise DropError(f"the prompt has {len(tokens)} tokens, more than max_length {max_length}")
        return Prompt(tokens, row.row)

    return encode_all(tasks, encode, "prompts")


def _only_learned(mask: list[bool], learned: tuple[bool, ...] | None) -> list[bool]:
    """Return the mask without the assistant messages that are only read: each message is one run of True."""
    if learned is None or all(learned):
        return mask
    runs = [(value, len(list(run))) for value, run in itertools.groupby(mask)]
    if sum(value for value, _ in runs) != len(learned):
        raise AssertionError(f"{len(learned)} assistant messages, but a mask with other runs; the encoding is broken")
    each = iter(learned)
    return [flag for value, length in runs for flag in [value and next(each)] * length]
