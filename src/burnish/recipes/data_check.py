"""What kind of data a file holds, told after every row of it was validated."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.corpus.documents import read_documents
from burnish.corpus.folders import ROW_SUFFIXES, Skipped
from burnish.corpus.folders import describe as describe_skipped
from burnish.datasets.fields import present
from burnish.datasets.formats import ANSWER_KEYS, LABEL_KEYS, LIST_KEYS, PAIR_KEYS, format_name
from burnish.datasets.rows import (
    Labelled,
    Preference,
    Ranking,
    read_conversations,
    read_labelled,
    read_preferences,
    read_rankings,
    read_rows,
    read_tasks,
)
from burnish.errors import DataError


def describe(file: Path) -> str:
    """What the file holds and how much of it; its first row decides what the others have to be.

    Raises DataError that lists bad rows by line and reason.
    """
    if file.is_dir() or not any(suffix in ROW_SUFFIXES for suffix in file.suffixes):
        skipped: list[Skipped] = []
        documents = read_documents(file, skipped=skipped)
        characters = sum(len(document.text) for document in documents)
        return f"{_count(len(documents), 'document')}, {characters:,} characters{_not_read(skipped)}"
    first = next((row.value for row in read_rows(file)), None)
    if first is None:
        raise DataError(f"{file}: has no row")
    if all(present(first, key) for key in PAIR_KEYS):
        preferences = read_preferences(file)
        return f"{_count(len(preferences), 'preference')} ({format_name(first)} format){_faults(preferences)}"
    if any(present(first, key) for key in LIST_KEYS):
        rankings = read_rankings(file)
        answers = sum(len(ranking.answers) for ranking in rankings)
        return f"{_count(len(rankings), 'ranked list')} of {answers:,} answers{_faults(rankings)}"
    if any(present(first, key) for key in LABEL_KEYS):
        labelled = read_labelled(file)
        desired = sum(one.desired for one in labelled)
        return f"{_count(len(labelled), 'labelled answer')}, {desired:,} of them desired{_faults(labelled)}"
    if present(first, "text") and not any(present(first, key) for key in ("messages", "conversations", "prompt")):
        return f"{_count(len(read_documents(file)), 'document')}"
    if _has_answer(first):
        return f"{_count(len(read_conversations(file)), 'conversation')} ({format_name(first)} format)"
    return f"{_count(len(read_tasks(file)), 'task')} ({format_name(first)} format)"


def _has_answer(row: Mapping[str, Any]) -> bool:
    """Whether the row shows what to imitate: an answer's key, or a conversation that does not end with a question."""
    turns = row.get("messages") or row.get("conversations")
    if isinstance(turns, list) and turns and isinstance(turns[-1], dict):
        return turns[-1].get("role", turns[-1].get("from")) not in ("user", "human")
    return any(present(row, key) for key in ANSWER_KEYS)


def _faults(rows: Sequence[Preference | Ranking | Labelled], shown: int = 5) -> str:
    """Lines about the rows that are well-formed and teach nothing; nothing where there are none."""
    faulty = [row for row in rows if row.fault is not None]
    if not faulty:
        return ""
    lines = [f"{_count(len(faulty), 'row')} of it will be dropped:"]
    lines += [f"  {row.place}: {row.fault}" for row in faulty[:shown]]
    lines += [f"  and {len(faulty) - shown} more"] if len(faulty) > shown else []
    return "\n" + "\n".join(lines)


def _not_read(skipped: Sequence[Skipped]) -> str:
    """Lines about the files of a folder that were not read; nothing where there are none."""
    if not skipped:
        return ""
    lines = describe_skipped(skipped).replace("\n", "\n  ")
    return f"\n{_count(len(skipped), 'file or folder', 'files and folders')} of it will not be read:\n  {lines}"


def _count(number: int, noun: str, plural: str | None = None) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural or noun + 's'}"
