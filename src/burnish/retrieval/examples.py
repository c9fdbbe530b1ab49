"""Solved examples like a question, for a model to see before it (Liu 2021, arXiv:2101.06804; Brown 2020, section 2)."""

from collections.abc import Sequence

from burnish.retrieval.fusion import best
from burnish.retrieval.lexical import Lexicon, Words


class Examples:
    """Questions with their answers, of which those most like another question are found by BM25."""

    def __init__(self, pairs: Sequence[tuple[str, str]], *, language: str = "english") -> None:
        self._pairs = list(pairs)
        # Questions are alike in what they ask too: how, when, how many.
        self._words = Words(language, stop_words=False)
        self._lexicon = Lexicon.build(self._words.terms(question) for question, _ in self._pairs)

    def like(self, question: str, n: int) -> list[tuple[str, str]]:
        """At most `n` examples, the most similar last, beside the question that they help with.

        The question itself is never one of them: its answer would be given away.
        """
        scores = self._lexicon.scores(self._words.terms(question))
        asked = question.strip()
        found = (self._pairs[place] for place in best(scores, len(self._pairs), above=0.0))
        others = (pair for pair in found if pair[0].strip() != asked)
        return [pair for _, pair in zip(range(n), others, strict=False)][::-1]
