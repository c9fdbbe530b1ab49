"""Answers that are compared as texts, and those that choose among options."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from burnish.errors import DataError
from burnish.recipes.schema.judges.base import TaggedJudge, problem_of
from burnish.recipes.schema.stage import StageContext
from burnish.rewards.choice import MultipleChoice
from burnish.rewards.judgement import Judge
from burnish.rewards.texts import CommonForm, ContainedText, ExactText, MatchedText, compiled, expected_texts


class _TextJudge(TaggedJudge):
    """Keys of the judges that compare texts."""

    ignore_case: bool = Field(True, description="whether A is a")
    ignore_space: bool = Field(True, description="whether white space counts only as the gap between words")
    ignore_punctuation: bool = Field(True, description="whether punctuation at the ends of a text does not count")
    ignore_unicode_form: bool = Field(
        True, description="whether the ways of writing one character, such as full-width letters, are one (NFKC)"
    )

    tells_right: ClassVar[bool] = True
    elects: ClassVar[bool] = True

    @property
    def form(self) -> CommonForm:
        """What does not count."""
        return CommonForm(
            unicode=self.ignore_unicode_form,
            case=self.ignore_case,
            space=self.ignore_space,
            punctuation=self.ignore_punctuation,
        )


class ExactJudge(_TextJudge):
    """An answer is right if it is the expected text, or one of several."""

    type: Literal["exact"] = Field(description="kind of judge: exact")
    key: str = Field("answer", description="key of the row with the text, or a list of texts; else the row's answer")

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        return problem_of(expected_texts, row, self.key)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        return nullcontext(ExactText(self.key, self.form, self.tags))


class ContainsJudge(_TextJudge):
    """An answer is right if it contains the expected texts; the score is the share of them that it contains."""

    type: Literal["contains"] = Field(description="kind of judge: contains")
    key: str = Field("answer", description="key of the row with the text, or a list of texts; else the row's answer")
    require: Literal["all", "any"] = Field("all", description="whether all of several texts have to be there, or one")
    words: bool = Field(True, description="whether a text has to be there as whole words")

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        return problem_of(expected_texts, row, self.key)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        return nullcontext(ContainedText(self.key, self.require == "all", self.words, self.form, self.tags))


class RegexJudge(_TextJudge):
    """An answer is right if an expression is found in it; with `key`, if the last that it finds is what is expected."""

    type: Literal["regex"] = Field(description="kind of judge: regex")
    pattern: str = Field(
        min_length=1, description="regular expression; what it finds is its first group, or all if it has none"
    )
    key: str | None = Field(None, description="key of the row with what should be found; a match is enough if left out")
    whole: bool = Field(False, description="whether the expression has to cover the whole answer")
    timeout_seconds: float = Field(1.0, gt=0, description="time for one answer; what takes longer is wrong")

    @field_validator("pattern")
    @classmethod
    def _is_expression(cls, pattern: str) -> str:
        try:
            compiled(pattern)
        except DataError as error:
            raise ValueError(str(error).partition("; ")[2]) from error  # what was got is said before
        return pattern

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        return None if self.key is None else problem_of(expected_texts, row, self.key)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        return nullcontext(MatchedText(self.pattern, self.key, self.whole, self.timeout_seconds, self.form, self.tags))


class ChoiceJudge(TaggedJudge):
    """An answer is right if it takes the right one of the row's options, by its label or its words.

    `evaluate` does not let the model write: the answer is the option that the model finds the most probable.
    """

    type: Literal["choice"] = Field(description="kind of judge: choice")
    choices: str | Annotated[list[str], Field(min_length=2)] = Field(
        "choices",
        description="key of the options: a list of texts, or an object of texts by label; or their keys: [A, B, C, D]",
    )
    key: str = Field("answer", description="key of the right one: its label (A, B, …), its place from 0, or its text")
    likelihood: Literal["text", "label"] | None = Field(
        "text",
        description="in `evaluate`, what of an option has to be probable; label needs prompts that show the options; "
        "null: the model writes, and what it writes is read",
    )
    length_normalized: bool = Field(
        True, description="compare log-probabilities a token, so that long options are not at a loss"
    )

    tells_right: ClassVar[bool] = True
    elects: ClassVar[bool] = True
    elects_by_row: ClassVar[bool] = True

    @property
    def judge(self) -> MultipleChoice:
        """What reads the options of rows."""
        choices = self.choices if isinstance(self.choices, str) else tuple(self.choices)
        return MultipleChoice(choices, self.key, self.tags)

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        return problem_of(self.judge.options, row)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        return nullcontext(self.judge)
