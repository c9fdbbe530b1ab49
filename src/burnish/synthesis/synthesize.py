"""Documents in, rows to learn from and questions to measure by out: what `burnish data synthesize` does.

    train.jsonl        conversations to learn from (`messages`), each with its `task_type` and its `provenance`
    practice.jsonl     questions with an exact answer about the documents to learn from, to try answers at
    questions.jsonl    questions about held-out documents with an exact short answer (`prompt`, `answer`)
    choices.jsonl      the same as multiple choice (`prompt`, `choices`, `answer`)
    restated.jsonl     what was found, said again in other words, with `extract: {restate: 3}` (`id`, `text`)
    removed.jsonl      what was found or written and is not used, with the reason
    synthesis.json     how many of what, from where

Notable choices:
- whole documents are held out, by a hash of their name: a model is never measured by a question from a text that it was
  taught questions about, and a document more or less changes nothing for the others. That the text itself was read in
  continued pre-training is what such questions measure;
- the output depends on the documents and settings alone: nothing is drawn but by hashes of what it is drawn for.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from burnish.corpus.amounts import few_rows
from burnish.corpus.documents import Document
from burnish.errors import DataError
from burnish.files import atomic_write_text
from burnish.runs.run import Run
from burnish.synthesis import choices, lessons
from burnish.synthesis.checks import Unused, distinct, fresh, unseen
from burnish.synthesis.chunk import DocumentChunk
from burnish.synthesis.documents import chunks
from burnish.synthesis.extract import pairs as extracted
from burnish.synthesis.filters import ground, helped, liked, similar, without_near_duplicates
from burnish.synthesis.restate import RESTATED_FILE, restatements
from burnish.synthesis.rows import Pair, lines, place
from burnish.synthesis.selection import FEW_DOCUMENTS, Unit, capped, held_out, spread, unit
from burnish.synthesis.settings import Extraction, Settings
from burnish.synthesis.teachers import LoadModel, TextTeacher
from burnish.synthesis.variants import varied

TRAIN_FILE, PRACTICE_FILE = "train.jsonl", "practice.jsonl"
QUESTIONS_FILE, CHOICES_FILE = "questions.jsonl", "choices.jsonl"
REMOVED_FILE, RECORD_FILE = "removed.jsonl", "synthesis.json"
EXAMPLES = 3
"""Contradictions that the record shows; all of them are in the file of what was removed."""


@dataclass
class Synthesis:
    """What was made of documents.

    held: documents (or, with `by_chunk`, chunks) that are not learned from. empty: documents that gave no row. faults:
    replies of the teacher that gave none, by reason.
    """

    documents: int = 0
    chunks: int = 0
    held: int = 0
    by_chunk: bool = False
    empty: list[str] = field(default_factory=list)
    train: list[Pair] = field(default_factory=list)
    practice: list[Pair] = field(default_factory=list)
    questions: list[Pair] = field(default_factory=list)
    multiple: list[Pair] = field(default_factory=list)
    restated: list[dict[str, Any]] = field(default_factory=list)
    removed: list[Unused] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    def record(self) -> dict[str, Any]:
        """All of it in numbers."""
        contradictions = [one for one in self.removed if one.reason == "contradiction"]
        return {
            "documents": self.documents,
            "chunks": self.chunks,
            "held_out": {"chunks" if self.by_chunk else "documents": self.held},
            "documents_without_rows": sorted(self.empty),
            "train": _counted(self.train),
            "practice": _counted(self.practice),
            "questions": _counted(self.questions),
            "choices": _counted(self.multiple),
            "restated": {"documents": len(self.restated), "characters": sum(len(one["text"]) for one in self.restated)},
            "removed": dict(Counter(one.reason for one in self.removed).most_common()),
            "replies_without_rows": dict(self.faults.most_common()),
            "contradictions": [
                {"question": one.pair.question[:200], "answers": one.detail} for one in contradictions[:EXAMPLES]
            ],
        }


def synthesize(
    documents: Iterable[Document],
    settings: Settings,
    run: Run,
    *,
    teacher: TextTeacher | None = None,
    load_helped: LoadModel | None = None,
) -> Synthesis:
    """Make rows of documents and write them into `run.folder`; returns what was made.

    teacher: writes what `settings.lessons` says. load_helped: loads the model of `settings.filters.helped_by`.
    Raises DataError where nothing can be made of any document.
    """
    made = Synthesis()
    read: list[DocumentChunk] = []
    taught, asked = _extract(documents, settings, made, read if teacher is not None else None)
    made.restated = restatements([*taught, *asked], settings.extract.restate)
    if teacher is not None:
        taught += taught_by(teacher, read, settings, run, made, load_helped)
    made.train, removed = distinct(taught)
    made.removed += removed
    _hold_out(asked, settings, made)
    made.train += fresh(varied(made.train, settings.variants), made.train)
    _add_choices(settings.extract, made)
    found, made.train = made.train, spread(made.train, settings.max_rows)
    made.practice = _practice(found, made.train, settings.practice)
    if not made.train and not made.questions:
        raise DataError(
            f"nothing to ask was found in {made.documents:,} documents: they have no headings, definitions, tables, "
            "docstrings or examples, or all are shorter than a sentence; name other documents, or a teacher"
        )
    _write(made, run.folder, restated=settings.extract.restate > 0)
    _say(made, run)
    return made


def _extract(
    documents: Iterable[Document], settings: Settings, made: Synthesis, kept_chunks: list[DocumentChunk] | None
) -> tuple[list[Pair], list[Pair]]:
    """The pairs of all documents: those to learn from, and those of what is held out.

    kept_chunks: receives the chunks to learn from, where they are needed.
    """
    extract = settings.extract
    units: list[tuple[str, int]] = []
    pairs: list[Pair] = []
    for document in documents:
        found = list(chunks(document, settings.chunk_characters))
        units += [(document.source, chunk.of) for chunk in found]
        if kept_chunks is not None:
            kept_chunks += found
        made.documents += 1
        read = [pair for chunk in found for pair in extracted(chunk, extract.rules, extract.max_answer_characters)]
        if not read:
            made.empty.append(document.source)
        kept, over = capped(read, extract.per_document)
        made.removed += [Unused(pair, "more than per_document") for pair in over]
        pairs += kept
    pairs, removed = distinct(pairs)
    made.removed += removed
    made.chunks = len(units)
    made.by_chunk = made.documents < FEW_DOCUMENTS

    def of(document: str, chunk: int) -> Unit:
        return unit(document, chunk, by_chunk=made.by_chunk)

    # Held out is only what there is an exact question about.
    asked = [of(pair.source.document, pair.source.chunk) for pair in pairs if pair.exact]
    held = held_out(asked or [of(*one) for one in units], settings.heldout.share)
    made.held = len(held)
    if kept_chunks is not None:
        kept_chunks[:] = [chunk for chunk in kept_chunks if of(chunk.document, chunk.of) not in held]
    taught = [pair for pair in pairs if of(pair.source.document, pair.source.chunk) not in held]
    return taught, [pair for pair in pairs if of(pair.source.document, pair.source.chunk) in held]


def taught_by(
    teacher: TextTeacher,
    read: Sequence[DocumentChunk],
    settings: Settings,
    run: Run,
    made: Synthesis,
    load_helped: LoadModel | None,
) -> list[Pair]:
    """The rows that a teacher writes about chunks, and that pass the filters; the others are counted in `made`."""
    wanted, filters = settings.lessons, settings.filters
    long_enough = [chunk for chunk in read if len(chunk.section.text) >= wanted.min_characters]
    chosen = _in_turn(long_enough, wanted.max_chunks)
    asked = [(lesson, chunk) for lesson in wanted.kinds for chunk in chosen]
    replies = teacher.answers([lessons.prompt(lesson, chunk, wanted.per_chunk) for lesson, chunk in asked], run)
    pairs: list[tuple[Pair, DocumentChunk]] = []
    for (lesson, chunk), reply in zip(asked, replies, strict=True):
        written = lessons.read(lesson, reply, chunk, teacher.name)
        pairs += [(pair, chunk) for pair in written.pairs]
        if written.fault:
            made.faults[f"{lesson}: {written.fault}"] += 1
    pairs, removed = ground(pairs, filters.grounding)
    made.removed += removed
    if filters.encoder is not None:
        pairs, removed = similar(pairs, filters.encoder, filters.similarity)
        made.removed += removed
    if filters.near_duplicates is not None:
        pairs, removed = without_near_duplicates(pairs, filters.near_duplicates)
        made.removed += removed
    if load_helped is not None:
        pairs, removed = helped(pairs, load_helped, filters.min_gain)
        made.removed += removed
    if filters.judge is not None:
        pairs, removed = liked(pairs, filters.judge, teacher, run)
        made.removed += removed
    return [pair for pair, _ in pairs]


def _in_turn(read: Sequence[DocumentChunk], n: int | None) -> list[DocumentChunk]:
    """The first chunk of every document, the second of every document, ..., up to `n`; in the order of documents."""
    by_document: dict[str, list[DocumentChunk]] = defaultdict(list)
    for chunk in sorted(read, key=lambda chunk: place("lesson", chunk.document, chunk.hash)):
        by_document[chunk.document].append(chunk)
    turns = zip_longest(*(by_document[name] for name in sorted(by_document)))
    return [chunk for turn in turns for chunk in turn if chunk is not None][:n]


def _hold_out(asked: Sequence[Pair], settings: Settings, made: Synthesis) -> None:
    """The questions to measure by, as exact answers and as multiple choice."""
    questions, removed = unseen(asked, made.train)
    made.removed += removed
    exact = [pair for pair in questions if pair.short]
    options = choices.WrongOptions([*made.train, *exact])
    made.questions = spread([pair for pair in exact if pair.exact], settings.heldout.questions)
    multiple = [
        choices.with_choices(pair, found)
        for pair in exact
        if (found := options.of(pair, settings.extract.choices)) is not None
    ]
    made.multiple = spread(multiple, settings.heldout.choices)


def _add_choices(extract: Extraction, made: Synthesis) -> None:
    """Teach a share of the exact answers as multiple choice too; what can only be asked so is only asked so."""
    options = choices.WrongOptions([*made.train, *made.questions])
    rows = []
    for pair in made.train:
        only = pair.task_type == "classification"
        if not only:
            rows.append(pair)
        if only or (pair.short and place("choice", pair.question) < extract.choice_share * 2**64):
            found = options.of(pair, extract.choices)
            if found is not None:
                rows.append(choices.with_choices(pair, found))
            elif only:
                made.removed.append(Unused(pair, "too few options"))
    made.train = rows


def _practice(found: Sequence[Pair], taught: Sequence[Pair], n: int) -> list[Pair]:
    """Up to `n` exact questions of what was found: those that are not taught first, since they are still open."""
    known = {id(pair) for pair in taught}
    exact = [pair for pair in found if pair.exact and not pair.messages]
    open_ones = spread([pair for pair in exact if id(pair) not in known], n)
    return open_ones + spread([pair for pair in exact if id(pair) in known], n - len(open_ones))


def _write(made: Synthesis, folder: Path, *, restated: bool) -> None:
    atomic_write_text(folder / TRAIN_FILE, lines([pair.conversation() for pair in made.train]))
    atomic_write_text(folder / PRACTICE_FILE, lines([pair.task() for pair in made.practice]))
    atomic_write_text(folder / QUESTIONS_FILE, lines([pair.task() for pair in made.questions]))
    atomic_write_text(folder / CHOICES_FILE, lines([pair.task() for pair in made.multiple]))
    if restated:
        atomic_write_text(folder / RESTATED_FILE, lines(made.restated))
    gone = [one.pair.task() | {"reason": one.reason, "detail": one.detail} for one in made.removed]
    atomic_write_text(folder / REMOVED_FILE, lines(gone))
    atomic_write_text(folder / RECORD_FILE, json.dumps(made.record(), indent=2) + "\n")


def _say(made: Synthesis, run: Run) -> None:
    said = run.display.say
    what = "chunks" if made.by_chunk else "documents"
    said(f"  {made.documents:,} documents in {made.chunks:,} chunks; {made.held:,} {what} are held out")
    said(f"  {len(made.train):,} rows to learn from: {_kinds(made.train)}")
    said(f"  {len(made.questions):,} questions with exact answers and {len(made.multiple):,} of multiple choice")
    if made.restated:
        size = sum(len(one["text"]) for one in made.restated)
        said(f"  {size:,} characters of facts in other words, to be read with the documents: {RESTATED_FILE}")
    if made.removed:
        counts = Counter(one.reason for one in made.removed).most_common()
        said(f"  not used: {', '.join(f'{count:,} {reason}' for reason, count in counts)}; all are in {REMOVED_FILE}")
    if made.faults:
        said(f"  replies without rows: {', '.join(f'{count:,} {fault}' for fault, count in made.faults.most_common())}")
    if made.empty:
        shown = ", ".join(made.empty[:EXAMPLES])
        said(f"  nothing to ask in {len(made.empty):,} documents: {shown}{', …' if len(made.empty) > EXAMPLES else ''}")
    if (expect := few_rows(len(made.train))) is not None:
        run.warn(expect)


def _kinds(pairs: Sequence[Pair]) -> str:
    counts = Counter(pair.task_type for pair in pairs).most_common()
    return ", ".join(f"{count:,} {kind}" for kind, count in counts)


def _counted(pairs: Sequence[Pair]) -> dict[str, Any]:
    return {
        "rows": len(pairs),
        "task_type": dict(Counter(pair.task_type for pair in pairs).most_common()),
        "method": dict(Counter(pair.source.method for pair in pairs).most_common()),
        "teacher": dict(Counter(pair.source.teacher or "none" for pair in pairs).most_common()),
        "documents": len({pair.source.document for pair in pairs}),
    }
