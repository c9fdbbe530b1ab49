"""`python -m benchmarks.curves`: whether both sides of the rows on alignment compute the same losses, step by step.

Both train SmolLM2-135M in float32 on the same data in the same order, and the losses of their steps are compared. What
sampling would make differ is given: GRPO and PPO learn from the same completions and rewards. Writes
`runs/bench/curves.json`; the exit status is 1 where a curve departs by more than the tolerance.
"""

import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.process import call
from benchmarks.row import BenchmarkError, Config

TOLERANCE = 1e-3
"""Largest difference between two losses of a step, as a share of the peer's (of the curve's mean where `scaled`)."""


@dataclass(frozen=True)
class Curve:
    """Two runs to compare. parameters: the configuration of both. answers: what of their answers is compared.

    scaled: the losses are small differences of large terms, so a difference is measured against their mean size.
    """

    name: str
    module: str
    parameters: Mapping[str, Any]
    answers: Sequence[str] = ("losses",)
    scaled: bool = False


_PAIRS = {"pairs": "demo", "longest": 320, "batch_size": 2, "timed_steps": 19}
CURVES = {
    curve.name: curve
    for curve in (
        Curve("dpo", "benchmarks.dpo", _PAIRS),
        Curve("reward_model", "benchmarks.reward_model", _PAIRS),
        Curve(
            "grpo",
            "benchmarks.grpo",
            {
                "prompt_tokens": 24,
                "prompts": 2,
                "samples": 4,
                "new_tokens": 16,
                "updates": 2,
                "timed_steps": 9,
            },
            ("losses", "kl"),
            scaled=True,
        ),
        Curve(
            "ppo",
            "benchmarks.ppo",
            {"prompts": 4, "samples": 1, "new_tokens": 16, "epochs": 2, "timed_steps": 9},
            scaled=True,
        ),
    )
}
_BOTH = {"compute_dtype": "float32", "precision": "float32", "fixed": True, "micro_batches": 1, "unit": "steps"}


def measured(curve: Curve, *, threads: int) -> Config:
    """The losses of both sides and how far they are apart."""
    with tempfile.TemporaryDirectory(prefix="burnish-curves-") as folder:
        config = {**_BOTH, **curve.parameters, "folder": folder, "threads": threads, "keep_freed_memory": True}
        config |= {
            key: value for key, value in call(curve.module, "prepare", config).items() if key != "peak_rss_bytes"
        }
        sides = {side: call(curve.module, side, config) for side in ("ours", "peer")}
    found: Config = {}
    for answer in curve.answers:
        ours, peer = sides["ours"][answer], sides["peer"][answer]
        found[answer] = {"ours": ours, "peer": peer, "departure": departure(ours, peer, scaled=curve.scaled)}
    worst = max(one["departure"] for one in found.values())
    return {"curves": found, "departure": worst, "tolerance": TOLERANCE, "agrees": worst <= TOLERANCE}


def departure(ours: Sequence[Any], peer: Sequence[Any], *, scaled: bool) -> float:
    """The largest difference of a step relative to the peer's number there, or to the mean size of its numbers.

    Where a step has several numbers each of them is a curve. Curves of different length are infinitely far apart.
    """
    if len(ours) != len(peer) or not ours:
        return float("inf")
    if isinstance(ours[0], list):
        curves = zip(zip(*ours, strict=True), zip(*peer, strict=True), strict=True)
        return max(departure(a, b, scaled=scaled) for a, b in curves)
    mean = sum(map(abs, peer)) / len(peer)
    apart = [_relative(a - b, mean if scaled else b) for a, b in zip(ours, peer, strict=True)]
    return float("inf") if any(map(math.isnan, apart)) else max(apart)


def _relative(difference: float, size: float) -> float:
    return 0.0 if difference == 0 else abs(difference / size) if size else float("inf")


def main(
    curves: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(CURVES)}; may be repeated.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each side.")] = 2,
    output: Annotated[Path, typer.Option(help="File that gets the losses.")] = Path("runs/bench/curves.json"),
) -> None:
    """Compare the losses of Burnish and TRL, step by step."""
    from burnish.files import atomic_write_text

    if unknown := [name for name in curves or () if name not in CURVES]:
        raise typer.BadParameter(f"no curve {unknown[0]}; expected one of: {', '.join(CURVES)}", param_hint="--curves")
    found: Config = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    for name in curves or CURVES:
        try:
            found[name] = measured(CURVES[name], threads=threads)
        except BenchmarkError as error:
            sys.exit(f"{name}: {error}")
        verdict = "agrees" if found[name]["agrees"] else "DEPARTS"
        print(f"{name}: {verdict}, at most {found[name]['departure']:.1e} apart")
        atomic_write_text(output, json.dumps(found, indent=2) + "\n")
    if not all(found[name]["agrees"] for name in curves or CURVES):
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
