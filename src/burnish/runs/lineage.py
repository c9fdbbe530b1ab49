"""From a model's folder back to the stages that made it, also in another recipe's run."""

from pathlib import Path
from typing import Any

from burnish.runs.names import STAGE_FILE
from burnish.runs.record import require_object


def stages_behind(model: Path) -> list[dict[str, Any]]:
    """`stage.json` of the stage that made a model and of those that it builds on, in the order they ran.

    model: a path such as `runs/NAME/04-dpo/model`. Empty for a model that no run has made. Raises DataError naming a
    record that is damaged.
    """
    if not (model.parent / STAGE_FILE).is_file():
        return []
    record = require_object(model.parent / STAGE_FILE)
    found, wanted = [record], _producers(record)
    for file in sorted(model.parent.parent.glob(f"*/{STAGE_FILE}"), reverse=True):
        stage = require_object(file)
        if stage.get("name") in wanted:
            found.append(stage)
            wanted |= _producers(stage)
    return found[::-1]


def _producers(stage: dict[str, Any]) -> set[str]:
    return {item["producer"] for item in stage.get("inputs", []) if item.get("producer")}
