"""What a run refuses before it trains: as much of it as can be known by now."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from burnish.checkpoints.facts import ModelShape, count_parameters
from burnish.errors import BurnishError, DataError
from burnish.evaluation.limits import of_model
from burnish.recipes.language.places import did_you_mean
from burnish.recipes.plan.plan import Input
from burnish.recipes.plan.shapes import main_shape, shapes
from burnish.recipes.runner.intermediate import peak_bytes
from burnish.recipes.runner.state import RunState
from burnish.runs.environment import GIB


def check_inputs(state: RunState, checked: set[str]) -> None:
    """Check what can be checked by now of the stages to come; raise one error that lists all that is wrong.

    checked: names of the stages whose data was looked at before; it grows.
    """
    problems = []
    now = state.statuses()
    for item in state.plan.chat_inputs:
        problems += list(_missing(state, "chat", item))
    for stage in state.plan.stages:
        if stage.name in state.records or stage.name in checked or now[stage.name].cached:
            continue
        missing = [text for item in stage.inputs for text in _missing(state, stage.name, item)]
        problems += missing
        if missing or not all(state.is_there(item) for item in stage.inputs if item.kind in stage.config.checked):
            continue
        checked.add(stage.name)
        try:
            stage.config.check(state.context(stage))
        except BurnishError as error:
            problems.append(f"stage {stage.name}: {error}")
    if problems:
        raise DataError("\n".join(dict.fromkeys(problems)))


def _missing(state: RunState, owner: str, item: Input) -> Iterator[str]:
    """What a finished stage was expected to make and did not."""
    if item.producer is None or item.producer not in state.records:
        return
    for path in item.paths:
        if not path.exists():
            made = list(state.records[item.producer].get("products", {}))
            inner = item.written.partition("/")[2]
            hint = did_you_mean(inner, made) or "."
            yield (
                f"{state.plan.file}: {owner}.{item.field}: got '{item.written}', but stage {item.producer} made no "
                f"such file{hint} It made: {', '.join(made[:12]) or 'nothing'}"
            )


def check_model_and_disk(state: RunState) -> None:
    """Refuse to start what does not fit the model, or cannot be finished for want of space."""
    now = state.statuses()
    pending = [stage for stage in state.plan.stages if not now[stage.name].cached]
    if not pending:
        return
    of_stage = shapes(state.plan)
    for stage in pending:
        shape = of_stage[stage.name]
        if isinstance(shape, ModelShape):
            stage.config.check_model(shape)
    n_parameters = count_parameters(main_shape(state.plan))
    limit = of_model(n_parameters) if state.plan.model is not None else None
    if limit is not None:
        state.display.say(limit, style="dim")
    largest = max(map(count_parameters, {*of_stage.values()}))
    needed = peak_bytes(state.plan, {stage.name for stage in pending}, largest)
    free = shutil.disk_usage(_existing(state.plan.folder)).free
    if needed > free:
        raise BurnishError(
            f"{state.plan.folder}: the stages to run write up to {_bytes(needed)}, but only {_bytes(free)} are free; "
            f"make room, or choose another disk with --runs"
        )


def _bytes(number: int) -> str:
    return f"{number / GIB:.1f} GiB" if number >= GIB / 10 else f"{number / 2**20:.1f} MiB"


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there already."""
    return next(part for part in (folder.absolute(), *folder.absolute().parents) if part.is_dir())
