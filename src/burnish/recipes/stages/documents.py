"""documents: files of many kinds through steps of cleaning and deduplication, for a corpus to be made of."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, JsonValue, ValidationError

from burnish.corpus.site import Site
from burnish.files import sha256
from burnish.recipes.language.places import KeyPath, did_you_mean
from burnish.recipes.plan.work import Work
from burnish.recipes.schema.stage import (
    Action,
    DocumentsReference,
    Metrics,
    Name,
    ReferenceKind,
    StageConfig,
    StageContext,
    StrictModel,
)

if TYPE_CHECKING:
    from pathlib import Path

    from burnish.corpus.preparation.settings import Preparation
    from burnish.corpus.preparation.statistics import TokenCounter


class RecipeSource(StrictModel):
    """A group of documents."""

    name: Name = Field("documents", description="name of the group, in statistics and in every document")
    paths: list[DocumentsReference] = Field(
        [], description="files, folders or patterns of text, pages, PDF, office and data files"
    )
    site: Site | None = Field(None, description="a site whose pages are read, instead of paths: {start: https://...}")
    licence: str | None = Field(None, description="licence of the documents, where they do not say themselves")
    text_key: str = Field("text", description="key of the text in rows of data files")
    id_key: str = Field("id", description="key of the document's name in rows of data files")

    def actions(self, folder: "Path") -> Iterator[Action]:
        if self.site is not None:
            yield Action("sends", f"requests for pages to {self.site.host}", self.site.start)


class DocumentsStage(StageConfig):
    """Takes documents through steps, as `burnish data prepare` does; `corpus` then reads `documents: ["@documents"]`.

    What each step did and removed is kept in the stage's folder. A second run redoes only what has changed.
    """

    type: Literal["documents"] = Field("documents", description="documents")
    sources: list[RecipeSource] = Field(
        min_length=1, description="groups of documents; of two equal ones that of the earlier source stays"
    )
    steps: list[dict[str, JsonValue]] | None = Field(
        None,
        description="steps in their order, see the page on preparing documents, for example "
        "{type: min_characters, characters: 100}; normalize, exact_duplicates and min_characters if left out",
    )
    processes: int = Field(1, ge=1, description="how many processes share the work")
    engine: Literal["processes", "ray"] = Field(
        "processes",
        description="who runs them: processes of this machine, or of the Ray cluster at RAY_ADDRESS",
    )

    produces: ClassVar[dict[ReferenceKind, str]] = {"documents": "documents"}
    seeded: ClassVar[bool] = False
    resumable: ClassVar[bool] = True

    def preparation(self) -> "Preparation":
        """The settings as `burnish data prepare` has them; ValidationError where a step has a wrong key or value."""
        from burnish.corpus.preparation.settings import Preparation

        sources = [source.model_dump() for source in self.sources]
        written = {"sources": sources, **({} if self.steps is None else {"steps": self.steps})}
        return Preparation.model_validate(written, strict=False)

    def fingerprints(self, folder: "Path") -> dict[str, str]:
        steps = [step.located(folder) for step in self.preparation().steps]
        files = {str(file): step.path(file) for step in steps for file in step.inputs()}
        return {name: sha256(path) for name, path in files.items() if path.is_file()}

    def problems(self, folder: "Path") -> Iterator[tuple[KeyPath, str]]:
        try:
            self.preparation()
        except ValidationError as error:
            for details in error.errors(include_url=False):
                # Pydantic's location has the step's type behind its number.
                path = tuple(part for place, part in enumerate(details["loc"]) if place != 2)
                yield path, _worded(details["type"], details.get("ctx", {}), details["msg"], details["input"])

    def work(self, context: StageContext) -> Work:
        return Work()

    def run(self, context: StageContext) -> Metrics:
        from burnish.corpus.preparation.engines import InProcess, OnRay, Processes, TaskRunner
        from burnish.corpus.preparation.pipeline import prepare
        from burnish.report.data_page import write_data_page

        settings = self.preparation()
        # Absolute: relative ones are taken from the recipe's folder, and these are from where the command was called.
        paths = [[str(path.absolute()) for path in context.paths(source.paths)] for source in self.sources]
        sources = [
            source.model_copy(update={"paths": found}) for source, found in zip(settings.sources, paths, strict=True)
        ]
        engine: TaskRunner = InProcess() if self.processes == 1 else Processes(self.processes)
        if self.engine == "ray":
            engine = OnRay()

        def say(title: str, done: int, total: int) -> None:
            context.display.say(f"  {title}: {done:,} of {total:,} shards", style="dim")

        work = context.cache / f"preparation-{self.name or self.type_name()}"
        record = prepare(
            sources,
            settings.steps,
            context.folder,
            folder=context.recipe_folder,
            work=work,
            engine=engine,
            tokens=self._tokens(context),
            on_progress=say,
        )
        write_data_page(context.folder, f"{context.recipe.get('name', '')} {self.name or self.type_name()}".strip())
        for step in record.steps:
            removed = ", ".join(f"{count:,} {reason}" for reason, count in step.reasons.items())
            changed = f", {step.n_changed:,} changed" if step.n_changed else ""
            context.display.say(
                f"  {step.step}: {step.documents_in:,} -> {step.documents_out:,} documents{changed}"
                + (f"; removed: {removed}" if removed else "")
            )
        if record.skipped:
            context.display.say(f"  {len(record.skipped):,} files were not read, all named in preparation.json")
        return {
            "documents": record.documents,
            "steps": [
                {
                    "step": step.step,
                    "documents": [step.documents_in, step.documents_out],
                    "characters": [step.characters_in, step.characters_out],
                    "changed": step.n_changed,
                    "removed": step.reasons,
                }
                for step in record.steps
            ],
            "files_not_read": len(record.skipped),
        }

    def _tokens(self, context: StageContext) -> "TokenCounter | None":
        """Counts tokens of the recipe's model, for the data report."""
        if context.base is None:
            return None
        from burnish.corpus.preparation.statistics import TokenCounter

        return TokenCounter.of(context.base)


def _worded(kind: str, context: Mapping[str, Any], message: str, value: Any) -> str:
    if kind == "union_tag_invalid":
        known = [name.strip("' ") for name in context["expected_tags"].split(",")]
        hint = did_you_mean(str(context["tag"]), known) or "."
        return f"got '{context['tag']}'{hint} Expected one of: {', '.join(known)}"
    if kind == "union_tag_not_found":
        return "missing key 'type'"
    if kind == "extra_forbidden":
        return "unknown key"
    return f"got {value!r}; {message}"
