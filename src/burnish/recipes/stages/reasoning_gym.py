"""reasoning_gym: writes tasks of the package reasoning-gym, made by name, seed and configuration."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, JsonValue

from burnish.errors import BurnishError
from burnish.files import atomic_write_text
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.stage import Metrics, StageConfig, StageContext

if TYPE_CHECKING:
    from burnish.rewards.reasoning_tasks import Floor

PROBED = 20
"""Tasks of each name that the floor check reads."""


class ReasoningGymStage(StageConfig):
    """Writes `tasks.jsonl` to learn from and `heldout.jsonl` to evaluate on, for judges of the type `reasoning_gym`.

    Both hold each question once, and no question is in both. A row has `prompt`, `answer`, `task` (its name) and how
    it was made.
    """

    type: Literal["reasoning_gym"] = Field("reasoning_gym", description="reasoning_gym")
    tasks: dict[str, dict[str, JsonValue]] = Field(
        min_length=1, description="names of tasks with their configurations, for example {spell_backward: {}}"
    )
    size: int = Field(500, ge=1, description="tasks of each name to learn from")
    heldout: int = Field(100, ge=0, description="tasks of each name that are held out")

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        for name, config in self.tasks.items():
            for key in {"seed", "size"} & set(config):
                yield ("tasks", name, key), "the seed is the recipe's, and the size a key of the stage"
        for name, found in _probed(json.dumps(self.tasks)).items():
            if isinstance(found, str):
                yield ("tasks", name), found

    def notes(self, producers: Mapping[str, StageConfig]) -> Iterator[str]:
        for name, found in _probed(json.dumps(self.tasks)).items():
            if not isinstance(found, str) and not found.is_zero:
                yield f"{name} rewards what solves nothing: {found}"

    def fingerprints(self, folder: Path) -> dict[str, str]:
        return {"package reasoning-gym": version("reasoning-gym")}

    def run(self, context: StageContext) -> Metrics:
        from burnish.rewards.reasoning_tasks import GymVerifier, floor_of, make
        from burnish.rewards.scorer import Scorer

        kept: dict[str, list[dict[str, Any]]] = {"tasks.jsonl": [], "heldout.jsonl": []}
        floors, twice = {}, 0
        with ExitStack() as stack:
            scorer = stack.enter_context(Scorer("reasoning-gym"))
            bar = stack.enter_context(context.display.bar("tasks", len(self.tasks) * self.size, "tasks"))
            for name, config in self.tasks.items():
                count = self.size + self.heldout
                seeded = config | {"seed": context.seed % 2**31, "size": count}
                rows = make(scorer, name, seeded, count)
                first = {row["prompt"]: row for row in reversed(rows)}
                distinct = [row for row in rows if first[row["prompt"]] is row]
                split = sum(row["reasoning_gym"]["index"] < self.size for row in distinct)
                kept["tasks.jsonl"] += distinct[:split]
                kept["heldout.jsonl"] += distinct[split:]
                twice += count - len(distinct)
                floors[name] = vars(floor_of(GymVerifier(scorer), distinct[:PROBED]))
                bar.update(len(kept["tasks.jsonl"]))
        for file, rows in kept.items():
            atomic_write_text(context.folder / file, "".join(json.dumps(row) + "\n" for row in rows))
        if twice:
            context.notice(f"{twice} questions came up a second time and are left out")
        return {"tasks": len(kept["tasks.jsonl"]), "heldout": len(kept["heldout.jsonl"]), "floors": floors}


@lru_cache(maxsize=64)
def _probed(tasks: str) -> "dict[str, Floor | str]":
    """By name of task what answers earn that solve nothing, by a few tasks; or why none can be made."""
    from burnish.rewards.reasoning_tasks import GymVerifier, floor_of, make
    from burnish.rewards.scorer import Scorer

    found: dict[str, Floor | str] = {}
    try:
        with Scorer("reasoning-gym") as scorer:
            for name, config in json.loads(tasks).items():
                try:
                    rows = make(scorer, name, config | {"seed": 0, "size": PROBED}, PROBED)
                    found[name] = floor_of(GymVerifier(scorer), rows)
                except BurnishError as error:
                    found[name] = str(error)
        return found
    except BurnishError as error:  # it is not installed
        return dict.fromkeys(json.loads(tasks), str(error))
