"""Documents → a corpus: cleaned, deduplicated, split, tokenized and packed, with a report of what became of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from burnish.corpus.arrangement import Arrangement, Surprise
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
from burnish.corpus.deduplicate import content_hash, exact_duplicates
from burnish.corpus.documents import Document
from burnish.corpus.folders import Skipped
from burnish.corpus.folders import counts as skipped_counts
from burnish.corpus.folders import rows as skipped_rows
from burnish.corpus.heldout import Split as HeldoutSplit
from burnish.corpus.heldout import split_heldout
from burnish.corpus.mixture import Mixture
from burnish.corpus.token_corpus import TokenCorpus, fingerprint
from burnish.corpus.windows import Windows, pack, without_sources
from burnish.errors import DataError
from burnish.text.tokenizer import Tokenizer

TrainTokenizer = Callable[[Iterable[str]], Tokenizer]
"""Makes a tokenizer of texts."""
REMOVED_FILE = "removed.jsonl"
SKIPPED_FILE = "skipped.jsonl"
MAX_SOURCES = 1000
"""Sources of a mixture at most."""


@dataclass(slots=True)
class CorpusReport:
    """What cleaning did to each group, and the documents it removed.

    cut: documents of which a part was held out. skipped: files of folders that were not read, as the reader told.
    """

    steps: dict[str, list[StepStatistics]] = field(default_factory=dict)
    removed: dict[str, list[Removed]] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, list[Skipped]] = field(default_factory=dict)


def cleaning_steps(*, min_characters: int = 50, max_characters: int | None = None) -> list[Step]:
    """Return the default steps: longer documents are split, shorter ones removed."""
    return [
        rewrite("unicode", normalize_unicode),
        rewrite("whitespace", normalize_whitespace),
        *([split_long(max_characters)] if max_characters is not None else []),
        remove_if("too short", too_short(min_characters)),
    ]


class _Encoder:
    """Documents as tokens, each text encoded once: as plain text between the tokens that begin and end one."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.begin = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
        self.end = [tokenizer.eos_id] if tokenizer.eos_id is not None else []
        self.encoded: dict[str, npt.NDArray[np.int32]] = {}

    def all_of(self, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """The tokens of each text; what is not encoded yet is encoded in batches."""
        new = [text for text in dict.fromkeys(texts) if text not in self.encoded]
        for text, ids in zip(new, self.tokenizer.encode_batch(new), strict=True):
            self.encoded[text] = np.array([*self.begin, *ids, *self.end], dtype=np.int32)
        return [self.encoded[text] for text in texts]

    def size(self, text: str) -> int:
        """Tokens of one text."""
        return len(self.all_of([text])[0])


def tokenize(documents: Sequence[Document], tokenizer: Tokenizer) -> list[list[int]]:
    """Encode documents as plain text, each ended by the end-of-sequence token."""
    return [tokens.tolist() for tokens in tokenized([document.text for document in documents], tokenizer)]


def tokenized(texts: Sequence[str], tokenizer: Tokenizer) -> list[npt.NDArray[np.int32]]:
    """The same of texts, as arrays."""
    return _Encoder(tokenizer).all_of(texts)


def build_corpus(
    groups: Mapping[str, Sequence[Document]],
    tokenizer: Tokenizer | TrainTokenizer,
    *,
    window: int,
    heldout_fraction: float = 0.05,
    steps: Sequence[Step] | None = None,
    mixture: Mixture | None = None,
    arrangement: Arrangement | None = None,
    surprise: Surprise | None = None,
) -> tuple[TokenCorpus, CorpusReport]:
    """Clean, deduplicate, split, tokenize and pack groups of documents, which are held in memory meanwhile.

    A document that is in several groups stays in the first one only.

    Args:
        groups: by convention `domain` and `general`, the most important first.
        tokenizer: one that is there, or what makes one of the training text; never of what is held out.
        window: tokens that a window has at most.
        heldout_fraction: share of each group's tokens that is held out, see `split_heldout`; of its bytes where the
            tokenizer is made of what the split leaves.
        steps: what cleans the documents before deduplication; None is `cleaning_steps()`.
        mixture: how much is read of each source; None reads all alike.
        arrangement: in which order the training text lies; None leaves it to chance.
        surprise: what `arrangement` by perplexity needs.

    Raises:
        DataError: a group has no documents left, or the mixture names other sources than there are.
    """
    report = CorpusReport()
    arrangement = arrangement or Arrangement.model_validate({})
    encoder = _Encoder(tokenizer) if isinstance(tokenizer, Tokenizer) else None
    parts: dict[str, HeldoutSplit] = {}
    seen: set[bytes] = set()
    for group, documents in groups.items():
        chosen = [*(cleaning_steps() if steps is None else steps), exact_duplicates(frozenset(seen))]
        kept, report.removed[group], report.steps[group] = run_steps(documents, chosen)
        if not kept:
            raise DataError(
                f"{group}: none of {len(documents)} documents is left after cleaning; "
                f"{'the first was removed: ' + report.removed[group][0].reason if documents else 'name some'}"
            )
        seen.update(content_hash(document.text) for document in kept)
        if encoder is not None:
            encoder.all_of([document.text for document in kept])
        size = encoder.size if encoder is not None else _bytes
        parts[group] = split_heldout(kept, fraction=heldout_fraction, size=size)
        report.cut[group] = parts[group].cut
    if not isinstance(tokenizer, Tokenizer):
        tokenizer = tokenizer(document.text for part in parts.values() for document in part.train)
    encoder = encoder or _Encoder(tokenizer)
    train, heldout = {}, {}
    for group, part in parts.items():
        ids = encoder.all_of([document.text for document in part.train])
        train[group] = arrangement.packed(part.train, ids, window, surprise)
        heldout[group] = pack(encoder.all_of([document.text for document in part.heldout]), window)
    if mixture is None:
        train = {group: without_sources(windows) for group, windows in train.items()}
    corpus = TokenCorpus(
        window,
        tokenizer.vocab_size,
        train,
        heldout,
        fingerprint(tokenizer),
        tokenizer,
        mixture,
        arrangement.ordered,
    )
    return corpus, report


def source_sizes(windows: Windows) -> dict[str, int]:
    """Tokens of each source. Raises DataError where there are so many that they are none to be weighed."""
    if len(windows.source_names) > MAX_SOURCES:
        raise DataError(
            f"the documents have {len(windows.source_names):,} sources, and a mixture weighs at most {MAX_SOURCES:,}: "
            'give the rows of data files a "source", or name the sources in a `documents` stage'
        )
    totals = np.bincount(windows.sources, weights=windows.lengths, minlength=len(windows.source_names))
    return {name: int(total) for name, total in zip(windows.source_names, totals, strict=True)}


def _described(report: CorpusReport) -> dict[str, Any]:
    """What `corpus.json` says of the cleaning."""
    return {
        "cut_for_heldout": report.cut,
        "steps": {group: [asdict(step) for step in steps] for group, steps in report.steps.items()},
        "skipped": {group: skipped_counts(skipped) for group, skipped in report.skipped.items()},
    }


def _lines(report: CorpusReport) -> dict[str, Iterator[Mapping[str, object]]]:
    """The rows of the files of all documents that were removed, and of all files that were not read."""
    return {
        REMOVED_FILE: (
            {"group": group, "step": item.step, "reason": item.reason, **item.document.row()}
            for group, removed in report.removed.items()
            for item in removed
        ),
        SKIPPED_FILE: (
            {"group": group, **row} for group, files in report.skipped.items() for row in skipped_rows(files)
        ),
    }


def save_corpus(corpus: TokenCorpus, report: CorpusReport, folder: str | Path) -> None:
    """Write a corpus with what became of the documents, or nothing."""
    corpus.save(folder, description=_described(report), lines=_lines(report))


def _bytes(text: str) -> int:
    return len(text.encode())
