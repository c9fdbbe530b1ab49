"""extend_tokenizer: a model with tokens for a domain's words; see `burnish.methods.extend_tokenizer`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.methods import extend_tokenizer
from burnish.recipes.plan.work import Work
from burnish.recipes.schema.stage import (
    DocumentsReference,
    LatestModel,
    Metrics,
    ReferenceKind,
    StageConfig,
    StageContext,
)
from burnish.runs.names import MODEL_FOLDER

if TYPE_CHECKING:
    from burnish.text.tokenizer import Tokenizer


class ExtendTokenizerStage(extend_tokenizer.Settings, StageConfig):
    """Gives a model tokens for the words of documents: fewer tokens to read, write and train on.

    The product is `model/`. The `corpus` stage behind it needs `tokenizer: "@extend_tokenizer"`, and a `cpt` stage of
    all weights has to teach the model what the new tokens are.
    """

    type: Literal["extend_tokenizer"] = Field("extend_tokenizer", description="extend_tokenizer")
    model: LatestModel = Field(
        None, description="model to extend: base, @STAGE or a path; the latest trained one if left out"
    )
    documents: list[DocumentsReference] = Field(min_length=1, description="documents of the domain, as for `corpus`")
    text_key: str = Field("text", description="key of the text in JSONL and Parquet rows")

    produces: ClassVar[dict[ReferenceKind, str]] = {"model": MODEL_FOLDER}
    retokenizes: ClassVar[bool] = True

    @property
    def new_tokens(self) -> int:
        return self.n_tokens

    def tokenizer_made(
        self, tokenizer: "Tokenizer", inputs: Mapping[str, tuple[Path, ...]], *, about: bool = False
    ) -> "Tokenizer | None":
        return tokenizer if about else None

    def check(self, context: StageContext) -> None:
        self._texts(context)

    def work(self, context: StageContext) -> Work:
        return Work()

    def disk_bytes(self, n_parameters: int, steps: int = 0) -> int:
        return 4 * n_parameters

    def run(self, context: StageContext) -> Metrics:
        model, tokenizer = context.load(self.model)
        _, _, metrics = extend_tokenizer.extend(model, tokenizer, self._texts(context), self, context)
        return metrics

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {"tokens_of_documents": metrics["tokens"], "new_tokens": metrics["new_tokens"]}

    def _texts(self, context: StageContext) -> list[str]:
        from burnish.corpus.documents import read_documents

        return [one.text for one in read_documents(context.paths(self.documents), text_key=self.text_key, skipped=[])]
