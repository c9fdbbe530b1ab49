"""From a recipe to what will be done: references resolved, inputs hashed, a cache key for every stage.

A stage's key is a hash of its configuration, of the content of the files it reads, of the keys of the stages it reads
from, of the seed, and of Burnish's version. Keys are known before anything runs, so a change in one stage shows at
once in all that depend on it, and in no other.
"""

import glob
import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from burnish import __version__
from burnish.errors import BurnishError, DataError
from burnish.files import open_regular
from burnish.recipes.language.overrides import apply_override
from burnish.recipes.language.places import KeyPath, Problem, Source, did_you_mean, raise_problems
from burnish.recipes.language.validation import validate
from burnish.recipes.language.yaml_source import PYTHON_RECIPE, from_values, read_recipe
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.recipe import Recipe
from burnish.recipes.schema.stage import (
    BASE_MODEL,
    FoundReference,
    Reference,
    ReferenceKind,
    StageConfig,
    exists,
    references,
)
from burnish.runs.hashes import FileHashes, digest
from burnish.runs.names import RUN_FILE, STAGE_FILE
from burnish.runs.record import require_object

PACKAGE = "package:"
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
        inner = self.config.produces.get("model")
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

        Its tokenizer is the same: that of a model made from nothing is its corpus's.
        """
        found: dict[str, Path] = {}
        for item in stage.inputs:
            if item.kind not in ("model", "reward_model") or not item.paths:
                continue
            source: Input | None = item
            while source is not None and source.producer is not None:
                inputs = {read.field: read for read in self.stage(source.producer).inputs}
                source = next((inputs[field] for field in ("model", "corpus", "tokenizer") if field in inputs), None)
            if source is not None and source.kind == "corpus":
                from burnish.corpus.token_corpus import TOKENIZER_FOLDER

                found[item.written] = source.paths[0] / TOKENIZER_FOLDER
            elif source is not None and not (source.paths[0] / ADAPTER_FILE).exists():
                found[item.written] = source.paths[0]
        return found

    def ancestors(self, stage: PlannedStage) -> list[PlannedStage]:
        """The stages that `stage` builds on, directly or not, in order."""
        wanted = {item.producer for item in stage.inputs}
        found = []
        for earlier in reversed(self.stages[: self.stages.index(stage)]):
            if earlier.name in wanted:
                found.append(earlier)
                wanted |= {item.producer for item in earlier.inputs}
        return found[::-1]


def make_plan(written: Path | Mapping[str, Any], *, overrides: Iterable[str] = (), runs: Path = Path("runs")) -> Plan:
    """Read, validate and resolve a recipe, a file or the same values in Python; nothing is written.

    What values name is looked for from the current folder, what a file names from the file's.

    Raises:
        RecipeError: listing all problems found in the file, then all found in its references and inputs.
    """
    file = Path(PYTHON_RECIPE) if isinstance(written, Mapping) else written
    source = from_values(written) if isinstance(written, Mapping) else read_recipe(file)
    for override in overrides:
        apply_override(source, override)
    raise_problems(source.problems, source.file)
    recipe = validate(Recipe, source)
    today = recipe.date or _first_day(runs / recipe.name) or date.today()
    planner = _Planner(source, recipe, file.parent, runs / recipe.name, today)
    stages = planner.plan()
    chat_inputs = planner.chat_inputs()
    raise_problems(planner.problems, source.file)
    planner.hashes.save()
    return Plan(
        file,
        recipe,
        runs / recipe.name,
        tuple(stages),
        next(iter(planner.model_paths), None),
        tuple(chat_inputs),
        today,
    )


def _first_day(folder: Path) -> date | None:
    """The day that a run's chat templates print since it was started; None for a run that was not."""
    try:
        with open_regular(folder / RUN_FILE) as file:
            return date.fromisoformat(json.loads(file.read())["today"])
    except (BurnishError, OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


class _Planner:
    """Walks the stages in order; whatever is wrong is collected in `problems`."""

    def __init__(self, source: Source, recipe: Recipe, recipe_folder: Path, run_folder: Path, today: date) -> None:
        self.today = today
        self.source, self.recipe, self.recipe_folder, self.run_folder = source, recipe, recipe_folder, run_folder
        self.hashes = FileHashes(run_folder / ".hashes.json")
        self.problems: list[Problem] = []
        self.names = [stage.name or stage.type_name() for stage in recipe.stages]
        self.planned: list[PlannedStage] = []
        self.dated = False
        """Whether the keys of stages whose chat templates print the date hold it already."""
        self.model_paths, self.model_key = (
            self._outside(recipe.model, "model", ("model",)) if recipe.model is not None else ((), "")
        )
        self.begins = any(stage.begins for stage in recipe.stages)

    def plan(self) -> list[PlannedStage]:
        if self.recipe.model is None and not self.begins:
            text = f"missing key 'model' ({Recipe.model_fields['model'].description})"
            self.problems.append(Problem(self.source.key_place(()), (), text))
        self._check_names()
        self._plan_stages()
        if not self.problems:
            # Only now are the models looked into, which needs PyTorch: what is wrong in the recipe is said before that.
            self.dated, self.planned = True, []
            self._plan_stages()
        return self.planned

    def _plan_stages(self) -> None:
        for index, config in enumerate(self.recipe.stages):
            self.planned.append(self._plan_stage(index, config))

    def chat_inputs(self) -> list[Input]:
        """The files that `chat` needs; a system prompt is one where it starts with @."""
        chat, last = self.recipe.chat, len(self.names)
        found = list(references(chat)) if chat is not None else []
        items = [item for reference in found for item in self._resolve(reference, ("chat",), last)]
        if self.recipe.system is not None and self.recipe.system.startswith("@"):
            items += self._resolve(FoundReference(("system",), self.recipe.system, Reference("file")), (), last)
        return items

    def _problem(self, path: KeyPath, text: str) -> None:
        self.problems.append(Problem(self.source.value_place(path), path, text))

    def _check_names(self) -> None:
        reserved = {BASE_MODEL, *Recipe.model_fields}
        for index, name in enumerate(self.names):
            key = "name" if self.recipe.stages[index].name else "type"
            if name in reserved:
                self._problem(("stages", index, key), f"got '{name}', a word with a meaning of its own; choose another")
            if name in self.names[:index]:
                first = self.names.index(name)
                hint = "give one of them another `name`"
                self._problem(
                    ("stages", index, key), f"a stage named '{name}' is there already (stages[{first}]); {hint}"
                )

    def _plan_stage(self, index: int, config: StageConfig) -> PlannedStage:
        root: KeyPath = ("stages", index)
        config = self._fill_system(self._fill_latest(config, index))
        for path, text in config.problems(self.recipe_folder):
            self._problem((*root, *path), text)
        for path, text in config.problems_among({stage.name: stage.config for stage in self.planned}):
            self._problem((*root, *path), text)
        named = list(references(config))
        inputs = [item for found in named for item in self._resolve(found, root, index)]
        name = self.names[index]
        identity: dict[str, Any] = {
            "burnish": __version__,
            "configuration": config.model_dump(mode="json"),
            "inputs": [[item.field, item.key] for item in inputs],
            "fingerprints": {} if self.problems else config.fingerprints(self.recipe_folder),
        }
        header = self.recipe.header()
        identity |= {key: header[key] for key in config.shows if header[key] is not None}
        if config.seeded:
            recipe = self.recipe
            identity |= {
                "seed": recipe.seed,
                "device": recipe.device,
                "compute_dtype": recipe.compute_dtype,
                "name": name,
            }
        if self.dated and any(self._prints_date(item) for item in inputs):
            identity["today"] = self.today.isoformat()
        return PlannedStage(
            name=name,
            config=config,
            folder=self.run_folder / f"{index + 1:02}-{name}",
            inputs=tuple(inputs),
            identity=identity,
            seed=int.from_bytes(hashlib.sha256(f"{self.recipe.seed}/{name}".encode()).digest()[:4], "big"),
            references=tuple(found.path for found in named if found.written is not None),
        )

    def _prints_date(self, item: Input) -> bool:
        """Whether a stage that reads `item` may render a chat template with the date in it."""
        from burnish.checkpoints.facts import prints_date

        if item.producer is not None:  # a model that was made here has the chat template of its base
            return "today" in self.planned[self.names.index(item.producer)].identity
        templates = item.kind in ("model", "reward_model") or any(path.suffix == ".jinja" for path in item.paths)
        return templates and any(map(prints_date, item.paths))

    def _fill_latest(self, config: StageConfig, index: int) -> StageConfig:
        """Replace left out `latest` references by what they stand for."""
        filled = {}
        for found in references(config):
            if found.written is None and len(found.path) == 1:
                kind = found.marker.kind
                makers = [
                    stage.name for stage in self.planned if kind in stage.config.produces and not stage.config.copies
                ]
                filled[str(found.path[0])] = f"@{makers[-1]}" if makers else BASE_MODEL if kind == "model" else None
        return config.model_copy(update=filled)

    def _fill_system(self, config: StageConfig) -> StageConfig:
        """Give a stage without a system prompt of its own the recipe's."""
        if isinstance(config, Prompted) and config.system is None and self.recipe.system is not None:
            return config.model_copy(update={"system": self.recipe.system})
        return config

    def _resolve(self, found: FoundReference, root: KeyPath, index: int) -> Iterator[Input]:
        written, path = found.written, (*root, *found.path)
        if written is None:
            return
        producer = None
        if written.startswith("@"):
            inside = self._inside(written, found.marker, path, index)
            if inside is None:
                return
            producer, paths, key = inside
        elif written == BASE_MODEL and found.marker.kind == "model":
            if self.recipe.model is None and self.begins:
                self._problem(path, self._no_base(found))
            paths, key = self.model_paths, self.model_key
        else:
            paths, key = self._outside(written, found.marker.kind, path)
        field = ".".join(str(step) for step in found.path)
        yield Input(field, found.marker.kind, written, paths, producer, key)

    def _no_base(self, found: FoundReference) -> str:
        """What to write where a stage reads the recipe's model, and the recipe has none."""
        makers = [stage.name for stage in self.planned if "model" in stage.config.produces]
        named = ", ".join(f"'@{name}'" for name in makers) or "a model's path"
        if found.path[-1] == "tokenizer":
            named = "the settings of a new one, such as {vocab_size: 8192}, or the path of a model or tokenizer"
        return f"got '{BASE_MODEL}', the recipe's `model`, which it does not have; expected {named}"

    def _inside(
        self, written: str, marker: Reference, path: KeyPath, index: int
    ) -> tuple[str, tuple[Path, ...], str] | None:
        """`@stage` or `@stage/path`: producer, paths and key; None when it leads nowhere, which is a problem."""
        name, _, inner = written[1:].partition("/")
        earlier = self.names[:index]
        if name not in earlier:
            where = f"refers to stage '{name}', which "
            if name in self.names:
                position = self.names.index(name)
                where += "is this stage itself" if position == index else f"comes later (stages[{position}])"
                hint = ""
            else:
                where += "does not exist"
                hint = did_you_mean("@" + name, [f"@{known}" for known in earlier])
            there = ", ".join(earlier) or "none"
            self._problem(path, f"'{written}' {where}{hint or '.'} Earlier stages: {there}")
            return None
        stage = self.planned[earlier.index(name)]
        if not inner:
            if marker.kind not in stage.config.produces:
                makers = [known.name for known in self.planned if marker.kind in known.config.produces]
                if marker.kind in ("file", "documents"):
                    hint = f"name a file of the stage, as in '@{name}/FILE'"
                else:
                    hint = f"stages that make one: {', '.join(makers) or 'none'}"
                self._problem(path, f"'{written}': stage '{name}' ({stage.type}) makes no {marker.kind}; {hint}")
                return None
            inner = stage.config.produces[marker.kind]
        if ".." in Path(inner).parts or Path(inner).is_absolute():
            self._problem(path, f"'{written}' leads out of the folder of stage '{name}'")
            return None
        return name, (stage.folder / inner,), digest([stage.key, inner])

    def _outside(self, written: str, kind: str, path: KeyPath) -> tuple[tuple[Path, ...], str]:
        """A file, folder or pattern that exists already: its paths and content hash."""
        if not written.strip():
            self._problem(path, "got an empty text; expected a path")
            return (), ""
        paths: tuple[Path, ...] = ()
        if written.startswith(PACKAGE):
            file = self._in_package(written, path)
            paths = () if file is None else (file,)
        else:
            location = self._location(written)
            if exists(location):
                paths = (location,)
            elif kind in ("file", "documents") and glob.has_magic(written):
                paths = tuple(map(Path, sorted(glob.glob(str(location), recursive=True))))  # noqa: PTH207 (may be absolute)
                if not paths:
                    self._problem(path, f"got '{written}'; no file matches in {self.recipe_folder}")
            else:
                hint = removal(location) or _nearest_file(location) + _hint(written, kind)
                self._problem(path, f"got '{written}'; no such file{hint}")
                paths = ()
        strange = next((file for file in paths if not (file.is_file() or file.is_dir())), None)
        if strange is not None:
            self._problem(path, f"got '{written}'; {strange} is neither a regular file nor a folder")
            paths = ()
        if kind == "file" and len(paths) == 1 and paths[0].is_dir():
            self._problem(
                path, f"got '{written}', which is a folder; name files in it, for example '{written}/*.jsonl'"
            )
            paths = ()
        return paths, digest([[file.name, self.hashes.of(file)] for file in paths])

    def _location(self, written: str) -> Path:
        try:
            location = self.recipe_folder / Path(written).expanduser()
        except (RuntimeError, ValueError):  # `~name` of nobody
            location = self.recipe_folder / written
        if ".." not in location.parts:
            return location
        # As a person would write it in a message, unless `..` behind a link leads elsewhere.
        short = Path(os.path.normpath(location))
        try:
            return short if short.resolve() == location.resolve() else location
        except (OSError, RuntimeError, ValueError):  # a loop of links, a null character
            return location

    def _in_package(self, written: str, path: KeyPath) -> Path | None:
        """The file of `package:NAME/FILE`, found without importing the package."""
        package, _, inner = written.removeprefix(PACKAGE).partition("/")
        if not package or not inner:
            self._problem(path, f"got '{written}'; expected package:NAME/FILE")
            return None
        if not package.isidentifier():
            # The spec of `a.b` is found by importing `a`.
            self._problem(path, f"got '{written}'; '{package}' is not the name of a package, which has no dots")
            return None
        if not inner.isprintable() or any(part in ("", ".", "..") for part in re.split(r"[/\\]", inner)):
            self._problem(path, f"got '{written}'; '{inner}' is not a file inside the package '{package}'")
            return None
        try:
            spec = importlib.util.find_spec(package)
        except (ImportError, ValueError, OSError):
            spec = None
        if spec is None or not spec.submodule_search_locations:
            distribution = package.replace("_", "-")
            self._problem(
                path, f"got '{written}'; package '{package}' is not installed: pip install --no-deps {distribution}"
            )
            return None
        for folder in map(Path, spec.submodule_search_locations):
            if exists(folder / inner):
                if not (folder / inner).resolve().is_relative_to(folder.resolve()):
                    self._problem(path, f"got '{written}', a link that leads out of the package's folder {folder}")
                    return None
                return folder / inner
        folder = Path(spec.submodule_search_locations[0])
        self._problem(path, f"got '{written}'; no such file in {folder}{_nearest_file(folder / inner)}")
        return None


def removal(location: Path) -> str:
    """What to say of a path that is gone since a run has removed the model there; empty where none has."""
    for product in (location, *location.parents):
        file = product.parent / STAGE_FILE
        if product.name and not exists(product) and exists(file):
            try:
                record = require_object(file)
            except DataError:
                return ""
            removed = record.get("removed")
            if isinstance(removed, list) and product.name in removed:
                again = "put `keep: all` into its recipe and run that with --from"
                return f"; stage {record.get('name')} of that run no longer keeps it: {again} {record.get('name')}"
    return ""


def _nearest_file(location: Path) -> str:
    if not exists(location.parent):
        return f" (folder {location.parent} does not exist)"
    try:
        there = [file.name for file in location.parent.iterdir()]
    except OSError:  # not a folder, or not readable
        return ""
    return did_you_mean(location.name, there)


def _hint(written: str, kind: str) -> str:
    if kind == "model":
        return "; expected a model folder, a .gguf file, package:NAME/FILE, or in a stage `base` or @STAGE"
    if kind == "reward_model":
        return "; expected @STAGE of a reward_model stage, or the folder of a reward model"
    return ""
