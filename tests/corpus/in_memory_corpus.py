"""A corpus made in memory, all of it at once: what `build_corpus`, which streams, is measured by."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from burnish.corpus.arrangement import Arrangement, Surprise
from burnish.corpus.building import cleaning_steps
from burnish.corpus.clean import Removed, Step, run_steps
from burnish.corpus.deduplicate import content_hash
from burnish.corpus.documents import Document
from burnish.corpus.heldout import MIN_PIECE, PIECES, _cut
from burnish.corpus.relatedness import chain
from burnish.corpus.text_tokens import tokenized
from burnish.corpus.token_corpus import TokenCorpus, fingerprint
from burnish.corpus.windows import Windows, pack, with_sources
from burnish.text.tokenizer import Tokenizer


def built(
    groups: Mapping[str, Sequence[Document]],
    tokenizer: Tokenizer,
    *,
    window: int,
    heldout_fraction: float,
    arrangement: Arrangement,
    surprise: Surprise,
    with_names: bool,
) -> tuple[TokenCorpus, list[tuple[str, str, str]]]:
    """The corpus; of each removed document its group, id and reason."""
    train, heldout, seen = {}, {}, set[bytes]()
    gone: list[tuple[str, str, str]] = []
    for group, documents in groups.items():
        kept, removed, _ = run_steps(documents, [*cleaning_steps(), exact_duplicates(frozenset(seen))])
        gone += [(group, item.document.id, item.reason) for item in removed]
        seen.update(content_hash(document.text) for document in kept)
        part = split_heldout(kept, fraction=heldout_fraction, size=lambda text: len(tokenized([text], tokenizer)[0]))
        windows = packed(arrangement, part.train, tokenizer, window, surprise)
        train[group] = windows if with_names else replace(windows, sources=np.zeros(0, np.int32), source_names=())
        heldout[group] = pack(tokenized([document.text for document in part.heldout], tokenizer), window)
    corpus = TokenCorpus(window, tokenizer.vocab_size, train, heldout, fingerprint(tokenizer))
    return replace(corpus, ordered=arrangement.ordered), gone


def packed(
    arrangement: Arrangement, documents: Sequence[Document], tokenizer: Tokenizer, window: int, surprise: Surprise
) -> Windows:
    tokens = tokenized([document.text for document in documents], tokenizer)
    order: Sequence[int] = range(len(documents))
    if arrangement.by == "length":
        order = arrangement.sorted([len(one) for one in tokens]).tolist()
    elif arrangement.by == "score":
        order = arrangement.sorted([document.score or 0.0 for document in documents]).tolist()
    elif arrangement.by == "related":
        order = chain([document.text for document in documents])
    join = pack_joined if arrangement.by == "related" else pack
    windows = with_sources(join([tokens[number] for number in order], window), [documents[n].source for n in order])
    if arrangement.by != "perplexity":
        return windows
    best = arrangement.sorted(surprise(windows))
    return Windows(
        [np.concatenate([np.zeros(0, np.int32), *(windows.tokens(int(n), int(n) + 1) for n in best)])],
        windows.lengths[best],
        windows.documents[best],
        windows.n_documents,
        windows.sources[best],
        windows.source_names,
    )


def pack_joined(documents: Sequence[Sequence[int] | npt.NDArray[np.int32]], window: int) -> Windows:
    """Lay documents end to end and cut them into windows of `window` tokens; the last may be shorter.

    Documents of one window see each other: for those that belong together (Shi 2023, arXiv:2310.10638).
    """
    flat = np.concatenate([np.zeros(0, np.int32), *(np.asarray(tokens, dtype=np.int32) for tokens in documents)])
    starts = np.arange(0, len(flat), window)
    ends = np.cumsum([len(tokens) for tokens in documents], dtype=np.int64)
    return Windows(
        [flat],
        np.diff(np.append(starts, len(flat))).astype(np.int32),
        np.searchsorted(ends, starts, side="right").astype(np.int32),
        len(documents),
    )


def exact_duplicates(elsewhere: Collection[bytes] = frozenset()) -> Step:
    """Return the step that keeps one of each set of equal texts, and none whose hash is in `elsewhere`.

    Of equal documents that with the smallest (id, source, text) stays, whatever their order.
    """

    def apply(documents: Sequence[Document]) -> tuple[list[Document], list[Removed]]:
        hashes = [content_hash(document.text) for document in documents]
        best: dict[bytes, Document] = {}
        for key, document in zip(hashes, documents, strict=True):
            best[key] = min(best.get(key, document), document, key=_rank)
        kept, removed = [], []
        taken: set[bytes] = set()
        for key, document in zip(hashes, documents, strict=True):
            if key in elsewhere:
                removed.append(Removed(document, "exact duplicates", "equal to a document of another group"))
            elif key not in taken and document == best[key]:
                taken.add(key)
                kept.append(document)
            else:
                removed.append(Removed(document, "exact duplicates", f"equal to document {best[key].id}"))
        return kept, removed

    return Step("exact duplicates", apply)


class Split(NamedTuple):
    """Documents to train on and documents to measure on. cut: how many documents have parts on both sides."""

    train: list[Document]
    heldout: list[Document]
    cut: int


class _Piece(NamedTuple):
    document: int
    text: str
    size: int


def split_heldout(documents: Sequence[Document], *, fraction: float, size: Callable[[str], int] = len) -> Split:
    """Hold out the share `fraction` of the documents' size: none for 0, else at least one piece.

    The held-out size is off by at most a sixteenth of what was asked for, or by `MIN_PIECE` where that is more. Parts
    of document `a` are called `a#1`, `a#2` and so on. A text too small to be parted is trained on.

    size: of a text, in the unit that the share is taken of.
    """
    if fraction == 0:
        return Split(list(documents), [], 0)
    sizes = [size(document.text) for document in documents]
    target = fraction * sum(sizes)
    limit = max(MIN_PIECE, min(target, sum(sizes) - target) / PIECES)
    pieces = [
        _Piece(number, text, size_of_text)
        for number, (document, whole) in enumerate(zip(documents, sizes, strict=True))
        for text, size_of_text in _pieces(document.text, whole, limit, size)
    ]
    chosen = _smallest_hashes(pieces, target, [_rank(document) for document in documents])
    train: list[Document] = []
    heldout: list[Document] = []
    cut = 0
    numbered = groupby(enumerate(pieces), key=lambda item: item[1].document)
    for number, of_document in numbered:
        runs = [
            (held, "".join(piece.text for _, piece in run).strip("\n"))
            for held, run in groupby(of_document, key=lambda item: item[0] in chosen)
        ]
        document = documents[number]
        cut += len(runs) > 1
        for part, (held, text) in enumerate(runs, start=1):
            if len(runs) == 1:
                (heldout if held else train).append(document)
            elif text.strip():
                (heldout if held else train).append(replace(document, id=f"{document.id}#{part}", text=text))
    return Split(train, heldout, cut)


def _smallest_hashes(pieces: Sequence[_Piece], target: float, ranks: Sequence[tuple[str, str, str]]) -> set[int]:
    """The numbers of the pieces to hold out: by their hashes, as many as come closest to `target`, but not all."""
    order = sorted(
        range(len(pieces)), key=lambda number: (_place(pieces[number].text), ranks[pieces[number].document], number)
    )
    reached = list(accumulate(pieces[number].size for number in order))[:-1]
    if not reached:
        return set()
    count = 1 + min(range(len(reached)), key=lambda last: abs(reached[last] - target))
    return set(order[:count])


def _place(text: str) -> bytes:
    """Bytes, uniform over texts and fixed by the text."""
    return content_hash(text, purpose=b"heldout")


def _rank(document: Document) -> tuple[str, str, str]:
    return document.id, document.source, document.text


def _pieces(text: str, whole: int, limit: float, size: Callable[[str], int]) -> list[tuple[str, int]]:
    found = _cut(text, whole, limit, size)
    return found if len(found) > 1 else [(text, whole)]
