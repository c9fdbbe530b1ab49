"""Documents → a corpus: cleaned, deduplicated, split, tokenized and packed, with a report of what became of them.

Notable choices:
- documents pass through memory a few megabytes at a time; between the passes they lie in a file beside the corpus
  (`burnish.corpus.spool`), which takes as much of the disk as their text and tokens do and is gone at the end;
- what is written is mapped: no part of a corpus is ever in memory as a whole.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from burnish.corpus.arrangement import Arrangement, Surprise, write_parts
from burnish.corpus.clean import (
    Removed,
    Step,
    StepStatistics,
    normalize_unicode,
    normalize_whitespace,
    remove_if,
    rewrite,
    run_steps,
    split_long,
    too_short,
)
from burnish.corpus.documents import Document
from burnish.corpus.folders import Skipped
from burnish.corpus.folders import counts as skipped_counts
from burnish.corpus.folders import rows as skipped_rows
from burnish.corpus.heldout import hold_out
from burnish.corpus.mixture import MAX_SOURCES, Mixture, check_number
from burnish.corpus.shards import SHARD_TOKENS, WindowsWriter, read_windows
from burnish.corpus.spool import Spool, spooled
from burnish.corpus.spooled_parts import Part
from burnish.corpus.text_tokens import TextTokens
from burnish.corpus.token_corpus import TokenCorpus, fingerprint
from burnish.corpus.windows import Windows
from burnish.errors import DataError
from burnish.files import atomic_folder
from burnish.text.tokenizer import Tokenizer

TrainTokenizer = Callable[[Iterable[str]], Tokenizer]
"""Makes a tokenizer of texts."""
REMOVED_FILE = "removed.jsonl"
SKIPPED_FILE = "skipped.jsonl"
SPOOL_FILE = "documents.sqlite"
BATCH_CHARACTERS = 4 << 20
"""Of the texts that are cleaned or encoded together."""
_DUPLICATES = "exact duplicates"
_T = TypeVar("_T")


@dataclass(slots=True)
class CorpusReport:
    """What cleaning did to each group.

    removed: how many documents it removed; all are in `REMOVED_FILE`. cut: documents of which a part was held out.
    skipped: files of folders that were not read, as the reader told.
    """

    steps: dict[str, list[StepStatistics]] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, list[Skipped]] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """What `corpus.json` says of the cleaning."""
        return {
            "cut_for_heldout": self.cut,
            "steps": {group: [asdict(step) for step in steps] for group, steps in self.steps.items()},
            "skipped": {group: skipped_counts(skipped) for group, skipped in self.skipped.items()},
        }


def cleaning_steps(*, min_characters: int = 50, max_characters: int | None = None) -> list[Step]:
    """Return the default steps: longer documents are split, shorter ones removed."""
    return [
        rewrite("unicode", normalize_unicode),
        rewrite("whitespace", normalize_whitespace),
        *([split_long(max_characters)] if max_characters is not None else []),
        remove_if("too short", too_short(min_characters)),
    ]


def build_corpus(
    groups: Mapping[str, Iterable[Document]],
    tokenizer: Tokenizer | TrainTokenizer,
    folder: str | Path,
    *,
    window: int,
    heldout_fraction: float = 0.05,
    steps: Sequence[Step] | None = None,
    mixture: Mixture | None = None,
    arrangement: Arrangement | None = None,
    surprise: Surprise | None = None,
    skipped: Mapping[str, list[Skipped]] | None = None,
) -> tuple[TokenCorpus, CorpusReport]:
    """Clean, deduplicate, split, tokenize and pack groups of documents into `folder`, which is written whole or not.

    A document that is in several groups stays in the first one only. Returned is the corpus as it was written, mapped.

    Args:
        groups: by convention `domain` and `general`, the most important first; each is gone through once.
        tokenizer: one that is there, or what makes one of the training text; never of what is held out.
        folder: an earlier corpus there is replaced.
        window: tokens that a window has at most.
        heldout_fraction: share of each group's tokens that is held out, see `hold_out`; of its bytes where the
            tokenizer is made of what the split leaves.
        steps: what cleans the documents before deduplication, each by itself; None is `cleaning_steps()`.
        mixture: how much is read of each source; None reads all alike.
        arrangement: in which order the training text lies; None leaves it to chance.
        surprise: what `arrangement` by perplexity needs.
        skipped: of each group the files that are not read; looked at when the group has been gone through.

    Raises:
        DataError: a group has no documents left, or the mixture names other sources than there are.
        BurnishError: the disk is full.
    """
    report = CorpusReport()
    skipped = skipped or {}
    arrangement = arrangement or Arrangement.model_validate({})
    steps = cleaning_steps() if steps is None else steps
    with atomic_folder(folder) as temporary, spooled(temporary / SPOOL_FILE) as spool:
        with (temporary / REMOVED_FILE).open("w", encoding="utf-8", errors="backslashreplace") as removed:
            for number, (group, documents) in enumerate(groups.items()):
                _clean(spool, number, group, documents, steps, report, removed.write)
                report.skipped[group] = skipped.get(group, [])
            _deduplicate(spool, list(groups), report, removed.write)
        encoder = TextTokens(tokenizer) if isinstance(tokenizer, Tokenizer) else None
        for number, group in enumerate(groups):
            report.cut[group] = _split(spool, number, heldout_fraction, encoder)
        if encoder is None:
            assert not isinstance(tokenizer, Tokenizer)
            encoder = TextTokens(tokenizer(chain.from_iterable(map(spool.parts.texts, range(len(groups))))))
        for number in range(len(groups)):
            for batch in batched(spool.parts.without_tokens(number), lambda item: len(item[1])):
                tokens = encoder.all_of([text for _, text in batch])
                spool.parts.set_part_tokens((key, found) for (key, _), found in zip(batch, tokens, strict=True))
        write = _Writing(spool, temporary, window, encoder.tokenizer.vocab_size, mixture is not None)
        for number, group in enumerate(groups):
            write.trained_on(number, group, arrangement, surprise)
            write.held_out(number, group)
        train, heldout = (
            {group: read_windows(temporary / split / group) for group in groups} for split in ("train", "heldout")
        )
        facts = (fingerprint(encoder.tokenizer), encoder.tokenizer, mixture, arrangement.ordered)
        corpus = TokenCorpus(window, encoder.tokenizer.vocab_size, train, heldout, *facts)
        lines = ({"group": group, **row} for group, files in report.skipped.items() for row in skipped_rows(files))
        corpus.save_facts(temporary, description=report.described(), lines={SKIPPED_FILE: lines})
        del corpus, train, heldout  # some systems rename no folder of mapped files
    return replace(TokenCorpus.load(folder), tokenizer=encoder.tokenizer), report


def batched(items: Iterable[_T], characters: Callable[[_T], int]) -> Iterator[list[_T]]:
    """Items that follow each other, of together about `BATCH_CHARACTERS`."""
    batch: list[_T] = []
    size = 0
    for item in items:
        batch.append(item)
        size += characters(item)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _clean(
    spool: Spool,
    number: int,
    group: str,
    documents: Iterable[Document],
    steps: Sequence[Step],
    report: CorpusReport,
    write: Callable[[str], object],
) -> None:
    """Take the documents of a group through the steps, those that stay into the spool."""
    totals = [StepStatistics(step.name, 0, 0, 0, 0, 0.0) for step in steps]
    report.removed[group] = read = 0
    first: Removed | None = None
    for batch in batched(documents, lambda document: len(document.text)):
        read += len(batch)
        kept, removed, found = run_steps(batch, steps)
        totals = [total.plus(one) for total, one in zip(totals, found, strict=True)]
        spool.add(number, kept)
        report.removed[group] += len(removed)
        first = first or next(iter(removed), None)
        for item in removed:
            write(_line(group, item))
    report.steps[group] = totals
    if not spool.count(number)[0]:
        why = "name some" if first is None else f"the first was removed: {first.reason}"
        raise DataError(f"{group}: none of {read} documents is left after cleaning; {why}")


def _deduplicate(spool: Spool, groups: Sequence[str], report: CorpusReport, write: Callable[[str], object]) -> None:
    before = [spool.count(number) for number in range(len(groups))]
    spool.drop_duplicates()
    for number, group in enumerate(groups):
        reason = ""
        for document, of in spool.duplicates(number):
            reason = "equal to a document of another group" if of is None else f"equal to document {of}"
            write(_line(group, Removed(document, _DUPLICATES, reason)))
            report.removed[group] += 1
    spool.forget_duplicates()
    for number, group in enumerate(groups):
        (count, characters), (left, characters_left) = before[number], spool.count(number)
        report.steps[group].append(StepStatistics(_DUPLICATES, count, left, characters, characters_left, 0.0))
        if not left:
            raise DataError(
                f"{group}: none of {count} documents is left after cleaning; all are in groups before it too"
            )


def _line(group: str, item: Removed) -> str:
    row = {"group": group, "step": item.step, "reason": item.reason, **item.document.row()}
    return json.dumps(row, ensure_ascii=False) + "\n"


def _split(spool: Spool, number: int, fraction: float, encoder: TextTokens | None) -> int:
    """Part a group into what is trained on and what is held out; how many documents are on both sides."""
    for batch in batched(spool.documents(number), lambda item: len(item[1].text)):
        if encoder is None:
            spool.set_sizes((place, _bytes(document.text)) for place, document in batch)
        else:
            tokens = encoder.all_of([document.text for _, document in batch])
            spool.set_tokens((place, found) for (place, _), found in zip(batch, tokens, strict=True))
    return hold_out(spool, number, fraction=fraction, size=_bytes if encoder is None else encoder.size)


@dataclass(frozen=True)
class _Writing:
    """What the files of windows have in common. with_sources: whether windows know their sources."""

    spool: Spool
    folder: Path
    window: int
    vocab_size: int
    with_sources: bool

    def trained_on(self, number: int, group: str, arrangement: Arrangement, surprise: Surprise | None) -> None:
        """Write the training windows of a group in their order. Raises DataError for too many sources."""
        names = self.spool.parts.sources(number, MAX_SOURCES + 1) if self.with_sources else []
        check_number(names)
        count, filled = self.spool.parts.n_parts(number, held=False)
        n_documents = count if arrangement.by == "related" else filled
        folder = self.folder / "train" / group
        places = {name: place for place, name in enumerate(names)}
        writer = self._writer(folder, n_documents, names)
        arrangement.write(self.spool, number, writer, self.window, places)
        writer.close()
        if arrangement.by == "perplexity":
            assert surprise is not None
            unsorted = folder.rename(self.folder / "unsorted")
            self._sort(unsorted, self._writer(folder, n_documents, names), arrangement, surprise)
            shutil.rmtree(unsorted)

    def _sort(self, unsorted: Path, writer: WindowsWriter, arrangement: Arrangement, surprise: Surprise) -> None:
        """Write the windows of a folder in the order of their figures."""
        windows = read_windows(unsorted)
        for place in arrangement.sorted(surprise(windows)).tolist():
            source = int(windows.sources[place]) if len(windows.sources) else None
            tokens = windows.tokens(place, place + 1)
            writer.add(tokens, [len(tokens)], int(windows.documents[place]), source)
        writer.close()

    def held_out(self, number: int, group: str) -> None:
        """Write the windows of a group that are held out."""
        folder = self.folder / "heldout" / group
        writer = self._writer(folder, self.spool.parts.n_parts(number, held=True)[1], [])
        parts: Iterator[Part] = (self.spool.parts.part(key) for key in self.spool.parts.keys(number, held=True))
        write_parts(parts, writer, self.window, {})
        writer.close()

    def _writer(self, folder: Path, n_documents: int, names: Sequence[str]) -> WindowsWriter:
        return WindowsWriter(
            folder,
            vocab_size=self.vocab_size,
            n_documents=n_documents,
            source_names=tuple(names),
            shard_tokens=SHARD_TOKENS,
        )


def source_sizes(windows: Windows) -> dict[str, int]:
    """Tokens of each source."""
    totals = np.bincount(windows.sources, weights=windows.lengths, minlength=len(windows.source_names))
    return {name: int(total) for name, total in zip(windows.source_names, totals, strict=True)}


def _bytes(text: str) -> int:
    return len(text.encode())
