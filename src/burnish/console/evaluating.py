"""`burnish eval`: a model, or the model of a run, measured on tasks by a recipe of one stage, `evaluate`.

Notable choices:
- it is a run like any other: checked before it starts, resumable, with a report, `runs/NAME/01-evaluate/results.json`;
- of a run's folder the tasks, judges, prompts and groups are those of its own `evaluate` stage, as its record says.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from burnish.console.chat import Target, find_target
from burnish.corpus.records import Problems, read_rows
from burnish.datasets.fields import present
from burnish.datasets.formats import FORMATS, OTHER_NAMES
from burnish.errors import BurnishError
from burnish.methods.decoding import Grid
from burnish.packages import PACKAGE
from burnish.recipes.schema.stage import BASE_MODEL, read_text, references
from burnish.recipes.stages.evaluate import EvaluateStage
from burnish.recipes.stages.index import IndexStage
from burnish.runs.folder import is_record, read_object
from burnish.runs.names import MODEL_FOLDER, RUN_FILE, STAGE_FILE

SAMPLES = 8
"""Answers to each task unless said otherwise."""
LABEL = "model"
PRODUCTS = {"index": IndexStage.produces["index"]}
"""What a bare `@stage` stands for where it is no model."""
OF_ONE_RUN = ("name", "report", "corpus", "models", "votes", "choose", "type")
"""Keys of a run's stage that say nothing of another measurement."""


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """What the command line says; None, or nothing, leaves it to the run's stage or the default.

    judges: each a type, or a judge's keys as a recipe writes them. settings: keys of `evaluate`. header: those of a
    recipe.
    """

    tasks: Path | None = None
    judges: Sequence[str] = ()
    against: str | None = None
    name: str | None = None
    grid: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)


def evaluation_recipe(path: Path, options: EvalOptions) -> tuple[dict[str, Any], list[str]]:
    """A recipe that measures the model at `path`, and what to say of it. Raises BurnishError for what it lacks."""
    target = find_target(path)
    stage, models, said = _of_run(path) if (path / RUN_FILE).is_file() else ({}, {}, [])
    stage |= {key: value for key, value in options.settings.items() if value is not None}
    if options.tasks is not None:
        stage |= {"tasks": str(options.tasks.absolute())}
        stage.pop("groups", None)
        if "columns" not in options.settings:
            stage["columns"], remark = _columns(options.tasks)
            said += [remark] if remark else []
    if options.judges:
        stage["judges"] = [_judge(text) for text in options.judges]
    for key, option in (("tasks", "--tasks FILE"), ("judges", "--judge numbers, or --judge '{type: sql, ...}'")):
        if key not in stage:
            raise BurnishError(f"{path}: {_why(path)}; say {option}")
    stage.setdefault("samples", 1 if any(_by_likelihood(judge) for judge in stage["judges"]) else SAMPLES)
    if options.grid:
        stage["grid"] = _grid(options.grid)
    label = list(models)[-1] if models else LABEL
    stage |= {"type": "evaluate", "models": _against(options.against, models, label) | {label: "base"}}
    name = options.name or "-".join(["eval", path.resolve().stem, *([options.tasks.stem] if options.tasks else [])])
    recipe = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:100],
        "model": str(target.model.absolute()),
        "device": target.device,
        "compute_dtype": target.compute_dtype,
        **{key: value for key, value in options.header.items() if value is not None},
        "stages": [{key: value for key, value in stage.items() if value is not None}],
    }
    return recipe | _system(stage, target), said


def _why(path: Path) -> str:
    if (path / RUN_FILE).is_file():
        return "the run has no finished `evaluate` stage that tells what to measure it on"
    return "a model alone does not tell what to measure it on"


def _of_run(path: Path) -> tuple[dict[str, Any], dict[str, Path], list[str]]:
    """The keys of a run's own `evaluate` stage with paths for references, and where the models are that it compares."""
    records = {file.parent: read_object(file) or {} for file in sorted(path.glob(f"*/{STAGE_FILE}"))}
    folders = {str(record.get("name")): folder for folder, record in records.items()}
    finished = [one for one in records.values() if one.get("type") == "evaluate" and is_record(one)]
    if not finished:
        return {}, {}, []
    record = finished[-1]
    run = read_object(path / RUN_FILE) or {}
    stage = copy.deepcopy(record["configuration"])
    try:
        found = list(references(EvaluateStage.model_validate(stage)))
    except ValidationError as error:
        raise BurnishError(
            f"{path}: its evaluate stage is of another version; run the recipe again ({error})"
        ) from error
    models: dict[str, Path] = {}
    for reference in found:
        if reference.written is None:
            continue
        recipe = Path(str(run.get("recipe", path)))
        written = _base(recipe) if reference.written == BASE_MODEL else reference.written
        product = PRODUCTS.get(reference.marker.kind, MODEL_FOLDER)
        where = _where(written, folders, recipe.parent, product)
        if reference.path[0] == "models":
            models[str(reference.path[1])] = where
        elif reference.path == ("system",):
            stage["system"] = read_text(where)
        else:
            _put(stage, reference.path, str(where))
    if stage.get("samples") == 1:  # what a record says of a stage that says nothing
        del stage["samples"]
    said = [f"tasks, judges and prompts are those of {folders[record['name']]}"]
    return {key: value for key, value in stage.items() if key not in OF_ONE_RUN}, models, said


def _base(recipe: Path) -> str:
    """The model that a recipe starts from, as its file says; the word itself where the file is gone or says none."""
    try:
        return str(yaml.safe_load(recipe.read_text(encoding="utf-8"))["model"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError):
        return BASE_MODEL


def _where(written: str, folders: Mapping[str, Path], recipe_folder: Path, product: str) -> Path:
    """What a reference of a finished run leads to. product: what a bare `@stage` stands for."""
    if not written.startswith("@"):
        return Path(written) if written.startswith(PACKAGE) else (recipe_folder / written).absolute()
    name, _, inner = written[1:].partition("/")
    if name not in folders:
        raise BurnishError(f"{written}: stage '{name}' of the run is not there; run the recipe again")
    return (folders[name] / (inner or product)).absolute()


def _put(value: Any, path: Sequence[str | int], new: str) -> None:
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = new


def _against(written: str | None, models: Mapping[str, Path], label: str) -> dict[str, str]:
    """The model to compare with: a label of the run's stage, or a path."""
    if written is None:
        return {}
    if written == label:
        raise BurnishError(f"--against {written}: that is the model itself; expected another")
    if written in models:
        where = models[written]
        if where.exists() or str(where).startswith(PACKAGE):
            return {written: str(where)}
        raise BurnishError(
            f"--against {written}: the run compares a model of this name, but {where} is not there any more; "
            "say its path, or run the recipe with `keep: all`"
        )
    other = find_target(Path(written)).model.absolute()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(written).resolve().stem).strip(".-_") or "against"
    return {name if name != label else f"against-{name}": str(other)}


def _judge(text: str) -> dict[str, Any]:
    """A judge as `--judge` says it: its type, or its keys in YAML; files from the current folder."""
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BurnishError(f"--judge {text}: not YAML: {error}") from error
    if isinstance(read, str) and read:
        return {"type": read}
    if not isinstance(read, dict) or "type" not in read:
        raise BurnishError(
            f"--judge {text}: expected a type such as numbers, or its keys such as {{type: sql, database: my.duckdb}}"
        )
    return read


def _by_likelihood(judge: Mapping[str, Any]) -> bool:
    return judge["type"] == "choice" and judge.get("likelihood", "text") is not None


def _grid(options: Sequence[str]) -> dict[str, list[float | int]]:
    """The grid that `--grid KEY=VALUE,VALUE` says."""
    found: dict[str, list[float | int]] = {}
    for text in options:
        key, _, values = text.partition("=")
        if key not in Grid.model_fields or not values:
            keys = ", ".join(Grid.model_fields)
            raise BurnishError(f"--grid {text}: expected KEY=VALUE,VALUE with one of the keys {keys}")
        try:
            found[key] = [int(value) if key == "top_k" else float(value) for value in values.split(",")]
        except ValueError as error:
            raise BurnishError(f"--grid {text}: {error}") from error
    return found


def _columns(file: Path) -> tuple[dict[str, str], str]:
    """The column that holds the prompts of a file whose rows name theirs otherwise, such as GSM8K's `question`."""
    row: Mapping[str, Any] = next((one.value for one in _first_rows(file)), {})
    if any(present(row, key) for key in FORMATS):
        return {}, ""
    found = next((key for key in row if key.casefold() in OTHER_NAMES["prompt"] and present(row, key)), None)
    return ({"prompt": found}, f"{file}: prompts are read from '{found}'") if found else ({}, "")


def _first_rows(file: Path) -> Iterator[Any]:
    if file.is_file():
        yield from read_rows(file, problems=Problems())


def _system(stage: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """The system prompt that the run's recipe chats with, where its stage has none."""
    own = target.system if target.context is not None and stage.get("system") is None else None
    return {} if own is None else {"system": own}
