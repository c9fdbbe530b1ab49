"""BM25 over passages: the words that question and passage share, rare ones counting more (Robertson 1994).

Notable choices:
- the weights are those of bm25s, a sparse matrix of which a query adds columns (Lù 2024, arXiv:2407.03618), with the
  inverse document frequency of Lucene, which is never negative;
- an identifier counts as a whole and in its parts: `sqlite3_open_v2` is found by `open`, and `asyncHandler` by both;
- Chinese, Japanese and Thai, written without spaces, count in pairs of characters, as in Lucene's CJK analysis.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import ModuleType

import numpy as np
import regex
from numpy.typing import NDArray

from burnish.errors import BurnishError
from burnish.retrieval.settings import NO_LANGUAGE

Scores = NDArray[np.float32]

_UNSPACED = (
    "\u0e00-\u0e7f"  # Thai
    "\u3040-\u30ff\u31f0-\u31ff"  # Japanese syllables
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_WORD = re.compile(rf"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])\w)+")
_PAIRED = re.compile(rf"[{_UNSPACED}]")
_PARTS = regex.compile(r"\p{Lu}+(?!\p{Ll})|\p{Lu}?\p{Ll}+|\p{Nd}+|[\p{L}\p{M}]+")


class Words:
    """Text to the terms that BM25 counts.

    language: of Snowball's stemmers, or `none`. stop_words: whether those of the language are left out.

    Raises BurnishError for another language, or where the libraries are missing.
    """

    def __init__(self, language: str, *, stop_words: bool = True) -> None:
        bm25s, stemmer = _libraries()
        self._stop: frozenset[str] = frozenset()
        self._stem: Callable[[str], str] = str
        if language == NO_LANGUAGE:
            return
        if language not in stemmer.algorithms():
            known = ", ".join([NO_LANGUAGE, *stemmer.algorithms()])
            raise BurnishError(f"language: got '{language}'; expected one of {known}")
        if stop_words:
            self._stop = frozenset(getattr(bm25s.stopwords, _STOP_WORDS.get(language, ""), ()))
        # A word is met thousands of times.
        self._stem = lru_cache(1 << 16)(stemmer.Stemmer(language).stemWord)

    def terms(self, text: str) -> list[str]:
        """The terms of a text, each as often as it occurs."""
        found: list[str] = []
        for word in _WORD.findall(unicodedata.normalize("NFKC", text)):
            if _PAIRED.match(word):
                found += [word[i : i + 2] for i in range(len(word) - 1)] or [word]
                continue
            lowered = word.lower()
            if lowered in self._stop:
                continue
            found.append(self._stem(lowered))
            if not (word.isalpha() and (word[1:].islower() or word.isupper() or len(word) == 1)):
                parts = _PARTS.findall(word)
                if len(parts) > 1:
                    found += [self._stem(part.lower()) for part in parts if part.lower() not in self._stop]
        return found


class Lexicon:
    """The weight of every term in every passage, as the columns of a sparse matrix.

    weights, rows: `[entries]` float32 and int32, the weights of a term's passages and which they are; columns:
    `[terms + 1]` int64, where each term's begin.
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        weights: NDArray[np.float32],
        rows: NDArray[np.int32],
        columns: NDArray[np.int64],
        n_passages: int,
    ) -> None:
        self.vocabulary, self.weights, self.rows, self.columns = vocabulary, weights, rows, columns
        self.n_passages = n_passages

    @classmethod
    def build(cls, passages: Iterable[Sequence[str]], *, k1: float = 1.5, b: float = 0.75) -> "Lexicon":
        """Weigh the terms of passages, each given by its terms."""
        bm25s, _ = _libraries()
        vocabulary: dict[str, int] = {}
        ids = [[vocabulary.setdefault(term, len(vocabulary)) for term in terms] for terms in passages]
        if not vocabulary:
            empty = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int32), np.zeros(1, dtype=np.int64)
            return cls({}, *empty, len(ids))
        weighed = bm25s.BM25(method="lucene", k1=k1, b=b)
        weighed.index((ids, dict(vocabulary)), create_empty_token=False, show_progress=False)
        scores = weighed.scores
        weights, rows, columns = (np.asarray(scores[name]) for name in ("data", "indices", "indptr"))
        return cls(vocabulary, weights.astype(np.float32), rows.astype(np.int32), columns.astype(np.int64), len(ids))

    def check(self) -> None:
        """Raise ValueError where a weight belongs to no term or passage."""
        n = len(self.weights)
        columns = self.columns
        ordered = len(columns) == len(self.vocabulary) + 1 and columns[0] == 0 and columns[-1] == n
        if not ordered or (np.diff(columns) < 0).any() or len(self.rows) != n:
            raise ValueError("weights of no term")
        if n and not 0 <= self.rows.min() <= self.rows.max() < self.n_passages:
            raise ValueError("weights of no passage")

    def scores(self, terms: Iterable[str]) -> Scores:
        """BM25 of every passage, `[n_passages]`; a term counts once however often it is asked for."""
        scores = np.zeros(self.n_passages, dtype=np.float32)
        for term in dict.fromkeys(terms):
            if (column := self.vocabulary.get(term)) is not None:
                entries = slice(self.columns[column], self.columns[column + 1])
                scores[self.rows[entries]] += self.weights[entries]
        return scores


_STOP_WORDS = {
    **{name: f"STOPWORDS_{name.upper()}" for name in ("german", "dutch", "french", "spanish", "portuguese", "italian")},
    **{name: f"STOPWORDS_{name.upper()}" for name in ("russian", "swedish", "norwegian", "turkish", "danish")},
    "english": "STOPWORDS_EN_PLUS",  # with the words that questions are made of: how, what, do, I
}


def _libraries() -> tuple[ModuleType, ModuleType]:
    try:
        import bm25s
        import Stemmer
    except ImportError as error:
        raise BurnishError(
            f"retrieval needs {error.name}; install it with `pip install 'burnish[retrieval]'`"
        ) from None
    return bm25s, Stemmer
