"""Runs a recipe: stage after stage, each once, each resumable, each measured.

Everything is checked before anything trains: files that exist at the start at once, files that a stage makes as soon
as it has made them. What is found in the cache is not run; what was interrupted goes on.
"""

import gc
import os
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from burnish.checkpoints.facts import count_parameters
from burnish.errors import BurnishError, DataError, RecipeError
from burnish.evaluation.limits import of_model
from burnish.files import reported
from burnish.hardware import choose_device, keep_freed_memory, set_threads
from burnish.recipes.language.places import did_you_mean
from burnish.recipes.plan.planned import Input, Plan, PlannedStage, make_plan
from burnish.recipes.plan.shapes import main_shape, shapes
from burnish.recipes.plan.status import Status, adopt_renumbered, status_of, statuses
from burnish.recipes.runner.intermediate import peak_bytes, remove, size, unneeded
from burnish.recipes.runner.trust import ask_once
from burnish.recipes.schema.stage import DATA_KINDS, Metrics, StageContext
from burnish.report.run_page import write_report
from burnish.runs.clock import Clock, now
from burnish.runs.environment import GIB, computing, hardware, versions
from burnish.runs.folder import (
    changed_products,
    clear,
    discard_unfinished,
    foreign_files,
    products,
    read_object,
    write_object,
)
from burnish.runs.hashes import FileHashes, digest
from burnish.runs.lock import run_lock
from burnish.runs.memory import Sampler
from burnish.runs.names import CHANGED_FOLDER, HASHES_FILE, RUN_FILE, RUNNING_FILE, STAGE_FILE, SUMMARY_FILE
from burnish.runs.progress import Reporter, Silent
from burnish.terminal import duration
from burnish.training.interrupt import stop_signals

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
    plan = make_plan(written, overrides=overrides, runs=Path(runs))
    if dry_run:
        from burnish.recipes.plan.dry_run import describe  # which reads this module

        return describe(plan, start)
    if not trust:
        ask_once(plan)
    return execute(plan, start=start, display=display)


def execute(plan: Plan, *, start: str | None = None, display: Reporter | None = None) -> dict[str, Any]:
    """`run`, of a plan that is made already."""
    with run_lock(plan.folder) as writable, _ending_is_interrupt():
        return _Run(plan, display or Silent(), writable=writable).execute(start)


def preview(plan: Plan, start: str | None = None) -> list[tuple[PlannedStage, Status]]:
    """What `run` would do with each stage; changes nothing."""
    _start_index(plan, start)
    found = statuses(plan.stages, start=start)
    return [(stage, found[stage.name]) for stage in plan.stages]


def check(plan: Plan, start: str | None = None) -> list[str]:
    """Check all that `run` would refuse sooner or later, as far as it can be known now; nothing is made or changed.

    Returns what cannot be checked yet: a line for each stage that reads what an earlier one has still to make.

    Raises:
        BurnishError: something to be mended in the recipe, its inputs or the machine.
    """
    run = _Run(plan, Silent(), start=start)
    choose_device(plan.recipe.device)
    for stage, status in preview(plan, start):
        if status.cached:
            run.records[stage.name] = read_object(stage.folder / STAGE_FILE) or {}
    run._check_model_and_disk()
    run._check_inputs()
    return [
        f"{stage.name}: {', '.join(unmade)}, which the run has still to make"
        for stage in plan.stages
        if stage.name not in run.records
        and (data := [item for item in stage.inputs if item.kind in (*DATA_KINDS, "corpus")])
        and (unmade := sorted({item.written for item in data if not run._is_there(item)}))
    ]


def works(plan: Plan, start: str | None = None) -> "list[tuple[PlannedStage, Work | None]]":
    """What each stage that would run has to compute; None where its data is still to be made, or nobody can say."""
    of_stage = shapes(plan)
    run = _Run(plan, Silent())
    found: list[tuple[PlannedStage, Work | None]] = []
    for stage, status in preview(plan, start):
        if status.cached:
            run.records[stage.name] = read_object(stage.folder / STAGE_FILE) or {}
            continue
        data = [item for item in stage.inputs if item.kind in (*DATA_KINDS, "corpus")]
        there = all(run._is_there(item) for item in data)
        context = replace(run._context(stage), model_shape=of_stage[stage.name])
        found.append((stage, stage.config.work(context) if there else None))
    return found


def _start_index(plan: Plan, start: str | None) -> int:
    names = [stage.name for stage in plan.stages]
    if start is None:
        return len(names)
    if start not in names:
        raise RecipeError(
            f"--from {start}: no such stage{did_you_mean(start, names) or '.'} Expected one of: {', '.join(names)}"
        )
    return names.index(start)


class _Run:
    """One execution of a plan, holding its lock."""

    def __init__(self, plan: Plan, display: Reporter, *, writable: bool = True, start: str | None = None) -> None:
        self.plan = plan
        self.display = display
        self.writable = writable
        self.hashes = FileHashes(plan.folder / HASHES_FILE)
        self.records: dict[str, dict[str, Any]] = {}
        self.checked: set[str] = set()
        self.touched: set[str] = set()
        self.start = start

    def execute(self, start: str | None) -> dict[str, Any]:
        set_threads(self.plan.recipe.threads)
        keep_freed_memory()
        choose_device(self.plan.recipe.device)
        if not self.writable:
            return self._shown(start)
        adopt_renumbered(self.plan.stages)
        for stage in self.plan.stages[_start_index(self.plan, start) :]:
            for name in (STAGE_FILE, RUNNING_FILE):
                (stage.folder / name).unlink(missing_ok=True)
        self._check_model_and_disk()
        write_object(self.plan.folder / RUN_FILE, self._description())
        ran = set()
        for number, stage in enumerate(self.plan.stages, start=1):
            self._check_inputs()
            if self._do(stage, f"[{number}/{len(self.plan.stages)}] {stage.name}"):
                ran.add(stage.name)
            self._remove_unneeded()
        self._check_inputs()
        summary = self._summary(ran)
        write_object(self.plan.folder / SUMMARY_FILE, summary)
        write_report(self.plan.folder)
        self.hashes.save()
        return summary

    def _shown(self, start: str | None) -> dict[str, Any]:
        """The summary of a finished run that lies where nothing can be written."""
        pending = [stage.name for stage, status in preview(self.plan, start) if not status.cached]
        if pending:
            raise BurnishError(
                f"{self.plan.folder}: is read-only, and these stages are still to be run: {', '.join(pending)}; choose "
                "another folder with --runs"
            )
        for stage in self.plan.stages:
            self.records[stage.name] = read_object(stage.folder / STAGE_FILE) or {}
        self.display.say(f"{self.plan.folder}: finished, and read-only: nothing is written", style="dim")
        return self._summary(set())

    def _do(self, stage: PlannedStage, title: str) -> bool:
        """Bring one stage to its end; returns whether there was anything to do."""
        status = statuses(self.plan.stages, self.hashes)[stage.name]
        if status.cached and self._is_read(stage):
            status = status_of(stage, self.hashes, thorough=True)
        if status.cached:
            discard_unfinished(stage.folder)
            self.records[stage.name] = read_object(stage.folder / STAGE_FILE) or {}
            self.display.say(f"{title}: cached", style="dim")
            return False
        verb = "going on" if status.state == "resume" else "running"
        self.display.say(f"{title}: {verb} ({status.reason})", style="bold")
        record = self._execute_stage(stage, status)
        self.records[stage.name] = record
        self.display.say(
            f"  done in {duration(record['wall_seconds'])}, peak memory {record['peak_rss_gib']:.1f} GiB", style="green"
        )
        return True

    def _remove_unneeded(self) -> None:
        """Remove the models on the way that no stage still to run reads; those that read them are finished by now."""
        if self.plan.recipe.keep == "all":
            return
        pending = {name for name, status in statuses(self.plan.stages, self.hashes).items() if not status.cached}
        for stage, folder in unneeded(self.plan, pending):
            if stage.name not in self.records or stage.name in self.touched or not folder.is_dir():
                continue
            n_bytes = size(folder)
            touched = remove(folder, self.hashes)
            shown = folder.relative_to(self.plan.folder)
            if touched:
                self.touched.add(stage.name)
                self.display.say(
                    f"  {shown} stays, since {touched[0].name} is not as stage {stage.name} made it", style="yellow"
                )
                continue
            self.records[stage.name] = read_object(stage.folder / STAGE_FILE) or {}
            self.display.say(
                f"  {shown} removed, {n_bytes:,} bytes: no stage needs it any more (`keep: all` keeps it)", style="dim"
            )

    def _is_read(self, stage: PlannedStage) -> bool:
        """Whether a stage that is still to be run reads what this one has made."""
        now = statuses(self.plan.stages, self.hashes)
        return any(
            item.producer == stage.name and not now[later.name].cached
            for later in self.plan.stages
            for item in later.inputs
        )

    def _execute_stage(self, stage: PlannedStage, status: Status) -> dict[str, Any]:
        running = read_object(stage.folder / RUNNING_FILE) or {} if status.state == "resume" else {}
        self._check_unchanged(stage)
        if status.state == "run":
            self._keep_changed(stage)
            clear(stage.folder)
        clock = Clock(stage.folder, stage.key, running)
        context = self._context(stage)
        clock.notices = context.notices
        if stage.config.seeded:
            clock.environment = computing(self.plan.recipe.device, self.plan.recipe.compute_dtype)
        self._compare_attempts(context, running, clock.environment)
        clock.write()
        try:
            with Sampler(clock.tick) as sampler:
                clock.sampler = sampler
                metrics = stage.config.run(context)
            self._check_unchanged(stage)
        except BurnishError as error:
            raise type(error)(f"stage {stage.name}: {error}") from error
        finally:
            # On a full disk this fails as well; what went wrong first is what the user has to know.
            with suppress(BurnishError):
                clock.write()
            # A model that is only held by a reference cycle would count as the next stage's memory.
            gc.collect()
        record = self._record(stage, clock, metrics)
        write_object(stage.folder / STAGE_FILE, record)
        discard_unfinished(stage.folder)
        return record

    def _compare_attempts(
        self, context: StageContext, running: Mapping[str, Any], environment: Mapping[str, Any]
    ) -> None:
        """Say where an interrupted stage goes on differently from how it began: its last bits will differ."""
        notices, before = running.get("notices"), running.get("environment")
        context.notices.extend(str(notice) for notice in (notices if isinstance(notices, list) else []))
        changes = [
            f"{name} {environment[name]} instead of {before[name]}"
            for name in environment
            if isinstance(before, dict) and name in before and before[name] != environment[name]
        ]
        if changes:
            context.notice(f"goes on with {', '.join(changes)}: not the bits of an undisturbed run")

    def _check_unchanged(self, stage: PlannedStage) -> None:
        """Raise DataError where what the stage reads is no longer what its key was computed from."""
        for item in stage.inputs:
            if item.producer is None:
                if digest([[file.name, self.hashes.of(file)] for file in item.paths]) != item.key:
                    raise DataError(_edited(item.written))
                continue
            for file in foreign_files(self._folder(item.producer), self.records[item.producer]):
                if any(path in file.parents for path in item.paths):
                    raise DataError(
                        f"{file}: stage {item.producer} has not made this file, and '{item.written}' would be read "
                        "with it; move it elsewhere"
                    )
        now = stage.config.fingerprints(self.plan.recipe_folder)
        for name, value in stage.identity["fingerprints"].items():
            if now.get(name) != value:
                raise DataError(_edited(name))

    def _folder(self, name: str) -> Path:
        return next(stage.folder for stage in self.plan.stages if stage.name == name)

    def _keep_changed(self, stage: PlannedStage) -> None:
        """Put aside what somebody has changed in a finished stage: work of a person's, perhaps."""
        record = read_object(stage.folder / STAGE_FILE)
        for file in changed_products(stage.folder, record, self.hashes):
            aside = self.plan.folder / CHANGED_FOLDER / stage.folder.name / file.relative_to(stage.folder)
            with reported("keep", aside):
                aside.parent.mkdir(parents=True, exist_ok=True)
                file.replace(aside)
            self.display.say(
                f"  {file.relative_to(self.plan.folder)} was changed after stage {stage.name} had made it; the changed "
                f"file is now {aside}: to use it, name it in the recipe",
                style="yellow",
            )

    def _record(self, stage: PlannedStage, clock: Clock, metrics: Metrics) -> dict[str, Any]:
        """The content of `stage.json`."""
        return {
            "name": stage.name,
            "type": stage.type,
            "key": stage.key,
            "configuration": stage.identity["configuration"],
            "inputs": [
                {"field": item.field, "written": item.written, "producer": item.producer, "key": item.key}
                for item in stage.inputs
            ],
            "fingerprints": stage.identity["fingerprints"],
            "seed": self.plan.recipe.seed,
            "versions": versions(),
            "started": clock.started,
            "finished": now(),
            "attempts": clock.attempts,
            "wall_seconds": round(clock.seconds, 3),
            "peak_rss_gib": round(clock.peak_bytes / GIB, 3),
            "environment": clock.environment,
            "notices": clock.notices,
            "metrics": metrics,
            "products": products(stage.folder, self.hashes),
        }

    def _context(self, stage: PlannedStage) -> StageContext:
        recipe = self.plan.recipe
        return StageContext(
            folder=stage.folder,
            key=stage.key,
            seed=stage.seed,
            device=recipe.device,
            compute_dtype=recipe.compute_dtype,
            today=self.plan.today,
            inputs={item.written: item.paths for item in stage.inputs},
            input_keys={item.written: item.key for item in stage.inputs},
            display=self.display,
            recipe_folder=self.plan.recipe_folder,
            recipe=recipe.header(),
            base=self.plan.model,
            lineage=tuple(
                self.records[earlier.name] for earlier in self.plan.ancestors(stage) if earlier.name in self.records
            ),
            origins=self.plan.origins(stage),
        )

    def _check_inputs(self) -> None:
        """Check what can be checked by now of the stages to come; raise one error that lists all that is wrong."""
        problems = []
        now = statuses(self.plan.stages, self.hashes, start=self.start)
        for item in self.plan.chat_inputs:
            problems += list(self._missing("chat", item))
        for stage in self.plan.stages:
            if stage.name in self.records or stage.name in self.checked or now[stage.name].cached:
                continue
            missing = [text for item in stage.inputs for text in self._missing(stage.name, item)]
            problems += missing
            if missing or not all(self._is_there(item) for item in stage.inputs if item.kind in DATA_KINDS):
                continue
            self.checked.add(stage.name)
            try:
                stage.config.check(self._context(stage))
            except BurnishError as error:
                problems.append(f"stage {stage.name}: {error}")
        if problems:
            raise DataError("\n".join(dict.fromkeys(problems)))

    def _is_there(self, item: Input) -> bool:
        return item.producer is None or item.producer in self.records

    def _missing(self, owner: str, item: Input) -> Iterator[str]:
        """What a finished stage was expected to make and did not."""
        if item.producer is None or item.producer not in self.records:
            return
        for path in item.paths:
            if not path.exists():
                made = list(self.records[item.producer].get("products", {}))
                inner = item.written.partition("/")[2]
                hint = did_you_mean(inner, made) or "."
                yield (
                    f"{self.plan.file}: {owner}.{item.field}: got '{item.written}', but stage {item.producer} made no "
                    f"such file{hint} It made: {', '.join(made[:12]) or 'nothing'}"
                )

    def _check_model_and_disk(self) -> None:
        """Refuse to start what does not fit the model, or cannot be finished for want of space."""
        now = statuses(self.plan.stages, self.hashes, start=self.start)
        pending = [stage for stage in self.plan.stages if not now[stage.name].cached]
        if not pending:
            return
        of_stage = shapes(self.plan)
        for stage in pending:
            stage.config.check_model(of_stage[stage.name])
        n_parameters = count_parameters(main_shape(self.plan))
        limit = of_model(n_parameters) if self.plan.model is not None else None
        if limit is not None:
            self.display.say(limit, style="dim")
        largest = max(map(count_parameters, {*of_stage.values()}))
        needed = peak_bytes(self.plan, {stage.name for stage in pending}, largest)
        free = shutil.disk_usage(_existing(self.plan.folder)).free
        if needed > free:
            raise BurnishError(
                f"{self.plan.folder}: the stages to run write up to {needed / GIB:.1f} GiB, but only "
                f"{free / GIB:.1f} GiB are free; make room, or choose another disk with --runs"
            )

    def _description(self) -> dict[str, Any]:
        """`run.json`: what `burnish chat` needs to know about a run folder; paths are relative to it."""
        models = [stage.model for stage in self.plan.stages if stage.model is not None]
        model = models[-1] if models else self.plan.model
        assert model is not None  # a recipe without a model has a stage that makes one
        return {
            "recipe": str(self.plan.file.resolve()),
            **self.plan.recipe.header(),
            "today": self.plan.today.isoformat(),
            "model": self._relative(model),
            "chat_inputs": {
                item.written: [self._relative(path) for path in item.paths] for item in self.plan.chat_inputs
            },
        }

    def _relative(self, path: Path) -> str:
        return os.path.relpath(path, self.plan.folder)

    def _summary(self, ran: set[str]) -> dict[str, Any]:
        records = [self.records[stage.name] for stage in self.plan.stages]
        summary: dict[str, Any] = {
            "name": self.plan.recipe.name,
            "recipe": str(self.plan.file),
            "model": self.plan.recipe.model,
            "n_parameters": count_parameters(main_shape(self.plan)),
            "seed": self.plan.recipe.seed,
            "finished": max(record["finished"] for record in records),
        }
        for stage, record in zip(self.plan.stages, records, strict=True):
            _merge(summary, stage.config.summary(record["metrics"]))
        return summary | {
            "wall_seconds": round(sum(record["wall_seconds"] for record in records), 1),
            "peak_rss_gib": max(record["peak_rss_gib"] for record in records),
            "hardware": hardware(self.plan.recipe.device, self.plan.recipe.compute_dtype),
            "stages": [
                {
                    "name": stage.name,
                    "type": stage.type,
                    "folder": stage.folder.name,
                    "seconds": record["wall_seconds"],
                    "peak_rss_gib": record["peak_rss_gib"],
                    "cached": stage.name not in ran,
                }
                for stage, record in zip(self.plan.stages, records, strict=True)
            ],
        }


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there already."""
    return next(part for part in (folder.absolute(), *folder.absolute().parents) if part.is_dir())


def _edited(written: str) -> str:
    return (
        f"'{written}' has changed since the run began, so what was made of it belongs to neither content; run the same "
        "command again"
    )


@contextmanager
def _ending_is_interrupt() -> Iterator[None]:
    """Make SIGTERM, which schedulers send, and SIGHUP, of a closed terminal, stop a run as cleanly as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    ending = [number for number in stop_signals() if number != signal.SIGINT]
    previous = {number: signal.signal(number, interrupt) for number in ending}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _merge(into: dict[str, Any], part: Mapping[str, Any]) -> None:
    for key, value in part.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
