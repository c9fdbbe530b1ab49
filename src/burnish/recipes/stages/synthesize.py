"""synthesize: questions and answers made of documents, to learn from and to be measured by."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.recipes.plan.work import Work
from burnish.recipes.schema.stage import DocumentsReference, Metrics, ReferenceKind, StageConfig, StageContext
from burnish.synthesis import settings

if TYPE_CHECKING:
    from burnish.corpus.documents import Document
    from burnish.corpus.folders import Skipped


class SynthesizeStage(settings.Settings, StageConfig):
    """Writes `train.jsonl`, which sft reads, and questions about held-out documents for evaluate.

    `questions.jsonl` has exact short answers, `choices.jsonl` the same as multiple choice.
    """

    type: Literal["synthesize"] = Field("synthesize", description="synthesize")
    documents: list[DocumentsReference] = Field(
        min_length=1, description="files, folders or patterns of documents, or `@documents` for those that are prepared"
    )
    text_key: str = Field("text", description="key of the text in rows of data files")

    produces: ClassVar[dict[ReferenceKind, str]] = {"file": "train.jsonl"}
    resumable: ClassVar[bool] = True

    def work(self, context: StageContext) -> Work:
        return Work()

    def run(self, context: StageContext) -> Metrics:
        from burnish.corpus.folders import describe
        from burnish.synthesis.synthesize import synthesize

        skipped: list[Skipped] = []
        made = synthesize(self._documents(context, skipped), self, context)
        if skipped:
            lines = describe(skipped).replace("\n", "\n      ")
            context.display.say(f"  {len(skipped):,} files and folders were not read:\n      {lines}")
        return made.record() | {"files_not_read": len(skipped)}

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {"rows": metrics["train"]["rows"]}

    def _documents(self, context: StageContext, skipped: "list[Skipped]") -> "Iterator[Document]":
        from burnish.synthesis.documents import read

        yield from read(context.paths(self.documents), skipped, text_key=self.text_key)
