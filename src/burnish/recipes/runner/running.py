"""Runs a recipe: stage after stage, each once, each resumable, each measured.

Everything is checked before anything trains: files that exist at the start at once, files that a stage makes as soon
as it has made them. What is found in the cache is not run; what was interrupted goes on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.checkpoints.facts import ModelShape
from burnish.hardware import choose_device
from burnish.recipes.plan.plan import Plan, PlannedStage
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.plan.shapes import shapes
from burnish.recipes.plan.status import preview as preview
from burnish.recipes.runner.checks import check_inputs, check_model_and_disk
from burnish.recipes.runner.execution import Execution
from burnish.recipes.runner.expected import ExpectedCorpora
from burnish.recipes.runner.signals import ending_is_interrupt
from burnish.recipes.runner.state import RunState
from burnish.recipes.runner.trust import ask_once
from burnish.recipes.schema.stage import DATA_KINDS
from burnish.runs.lock import run_lock
from burnish.runs.progress import Reporter, Silent

if TYPE_CHECKING:
    from burnish.recipes.plan.work import Work


def run(
    recipe: Path | str | Mapping[str, Any],
    *,
    overrides: Iterable[str] = (),
    runs: Path | str = "runs",
    start: str | None = None,
    display: Reporter | None = None,
    trust: bool = True,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Run a recipe to its end and return the content of `summary.json`.

    Args:
        recipe: the YAML file, or what one holds as a dict; its paths then start at the current folder.
        overrides: `stage.key=value`, as after `--set`.
        runs: the folder of all runs; this one gets `runs/<name of the recipe>`.
        start: name of a stage to run again with all that follow it, even if nothing changed.
        display: where progress is shown.
        trust: whether the recipe may execute its scripts, import its functions and send to its addresses. Who writes
            this call trusts what it names; False refuses what nobody has agreed to on the command line.
        dry_run: check everything and return what would be done instead: `stages` with their `state` and its `reason`,
            what the run `asks` to be agreed to, `notes`, and what is `unchecked` until a stage has made it.

    Raises:
        BurnishError: something to be mended in the recipe, its inputs or the machine.
        KeyboardInterrupt: after Ctrl-C or SIGTERM; the same call goes on from there.
    """
    written = recipe if isinstance(recipe, Mapping) else Path(recipe)
    plan = make_plan(written, overrides=overrides, runs=Path(runs), notice=(display or Silent()).say)
    if dry_run:
        from burnish.recipes.plan.dry_run import describe  # which reads this module

        return describe(plan, start)
    if not trust:
        ask_once(plan)
    return execute(plan, start=start, display=display)


def execute(plan: Plan, *, start: str | None = None, display: Reporter | None = None) -> dict[str, Any]:
    """`run`, of a plan that is made already."""
    with run_lock(plan.folder) as writable, ending_is_interrupt():
        return Execution(RunState(plan, display or Silent()), writable=writable).execute(start)


def check(plan: Plan, start: str | None = None) -> list[str]:
    """Check all that `run` would refuse sooner or later, as far as it can be known now; nothing is made or changed.

    Returns what cannot be checked yet: a line for each stage that reads what an earlier one has still to make.

    Raises:
        BurnishError: something to be mended in the recipe, its inputs or the machine.
    """
    state = RunState(plan, Silent(), start)
    choose_device(plan.recipe.device)
    for stage, status in preview(plan, start):
        if status.cached:
            state.read_record(stage)
    check_model_and_disk(state)
    check_inputs(state, set())
    return [
        f"{stage.name}: {', '.join(unmade)}, which the run has still to make"
        for stage in plan.stages
        if stage.name not in state.records
        and (data := [item for item in stage.inputs if item.kind in (*DATA_KINDS, "corpus")])
        and (unmade := sorted({item.written for item in data if not state.is_there(item)}))
    ]


def works(plan: Plan, start: str | None = None) -> "list[tuple[PlannedStage, Work | None]]":
    """What each stage that would run has to compute; None where its data is still to be made, or nobody can say."""
    of_stage = shapes(plan)
    state = RunState(plan, Silent())
    expected = ExpectedCorpora(state)
    found: list[tuple[PlannedStage, Work | None]] = []
    for stage, status in preview(plan, start):
        if status.cached:
            state.read_record(stage)
            continue
        shape = of_stage[stage.name]
        corpora = {item.written: expected.of(item) for item in stage.inputs if item.kind == "corpus"}
        there = all(
            state.is_there(item) or corpora.get(item.written) is not None
            for item in stage.inputs
            if item.kind in (*DATA_KINDS, "corpus")
        )
        context = replace(
            state.context(stage),
            retokenized=plan.retokenized(stage, about=True),
            model_shape=shape if isinstance(shape, ModelShape) else None,
            expected={written: corpus for written, corpus in corpora.items() if corpus is not None},
        )
        found.append((stage, stage.config.work(context) if there else None))
    return found
