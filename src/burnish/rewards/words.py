"""How often an answer says certain words, such as those of reflection."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import regex

from burnish.generation.answer import Answer
from burnish.rewards.judgement import Judgement

REFLECTION = ("wait", "mistake", "however", "but", "retry", "error", "verify", "wrong", "evaluate", "check")
"""The words by which DeepSeek-AI followed the reflection of R1-Zero (Nature 645, 2025, supplement)."""


@dataclass(frozen=True)
class CountedWords:
    """The score of an answer is how often it says one of the words, as whole words, in any case.

    Where a script sets no spaces between words (Han, Kana, Thai), wherever they stand.
    """

    words: Sequence[str] = REFLECTION

    @cached_property
    def _pattern(self) -> "regex.Pattern[str]":
        return regex.compile("|".join(_whole(word) for word in sorted(self.words, key=len, reverse=True)), regex.I)

    def __call__(self, answers: Sequence[Answer], /) -> list[Judgement]:
        """Count in each answer."""
        return [Judgement(float(len(self._pattern.findall(answer.text)))) for answer in answers]


def _whole(word: str) -> str:
    if regex.search(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]", word):
        return regex.escape(word)
    return rf"(?<!\w){regex.escape(word)}(?!\w)"
