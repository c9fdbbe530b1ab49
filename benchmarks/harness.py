"""Measures a row: prepare, find the peer's fastest configuration, check, then the two sides in turn.

Notable choices:
- every run is a process of its own, so no side meets caches or fragments of memory that another one left;
- the sides alternate within one session, so a machine that gets slower or faster meets both;
- the rate of a side is the median of its repetitions; ratios are between medians.
"""

import json
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.process import ROOT, call
from benchmarks.row import BenchmarkError, Config, Row

NOISE = 0.1
"""A run is called noisy where other processes used more than so many cores meanwhile."""

_CIRCUMSTANCES = ("parameters", "machine", "versions")
"""The keys of a record that its search was for."""

Say = Callable[[str], None]


def measure(
    row: Row, *, repetitions: int, threads: int, quick: bool, say: Say, earlier: Config | None = None
) -> Config:
    """The record of a row, as it is written to `<row>.json`.

    earlier: a record whose search for the peer's configuration is not done again, where it was of the same work, on
    the same machine, with the same versions.
    """
    with tempfile.TemporaryDirectory(prefix="burnish-bench-") as folder:
        sizes = {**row.parameters, **(row.quick if quick else {})}
        config: Config = {"folder": folder, "threads": threads, "unit": row.unit, **sizes}
        config |= _without_memory(call(row.module, "prepare", config))
        if earlier is not None and _circumstances(earlier) == _circumstances(_facts(row, config)):
            candidates = earlier["candidates"]
            say(f"{row.name}: the search of {earlier['searched']} is taken over")
        else:
            earlier = None
            candidates = search(row, config | (row.quick if quick else row.search), say)
        chosen = fastest(candidates)
        say(f"{row.name}: {row.peer} with {_shown(chosen)}")
        check = config | row.check
        evidence = agreed(
            call(row.module, "ours", check)["evidence"],
            _peer(row, config, chosen, row.check)["evidence"],
            row.tolerance,
        )
        runs: dict[str, list[Config]] = {"ours": [], "peer": []}
        for number in range(1, repetitions + 1):
            for side, answers in runs.items():
                answers.append(call(row.module, side, config) if side == "ours" else _peer(row, config, chosen))
                say(f"{row.name}: {side} {number}/{repetitions}: {_outcome(row, answers[-1])}")
    found = record(row, config, chosen, candidates, evidence, runs) | {"quick": quick}
    return found | {"searched": earlier["searched"] if earlier else found["measured"]}


def read(folder: Path, row: Row) -> Config | None:
    """What `write` left of a row; None where there is nothing. Raises BenchmarkError where it is something else."""
    path = folder / f"{row.name}.json"
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {*_CIRCUMSTANCES, "candidates", "searched"} <= found.keys():
        raise BenchmarkError(f"{path} is not the record of a search: run without --keep-search")
    return found


def fastest(candidates: Sequence[Config]) -> Config:
    """The settings of the candidate with the highest rate."""
    best: Config = max(candidates, key=lambda one: one.get("value", float("-inf")))["configuration"]
    return best


def search(row: Row, config: Config, say: Say) -> list[Config]:
    """The peer's settings that were tried, in order, each with its rate.

    One run for each candidate: along each axis in turn the values beside the best so far, and round again until no
    change of a single setting is faster. A candidate that fails is recorded and passed over. Raises BenchmarkError
    where all of them do.
    """
    best = {axis: values[0] for axis, values in row.axes.items()}
    rate, before = float("-inf"), None
    tried: list[Config] = []
    while before != rate:
        before = rate
        for axis, values in row.axes.items():
            for candidate in [best | {axis: value} for value in values]:
                if any(earlier["configuration"] == candidate for earlier in tried):
                    continue
                tried.append({"configuration": candidate, **_tried(row, config, candidate, say)})
                if tried[-1].get("value", float("-inf")) > rate:
                    best, rate = candidate, tried[-1]["value"]
    if rate == float("-inf"):
        raise BenchmarkError(f"no configuration of {row.peer} works; the first failure: {tried[0]['error']}")
    return tried


def agreed(ours: Mapping[str, Any], peer: Mapping[str, Any], tolerance: float) -> Config:
    """Both sides' evidence side by side. Raises BenchmarkError where they did not compute the same thing."""
    if ours.keys() != peer.keys() or not ours:
        raise BenchmarkError(f"the sides give different evidence: {sorted(ours)} and {sorted(peer)}")
    for name in ours:
        a, b = ours[name], peer[name]
        same = abs(a - b) <= tolerance if isinstance(a, float) and isinstance(b, float) else a == b
        if not same:
            raise BenchmarkError(f"the sides do not compute the same thing: {name} is {a} here and {b} for the peer")
    return {name: {"ours": ours[name], "peer": peer[name]} for name in ours}


def record(
    row: Row,
    config: Config,
    chosen: Config,
    candidates: list[Config],
    evidence: Config,
    runs: Mapping[str, list[Config]],
) -> Config:
    """What is kept of the runs: medians, their ratios, and everything they were computed from."""
    rates = {side: statistics.median(answer["value"] for answer in answers) for side, answers in runs.items()}
    peaks = {side: statistics.median(answer["peak_rss_bytes"] for answer in answers) for side, answers in runs.items()}
    ratio, peak_rss_ratio = rates["ours"] / rates["peer"], peaks["ours"] / peaks["peer"]
    return {
        "row": row.name,
        "work": row.work,
        "unit": row.unit,
        "ours": rates["ours"],
        "peer": rates["peer"],
        "ratio": ratio,
        "peak_rss_ratio": peak_rss_ratio,
        "peak_rss_bytes": peaks,
        "target": {"ratio": row.target.ratio, "peak_rss_ratio": row.target.peak_rss_ratio},
        "met": row.target.met(ratio, peak_rss_ratio),
        "peer_name": row.peer,
        "peer_configuration": chosen | runs["peer"][0].get("configuration", {}),
        "our_configuration": runs["ours"][0].get("configuration", {}),
        "candidates": candidates,
        **evidence,
        "repetitions": {
            side: [
                {key: value for key, value in answer.items() if key not in ("evidence", "configuration")}
                for answer in answers
            ]
            for side, answers in runs.items()
        },
        "noisy": any(one.get("busy_elsewhere", 0.0) > NOISE for one in (*candidates, *runs["ours"], *runs["peer"])),
        **_facts(row, config),
        "commit": _commit(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write(folder: Path, result: Config) -> Path:
    """Write a row's record to `<folder>/<row>.json`."""
    from burnish.files import atomic_write_text

    path = folder / f"{result['row']}.json"
    atomic_write_text(path, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return path


def _facts(row: Row, config: Config) -> Config:
    """What a peer's fastest configuration depends on."""
    return {
        "parameters": {key: config[key] for key in row.parameters},
        "machine": _machine(config["threads"]),
        "versions": _versions(row),
    }


def _circumstances(record: Config) -> Config:
    return {key: record[key] for key in _CIRCUMSTANCES}


def _peer(row: Row, config: Config, chosen: Config, overrides: Mapping[str, Any] | None = None) -> Config:
    return call(row.module, "peer", config | chosen | dict(overrides or {}))


def _tried(row: Row, config: Config, candidate: Config, say: Say) -> Config:
    """Rate and memory of the peer with these settings, or the `error` that it ended with."""
    try:
        answer = _peer(row, config, candidate)
    except BenchmarkError as error:
        say(f"{row.name}: peer with {_shown(candidate)} failed: {error}")
        return {"error": str(error)}
    say(f"{row.name}: peer with {_shown(candidate)}: {_outcome(row, answer)}")
    return {key: answer[key] for key in ("value", "peak_rss_bytes", "busy_elsewhere") if key in answer}


def _without_memory(answer: Config) -> Config:
    return {key: value for key, value in answer.items() if key != "peak_rss_bytes"}


def _outcome(row: Row, answer: Config) -> str:
    noise = answer.get("busy_elsewhere", 0.0)
    warning = f" (noisy: others used {noise:.1f} cores)" if noise > NOISE else ""
    more = f" ({answer['shown']})" if "shown" in answer else ""
    return f"{answer['value']:.2f} {row.unit}, {answer['peak_rss_bytes'] / 2**30:.2f} GiB{more}{warning}"


def _shown(configuration: Config) -> str:
    return ", ".join(_settings(configuration)) or "its only configuration"


def _settings(configuration: Config) -> Iterator[str]:
    for name, value in configuration.items():
        if isinstance(value, bool):
            yield name if value else f"no {name}"
        else:
            yield f"{name} {value}"


def _machine(threads: int) -> Config:
    import psutil
    import torch

    from burnish.hardware import available_cores, device_name

    return {
        "device": device_name(torch.device("cpu")),
        "cores": available_cores(),
        "threads": threads,
        "memory_bytes": psutil.virtual_memory().total,
    }


def _commit() -> str | None:
    """What git calls this state of the source, `-dirty` where it was changed since; None outside a clone."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None


def _versions(row: Row) -> dict[str, str]:
    return {package: metadata.version(package) for package in ("burnish", "torch", *row.packages)}
