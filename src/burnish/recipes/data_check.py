"""What kind of data a file holds, told after every row of it was validated."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.corpus.documents import ROW_SUFFIXES, read_documents
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
    if not any(suffix in ROW_SUFFIXES for suffix in file.suffixes):
        documents = read_documents(file)
        return f"{_count(len(documents), 'document')}, {sum(len(document.text) for document in documents):,} characters"
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


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
