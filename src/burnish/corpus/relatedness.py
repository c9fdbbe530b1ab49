"""Which documents belong together, and a path through all of them along which neighbours do.

In-context pre-training (Shi 2023, arXiv:2310.10638) puts related documents into one window, so that the model learns to
read one with the help of another. Here documents are related by their words, which needs no second model.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

DIMENSIONS = 512
"""Of a document's vector. Words share them, with signs that cancel on average (Weinberger 2009, arXiv:0902.2206)."""
NEIGHBOURS = 20
_ROWS = 1024
_WORD = re.compile(r"\w{2,}")


def vectors(texts: Iterable[str]) -> npt.NDArray[np.float32]:
    """Unit vectors `[n, DIMENSIONS]` of the texts' words, each by its logged count times the log of its rarity.

    texts: gone through twice, so that they need not be in memory.
    """
    frequency: Counter[str] = Counter()
    n = 0
    for text in texts:
        n += 1
        frequency.update(set(_WORD.findall(text.casefold())))
    found = np.zeros((n, DIMENSIONS), dtype=np.float32)
    for row, text in zip(found, texts, strict=True):
        for word, count in Counter(_WORD.findall(text.casefold())).items():
            place = zlib.crc32(word.encode())
            sign = 1 if place & 1 else -1
            row[(place >> 1) % DIMENSIONS] += sign * (1 + np.log(count)) * np.log(n / frequency[word] + 1)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    found /= np.where(norms == 0, 1, norms)
    return found


def chain(texts: Iterable[str], *, neighbours: int = NEIGHBOURS) -> list[int]:
    """A path through all texts, each visited once: on to the nearest that is left (algorithm 1 of the paper).

    It begins, and goes on where no neighbour is left, at the text that is a neighbour of the fewest; of several that
    with the smallest number. Compares each text with each: a thousand texts take moments, a hundred thousand minutes.
    """
    near = _nearest(vectors(texts), neighbours)
    n = len(near)
    degree = np.bincount(near.ravel(), minlength=n) if near.size else np.zeros(n, dtype=np.int64)
    starts = iter(np.lexsort((np.arange(n), degree)).tolist())
    left = np.ones(n, dtype=bool)
    path: list[int] = []
    at: int | None = None
    while len(path) < n:
        at = next((other for other in near[at].tolist() if left[other]), None) if at is not None else None
        if at is None:
            at = next(start for start in starts if left[start])
        left[at] = False
        path.append(at)
    return path


def _nearest(found: npt.NDArray[np.float32], neighbours: int) -> npt.NDArray[np.int64]:
    """Of each row the numbers of the most similar others, the nearest first, `[n, k]`."""
    count = min(neighbours, len(found) - 1)
    if count < 1:
        return np.zeros((len(found), 0), dtype=np.int64)
    near = np.empty((len(found), count), dtype=np.int64)
    for start in range(0, len(found), _ROWS):
        scores = found[start : start + _ROWS] @ found.T
        rows = np.arange(len(scores))
        scores[rows, rows + start] = -np.inf
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        near[start : start + _ROWS] = np.take_along_axis(best, order, axis=1)
    return near
