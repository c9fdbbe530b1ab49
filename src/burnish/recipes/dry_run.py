"""What a run would do, without doing it: checks, the state of each stage, and what has to be agreed to."""

from typing import Any

from burnish.recipes.plan import Plan
from burnish.recipes.runner import check, preview
from burnish.recipes.trust import requests


def describe(plan: Plan, start: str | None = None) -> dict[str, Any]:
    """What `run` would do with a plan, as values that JSON can hold; nothing is made or changed.

    Raises:
        BurnishError: whatever `run` would refuse, sooner or later, as far as it can be known now.
    """
    unchecked = check(plan, start)
    return {
        "name": plan.recipe.name,
        "folder": str(plan.folder),
        "stages": [
            {
                "name": stage.name,
                "type": stage.type,
                "folder": stage.folder.name,
                "state": status.state,
                "reason": status.reason,
            }
            for stage, status in preview(plan, start)
        ],
        "asks": [request.line for request in requests(plan)],
        "notes": plan.notes,
        "unchecked": unchecked,
    }
