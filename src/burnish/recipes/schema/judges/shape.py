"""The shape of an answer, right or wrong: its format, its length, what it repeats, how often it says some words."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from pydantic import Field, field_validator

from burnish.recipes.schema.judges.base import JudgeBase, TaggedJudge
from burnish.recipes.schema.stage import StageContext
from burnish.rewards.judgement import Judge, Judgement, each
from burnish.rewards.words import REFLECTION


class FormatJudge(TaggedJudge):
    """How well a completion keeps to `<think>…</think><answer>…</answer>` (DeepSeek-R1, section 2.2.2).

    Nothing is earned without the basic check: both blocks are there, closed, and none begins inside of another.
    """

    type: Literal["format"] = Field(description="kind of judge: format")
    full: float = Field(1.0, description="where thought and answer are there, in this order, and nothing else is")
    partial: float = Field(0.5, description="where the basic check holds, and there is more, or an empty block")
    none: float = Field(0.0, description="where the basic check fails")
    think_opened: bool = Field(False, description="whether the chat template writes the first <think> itself")

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.format import grade_format

        worth = {"full": self.full, "partial": self.partial, "none": self.none}

        def grade(_prompt: Any, text: str, _row: Any) -> Judgement:
            found = grade_format(text, tags=self.tags, think_opened=self.think_opened)
            return Judgement(worth[found], reason=found)

        return nullcontext(each(grade))


class LengthJudge(JudgeBase):
    """0 for completions of up to `max_length - cache` tokens, falling to -1 at `max_length` (DAPO, equation 13)."""

    type: Literal["length"] = Field(description="kind of judge: length")
    max_length: int = Field(ge=2, description="tokens from which on a completion earns -1")
    cache: int = Field(ge=1, description="tokens before that over which the reward falls")

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.length import by_length

        return nullcontext(by_length(max_length=self.max_length, cache=self.cache))


class RepetitionJudge(JudgeBase):
    """A penalty for n-grams of tokens that have been said before (Yeo 2025, arXiv:2502.03373, algorithm 1)."""

    type: Literal["repetition"] = Field(description="kind of judge: repetition")
    n: int = Field(40, ge=1, description="tokens of an n-gram")
    penalty: float = Field(-0.05, le=0, description="what each token of a repeated n-gram earns")
    by_token: bool = Field(
        True,
        description="whether the tokens are punished one by one; else the answer as a whole earns the penalty times "
        "the share of its n-grams that are repeated",
    )

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.repetition import by_repetition

        return nullcontext(by_repetition(n=self.n, penalty=self.penalty, by_token=self.by_token))


class WordsJudge(JudgeBase):
    """How often a completion says one of some words; with `weight: 0` it is only logged."""

    type: Literal["words"] = Field(description="kind of judge: words")
    words: list[str] = Field(
        list(REFLECTION), min_length=1, description="words that are counted; those of reflection if left out"
    )

    @field_validator("words")
    @classmethod
    def _are_words(cls, words: list[str]) -> list[str]:
        if any(not word.strip() for word in words):
            raise ValueError("expected words, and one of them is empty")
        return words

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.words import CountedWords

        return nullcontext(CountedWords(self.words))
