"""corpus: documents to clean, deduplicated token windows, apart for training and held out."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from burnish.recipes.stage import (
    BASE_MODEL,
    DocumentsReference,
    Metrics,
    ModelReference,
    ReferenceKind,
    StageConfig,
    StageContext,
)

if TYPE_CHECKING:
    from burnish.corpus.documents import Document


class CorpusStage(StageConfig):
    """Reads documents of the domain, and general text to replay against forgetting."""

    type: Literal["corpus"] = Field("corpus", description="corpus")
    documents: list[DocumentsReference] = Field(
        min_length=1, description="domain documents: files, folders or patterns of .txt, .md, .jsonl, .parquet"
    )
    general: list[DocumentsReference] = Field([], description="general text, replayed while training on the domain")
    text_key: str = Field("text", description="key of the text in JSONL and Parquet rows")
    id_key: str = Field("id", description="key of the document's name in JSONL and Parquet rows")
    window: int = Field(1024, ge=2, description="longest sequence, in tokens; longer documents are cut into pieces")
    heldout: float = Field(0.05, ge=0, lt=1, description="share of the documents kept for measuring perplexity")
    tokenizer: ModelReference = Field(BASE_MODEL, description="model whose tokenizer is used")

    produces: ClassVar[dict[ReferenceKind, str]] = {"corpus": "corpus"}

    def check(self, context: StageContext) -> None:
        self._groups(context)

    def run(self, context: StageContext) -> Metrics:
        from burnish.corpus.token_corpus import build_corpus

        groups = self._groups(context)
        context.display.say(
            "  " + ", ".join(f"{len(documents):,} documents ({group})" for group, documents in groups.items())
        )
        corpus, report = build_corpus(
            groups, context.load_tokenizer(self.tokenizer), window=self.window, heldout_fraction=self.heldout
        )
        corpus.save(context.folder / self.produces["corpus"], report)
        removed = {group: len(documents) for group, documents in report.removed.items()}
        return {"counts": corpus.counts(), "removed": removed}

    def _groups(self, context: StageContext) -> "dict[str, list[Document]]":
        from burnish.corpus.documents import read_documents

        named = {"domain": self.documents, "general": self.general}
        return {
            group: read_documents(context.paths(references), text_key=self.text_key, id_key=self.id_key)
            for group, references in named.items()
            if references
        }
