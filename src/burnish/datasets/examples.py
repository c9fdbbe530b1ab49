"""Validated rows → token examples, with a report of every row that was left out or cut.

Notable choices:
- an example ends with the last token that is learned: a template's text after it teaches nothing;
- an example over `max_length` is dropped unless the caller asks for it to be cut: a cut answer teaches a
  model to stop in the middle, a cut prompt asks another question;
- in a preference the prompt's tokens are an exact, shared prefix of both sequences, because the forest stores
  them once.
"""

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from burnish.corpus.records import Problems
from burnish.datasets.rows import Conversation, Labelled, Place, Preference, Task
from burnish.errors import DataError
from burnish.files import atomic_write_text
from burnish.text.chat import Message, Tools, encode_conversation, encode_prompt
from burnish.text.tokenizer import Tokenizer

OnLong = Literal["drop", "cut"]
Item = TypeVar("Item", Conversation, Preference, Labelled, Task)
Encoded = TypeVar("Encoded")


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


@dataclass(slots=True)
class Report:
    """What became of the rows: how many were kept, and file, line and reason of those that were not kept as they are.

    cut: kept without their end. noted: kept, but the model reads something else than the row says.
    """

    kept: int = 0
    dropped: list[tuple[str, int, str]] = field(default_factory=list)
    cut: list[tuple[str, int, str]] = field(default_factory=list)
    noted: list[tuple[str, int, str]] = field(default_factory=list)

    def summary(self, shown: int = 3) -> str:
        """Return a line on what was kept, and up to `shown` lines on each of what was dropped, cut and changed."""
        lines = [f"{self.kept} examples kept, {len(self.dropped)} dropped, {len(self.cut)} cut"]
        for verb, rows in (("dropped", self.dropped), ("cut", self.cut), ("kept", self.noted)):
            lines += [f"  {verb} {file}:{line}: {reason}" for file, line, reason in rows[:shown]]
            if len(rows) > shown:
                lines.append(f"  {verb} {len(rows) - shown} more" + (" with a remark" if verb == "kept" else ""))
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Write all that `summary` shows the beginning of: JSON lines of `file`, `line`, `action` and `reason`."""
        actions = (("dropped", self.dropped), ("cut", self.cut), ("kept", self.noted))
        rows = sorted((file, line, action, reason) for action, found in actions for file, line, reason in found)
        names = ("file", "line", "action", "reason")
        lines = [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in rows]
        atomic_write_text(path, "".join(f"{line}\n" for line in lines))


class _DropError(Exception):
    """This row gives no example; the message is the reason."""


Cut = Callable[[str], None]


def conversation_examples(
    conversations: Iterable[Conversation], tokenizer: Tokenizer, *, max_length: int, on_long: OnLong = "drop"
) -> tuple[list[Example], Report]:
    """Encode conversations with the tokenizer's chat template, the assistant's tokens masked True.

    Args:
        max_length: tokens an example may have; longer ones are dropped, or cut with `on_long="cut"`.

    Raises:
        DataError: the chat template refuses rows; they are listed by file and line.
    """

    def encode(row: Conversation, cut: Cut) -> Example:
        tokens, mask = encode_conversation(tokenizer, row.messages, tools=row.tools)
        mask = _only_learned(mask, row.learned)
        length = _learned_length(mask)
        if length > max_length:
            reason = f"{length} tokens, more than max_length {max_length}"
            if on_long == "drop":
                raise _DropError(reason)
            if not any(mask[:max_length]):
                raise _DropError(f"{reason}, and no answer begins before that")
            cut(reason)
            length = max_length
        return Example(tokens[:length], mask[:length])

    return _encode_all(conversations, encode)


def preference_examples(
    preferences: Iterable[Preference], tokenizer: Tokenizer, *, max_length: int, on_long: OnLong = "drop"
) -> tuple[list[PreferenceExample], Report]:
    """Encode preferences; `max_length` bounds the prompt with the longer of its answers.

    With `on_long="cut"` the answers lose their end, the prompt never. A pair whose prompt leaves no room, or
    whose answers are the same tokens, is dropped. Raises as `conversation_examples`.
    """

    def encode(row: Preference, cut: Cut) -> PreferenceExample:
        prompt = encode_prompt(tokenizer, row.prompt, tools=row.tools)
        chosen = _answer_tokens(tokenizer, prompt, row.prompt, row.chosen, row.tools)
        rejected = _answer_tokens(tokenizer, prompt, row.prompt, row.rejected, row.tools)
        length = len(prompt) + max(len(chosen), len(rejected))
        if length > max_length:
            reason = f"{length} tokens with its longer answer, more than max_length {max_length}"
            room = max_length - len(prompt)
            if on_long == "drop" or room < 1:
                raise _DropError(reason)
            chosen, rejected = chosen[:room], rejected[:room]
            if chosen == rejected:
                raise _DropError(f"{reason}, and the answers are the same up to there")
            cut(reason)
        if chosen == rejected:
            raise _DropError("the answers are the same tokens in the chat template")
        return PreferenceExample(prompt, chosen, rejected)

    return _encode_all(preferences, encode)


def labelled_examples(
    labelled: Iterable[Labelled], tokenizer: Tokenizer, *, max_length: int, on_long: OnLong = "drop"
) -> tuple[list[LabelledExample], Report]:
    """Encode single judged answers. Arguments and errors as `conversation_examples`."""

    def encode(row: Labelled, cut: Cut) -> LabelledExample:
        prompt = encode_prompt(tokenizer, row.prompt, tools=row.tools)
        answer = _answer_tokens(tokenizer, prompt, row.prompt, row.answer, row.tools)
        if len(prompt) + len(answer) > max_length:
            reason = f"{len(prompt) + len(answer)} tokens, more than max_length {max_length}"
            if on_long == "drop" or len(prompt) >= max_length:
                raise _DropError(reason)
            cut(reason)
        return LabelledExample(prompt, answer[: max_length - len(prompt)], row.desired)

    return _encode_all(labelled, encode)


def task_prompts(tasks: Iterable[Task], tokenizer: Tokenizer, *, max_length: int) -> tuple[list[Prompt], Report]:
    """Encode the prompts of tasks and drop those over `max_length`: a cut prompt is another question."""

    def encode(row: Task, cut: Cut) -> Prompt:
        tokens = encode_prompt(tokenizer, row.prompt, tools=row.tools)
        if len(tokens) > max_length:
            raise _DropError(f"the prompt has {len(tokens)} tokens, more than max_length {max_length}")
        return Prompt(tokens, row.row)

    return _encode_all(tasks, encode)


def _encode_all(rows: Iterable[Item], encode: Callable[[Item, Cut], Encoded]) -> tuple[list[Encoded], Report]:
    """Encode every row; keep the account of what was dropped and cut, and the rows that cannot be encoded."""
    examples = []
    report, problems = Report(), Problems()
    for row in rows:
        place: Place = row.place

        def cut(reason: str, place: Place = place) -> None:
            report.cut.append((place.file, place.line, reason))

        try:
            examples.append(encode(row, cut))
        except _DropError as error:
            report.dropped.append((place.file, place.line, str(error)))
        except DataError as error:
            problems.add(place.file, place.line, str(error))
    problems.raise_if_any()
    report.kept = len(examples)
    return examples, report


def _answer_tokens(
    tokenizer: Tokenizer,
    prompt_tokens: list[int],
    prompt: list[Message],
    answer: list[Message],
    tools: Tools | None,
) -> list[int]:
    """Return the tokens that the model would have to generate after the prompt to give this answer."""
    tokens, mask = encode_conversation(tokenizer, [*prompt, *answer], tools=tools)
    if tokens[: len(prompt_tokens)] != prompt_tokens:
        raise AssertionError("the tokens of a prompt must begin its conversation; the chat encoding is broken")
    return tokens[len(prompt_tokens) : _learned_length(mask)]


def _only_learned(mask: list[bool], learned: tuple[bool, ...] | None) -> list[bool]:
    """Return the mask without the assistant messages that are only read: each message is one run of True."""
    if learned is None or all(learned):
        return mask
    runs = [(value, len(list(run))) for value, run in itertools.groupby(mask)]
    if sum(value for value, _ in runs) != len(learned):
        raise AssertionError(f"{len(learned)} assistant messages, but a mask with other runs; the encoding is broken")
    each = iter(learned)
    return [flag for value, length in runs for flag in [value and next(each)] * length]


def _learned_length(mask: list[bool]) -> int:
    """Return the number of tokens up to and including the last one that is learned."""
    return next((index for index in range(len(mask), 0, -1) if mask[index - 1]), 0)
