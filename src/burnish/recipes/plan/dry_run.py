"""What a run would do, without doing it: checks, the state of each stage, and what has to be agreed to."""

from dataclasses import asdict
from typing import Any

from burnish.checkpoints.facts import count_parameters
from burnish.recipes.plan.plan import Plan
from burnish.recipes.plan.shapes import shapes
from burnish.recipes.runner.intermediate import peak_bytes
from burnish.recipes.runner.running import check, preview, works
from burnish.recipes.runner.trust import requests
from burnish.runs.environment import GIB


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


def estimated(plan: Plan, start: str | None = None, gpu: str | None = None) -> dict[str, Any]:
    """As `describe`, with what each stage will take on this machine: work, seconds, memory and disk, and all together.

    The total's memory and disk are the most that the run needs at one time. gpu: a GPU to plan for instead, by name.

    Raises:
        BurnishError: as `describe`, for a GPU that is not known, and where a stage cannot fit into the memory.
    """
    from burnish.evaluation.gpus import named_gpu
    from burnish.recipes.plan.estimate import estimate

    device = None if gpu is None else named_gpu(gpu)
    found = describe(plan, start)
    if device is not None:
        found["notes"] = [
            *found["notes"],
            f"times are for one {device.name} by its data sheet ({device.tflops:g} TFLOP/s, {device.bandwidth:g} GB/s, "
            f"{device.memory:g} GB), and were not measured: within a factor of two at best",
        ]
    pending = {stage["name"] for stage in found["stages"] if stage["state"] != "cached"}
    by_name = {one.name: one for one in estimate(plan, works(plan, start), device)}
    for stage in found["stages"]:
        if (one := by_name.get(stage["name"])) is not None:
            stage |= {
                "work": asdict(one.work) if one.work is not None else None,
                "seconds": round(one.seconds, 1) if one.seconds is not None else None,
                "memory_gib": round(one.memory / GIB, 2) if one.memory is not None else None,
                "disk_gib": round(one.disk / GIB, 2),
            }
    ones = list(by_name.values())
    steps = {one.name: one.work.steps for one in ones if one.work is not None}
    largest = max(map(count_parameters, {*shapes(plan).values()}))
    found["total"] = {
        "seconds": round(sum(one.seconds or 0.0 for one in ones), 1),
        "memory_gib": round(max((one.memory or 0.0 for one in ones), default=0.0) / GIB, 2),
        "disk_gib": round(peak_bytes(plan, pending, largest, steps) / GIB, 2),
        "unknown": [one.name for one in ones if one.work is None],
    }
    return found
