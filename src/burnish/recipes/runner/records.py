"""The records of a run: `stage.json` of each stage, `run.json`, and `summary.json`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.checkpoints.facts import count_parameters
from burnish.recipes.plan.plan import Plan, PlannedStage
from burnish.recipes.plan.shapes import main_shape
from burnish.recipes.runner.state import RunState
from burnish.recipes.schema.stage import Metrics
from burnish.runs.clock import Clock, now
from burnish.runs.environment import GIB, hardware, versions
from burnish.runs.folder import products


def stage_record(state: RunState, stage: PlannedStage, clock: Clock, metrics: Metrics) -> dict[str, Any]:
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
        "seed": state.plan.recipe.seed,
        "versions": versions(),
        "started": clock.started,
        "finished": now(),
        "attempts": clock.attempts,
        "wall_seconds": round(clock.seconds, 3),
        "peak_rss_gib": round(clock.peak_bytes / GIB, 3),
        "environment": clock.environment,
        "notices": clock.notices,
        "metrics": metrics,
        "products": products(stage.folder, state.hashes),
    }


def description(plan: Plan) -> dict[str, Any]:
    """`run.json`: what `burnish chat` needs to know about a run folder; paths are relative to it."""
    models = [stage.model for stage in plan.stages if stage.model is not None]
    pairs = [stage.folder / inner for stage in plan.stages if (inner := stage.config.makes.get("encoder_decoder"))]
    # A recipe without a model has a stage that makes one, or an encoder-decoder: that cannot chat, and says so.
    model = [*pairs, *([plan.model] if plan.model is not None else []), *models][-1]
    return {
        "recipe": str(plan.file.resolve()),
        **plan.recipe.header(),
        "today": plan.today.isoformat(),
        "model": _relative(model, plan),
        "chat_inputs": {item.written: [_relative(path, plan) for path in item.paths] for item in plan.chat_inputs},
    }


def summary_of(state: RunState, ran: set[str]) -> dict[str, Any]:
    records = [state.records[stage.name] for stage in state.plan.stages]
    summary: dict[str, Any] = {
        "name": state.plan.recipe.name,
        "recipe": str(state.plan.file),
        "model": state.plan.recipe.model,
        "n_parameters": count_parameters(main_shape(state.plan)),
        "seed": state.plan.recipe.seed,
        "finished": max(record["finished"] for record in records),
    }
    for stage, record in zip(state.plan.stages, records, strict=True):
        _merge(summary, stage.config.summary(record["metrics"]))
    return summary | {
        "wall_seconds": round(sum(record["wall_seconds"] for record in records), 1),
        "peak_rss_gib": max(record["peak_rss_gib"] for record in records),
        "hardware": hardware(state.plan.recipe.device, state.plan.recipe.compute_dtype),
        "stages": [
            {
                "name": stage.name,
                "type": stage.type,
                "folder": stage.folder.name,
                "seconds": record["wall_seconds"],
                "peak_rss_gib": record["peak_rss_gib"],
                "cached": stage.name not in ran,
            }
            for stage, record in zip(state.plan.stages, records, strict=True)
        ],
    }


def _relative(path: Path, plan: Plan) -> str:
    return os.path.relpath(path, plan.folder)


def _merge(into: dict[str, Any], part: Mapping[str, Any]) -> None:
    for key, value in part.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
