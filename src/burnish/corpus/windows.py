"""Token windows one behind the other: what a corpus is made of, in memory or mapped from files.

Notable choices:
- tokens lie in shards, arrays that may be views of files: a window is copied when it is asked for, so what trains on a
  corpus never holds it;
- what is known of each window, some twelve bytes, is in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from burnish.errors import DataError

Tokens = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Windows:
    """Token windows in their order.

    shards: the tokens, `[n]` each; a window lies in one of them. lengths: `[n_windows]`, tokens of each window.
    documents: `[n_windows]`, the number of the document that each is a piece of; of several documents the first.
    sources: `[n_windows]`, the number of its source in `source_names`. n_documents: all that the windows are made of.
    """

    shards: Sequence[Tokens]
    lengths: npt.NDArray[np.int32]
    documents: npt.NDArray[np.int32]
    n_documents: int
    sources: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    source_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> list[int]:
        start = int(self._starts[index])
        shard = int(np.searchsorted(self._shard_starts, start, side="right")) - 1
        start -= int(self._shard_starts[shard])
        found: list[int] = self.shards[shard][start : start + int(self.lengths[index])].tolist()
        return found

    def tokens(self, first: int, end: int) -> Tokens:
        """The tokens of windows `first` to `end - 1`, one behind the other."""
        start, stop = int(self._starts[first]), int(self._starts[end])
        parts = [
            shard[max(start - offset, 0) : max(stop - offset, 0)]
            for shard, offset in zip(self.shards, self._shard_starts.tolist(), strict=True)
        ]
        return np.concatenate([part for part in parts if len(part)] or [np.zeros(0, dtype=np.int32)])

    @property
    def n_tokens(self) -> int:
        """Tokens of all windows."""
        return int(self._starts[-1])

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)]).astype(np.int64)

    @cached_property
    def _shard_starts(self) -> npt.NDArray[np.int64]:
        # A shard without tokens would hide the one behind it.
        sizes = [len(shard) for shard in self.shards]
        return np.concatenate([[0], np.cumsum(sizes[:-1], dtype=np.int64)]).astype(np.int64)

    def taken(self, order: Sequence[int] | npt.NDArray[np.int64]) -> "Windows":
        """The windows of these numbers in this order, in memory."""
        chosen = np.asarray(order, dtype=np.int64)
        pieces = [np.array(self[int(number)], dtype=np.int32) for number in chosen]
        return Windows(
            [_joined(pieces)],
            self.lengths[chosen],
            self.documents[chosen],
            self.n_documents,
            self.sources[chosen] if len(self.sources) else self.sources,
            self.source_names,
        )


def pack(documents: Sequence[Sequence[int] | npt.NDArray[np.int32]], window: int) -> Windows:
    """Cut tokenized documents into windows of at most `window` tokens; no token is lost or repeated.

    A window never holds two documents, and a document's windows are of nearly equal length.
    """
    _check(window)
    lengths: list[int] = []
    numbers: list[int] = []
    for number, tokens in enumerate(documents):
        pieces = -(-len(tokens) // window)
        lengths += [len(tokens) // pieces + (piece < len(tokens) % pieces) for piece in range(pieces)]
        numbers += [number] * pieces
    flat = _joined([np.asarray(tokens, dtype=np.int32) for tokens in documents])
    return Windows([flat], np.array(lengths, np.int32), np.array(numbers, np.int32), len(set(numbers)))


def pack_joined(documents: Sequence[Sequence[int] | npt.NDArray[np.int32]], window: int) -> Windows:
    """Lay documents end to end and cut them into windows of `window` tokens; the last may be shorter.

    Documents of one window see each other: for those that belong together (Shi 2023, arXiv:2310.10638).
    """
    _check(window)
    flat = _joined([np.asarray(tokens, dtype=np.int32) for tokens in documents])
    starts = np.arange(0, len(flat), window)
    ends = np.cumsum([len(tokens) for tokens in documents], dtype=np.int64)
    return Windows(
        [flat],
        np.diff(np.append(starts, len(flat))).astype(np.int32),
        np.searchsorted(ends, starts, side="right").astype(np.int32),
        len(documents),
    )


def with_sources(windows: Windows, sources: Sequence[str]) -> Windows:
    """The windows, each with the source of its document. sources: of each document, by its number in `windows`."""
    names = sorted(set(sources))
    places = {name: place for place, name in enumerate(names)}
    of_documents = np.array([places[name] for name in sources], dtype=np.int32)
    return replace(windows, sources=of_documents[windows.documents], source_names=tuple(names))


def without_sources(windows: Windows) -> Windows:
    """The windows without what nobody asks for where sources are read alike."""
    return replace(windows, sources=np.zeros(0, dtype=np.int32), source_names=())


def _joined(pieces: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.int32]:
    return np.concatenate([np.zeros(0, dtype=np.int32), *pieces])


def _check(window: int) -> None:
    if window < 2:
        raise DataError(f"window is {window}; expected at least 2 tokens, one to read and one to predict")
