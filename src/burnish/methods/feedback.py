"""Feedback: what people said of answers becomes rows to train on, and held-out ones to measure by.

Prompts whose question stands in a test file are left out, personal data becomes placeholders, and a share of the
prompts is held out for good: by a hash of the question, so that no later round trains on what an earlier one was
measured by.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from burnish.datasets.feedback import Feedback
from burnish.datasets.judged_prompts import (
    JudgedPrompt,
    comparable,
    conversations,
    is_held_out,
    judged_prompts,
    labelled,
    preferences,
)
from burnish.errors import DataError
from burnish.files import atomic_write_text
from burnish.methods.settings import Strict
from burnish.runs.names import PAIRS_FILE
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.corpus.preparation.steps.anonymize import Kind

LABELLED_FILE = "labelled.jsonl"
CONVERSATIONS_FILE = "conversations.jsonl"
HELDOUT_PAIRS_FILE = "heldout.jsonl"
LEFT_OUT_FILE = "left_out.jsonl"
"""Judgements that teach nothing, by number, with the reason."""

_BOUNDARY = "\n\x1e\n"
"""Between texts that are anonymized together, so that a value has one placeholder in all of them."""
PersonalData = Literal["secret", "iban", "card", "email", "ip", "phone"]
EVERY_KIND: list[PersonalData] = ["secret", "iban", "card", "email", "ip", "phone"]


class Settings(Strict):
    """Which judgements are read, and what becomes of them."""

    after: int = Field(0, ge=0, description="judgements up to this number are left out")
    until: int | None = Field(None, ge=0, description="judgements behind this number are left out; none if left out")
    heldout: float = Field(0.1, ge=0, lt=0.9, description="share of the questions kept for measuring, for good")
    max_pairs_per_prompt: int = Field(4, ge=1, description="most pairs that one prompt gives")
    anonymize: list[PersonalData] = Field(
        EVERY_KIND, description="what becomes a placeholder before anything is trained on; [] leaves all as it is"
    )
    regions: list[str] = Field(
        [], description="countries whose telephone numbers may be written without +, such as [US, DE]"
    )


def write_rows(run: Run, feedback: Path, tests: Sequence[Path], settings: Settings) -> dict[str, Any]:
    """Write preferences, labelled answers, conversations and held-out preferences into `run.folder`.

    feedback: the file of answers and judgements. tests: files of tasks whose questions must not be trained on.

    Raises DataError where no judgement is left to train on.
    """
    with Feedback.open(feedback, create=False) as store:
        prompts = judged_prompts(store.judgements(after=settings.after, until=settings.until))
    judged = sum(len(one.numbers) for one in prompts)
    known = _questions(tests)
    left: list[tuple[int, str]] = []
    kept = []
    for one in prompts:
        if place := known.get(comparable(one.question)):
            left += [(number, f"the question is in a test: {place}") for number in one.numbers]
        else:
            kept.append(one)
    found = 0
    if settings.anonymize:
        kept, found = anonymized(kept, settings.anonymize, settings.regions)
    training, measuring = _parted(kept, settings.heldout, run.seed)
    rows = {
        PAIRS_FILE: list(preferences(training, settings.max_pairs_per_prompt)),
        LABELLED_FILE: list(labelled(training)),
        CONVERSATIONS_FILE: list(conversations(training)),
        HELDOUT_PAIRS_FILE: list(preferences(measuring, settings.max_pairs_per_prompt)),
    }
    left += [
        (number, "people disagree, as many one way as the other")
        for one in training
        if not one.labels() and not one.pairs(1)
        for number in one.numbers
    ]
    for name, of_file in rows.items():
        _write(run.folder / name, of_file)
    _write(run.folder / LEFT_OUT_FILE, [{"judgement": number, "reason": reason} for number, reason in sorted(left)])
    if not rows[LABELLED_FILE] and not rows[PAIRS_FILE]:
        raise DataError(
            f"{feedback}: of {judged:,} judgements none is left to train on ({len(left):,} left out, "
            f"{len(measuring):,} questions held out); collect more, or lower `heldout`"
        )
    return {
        "judgements": judged,
        "prompts": len(prompts),
        "left_out": len(left),
        "contradictions": sum(one.contradictions() for one in training),
        "placeholders": found,
        "pairs": len(rows[PAIRS_FILE]),
        "labelled": len(rows[LABELLED_FILE]),
        "conversations": len(rows[CONVERSATIONS_FILE]),
        "heldout_pairs": len(rows[HELDOUT_PAIRS_FILE]),
    }


def anonymized(
    prompts: Sequence[JudgedPrompt], kinds: Sequence["Kind"], regions: Sequence[str]
) -> tuple[list[JudgedPrompt], int]:
    """Prompts with placeholders for personal data, and how many places were replaced.

    A value has one placeholder in a prompt and all answers to it.
    """
    from burnish.corpus.preparation.steps.anonymize import Anonymize, replaced
    from burnish.corpus.preparation.steps.identifiers import find

    step = Anonymize.model_validate({"type": "anonymize", "kinds": list(kinds), "regions": list(regions)})
    finders, count, changed = step.finders(), 0, []
    for one in prompts:
        texts = one.texts()
        joined = _BOUNDARY.join(texts)
        found = find(joined, finders)
        count += len(found)
        if found:
            new = dict(zip(texts, replaced(joined, found).split(_BOUNDARY), strict=True))
            one = one.changed(lambda text, new=new: new.get(text, text))  # type: ignore[misc]
        changed.append(one)
    return changed, count


def _parted(prompts: Iterable[JudgedPrompt], share: float, seed: int) -> tuple[list[JudgedPrompt], list[JudgedPrompt]]:
    """Those to train on, and those to measure by."""
    parts: tuple[list[JudgedPrompt], list[JudgedPrompt]] = ([], [])
    for one in prompts:
        parts[is_held_out(one, share, seed)].append(one)
    return parts


def _questions(tests: Sequence[Path]) -> dict[str, str]:
    """Every question of test files in a comparable form, and where it stands."""
    from burnish.datasets.rows import read_tasks

    found: dict[str, str] = {}
    for task in read_tasks(list(tests)) if tests else []:
        question = next((str(one.get("content")) for one in reversed(task.prompt) if one["role"] == "user"), "")
        found.setdefault(comparable(question), str(task.place))
    found.pop("", None)
    return found


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    atomic_write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
