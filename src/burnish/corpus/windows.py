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


def pack(documents: Sequence[Sequence[int] | npt.NDArray[np.int32]], window: int) -> Windows:
    """Cut tokenized documents into windows of at most `window` tokens; no token is lost or repeated.

    A window never holds two documents, and a document's windows are of nearly equal length.
    """
    _check(window)
    lengths: list[int] = []
    numbers: list[int] = []
    for number, tokens in enumerate(documents):
        of_document = window_lengths(len(tokens), window)
        lengths += of_document
        numbers += [number] * len(of_document)
    flat = _joined([np.asarray(tokens, dtype=np.int32) for tokens in documents])
    return Windows([flat], np.array(lengths, np.int32), np.array(numbers, np.int32), len(set(numbers)))


def window_lengths(length: int, window: int) -> list[int]:
    """Nearly equal lengths of the fewest windows of at most `window` tokens that hold `length`."""
    _check(window)
    count = -(-length // window)
    return [length // count + (number < length % count) for number in range(count)]


def with_sources(windows: Windows, sources: Sequence[str]) -> Windows:
    """The windows, each with the source of its document. sources: of each document, by its number in `windows`."""
    names = sorted(set(sources))
    places = {name: place for place, name in enumerate(names)}
    of_documents = np.array([places[name] for name in sources], dtype=np.int32)
    return replace(windows, sources=of_documents[windows.documents], source_names=tuple(names))


def _joined(pieces: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.int32]:
    return np.concatenate([np.zeros(0, dtype=np.int32), *pieces])


def _check(window: int) -> None:
    if window < 2:
        raise DataError(f"window is {window}; expected at least 2 tokens, one to read and one to predict")
