"""Data files → validated conversations, preferences, rankings, labelled answers and steps, and tasks.

Every row of every file is validated before anything is returned, so a bad row is reported before training
starts, not an hour into it; up to ten problems are reported together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from burnish.corpus.records import DataRow, Problems, expand, nearest, read_rows
from burnish.datasets import formats, judged_formats
from burnish.datasets.bad_rows import BadRowError, NothingToLearnError
from burnish.datasets.fields import Fields
from burnish.datasets.tool_calls import without_foreign_nulls
from burnish.errors import DataError
from burnish.text.chat import Message

__all__ = [
    "Conversation",
    "DataRow",
    "Labelled",
    "Preference",
    "Ranking",
    "RowPlace",
    "Stepwise",
    "Task",
    "read_conversations",
    "read_labelled",
    "read_preferences",
    "read_rankings",
    "read_rows",
    "read_stepwise",
    "read_tasks",
]

Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Where a row comes from; the line counts from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


MEMORY = RowPlace("memory", 0)


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages that end with the assistant's.

    learned: one entry an assistant message, whether it is imitated or only read; None imitates all.
    tools: the definitions of the tools that the chat template offers.
    template_kwargs: further variables for the chat template, such as `enable_thinking`.
    task_type: what kinds of tasks are balanced by.
    fault: why the row teaches nothing although it is well-formed, such as an empty answer; it is dropped and reported
    when it is encoded. unused: keys of the row that are not empty and that nothing reads.
    """

    messages: list[Message]
    learned: tuple[bool, ...] | None = None
    tools: list[dict[str, Any]] | None = None
    place: RowPlace = MEMORY
    fault: str | None = None
    template_kwargs: dict[str, Any] | None = None
    unused: tuple[str, ...] = ()
    task_type: str | None = None


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to one prompt; each answer is a list with one assistant message.

    fault: why the row teaches nothing, such as equal answers. remark: what of it should be looked at. Everything else
    as in a `Conversation`.
    """

    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    tools: list[dict[str, Any]] | None = None
    place: RowPlace = MEMORY
    fault: str | None = None
    template_kwargs: dict[str, Any] | None = None
    unused: tuple[str, ...] = ()
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Answers to one prompt, the best first; each answer is a list with one assistant message.

    margin: by how much the first of two is better, in the file's own unit; None if unsaid.
    remark: which of the file's answers were left out, or what else should be looked at. The rest as in a
    `Conversation`.
    """

    prompt: list[Message]
    answers: list[list[Message]]
    margin: float | None = None
    tools: list[dict[str, Any]] | None = None
    place: RowPlace = MEMORY
    fault: str | None = None
    remark: str | None = None
    template_kwargs: dict[str, Any] | None = None
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Labelled:
    """One answer to a prompt, desired or not (unpaired preference data). The rest as in a `Conversation`."""

    prompt: list[Message]
    answer: list[Message]
    desired: bool
    tools: list[dict[str, Any]] | None = None
    place: RowPlace = MEMORY
    fault: str | None = None
    template_kwargs: dict[str, Any] | None = None
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stepwise:
    """The steps of one answer to a prompt, in order, and how right each is, 0 to 1 (stepwise supervision).

    labels: None at steps that nobody has judged. The rest as in a `Conversation`.
    """

    prompt: list[Message]
    steps: list[str]
    labels: list[float | None]
    tools: list[dict[str, Any]] | None = None
    place: RowPlace = MEMORY
    fault: str | None = None
    template_kwargs: dict[str, Any] | None = None
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt whose answers a verifier judges by reading `row`, the row as it stands in the file.

    unused: only keys of messages: of the row's own any may be read by a verifier. The rest as in a `Conversation`.
    """

    prompt: list[Message]
    row: dict[str, Any]
    tools: list[dict[str, Any]] | None = None
    place: RowPlace = MEMORY
    fault: str | None = None
    template_kwargs: dict[str, Any] | None = None
    unused: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Where it stands, such as tasks.jsonl:7; empty where it comes from no file."""
        return "" if self.place == MEMORY else str(self.place)


Item = TypeVar("Item")


def read_conversations(paths: Paths, *, columns: Mapping[str, str] | None = None) -> list[Conversation]:
    """Read conversations to be imitated: `messages`, ShareGPT, Alpaca, or `prompt` with `completion`.

    Args:
        paths: a file, a pattern such as `data/*.parquet`, or several.
        columns: the file's names for the keys, such as `{"prompt": "question", "response": "answer"}`.

    Raises:
        DataError: listing up to ten bad rows by file, line, reason and fix.
    """

    def convert(row: Fields, place: RowPlace) -> Conversation:
        messages, learned = formats.conversation(row)
        kind = formats.task_type(row)
        tools, kwargs, unused = formats.around(row)
        messages = without_foreign_nulls(messages, tools)
        return Conversation(messages, learned, tools, place, template_kwargs=kwargs, unused=unused, task_type=kind)

    return _read(paths, convert, columns, lambda place, fault: Conversation([], place=place, fault=fault))


def read_preferences(paths: Paths, *, columns: Mapping[str, str] | None = None) -> list[Preference]:
    """Read preference pairs: `chosen` and `rejected` with a prompt in any format, or as HH's dialogues.

    Arguments as above. Pairs that teach nothing are among them, with their `fault`.
    """

    def convert(row: Fields, place: RowPlace) -> Preference:
        pair = judged_formats.preference(row)
        tools, kwargs, unused = formats.around(row)
        prompt, chosen, rejected = (without_foreign_nulls(said, tools) for said in pair[:3])
        remark = judged_formats.contradiction(row)
        return Preference(prompt, chosen, rejected, tools, place, pair.fault, kwargs, unused, remark)

    return _read(paths, convert, columns, lambda place, fault: Preference([], [], [], place=place, fault=fault))


def read_rankings(paths: Paths, *, columns: Mapping[str, str] | None = None) -> list[Ranking]:
    """Read ranked lists: `responses` or `completions` with a prompt in any format, or pairs. Arguments as above.

    Lists that teach nothing are among them, with their `fault`.
    """

    def convert(row: Fields, place: RowPlace) -> Ranking:
        found = judged_formats.ranking(row)
        margin = judged_formats.margin(row)
        tools, kwargs, unused = formats.around(row)
        prompt = without_foreign_nulls(found.prompt, tools)
        answers = [without_foreign_nulls(answer, tools) for answer in found.answers]
        return Ranking(prompt, answers, margin, tools, place, found.fault, found.remark, kwargs, unused)

    return _read(paths, convert, columns, lambda place, fault: Ranking([], [], place=place, fault=fault))


def read_labelled(paths: Paths, *, columns: Mapping[str, str] | None = None) -> list[Labelled]:
    """Read single answers with a `label` that says whether they are desired. Arguments as above."""

    def convert(row: Fields, place: RowPlace) -> Labelled:
        messages, _ = formats.conversation(row, may_be_empty=True)
        fault = "the answer is empty" if judged_formats.is_empty(messages[-1]) else None
        desired = judged_formats.label(row)
        tools, kwargs, unused = formats.around(row)
        messages = without_foreign_nulls(messages, tools)
        return Labelled(messages[:-1], messages[-1:], desired, tools, place, fault, kwargs, unused)

    return _read(paths, convert, columns, lambda place, fault: Labelled([], [], False, place=place, fault=fault))


def read_stepwise(paths: Paths, *, columns: Mapping[str, str] | None = None) -> list[Stepwise]:
    """Read answers whose steps have labels: a prompt in any format, `completions` and `labels`. Arguments as above.

    Answers that teach nothing are among them, with their `fault`.
    """

    def convert(row: Fields, place: RowPlace) -> Stepwise:
        found = judged_formats.stepwise(row)
        tools, kwargs, unused = formats.around(row)
        prompt = without_foreign_nulls(found.prompt, tools)
        return Stepwise(prompt, found.steps, found.labels, tools, place, found.fault, kwargs, unused)

    return _read(paths, convert, columns, lambda place, fault: Stepwise([], [], [], place=place, fault=fault))


def read_tasks(paths: Paths, *, columns: Mapping[str, str] | None = None) -> list[Task]:
    """Read tasks: a `prompt`, or a conversation whose final answer is left out. Arguments as above."""

    def convert(row: Fields, place: RowPlace) -> Task:
        prompt = formats.task(row)
        tools, kwargs, unused = formats.around(row, own_keys=False)
        return Task(without_foreign_nulls(prompt, tools), dict(row), tools, place, None, kwargs, unused)

    return _read(paths, convert, columns)


def _read(
    paths: Paths,
    convert: Callable[[Fields, RowPlace], Item],
    columns: Mapping[str, str] | None,
    faulty: Callable[[RowPlace, str], Item] | None = None,
) -> list[Item]:
    """Convert every row of every file; all bad rows are collected before the error is raised.

    faulty: makes the item of a row in which there is nothing to learn. Without it, and where a file has no other rows,
    such rows are bad ones.
    """
    columns = columns or {}
    for known in columns:
        if known not in formats.KNOWN_KEYS:
            match = nearest(known, formats.KNOWN_KEYS)
            expected = f'did you mean "{match}"?' if match else f"expected one of {', '.join(formats.KNOWN_KEYS)}"
            raise DataError(f'columns: "{known}" is not a key; {expected}')
    items: list[Item] = []
    problems = Problems()
    for path in expand(paths):
        kind: tuple[str, int] | None = None
        useless: list[tuple[int, str]] = []
        n_before = len(items)
        for row in read_rows(path, problems=problems):
            try:
                value = Fields(formats.unpacked(row.value), columns)
                found = formats.format_name(value)
                if kind is None:
                    kind = (found, row.line)
                elif kind[0] != found:
                    raise BadRowError(
                        f"the row is {found} but line {kind[1]} is {kind[0]}; split the file, one format each"
                    )
                items.append(convert(value, RowPlace(row.file, row.line)))
            except NothingToLearnError as error:
                useless.append((row.line, str(error)))
                if faulty is not None:
                    items.append(faulty(RowPlace(str(path), row.line), str(error)))
            except BadRowError as error:
                problems.add(row.file, row.line, str(error))
        if faulty is None or len(items) - n_before == len(useless):
            for line, reason in useless:
                problems.add(path, line, reason)
    problems.raise_if_any()
    return items
