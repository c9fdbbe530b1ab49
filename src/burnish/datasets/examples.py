"""Validated rows → token examples, with a report of every row that was left out or cut.

Notable choices:
- an example ends with the last token that is learned: a template's text after it teaches nothing;
- an example over `max_length` is dropped unless the caller asks for it to be cut: a cut answer teaches a
  model to stop in the middle, a cut prompt asks another question;
- in a preference the prompt's tokens are an exact, shared prefix of both sequences, because the forest stores
  them once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from burnish.datasets.rows import Conversation, Place, Preference, Task
from burnish.text.chat import Message, encode_conversation, encode_prompt
from burnish.text.tokenizer import Tokenizer

OnLong = Literal["drop", "cut"]


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


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids that end where the model is to continue, and the row that a verifier reads."""

    tokens: list[int]
    row: dict[str, Any]


@dataclass(slots=True)
class Report:
    """What became of the rows: how many were kept, which were dropped and why, and which were cut."""

    kept: int = 0
    dropped: list[tuple[str, int, str]] = field(default_factory=list)
    cut: list[tuple[str, int, str]] = field(default_factory=list)

    def drop(self, place: Place, reason: str) -> None:
        self.dropped.append((place.file, place.line, reason))

    def summary(self, shown: int = 3) -> str:
        """Return a line on what was kept, and up to `shown` lines on each of what was dropped and cut."""
        lines = [f"{self.kept} examples kept, {len(self.dropped)} dropped, {len(self.cut)} cut"]
        for verb, rows in (("dropped", self.dropped), ("cut", self.cut)):
            lines += [f"  {verb} {file}:{line}: {reason}" for file, line, reason in rows[:shown]]
            if len(rows) > shown:
                lines.append(f"  {verb} {len(rows) - shown} more")
        return "\n".join(lines)


def conversation_examples(
    conversations: Iterable[Conversation], tokenizer: Tokenizer, *, max_length: int, on_long: OnLong = "drop"
) -> tuple[list[Example], Report]:
    """Encode conversations with the tokenizer's chat template, the assistant's tokens masked True.

    Args:
        max_length: tokens an example may have; longer ones are dropped, or cut with `on_long="cut"`.
    """
    examples, report = [], Report()
    for conversation in conversations:
        tokens, mask = encode_conversation(tokenizer, conversation.messages)
        if conversation.context:
            given = len(encode_prompt(tokenizer, conversation.messages[: conversation.context]))
            mask = [False] * given + mask[given:]
        length = _learned_length(mask)
        tokens, mask = tokens[:length], mask[:length]
        if length > max_length:
            reason = f"{length} tokens, more than max_length {max_length}"
            if on_long == "drop":
                report.drop(conversation.place, reason)
                continue
            if not any(mask[:max_length]):
                report.drop(conversation.place, f"{reason}, and no answer begins before that")
                continue
            report.cut.append((conversation.place.file, conversation.place.line, reason))
            tokens, mask = tokens[:max_length], mask[:max_length]
        examples.append(Example(tokens, mask))
    report.kept = len(examples)
    return examples, report


def preference_examples(
    preferences: Iterable[Preference], tokenizer: Tokenizer, *, max_length: int, on_long: OnLong = "drop"
) -> tuple[list[PreferenceExample], Report]:
    """Encode preferences; `max_length` bounds the prompt with the longer of its answers.

    With `on_long="cut"` the answers lose their end, the prompt never; a pair whose prompt leaves no room, or
    whose answers are equal once cut, is dropped.
    """
    examples, report = [], Report()
    for preference in preferences:
        prompt = encode_prompt(tokenizer, preference.prompt)
        chosen = _answer_tokens(tokenizer, prompt, preference.prompt, preference.chosen)
        rejected = _answer_tokens(tokenizer, prompt, preference.prompt, preference.rejected)
        length = len(prompt) + max(len(chosen), len(rejected))
        reason = ""
        if length > max_length:
            reason = f"{length} tokens with its longer answer, more than max_length {max_length}"
            room = max_length - len(prompt)
            if on_long == "drop" or room < 1:
                report.drop(preference.place, reason)
                continue
            chosen, rejected = chosen[:room], rejected[:room]
        if chosen == rejected:
            report.drop(preference.place, f"{reason}: the answers are the same tokens".removeprefix(": "))
            continue
        if reason:
            report.cut.append((preference.place.file, preference.place.line, reason))
        examples.append(PreferenceExample(prompt, chosen, rejected))
    report.kept = len(examples)
    return examples, report


def task_prompts(
    tasks: Iterable[Task], tokenizer: Tokenizer, *, max_length: int
) -> tuple[list[Prompt], Report]:
    """Encode the prompts of tasks and drop those over `max_length`: a cut prompt is another question."""
    prompts, report = [], Report()
    for task in tasks:
        tokens = encode_prompt(tokenizer, task.prompt)
        if len(tokens) > max_length:
            report.drop(task.place, f"the prompt has {len(tokens)} tokens, more than max_length {max_length}")
        else:
            prompts.append(Prompt(tokens, task.row))
    report.kept = len(prompts)
    return prompts, report


def _answer_tokens(
    tokenizer: Tokenizer, prompt_tokens: list[int], prompt: list[Message], answer: list[Message]
) -> list[int]:
    """Return the tokens that the model would have to generate after the prompt to give this answer."""
    tokens, mask = encode_conversation(tokenizer, [*prompt, *answer])
    if tokens[: len(prompt_tokens)] != prompt_tokens:
        raise AssertionError(
            "the tokens of a prompt must begin its conversation; the chat encoding is broken"
        )
    return tokens[len(prompt_tokens) : _learned_length(mask)]


def _learned_length(mask: list[bool]) -> int:
    """Return the number of tokens up to and including the last one that is learned."""
    return next((index for index in range(len(mask), 0, -1) if mask[index - 1]), 0)
