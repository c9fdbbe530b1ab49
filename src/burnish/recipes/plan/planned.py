"""From a recipe to what will be done: references resolved, inputs hashed, a cache key for every stage.

Keys are known before anything runs, so a change in one stage shows at once in all that depend on it, and in no other.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from burnish import __version__
from burnish.errors import BurnishError
from burnish.files import open_regular
from burnish.recipes.language.overrides import apply_override
from burnish.recipes.language.places import KeyPath, Problem, Source, did_you_mean, raise_problems
from burnish.recipes.language.validation import validate
from burnish.recipes.language.yaml_source import PYTHON_RECIPE, from_values, read_recipe
from burnish.recipes.plan.outside import NotFoundError, found_outside
from burnish.recipes.plan.plan import Input, Plan, PlannedStage
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.recipe import Recipe
from burnish.recipes.schema.stage import BASE_MODEL, FoundReference, Reference, StageConfig, references
from burnish.runs.hashes import FileHashes, digest
from burnish.runs.names import RUN_FILE


def make_plan(
    written: Path | Mapping[str, Any],
    *,
    overrides: Iterable[str] = (),
    runs: Path = Path("runs"),
    notice: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Read, validate and resolve a recipe, a file or the same values in Python; nothing is written.

    What values name is looked for from the current folder, what a file names from the file's. notice: told which folder
    is being read, for the hash of what is in it, where that takes long.

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
    planner = _Planner(source, recipe, file.parent, runs / recipe.name, today, notice)
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

    def __init__(
        self,
        source: Source,
        recipe: Recipe,
        recipe_folder: Path,
        run_folder: Path,
        today: date,
        notice: Callable[[str], None],
    ) -> None:
        self.today = today
        self.source, self.recipe, self.recipe_folder, self.run_folder = source, recipe, recipe_folder, run_folder
        self.hashes = FileHashes(run_folder / ".hashes.json", notice)
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
        earlier = {stage.name: stage.config for stage in self.planned}
        config = self._fill_system(self._fill_latest(config, index)).among(earlier)
        for path, text in config.problems(self.recipe_folder):
            self._problem((*root, *path), text)
        for path, text in config.problems_among(earlier):
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
        models = ("model", "reward_model", "process_reward_model")
        templates = item.kind in models or any(path.suffix == ".jinja" for path in item.paths)
        return templates and any(map(prints_date, item.paths))

    def _fill_latest(self, config: StageConfig, index: int) -> StageConfig:
        """Replace left out `latest` references by what they stand for."""
        filled = {}
        for found in references(config):
            if found.written is None and len(found.path) == 1:
                kind = found.marker.kind
                makers = [
                    stage.name for stage in self.planned if kind in stage.config.makes and not stage.config.copies
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
        makers = [stage.name for stage in self.planned if "model" in stage.config.makes]
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
            if marker.kind not in stage.config.makes:
                makers = [known.name for known in self.planned if marker.kind in known.config.makes]
                if "encoder_decoder" in stage.config.makes:
                    hint = "it makes an encoder-decoder, which `burnish.load_encoder_decoder` loads"
                elif marker.kind in ("file", "documents"):
                    hint = f"name a file of the stage, as in '@{name}/FILE'"
                else:
                    hint = f"stages that make one: {', '.join(makers) or 'none'}"
                self._problem(path, f"'{written}': stage '{name}' ({stage.type}) makes no {marker.kind}; {hint}")
                return None
            inner = stage.config.makes[marker.kind]
        if (reason := stage.config.why_without(inner)) is not None:
            self._problem(path, f"got '{written}', which stage '{name}' will not have; {reason}")
            return None
        if ".." in Path(inner).parts or Path(inner).is_absolute():
            self._problem(path, f"'{written}' leads out of the folder of stage '{name}'")
            return None
        return name, (stage.folder / inner,), digest([stage.key, inner])

    def _outside(self, written: str, kind: str, path: KeyPath) -> tuple[tuple[Path, ...], str]:
        """A file, folder or pattern that exists already: its paths and content hash."""
        try:
            paths = found_outside(written, kind, self.recipe_folder)
        except NotFoundError as error:
            self._problem(path, str(error))
            paths = ()
        return paths, digest([[file.name, self.hashes.of(file)] for file in paths])
