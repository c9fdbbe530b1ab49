"""Judging an answer by its words: the same as expected, containing what is expected, matching an expression.

Notable choices:
- what is compared is the answer itself: thoughts are left out, and of `<answer>…</answer>`, or of other tags, the
  inside is taken;
- texts are compared in a common form, and what that evens out is set by keys, not by rules of a language;
- an expression is the recipe author's, the text that it runs over the model's: matching has a time limit, in which it
  is stopped, and what takes longer is wrong.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import regex

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.rewards.format import R1_TAGS, Tags
from burnish.rewards.judgement import Judgement, verdict
from burnish.rewards.votes import Election, elect_equal

MAX_PATTERN = 2_000
"""Characters of an expression: compiling takes time, too."""


@dataclass(frozen=True, kw_only=True)
class CommonForm:
    """What does not count when texts are compared.

    unicode: which of several ways a character is written in (NFKC: full-width letters, ligatures, accents apart).
    case; space: white space at the ends, and how much of it stands between words. punctuation: at the ends.
    """

    unicode: bool = True
    case: bool = True
    space: bool = True
    punctuation: bool = True

    def of(self, text: str) -> str:
        """The text with all of that evened out."""
        if self.unicode:
            text = unicodedata.normalize("NFKC", text)
        if self.case:
            text = text.casefold()
        if self.space:
            text = " ".join(text.split())
        return _stripped(text) if self.punctuation else text


def _stripped(text: str) -> str:
    """The text without punctuation, quotes and white space at its ends; itself where it has nothing else."""
    start, end = 0, len(text)
    while (
        start < end and _is_edge(text[start]) and not (text[start] in "-−–." and text[start + 1 : start + 2].isdigit())
    ):
        start += 1
    while end > start and _is_edge(text[end - 1]):
        end -= 1
    return text[start:end] or text


def _is_edge(character: str) -> bool:
    return character.isspace() or (unicodedata.category(character)[0] == "P" and character not in "%°")


def expected_texts(row: Mapping[str, Any], key: str) -> list[str]:
    """What a row expects: the text, number or list of them under `key`; without one, the row's own answer.

    Raises DataError where it has neither.
    """
    from burnish.datasets.formats import task_answer

    value = row.get(key)
    if value is None:
        value = task_answer(row)
    values = value if isinstance(value, list) else [value]
    texts = [str(one) for one in values if isinstance(one, str | int | float) and not isinstance(one, bool)]
    if not texts or len(texts) < len(values) or not all(text.strip() for text in texts):
        raise DataError(f"'{key}': got {value!r:.80}; expected a text, or a list of texts, that the answer is held to")
    return texts


@dataclass(frozen=True)
class ExactText:
    """An answer is right if it is the text of the row's `key`, or one of several."""

    key: str = "answer"
    form: CommonForm = CommonForm()
    tags: Tags = R1_TAGS

    def __call__(self, answers: Sequence[Answer], /) -> list[Judgement]:
        """Judge each answer."""
        return [self._verify(self.said(answer), answer.row) for answer in answers]

    def elect(self, answers: Sequence[Answer], /) -> Election:
        """The answer that most give."""
        return elect_equal([self.said(answer) or None for answer in answers])

    def said(self, answer: Answer) -> str:
        """The answer in the form that is compared."""
        return self.form.of(self.tags.final_answer(answer.text))

    def _verify(self, said: str, row: Mapping[str, Any]) -> Judgement:
        expected = expected_texts(row, self.key)
        if not said:
            return verdict(False, "no answer", "the completion says nothing")
        if said in map(self.form.of, expected):
            return verdict(True)
        return verdict(False, "other words", f"said {said[:80]!r}, expected {expected[0][:80]!r}")


@dataclass(frozen=True)
class ContainedText:
    """An answer is right if it contains the row's texts under `key`, all of them or any; the score is their share.

    words: whether they have to be there as whole words.
    """

    key: str = "answer"
    require_all: bool = True
    words: bool = True
    form: CommonForm = CommonForm()
    tags: Tags = R1_TAGS

    def __call__(self, answers: Sequence[Answer], /) -> list[Judgement]:
        """Judge each answer."""
        return [self._verify(answer) for answer in answers]

    def elect(self, answers: Sequence[Answer], /) -> Election:
        """The answer that most give, word for word."""
        return elect_equal([self.form.of(self.tags.final_answer(answer.text)) or None for answer in answers])

    def _verify(self, answer: Answer) -> Judgement:
        said = self.form.of(self.tags.final_answer(answer.text))
        expected = expected_texts(answer.row, self.key)
        missing = [text for text in expected if not self._has(said, self.form.of(text))]
        share = 1 - len(missing) / len(expected)
        if not missing or (not self.require_all and share > 0):
            return Judgement(share if self.require_all else 1.0, True, "correct")
        return Judgement(
            share if self.require_all else 0.0, False, "missing", f"does not say {', '.join(missing)[:200]}"
        )

    def _has(self, said: str, text: str) -> bool:
        start = said.find(text)
        while start >= 0:
            end = start + len(text)
            if not self.words or not (_joined(said, start, text[:1]) or _joined(said, end, text[-1:])):
                return True
            start = said.find(text, start + 1)
        return False


def _joined(said: str, place: int, inside: str) -> bool:
    """Whether a word goes on over a place; `inside` is the character of the found text beside it."""
    around = said[max(0, place - 1) : place + 1]
    return inside.isalnum() and len(around) == 2 and around.isalnum()


def compiled(pattern: str) -> "regex.Pattern[str]":
    """The expression. Raises DataError where it is none."""
    if len(pattern) > MAX_PATTERN:
        raise DataError(f"got an expression of {len(pattern):,} characters; expected at most {MAX_PATTERN:,}")
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        raise DataError(f"got {pattern[:80]!r}; not a regular expression: {error}") from error


@dataclass(frozen=True)
class MatchedText:
    """An answer is right if an expression is found in it; with `key`, if what it finds is what the row expects.

    What it finds is its first group, or the whole match where it has none; of several matches the last one counts.
    whole: the expression has to cover the answer from its beginning to its end.
    """

    pattern: str
    key: str | None = None
    whole: bool = False
    timeout_seconds: float = 1.0
    form: CommonForm = CommonForm()
    tags: Tags = R1_TAGS

    @cached_property
    def _compiled(self) -> "regex.Pattern[str]":
        return compiled(self.pattern)

    def __call__(self, answers: Sequence[Answer], /) -> list[Judgement]:
        """Judge each answer."""
        return [self._verify(answer) for answer in answers]

    def elect(self, answers: Sequence[Answer], /) -> Election:
        """The answer in which the same is found as in most."""
        return elect_equal([self._found(answer)[0] for answer in answers])

    def _verify(self, answer: Answer) -> Judgement:
        found, problem = self._found(answer)
        if found is None:
            return verdict(False, problem, f"{problem}: {self.pattern[:80]}")
        if self.key is None:
            return verdict(True)
        expected = expected_texts(answer.row, self.key)
        if found in map(self.form.of, expected):
            return verdict(True)
        return verdict(False, "other words", f"said {found[:80]!r}, expected {expected[0][:80]!r}")

    def _found(self, answer: Answer) -> tuple[str | None, str]:
        """What the expression finds, in the form that is compared; None and why, where it finds nothing."""
        text = self.tags.final_answer(answer.text)
        try:
            if self.whole:
                match = self._compiled.fullmatch(text.strip(), timeout=self.timeout_seconds)
            else:
                match = None
                for match in self._compiled.finditer(text, timeout=self.timeout_seconds):  # noqa: B007
                    pass
        except TimeoutError:
            return None, "too slow to match"
        if match is None:
            return None, "no match"
        return self.form.of(match[1] or "" if self._compiled.groups else match[0]), ""
