"""What a recipe has become before it runs: its stages, what each reads, and the key of each.

A stage's key is a hash of its configuration, of the content of the files it reads, of the keys of the stages it reads
from, of the seed, and of Burnish's version.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.recipe import Recipe
from burnish.recipes.schema.stage import ReferenceKind, StageConfig
from burnish.runs.hashes import digest

if TYPE_CHECKING:
    from burnish.text.tokenizer import Tokenizer

Retokenize = Callable[["Tokenizer"], "Tokenizer | None"]
"""Makes another tokenizer of one; None where it is not known yet."""
ADAPTER_FILE = "adapter_config.json"
"""What tells a PEFT adapter, which has no tokenizer of its own."""


@dataclass(frozen=True)
class Input:
    """One thing that a stage reads.

    field: dotted key inside the stage. kind: what it is. written: as the recipe says it.
    paths: where it is, or will be. producer: name of the earlier stage that makes it, or None for what exists already.
    key: content hash, or the producer's key.
    """

    field: str
    kind: ReferenceKind
    written: str
    paths: tuple[Path, ...]
    producer: str | None
    key: str


@dataclass(frozen=True)
class PlannedStage:
    """A stage with everything known about it before it runs.

    references: where the configuration names something to read, as paths of keys.
    """

    name: str
    config: StageConfig
    folder: Path
    inputs: tuple[Input, ...]
    identity: Mapping[str, Any]
    seed: int
    references: tuple[KeyPath, ...] = ()

    @property
    def key(self) -> str:
        """Hash of all that the result depends on: of a reference what it leads to, not how it is written."""
        return digest({**self.identity, "configuration": self.without_references(self.identity["configuration"])})

    def without_references(self, configuration: Any) -> Any:
        """A configuration as JSON values, with null where it names something to read."""

        def copied(value: Any, path: KeyPath) -> Any:
            if path in self.references:
                return None
            if isinstance(value, dict):
                return {key: copied(item, (*path, key)) for key, item in value.items()}
            if isinstance(value, list):
                return [copied(item, (*path, index)) for index, item in enumerate(value)]
            return value

        return copied(configuration, ())

    @property
    def type(self) -> str:
        return self.config.type_name()

    @property
    def model(self) -> Path | None:
        """Where the model is, or will be, that the stage makes; None for a stage that makes none."""
        inner = self.config.makes.get("model")
        return None if inner is None else self.folder / inner


@dataclass(frozen=True)
class Plan:
    """A validated recipe, ready to run."""

    file: Path
    recipe: Recipe
    folder: Path
    stages: tuple[PlannedStage, ...]
    model: Path | None
    chat_inputs: tuple[Input, ...]
    today: date

    @property
    def recipe_folder(self) -> Path:
        return self.file.parent

    @property
    def configs(self) -> dict[str, StageConfig]:
        """The stages' configurations by name."""
        return {stage.name: stage.config for stage in self.stages}

    @property
    def notes(self) -> list[str]:
        """What to know before it runs, one line each: the stage and what it will do otherwise than one may expect."""
        configs = self.configs
        return [f"{stage.name}: {note}" for stage in self.stages for note in stage.config.notes(configs)]

    def stage(self, name: str) -> PlannedStage:
        """The stage of this name."""
        return next(stage for stage in self.stages if stage.name == name)

    def origins(self, stage: PlannedStage) -> dict[str, Path]:
        """For each model that the stage reads, the one outside of the run that it goes back to, where there is one.

        Its tokenizer is the same but for `retokenized`; that of a model made from nothing is its corpus's.
        """
        found: dict[str, Path] = {}
        for item, source, _ in self._models(stage):
            if source is not None and source.kind == "corpus":
                from burnish.corpus.token_corpus import TOKENIZER_FOLDER

                found[item.written] = source.paths[0] / TOKENIZER_FOLDER
            elif source is not None and not (source.paths[0] / ADAPTER_FILE).exists():
                found[item.written] = source.paths[0]
        return found

    def retokenized(self, stage: PlannedStage, *, about: bool = False) -> dict[str, list[Retokenize]]:
        """For each model that the stage reads, what the stages between make of its origin's tokenizer, in order.

        about: as for `StageConfig.tokenizer_made`.
        """

        def change(maker: PlannedStage) -> Retokenize:
            inputs = {read.written: read.paths for read in maker.inputs}
            return partial(maker.config.tokenizer_made, inputs=inputs, about=about)

        return {
            item.written: [change(maker) for maker in makers if maker.config.retokenizes]
            for item, _, makers in self._models(stage)
        }

    def _models(self, stage: PlannedStage) -> Iterator[tuple[Input, Input | None, list[PlannedStage]]]:
        """Each model that the stage reads, what it goes back to outside of the run, and the stages between."""
        for item in stage.inputs:
            if item.kind not in ("model", "reward_model", "process_reward_model") or not item.paths:
                continue
            source: Input | None = item
            makers: list[PlannedStage] = []
            while source is not None and source.producer is not None:
                makers.insert(0, self.stage(source.producer))
                inputs = {read.field: read for read in makers[0].inputs}
                source = next((inputs[field] for field in ("model", "corpus", "tokenizer") if field in inputs), None)
            yield item, source, makers

    def ancestors(self, stage: PlannedStage) -> list[PlannedStage]:
        """The stages that `stage` builds on, directly or not, in order."""
        wanted = {item.producer for item in stage.inputs}
        found = []
        for earlier in reversed(self.stages[: self.stages.index(stage)]):
            if earlier.name in wanted:
                found.append(earlier)
                wanted |= {item.producer for item in earlier.inputs}
        return found[::-1]
