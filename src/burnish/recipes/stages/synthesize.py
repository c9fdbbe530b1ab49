"""synthesize: questions and answers made of documents, to learn from and to be measured by."""

import os
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from burnish.recipes.plan.work import Work
from burnish.recipes.schema.stage import DocumentsReference, Metrics, ReferenceKind, StageConfig, StageContext
from burnish.recipes.schema.teachers import RecipeChatTeacher, RecipeModelTeacher, TeacherFilters
from burnish.synthesis import settings
from burnish.synthesis.restate import RESTATED_FILE

if TYPE_CHECKING:
    from burnish.corpus.documents import Document
    from burnish.corpus.folders import Skipped
    from burnish.synthesis.teachers import TextTeacher


class SynthesizeStage(settings.Settings, StageConfig):
    """Writes `train.jsonl`, which sft reads, and questions about held-out documents for evaluate.

    `questions.jsonl` has exact short answers, `choices.jsonl` the same as multiple choice.
    """

    type: Literal["synthesize"] = Field("synthesize", description="synthesize")
    documents: list[DocumentsReference] = Field(
        min_length=1, description="files, folders or patterns of documents, or `@documents` for those that are prepared"
    )
    teacher: Annotated[RecipeModelTeacher | RecipeChatTeacher, Field(discriminator="type")] | None = Field(
        None, description="a model that writes further rows; without one nothing is asked"
    )
    filters: TeacherFilters = Field(
        TeacherFilters.model_validate({}), description="what the teacher's rows have to pass"
    )
    text_key: str = Field("text", description="key of the text in rows of data files")

    produces: ClassVar[dict[ReferenceKind, str]] = {"file": "train.jsonl"}
    resumable: ClassVar[bool] = True

    def check(self, context: StageContext) -> None:
        self._teacher(context)

    def why_without(self, inner: str) -> str | None:
        if inner == RESTATED_FILE and not self.extract.restate:
            return "set extract: {restate: 3}"
        return None

    def work(self, context: StageContext) -> Work | None:
        return Work() if self.teacher is None else None

    def run(self, context: StageContext) -> Metrics:
        from burnish.corpus.folders import describe
        from burnish.synthesis.synthesize import synthesize

        skipped: list[Skipped] = []
        made = synthesize(
            self._documents(context, skipped),
            self._located(context),
            context,
            teacher=self._teacher(context),
            load_helped=partial(context.load, self.filters.helped_by) if self.filters.helped_by is not None else None,
        )
        if skipped:
            lines = describe(skipped).replace("\n", "\n      ")
            context.display.say(f"  {len(skipped):,} files and folders were not read:\n      {lines}")
        return made.record() | {"files_not_read": len(skipped)}

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {"rows": metrics["train"]["rows"]}

    def _located(self, context: StageContext) -> settings.Settings:
        """The settings with the path of the encoder."""
        if self.filters.encoder is None:
            return self
        encoder = str(context.path(self.filters.encoder))
        return self.model_copy(update={"filters": self.filters.model_copy(update={"encoder": encoder})})

    def _documents(self, context: StageContext, skipped: "list[Skipped]") -> "Iterator[Document]":
        from burnish.synthesis.documents import read

        yield from read(context.paths(self.documents), skipped, text_key=self.text_key)

    def _teacher(self, context: StageContext) -> "TextTeacher | None":
        if isinstance(self.teacher, RecipeModelTeacher):
            model = self.teacher.model
            return self.teacher.open(partial(context.load, model), context.input_keys[model])
        return self.teacher.open(context, os.environ) if self.teacher is not None else None
