"""What kind of data a file holds, told after every row of it was validated."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from burnish.corpus.documents import read_documents
from burnish.corpus.folders import ROW_SUFFIXES, Skipped
from burnish.corpus.folders import describe as describe_skipped
from burnish.corpus.records import Problems
from burnish.datasets.bad_rows import BadRowError
from burnish.datasets.fields import present
from burnish.datasets.formats import (
    ANSWER_KEYS,
    LABEL_KEYS,
    LIST_KEYS,
    MARGIN_KEYS,
    PAIR_KEYS,
    STEP_KEYS,
    format_name,
    unpacked,
)
from burnish.datasets.messages import hint, message_list, role_of
from burnish.datasets.report import unused_keys
from burnish.datasets.rows import (
    Conversation,
    Labelled,
    Preference,
    Ranking,
    Stepwise,
    Task,
    read_conversations,
    read_labelled,
    read_preferences,
    read_rankings,
    read_rows,
    read_stepwise,
    read_tasks,
)
from burnish.errors import DataError
from burnish.rewards.choice import read_options
from burnish.rewards.numbers import NumberVerifier
from burnish.rewards.programs.unit_tests import read_tests
from burnish.rewards.sql import gold_query
from burnish.rewards.texts import expected_texts

Item = Conversation | Preference | Ranking | Labelled | Stepwise | Task
JUDGED_KEYS = ("sql", "answer")
SHOWN = 5
FIRST = 100
"""Rows that decide what a file holds: the first may lack an answer, or have null in it."""

# What a stage reads, by the stage's name, and how many rows it needs at least.
READS: dict[str, tuple[str, Callable[..., Sequence[Item]], int]] = {
    "sft": ("conversation", read_conversations, 2),
    "dpo": ("preference", read_preferences, 1),
    "reward_model": ("ranked list", read_rankings, 1),
    "process_reward_model": ("stepwise answer", read_stepwise, 1),
    "outcome_reward_model": ("labelled answer", read_labelled, 1),
    "kto": ("labelled answer", read_labelled, 2),
    "distill": ("conversation", read_conversations, 1),
    "sample": ("task", read_tasks, 1),
    "grpo": ("task", read_tasks, 1),
    "ppo": ("task", read_tasks, 1),
    "rft": ("task", read_tasks, 1),
    "evaluate": ("task", read_tasks, 1),
}
# What each judge of words and numbers reads of a row, by its type, under the keys that it reads unless told otherwise.
READERS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "numbers": NumberVerifier("answer").gold,
    "exact": partial(expected_texts, key="answer"),
    "contains": partial(expected_texts, key="answer"),
    "choice": partial(read_options, choices="choices", answer="answer"),
    "unit_tests": read_tests,
}
DOCUMENT_STAGES = ("corpus", "cpt")
STAGES = (*DOCUMENT_STAGES, *READS)


def describe(file: Path) -> str:
    """What the file holds and how much of it; its first rows decide what the others have to be.

    Raises DataError that lists bad rows by line and reason.
    """
    if file.is_dir() or not any(suffix in ROW_SUFFIXES for suffix in file.suffixes):
        return _documents(file)
    rows = _first_rows(file)
    first = {key: value for row in reversed(rows) for key, value in row.items() if value is not None}
    has_answer = any(map(_has_answer, rows))
    if all(present(first, key) for key in PAIR_KEYS):
        preferences = read_preferences(file)
        kind = f"{_count(len(preferences), 'preference')} ({format_name(first)} format)"
        return f"{kind}{_faults(preferences)}{_remarks(preferences)}{_unused(preferences, but=MARGIN_KEYS)}"
    if all(isinstance(first.get(key), list) for key in STEP_KEYS):
        stepwise = read_stepwise(file)
        steps = sum(len(one.steps) for one in stepwise)
        kind = f"{_count(len(stepwise), 'stepwise answer')} of {steps:,} steps"
        return f"{kind}{_faults(stepwise)}{_unused(stepwise)}"
    if any(present(first, key) for key in LIST_KEYS):
        rankings = read_rankings(file)
        answers = sum(len(ranking.answers) for ranking in rankings)
        kind = f"{_count(len(rankings), 'ranked list')} of {answers:,} answers"
        return f"{kind}{_faults(rankings)}{_remarks(rankings)}{_unused(rankings)}"
    if any(present(first, key) for key in LABEL_KEYS):
        labelled = read_labelled(file)
        desired = sum(one.desired for one in labelled)
        kind = f"{_count(len(labelled), 'labelled answer')}, {desired:,} of them desired"
        return f"{kind}{_faults(labelled)}{_unused(labelled)}"
    if present(first, "text") and not any(present(first, key) for key in ("messages", "conversations", "prompt")):
        return f"{_count(len(read_documents(file)), 'document')}"
    items: Sequence[Item] = read_conversations(file) if has_answer else read_tasks(file)
    noun = "conversation" if has_answer else "task"
    return f"{_count(len(items), noun)} ({format_name(first)} format){_faults(items)}{_unused(items)}"


def describe_for(file: Path, stage: str, *, columns: Mapping[str, str] | None = None, judge: str | None = None) -> str:
    """What a stage can do with the file.

    Args:
        stage: one of `STAGES`.
        columns: as in the stage's recipe.
        judge: what judges answers to tasks, "sql" or one of `READERS`; evaluate has SQL if it is left out.

    Raises:
        DataError: the stage cannot use the file; the message says why and what to do.
    """
    takes_tasks = stage not in DOCUMENT_STAGES and READS[stage][0] == "task"
    if judge is not None and not takes_tasks:
        raise DataError(f"--judge {judge}: {stage} reads no tasks, whose answers are judged; leave it out")
    if stage in DOCUMENT_STAGES:
        return _documents(file, **_document_keys(columns or {}))
    noun, read, least = READS[stage]
    try:
        items = read(file, columns=columns)
    except DataError as error:
        raise DataError(f"{file}: not for {stage}, which reads {noun}s:\n{indented(str(error))}") from None
    usable = sum(item.fault is None for item in items)
    faults = _faults(items)
    if usable < least:
        raise DataError(f"{file}: not for {stage}, which needs {_count(least, noun)}; {usable} can be used{faults}")
    text = f"{_count(usable, noun)} for {stage}"
    if noun == "task":
        text += _judged(file, [item for item in items if isinstance(item, Task)], stage, judge)
    elif stage == "kto":
        desired = sum(isinstance(item, Labelled) and item.fault is None and item.desired for item in items)
        text += f", {desired:,} of them desired"
        if desired in (0, usable):
            text += "; KTO learns from the difference, and here is only one kind"
    return f"{text}{faults}{_remarks(items)}{_unused(items)}"


def _judged(file: Path, tasks: Sequence[Task], stage: str, judge: str | None) -> str:
    """What is said of the tasks' answers. Raises DataError where the judge reads what the rows do not have."""
    judge = judge or ("sql" if stage == "evaluate" else None)
    if judge is None:
        keys = sorted({key for task in tasks for key in JUDGED_KEYS if present(task.row, key)})
        there = f"; of what a judge could read there is: {', '.join(keys)}" if keys else ""
        return there if stage == "sample" or keys else "; no row has what the judges of SQL and numbers read"
    lacking: list[tuple[str, str]] = []
    for task in tasks:
        try:
            if judge in READERS:
                READERS[judge](task.row)
            elif gold_query(task.row) is None:
                lacking.append((str(task.place), f'no "sql", the query whose result is expected{_gold_hint(task.row)}'))
        except DataError as error:
            lacking.append((str(task.place), str(error)))
    if lacking:
        lines = [f"{place}: {reason}" for place, reason in lacking[:SHOWN]]
        lines += [f"and {len(lacking) - SHOWN:,} more rows"] if len(lacking) > SHOWN else []
        listed = indented("\n".join(lines))
        raise DataError(f"{file}: not for {stage}, which reads tasks that the judge '{judge}' can judge:\n{listed}")
    return f", each with what the judge '{judge}' reads"


def _gold_hint(row: Mapping[str, Any]) -> str:
    """Which other key of the row may hold the query."""
    names = ("query", "gold", "gold_sql", "sql_query", "answer", "target", *ANSWER_KEYS)
    found = next((key for key in row if key.casefold() in names and isinstance(row[key], str)), None)
    return f"; is it {found!r}? Then rename that column to sql" if found else hint("sql", row)


def _document_keys(columns: Mapping[str, str]) -> dict[str, str]:
    """The corpus stage's `text_key` and `id_key`. Raises DataError for a column that documents do not have."""
    other = next((known for known in columns if known not in ("text", "id")), None)
    if other is not None:
        raise DataError(f"--columns {other}={columns[other]}: documents have a text and an id; expected text=COLUMN")
    return {f"{known}_key": column for known, column in columns.items()}


def _documents(file: Path, **keys: str) -> str:
    skipped: list[Skipped] = []
    documents = read_documents(file, skipped=skipped, **keys)
    characters = sum(len(document.text) for document in documents)
    return f"{_count(len(documents), 'document')}, {characters:,} characters{_not_read(skipped)}"


def _first_rows(file: Path) -> list[dict[str, Any]]:
    """The rows that tell what a file holds; of those that cannot be read, reading all of them tells."""
    return [dict(unpacked(row.value)) for row in itertools.islice(read_rows(file, problems=Problems()), FIRST)]


def _has_answer(row: Mapping[str, Any]) -> bool:
    """Whether the row shows what to imitate: an answer's key, or a conversation that does not end with a question."""
    for key in ("messages", "conversations"):
        if row.get(key):
            try:
                last = message_list(row[key], key)[-1]
            except BadRowError:
                break  # which reading it as a conversation tells
            return not isinstance(last, dict) or role_of(last) != "user"
    return any(present(row, key) for key in ANSWER_KEYS)


def _faults(rows: Sequence[Item]) -> str:
    """Lines about the rows that are well-formed and teach nothing; nothing where there are none."""
    faulty = [row for row in rows if row.fault is not None]
    if not faulty:
        return ""
    lines = [f"{_count(len(faulty), 'row')} of it will be dropped:"]
    lines += [f"  {row.place}: {row.fault}" for row in faulty[:SHOWN]]
    lines += [f"  and {len(faulty) - SHOWN} more"] if len(faulty) > SHOWN else []
    return "\n" + "\n".join(lines)


def _remarks(rows: Sequence[Item]) -> str:
    """Lines about the rows that are kept and should be looked at; nothing where there are none."""
    found = [(row.place, row.remark) for row in rows if isinstance(row, Preference | Ranking) and row.remark]
    if not found:
        return ""
    lines = [f"{_count(len(found), 'row')} of it should be looked at:"]
    lines += [f"  {place}: {remark}" for place, remark in found[:SHOWN]]
    lines += [f"  and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "\n" + "\n".join(lines)


def _unused(rows: Sequence[Item], but: Sequence[str] = ()) -> str:
    """A line about the keys that nothing reads, `but` some; nothing where there are none."""
    found: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        for key in row.unused:
            if key not in but:
                found.setdefault((row.place.file, key), []).append(row.place.line)
    return f"\n{unused_keys(found)}" if found else ""


def indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _not_read(skipped: Sequence[Skipped]) -> str:
    """Lines about the files of a folder that were not read; nothing where there are none."""
    if not skipped:
        return ""
    lines = describe_skipped(skipped).replace("\n", "\n  ")
    return f"\n{_count(len(skipped), 'file or folder', 'files and folders')} of it will not be read:\n  {lines}"


def _count(number: int, noun: str, plural: str | None = None) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural or noun + 's'}"
