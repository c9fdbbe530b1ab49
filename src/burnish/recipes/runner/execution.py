"""The execution of a plan: stage after stage, each once, each resumable, each measured."""

import gc
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from burnish.errors import BurnishError
from burnish.hardware import choose_device, keep_freed_memory, set_threads
from burnish.recipes.plan.plan import PlannedStage
from burnish.recipes.plan.status import Status, adopt_renumbered, preview, start_index, status_of
from burnish.recipes.runner.changes import check_unchanged, keep_changed
from burnish.recipes.runner.checks import check_inputs, check_model_and_disk
from burnish.recipes.runner.intermediate import remove, size, unneeded
from burnish.recipes.runner.records import description, stage_record, summary_of
from burnish.recipes.runner.state import RunState
from burnish.recipes.schema.stage import StageContext
from burnish.report.run_page import write_report
from burnish.runs.clock import Clock
from burnish.runs.environment import computing
from burnish.runs.folder import clear, discard_unfinished, read_object, write_object
from burnish.runs.memory import Sampler
from burnish.runs.names import RUN_FILE, RUNNING_FILE, STAGE_FILE, SUMMARY_FILE
from burnish.terminal import duration


class Execution:
    """One execution of a plan, holding its lock. writable: whether the run's folder can be written to."""

    def __init__(self, state: RunState, *, writable: bool = True) -> None:
        self.state, self.plan, self.display = state, state.plan, state.display
        self.writable = writable
        self.checked: set[str] = set()
        self.touched: set[str] = set()

    def execute(self, start: str | None) -> dict[str, Any]:
        """Bring all stages to their end, from `start` on again; returns the summary."""
        set_threads(self.plan.recipe.threads)
        keep_freed_memory()
        choose_device(self.plan.recipe.device)
        if not self.writable:
            return self._shown(start)
        adopt_renumbered(self.plan.stages)
        for stage in self.plan.stages[start_index(self.plan, start) :]:
            for name in (STAGE_FILE, RUNNING_FILE):
                (stage.folder / name).unlink(missing_ok=True)
        check_model_and_disk(self.state)
        write_object(self.plan.folder / RUN_FILE, description(self.plan))
        ran = set()
        for number, stage in enumerate(self.plan.stages, start=1):
            check_inputs(self.state, self.checked)
            if self._do(stage, f"[{number}/{len(self.plan.stages)}] {stage.name}"):
                ran.add(stage.name)
            self._remove_unneeded()
        check_inputs(self.state, self.checked)
        summary = summary_of(self.state, ran)
        write_object(self.plan.folder / SUMMARY_FILE, summary)
        write_report(self.plan.folder)
        self.state.hashes.save()
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
            self.state.read_record(stage)
        self.display.say(f"{self.plan.folder}: finished, and read-only: nothing is written", style="dim")
        return summary_of(self.state, set())

    def _do(self, stage: PlannedStage, title: str) -> bool:
        """Bring one stage to its end; returns whether there was anything to do."""
        status = self.state.statuses()[stage.name]
        if status.cached and self._is_read(stage):
            status = status_of(stage, self.state.hashes, thorough=True)
        if status.cached:
            discard_unfinished(stage.folder)
            self.state.read_record(stage)
            self.display.say(f"{title}: cached", style="dim")
            return False
        verb = "going on" if status.state == "resume" else "running"
        self.display.say(f"{title}: {verb} ({status.reason})", style="bold")
        record = self._execute_stage(stage, status)
        self.state.records[stage.name] = record
        self.display.say(
            f"  done in {duration(record['wall_seconds'])}, peak memory {record['peak_rss_gib']:.1f} GiB", style="green"
        )
        return True

    def _remove_unneeded(self) -> None:
        """Remove the models on the way that no stage still to run reads; those that read them are finished by now."""
        if self.plan.recipe.keep == "all":
            return
        pending = {name for name, status in self.state.statuses().items() if not status.cached}
        for stage, folder in unneeded(self.plan, pending):
            if stage.name not in self.state.records or stage.name in self.touched:
                continue
            if not folder.is_dir() or not any(folder.iterdir()):  # a link to another disk stays, and is emptied
                continue
            n_bytes = size(folder)
            touched = remove(folder, self.state.hashes)
            shown = folder.relative_to(self.plan.folder)
            if touched:
                self.touched.add(stage.name)
                self.display.say(
                    f"  {shown} stays, since {touched[0].name} is not as stage {stage.name} made it", style="yellow"
                )
                continue
            self.state.read_record(stage)
            self.display.say(
                f"  {shown} removed, {n_bytes:,} bytes: no stage needs it any more (`keep: all` keeps it)", style="dim"
            )

    def _is_read(self, stage: PlannedStage) -> bool:
        """Whether a stage that is still to be run reads what this one has made."""
        now = self.state.statuses()
        return any(
            item.producer == stage.name and not now[later.name].cached
            for later in self.plan.stages
            for item in later.inputs
        )

    def _execute_stage(self, stage: PlannedStage, status: Status) -> dict[str, Any]:
        running = read_object(stage.folder / RUNNING_FILE) or {} if status.state == "resume" else {}
        check_unchanged(self.state, stage)
        if status.state == "run":
            keep_changed(self.state, stage)
            clear(stage.folder)
        clock = Clock(stage.folder, stage.key, running)
        context = self.state.context(stage)
        clock.notices = context.notices
        if stage.config.seeded:
            clock.environment = computing(self.plan.recipe.device, self.plan.recipe.compute_dtype)
        _compare_attempts(context, running, clock.environment)
        clock.write()
        try:
            with Sampler(clock.tick) as sampler:
                clock.sampler = sampler
                metrics = stage.config.run(context)
            check_unchanged(self.state, stage)
        except BurnishError as error:
            raise type(error)(f"stage {stage.name}: {error}") from error
        finally:
            # On a full disk this fails as well; what went wrong first is what the user has to know.
            with suppress(BurnishError):
                clock.write()
            # A model that is only held by a reference cycle would count as the next stage's memory.
            gc.collect()
        record = stage_record(self.state, stage, clock, metrics)
        write_object(stage.folder / STAGE_FILE, record)
        discard_unfinished(stage.folder)
        return record


def _compare_attempts(context: StageContext, running: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
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
