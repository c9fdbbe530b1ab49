"""More tokens for a domain's words: byte-pair training goes on where the tokenizer's stopped.

Each new token is a pair of tokens that stand side by side most often in the domain's text, and a merge behind all
others, so other text is cut as before but where it has these words too (Purason 2025, arXiv:2512.03989). The result is
an ordinary tokenizer, which transformers and llama.cpp read.
"""

import heapq
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from tokenizers import Tokenizer as Backend

from burnish.errors import DataError
from burnish.text.tokenizer import Tokenizer

SPACES = ("▁", "Ġ")
"""What stands for a space in tokens: only at their beginning, so that no token spans two words."""
_WORDS = re.compile("▁?[^▁]+")


@dataclass(frozen=True)
class Extension:
    """A tokenizer with more tokens.

    pieces: of each new token in the order of their ids, the first of which is the old tokenizer's `vocab_size`, the old
    tokens that it was.
    """

    tokenizer: Tokenizer
    pieces: Sequence[Sequence[int]]


def extend_tokenizer(tokenizer: Tokenizer, texts: Iterable[str], *, n_tokens: int, min_count: int = 10) -> Extension:
    """A tokenizer with up to `n_tokens` more, made of pairs that stand at least `min_count` times in the texts.

    The same texts in any order give the same tokens. Raises DataError for a tokenizer that makes no byte-pair merges.
    """
    description = json.loads(tokenizer.backend.to_str())
    if description["model"].get("type") != "BPE":
        raise DataError(
            f"{tokenizer.source}: a tokenizer of the kind {description['model'].get('type')} has no merges to go on "
            "with; only byte-pair encodings can be extended"
        )
    merges = _Merges(tokenizer.backend, texts)
    made = [pair for _, pair in zip(range(n_tokens), iter(lambda: merges.best(min_count), None), strict=False)]
    vocabulary, first = description["model"]["vocab"], tokenizer.vocab_size
    old_merges = description["model"]["merges"]
    as_pairs = not old_merges or not isinstance(old_merges[0], str)
    for number, (left, right) in enumerate(made):
        vocabulary[left + right] = first + number
        old_merges.append([left, right] if as_pairs else f"{left} {right}")
    extended = replace(tokenizer, backend=Backend.from_str(json.dumps(description)))
    return Extension(extended, [merges.pieces[left + right] for left, right in made])


class _Merges:
    """The words of some texts as tokens, and the pairs of them by their number."""

    def __init__(self, backend: Backend, texts: Iterable[str]) -> None:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_words(backend, text))
        self.backend = backend
        self.words: list[list[str]] = []
        self.counts: list[int] = []
        self.pieces: dict[str, list[int]] = {}
        for word, count in sorted(counts.items()):
            tokens = backend.model.tokenize(word)
            for token in tokens:
                self.pieces[token.value] = [token.id]
            self.words.append([token.value for token in tokens])
            self.counts.append(count)
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.heap: list[tuple[int, tuple[str, str]]] = []
        self.places: dict[tuple[str, str], set[int]] = defaultdict(set)
        for number in range(len(self.words)):
            self._count(number, 1)

    @cached_property
    def known(self) -> set[str]:
        """All tokens that there are: a new one must not have the name of another."""
        return set(self.backend.get_vocab(with_added_tokens=True))

    def best(self, min_count: int) -> tuple[str, str] | None:
        """Merge the most frequent pair, of equal ones the first by its text; None where none is frequent enough."""
        while self.heap:
            count, (left, right) = heapq.heappop(self.heap)
            pair = left, right
            # Of a pair whose number has changed since, a later entry of the heap tells.
            if -count == self.pairs[pair] >= min_count and left + right not in self.known:
                break
        else:
            return None
        self.known.add(left + right)
        self.pieces[left + right] = self.pieces[left] + self.pieces[right]
        for number in sorted(self.places[pair]):
            self._count(number, -1)
            self.words[number] = _merged(self.words[number], left, right)
            self._count(number, 1)
        return pair

    def _count(self, number: int, sign: int) -> None:
        word = self.words[number]
        for pair in pairwise(word):
            if pair[1].startswith(SPACES):
                continue
            self.pairs[pair] += sign * self.counts[number]
            heapq.heappush(self.heap, (-self.pairs[pair], pair))
            (self.places[pair].add if sign > 0 else self.places[pair].discard)(number)


def _merged(word: Sequence[str], left: str, right: str) -> list[str]:
    found: list[str] = []
    for token in word:
        if found and token == right and found[-1] == left:
            found[-1] = left + right
        else:
            found.append(token)
    return found


def _words(backend: Backend, text: str) -> Iterable[str]:
    """What no merge crosses the ends of: as the tokenizer cuts a text, else at spaces."""
    if backend.normalizer is not None:
        text = backend.normalizer.normalize_str(text)
    if backend.pre_tokenizer is None:
        return _WORDS.findall(text)
    return [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
