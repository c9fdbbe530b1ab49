"""A round: from judgements to a decision, by a recipe like any other, so resumable, cached and reported like one.

What the round is about is written down before it begins, `round.json`: the judgements it reads and the model it starts
from. An interrupted round goes on with these, whatever was judged since.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.datasets.feedback import Feedback
from burnish.errors import BurnishError
from burnish.recipes.language.yaml_source import read_recipe
from burnish.recipes.plan.plan import Plan, PlannedStage
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import execute
from burnish.recipes.stages.evaluate import EvaluateStage
from burnish.recipes.stages.feedback import FeedbackStage
from burnish.runs.folder import read_object, write_object
from burnish.runs.lock import run_lock
from burnish.runs.names import REPORT_FILE, RUN_FILE
from burnish.runs.progress import Reporter
from burnish.serving.flywheel.decision import CANDIDATE, CURRENT, Decision, decide
from burnish.serving.flywheel.history import ROUNDS_FOLDER, Event, History
from burnish.serving.flywheel.settings import FlywheelSettings

ROUND_FILE = "round.json"


@dataclass(frozen=True)
class Waiting:
    """Too little was judged for a round. new: judgements since the last round; minimum: those that it takes."""

    new: int
    minimum: int


@dataclass(frozen=True)
class Flywheel:
    """A flywheel file with its settings. file: it; folder: where its rounds and its history are."""

    file: Path
    settings: FlywheelSettings

    @property
    def folder(self) -> Path:
        own = self.settings.folder
        return Path("flywheel") / self.settings.name if own is None else self.file.parent / own

    @property
    def recipe(self) -> Path:
        return self.file.parent / self.settings.recipe

    def history(self) -> History:
        """What has happened so far."""
        return History.read(self.folder, str(model_of((self.file.parent / self.settings.model).absolute())))

    def counts(self) -> dict[str, int]:
        """How many judgements of each kind came since the last round, and how many answers there are."""
        with Feedback.open(self._store(), create=False) as store:
            return store.counts(after=self.history().tried_until)

    def _store(self) -> Path:
        """The file of judgements, as the recipe names it."""
        stages = read_recipe(self.recipe).data.get("stages")
        named = [
            stage["store"]
            for stage in (stages if isinstance(stages, list) else [])
            if isinstance(stage, dict) and stage.get("type") == "feedback" and isinstance(stage.get("store"), str)
        ]
        if len(named) != 1:
            raise BurnishError(
                f"{self.recipe}: has {len(named)} stages of type feedback with a `store`; a round needs one"
            )
        return self.recipe.parent / named[0]

    def run_round(
        self,
        *,
        display: Reporter | None = None,
        agree: Callable[[Plan], None] | None = None,
        overrides: Sequence[str] = (),
    ) -> Event | Waiting:
        """Run the next round, or go on with an interrupted one, and write down its decision.

        agree: asked before anything runs; raises where the recipe may not do what it would. overrides: changed values
        of the recipe, as `STAGE.KEY=VALUE`.

        Raises:
            BurnishError: something to be mended in the file, the recipe, its inputs or the machine.
            KeyboardInterrupt: after Ctrl-C; the same call goes on from there.
        """
        with run_lock(self.folder) as writable:
            if not writable:
                raise BurnishError(f"{self.folder}: cannot be written to; a round is kept there")
            history = self.history()
            number = history.rounds + 1
            name = f"{number:04}"
            folder = self.folder / ROUNDS_FOLDER / name
            begun = self._begin(folder, history)
            if isinstance(begun, Waiting):
                return begun
            plan = self._plan(name, begun, overrides)
            if agree is not None:
                agree(plan)
            execute(plan, display=display)
            decision = self._decide(plan)
            if self.history().model != begun["model"]:  # rolled back while the round ran
                decision = decision.but("another model is in force by now than the one that it was compared with")
            candidate = _candidate(plan)
            return history.decided(
                number,
                promoted=decision.promoted,
                candidate=candidate,
                until=begun["until"],
                decision=decision.row() | {"report": str(plan.folder / REPORT_FILE)},
            )

    def _begin(self, folder: Path, history: History) -> dict[str, Any] | Waiting:
        """What the round is about: as it was written down, else as it is now."""
        begun = read_object(folder / ROUND_FILE)
        if begun is not None and begun.get("model") == history.model:
            return begun
        with Feedback.open(self._store(), create=False) as store:
            until, counts = store.last(), store.counts(after=history.tried_until)
        new = sum(counts.values()) - counts["answers"]
        if new < self.settings.minimum:
            return Waiting(new, self.settings.minimum)
        begun = {"model": history.model, "after": history.read_until, "until": until}
        folder.mkdir(parents=True, exist_ok=True)
        write_object(folder / ROUND_FILE, begun)
        return begun

    def _plan(self, name: str, begun: dict[str, Any], changed: Sequence[str]) -> Plan:
        overrides = [*changed, f"name={json.dumps(name)}", f"model={json.dumps(begun['model'])}"]
        plan = make_plan(self.recipe, overrides=overrides, runs=self.folder / ROUNDS_FOLDER)
        stage = _only(plan, FeedbackStage)
        overrides += [f"{stage.name}.after={begun['after']}", f"{stage.name}.until={begun['until']}"]
        plan = make_plan(self.recipe, overrides=overrides, runs=self.folder / ROUNDS_FOLDER)
        config = _only(plan, EvaluateStage).config
        assert isinstance(config, EvaluateStage)
        if list(config.models) != [CURRENT, CANDIDATE] or config.models[CURRENT] != "base":
            raise BurnishError(
                f"{self.recipe}: stage {config.name or 'evaluate'}: models: got {dict(config.models)}; a round "
                f"compares {{{CURRENT}: base, {CANDIDATE}: '@STAGE'}}, in this order"
            )
        return plan

    def _decide(self, plan: Plan) -> Decision:
        comparisons = [stage.folder for stage in plan.stages if stage.type == "compare"]
        return decide(
            _only(plan, EvaluateStage).folder,
            comparisons[-1] if comparisons else None,
            self.settings.promotion,
            seed=plan.recipe.seed,
        )


def model_of(path: Path) -> Path:
    """The model that a run's folder has made, or the path itself where it is a model.

    Raises BurnishError where it is neither.
    """
    if not (path / RUN_FILE).is_file():
        if not path.exists():
            raise BurnishError(f"{path}: no such file or folder; expected a run's folder, a model's, or a .gguf file")
        return path
    inner = (read_object(path / RUN_FILE) or {}).get("model")
    if not isinstance(inner, str) or not (path / inner).exists():
        raise BurnishError(f"{path}: the run has no finished model yet")
    return path / inner


def _only(plan: Plan, kind: type[FeedbackStage] | type[EvaluateStage]) -> PlannedStage:
    """The one stage of a kind."""
    found = [stage for stage in plan.stages if isinstance(stage.config, kind)]
    if len(found) != 1:
        raise BurnishError(f"{plan.file}: has {len(found)} stages of type {kind.type_name()}; a round needs one")
    return found[0]


def _candidate(plan: Plan) -> Path:
    """Where the round's model is."""
    field = f"models.{CANDIDATE}"
    (found,) = (item for item in _only(plan, EvaluateStage).inputs if item.field == field)
    return found.paths[0]
