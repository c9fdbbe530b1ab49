"""The language of the reasoning."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from burnish.corpus.records import shown
from burnish.recipes.schema.judges.base import TaggedJudge
from burnish.recipes.schema.stage import StageContext
from burnish.rewards.judgement import Judge

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.rewards.language import LanguageConsistency


class LanguageJudge(TaggedJudge):
    """The share of the reasoning's words that are in the wanted language, 0 to 1 (DeepSeek-R1, section 2.3.2)."""

    type: Literal["language"] = Field(description="kind of judge: language")
    language: str | None = Field(
        None, description="the wanted language by its ISO 639 code, such as en; the row's, under `key`, if left out"
    )
    key: str = Field("language", description="key of the row with the wanted language, where `language` is left out")
    among: list[str] = Field(
        [],
        description="languages that it may be confused with, such as [en, zh]: only these are told apart, which is "
        "surer for short sentences; all 100 or so if left out",
    )
    part: Literal["thoughts", "all"] = Field("thoughts", description="what is read; all of an answer without thoughts")

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        if self.language is not None or isinstance(row.get(self.key), str):
            return None
        return f"'{self.key}': got {shown(row.get(self.key))}; expected the code of a language, such as en"

    def check(self, context: StageContext, tasks: "Sequence[Task]") -> None:
        from burnish.text.languages import identifier

        wanted = {self.judge.wanted(task.row) for task in tasks} if self.language is None else {self.language}
        identifier(tuple(sorted({*wanted, *self.among})))  # says which of them it does not know

    @property
    def judge(self) -> "LanguageConsistency":
        """What judges."""
        from burnish.rewards.language import LanguageConsistency

        return LanguageConsistency(self.language, self.key, tuple(self.among), self.part == "thoughts", self.tags)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        return nullcontext(self.judge)
