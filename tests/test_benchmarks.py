"""The benchmarks' harness: what it records, how it finds a peer's configuration, and that failures speak. No timing."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from benchmarks import curves, harness, material, our_rollouts, our_training, pairs, ppo, profile
from benchmarks.__main__ import ROWS
from benchmarks.process import call
from benchmarks.profile_steps import Recorder
from benchmarks.row import BenchmarkError, Config, Row, Target
from benchmarks.table import ratio_table
from benchmarks.worker import Stopwatch

from burnish.datasets.batches import shuffled_steps
from burnish.forest import Forest
from burnish.generation.sampling import Sampling
from burnish.lab.attention.roofline import matrix_parameters
from burnish.methods.rollouts import Rollouts
from burnish.rewards.sampled_groups import RolloutConfig
from burnish.runs.run import Run
from tiny_models import tiny_decoder

GIB = 2**30
WORKER = """
import sys
from benchmarks import worker

def ours(config):
    print("a library that talks")
    return {"value": config["x"] * 2.0}

def peer(config):
    raise RuntimeError("the peer wants a GPU")

def killed(config):
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)

def absent(config):
    import a_peer_that_is_not_installed.parts

def moved(config):
    import burnish.nowhere

worker.main(ours=ours, peer=peer, killed=killed, absent=absent, moved=moved)
"""


def row(**changes: Any) -> Row:
    settings: dict[str, Any] = {
        "name": "example",
        "work": "an example",
        "module": "nothing",
        "peer": "Peer",
        "unit": "tokens/s",
        "target": Target(ratio=3, peak_rss_ratio=0.5),
        "parameters": {"size": 64},
        "quick": {"size": 2},
        "search": {"size": 8},
        "axes": {"dtype": ("float32", "bfloat16"), "split": (1, 2, 4)},
        "check": {"dtype": "float32"},
    }
    return Row(**settings | changes)


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A module of three sides that `python -m example_worker` finds, and the configuration of its calls."""
    (tmp_path / "example_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return {"folder": str(tmp_path), "threads": 1, "x": 21}


def answer(value: float, gib: float = 1.0, **more: Any) -> Config:
    return {"value": value, "peak_rss_bytes": round(gib * GIB), "evidence": {"loss_first_step": 2.0}, **more}


def test_a_worker_answers_with_one_object_and_its_peak_memory(worker: Config) -> None:
    found = call("example_worker", "ours", worker)
    assert found["value"] == 42.0
    assert 2**20 < found["peak_rss_bytes"] < GIB


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ("peer", ["example_worker peer ended with status 1", '"x": 21', "RuntimeError: the peer wants a GPU"]),
        ("killed", ["was killed by SIGKILL (out of memory?)"]),
        ("other", ["no side 'other'; expected one of: ours, peer, killed, absent, moved"]),
        ("absent", ["\n  a_peer_that_is_not_installed is not installed: `make .venv/.installed-slow`"]),
        ("moved", ["ModuleNotFoundError: No module named 'burnish.nowhere'"]),
    ],
)
def test_a_failing_worker_says_which_and_why(worker: Config, side: str, said: list[str]) -> None:
    with pytest.raises(BenchmarkError) as error:
        call("example_worker", side, worker)
    assert [text for text in said if text not in str(error.value)] == []


def test_a_row_is_measured_in_turn_and_its_medians_are_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[tuple[str, int, str | None]] = []
    rates = {"ours": iter([400.0, 90.0, 100.0, 110.0]), "peer": iter([25.0, 20.0, 1.0, 20.0, 30.0, 40.0])}

    def fake(_module: str, side: str, config: Config) -> Config:
        if side == "prepare":
            return {"work": "w.json", "peak_rss_bytes": GIB}
        assert config["work"] == "w.json"
        calls.append((side, config["size"], config.get("dtype")))
        return answer(next(rates[side]), 1.0 if side == "ours" else 4.0, configuration={"attention": side})

    monkeypatch.setattr(harness, "call", fake)
    measured = row(axes={"dtype": ("float32", "bfloat16")})
    record = harness.measure(measured, repetitions=3, threads=1, quick=False, say=lambda _: None)
    search, check, turns = calls[:2], calls[2:4], calls[4:]
    assert search == [("peer", 8, "float32"), ("peer", 8, "bfloat16")]
    assert check == [("ours", 64, "float32"), ("peer", 64, "float32")]
    assert [side for side, *_ in turns] == ["ours", "peer"] * 3
    assert {size for _, size, _ in turns} == {64}
    assert (record["ours"], record["peer"], record["ratio"]) == (100.0, 30.0, 100 / 30)
    assert (record["peak_rss_ratio"], record["peak_rss_bytes"]) == (0.25, {"ours": GIB, "peer": 4 * GIB})
    assert record["peer_configuration"] == {"dtype": "float32", "attention": "peer"}
    assert record["loss_first_step"] == {"ours": 2.0, "peer": 2.0}
    assert [one["value"] for one in record["repetitions"]["peer"]] == [20.0, 30.0, 40.0]
    assert record["met"] is True
    path = harness.write(tmp_path / "bench", record)
    assert path.name == "example.json"
    kept = json.loads(path.read_text())
    assert kept == record
    assert {"ours", "peer", "unit", "ratio", "peak_rss_ratio", "peer_configuration", "machine"} <= kept.keys()
    assert ratio_table([record]).row_count == 1


def test_an_earlier_search_serves_the_same_circumstances_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[tuple[str, str | None]] = []

    def fake(_module: str, side: str, config: Config) -> Config:
        calls.append((side, config.get("dtype")))
        return answer(2.0 if config.get("dtype") == "bfloat16" else 1.0)

    def measure(measured: Row, earlier: Config | None) -> Config:
        calls.clear()
        return harness.measure(measured, repetitions=1, threads=1, quick=False, say=lambda _: None, earlier=earlier)

    monkeypatch.setattr(harness, "call", fake)
    small = row(axes={"dtype": ("float32", "bfloat16")}, check={})
    assert harness.read(tmp_path, small) is None
    harness.write(tmp_path, measure(small, None))
    kept = harness.read(tmp_path, small)
    assert kept is not None
    again = measure(small, kept)
    assert calls == [("prepare", None), ("ours", None), ("peer", "bfloat16"), ("ours", None), ("peer", "bfloat16")]
    assert (again["candidates"], again["searched"]) == (kept["candidates"], kept["searched"])
    for damaged in ("{", "[]", json.dumps({key: value for key, value in kept.items() if key != "searched"})):
        (tmp_path / "other.json").write_text(damaged)
        with pytest.raises(BenchmarkError, match="run without --keep-search"):
            harness.read(tmp_path, row(name="other"))
    other = measure(row(axes=small.axes, check={}, parameters={"size": 65}), kept)
    assert [side for side, _ in calls].count("peer") == 4, "searched again"
    assert other["searched"] == other["measured"]


def test_a_target_is_missed_by_either_ratio() -> None:
    target = Target(ratio=3, peak_rss_ratio=0.5)
    assert target.met(3.0, 0.5)
    assert not target.met(2.9, 0.1)
    assert not target.met(9.0, 0.6)
    assert Target(ratio=3).met(3.0, 9.0)


def test_the_search_ends_where_no_single_setting_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {("float32", 1): 5.0, ("bfloat16", 1): 9.0, ("bfloat16", 4): 11.0, ("float32", 4): 12.0}

    def fake(_module: str, _side: str, config: Config) -> Config:
        setting = (config["dtype"], config["split"])
        if setting not in rates:
            raise BenchmarkError("out of memory")
        return answer(rates[setting])

    monkeypatch.setattr(harness, "call", fake)
    tried = harness.search(row(), {"threads": 1}, lambda _: None)
    assert harness.fastest(tried) == {"dtype": "float32", "split": 4}
    assert [(one["configuration"]["dtype"], one["configuration"]["split"]) for one in tried] == [
        ("float32", 1),
        ("bfloat16", 1),
        ("bfloat16", 2),
        ("bfloat16", 4),
        ("float32", 4),  # the second round
        ("float32", 2),
    ]
    assert [one.get("error") for one in tried] == [None, None, "out of memory", None, None, "out of memory"]


def test_a_peer_that_never_works_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(*_: Any) -> Config:
        raise BenchmarkError("no such module")

    monkeypatch.setattr(harness, "call", fake)
    with pytest.raises(BenchmarkError, match="no configuration of Peer works; the first failure: no such module"):
        harness.search(row(), {"threads": 1}, lambda _: None)


@pytest.mark.parametrize(
    ("ours", "peer"),
    [
        ({"loss_first_step": 2.00}, {"loss_first_step": 2.02}),
        ({"loss_first_step": float("nan")}, {"loss_first_step": 2.0}),
        ({"greedy_tokens": [1, 2]}, {"greedy_tokens": [1, 3]}),
        ({"loss_first_step": 2.0}, {}),
    ],
)
def test_sides_that_compute_different_things_are_not_compared(ours: Config, peer: Config) -> None:
    with pytest.raises(BenchmarkError):
        harness.agreed(ours, peer, 0.01)


def test_sides_that_agree_are_recorded() -> None:
    found = harness.agreed({"loss_first_step": 2.0, "tokens": [1]}, {"loss_first_step": 2.005, "tokens": [1]}, 0.01)
    assert found["loss_first_step"] == {"ours": 2.0, "peer": 2.005}


@pytest.mark.parametrize("name", ROWS)
def test_what_a_row_overrides_is_known(name: str) -> None:
    """A misspelt key in `quick`, `search` or `check` would change nothing and say nothing."""
    one = ROWS[name]
    assert one.name == name
    known = {*one.parameters, *one.axes, "compute_dtype", "temperature", "prompt_tokens"}
    assert {*one.quick, *one.search, *one.check} <= known


def test_a_pair_counts_once_and_its_prompt_for_both_answers(tmp_path: Path) -> None:
    from benchmarks import trl_training

    work = material.write_work(tmp_path, [{"prompt": [1] * 5, "chosen": [2] * n, "rejected": [3]} for n in range(1, 9)])
    config: Config = {"work": work, "batch_size": 2, "timed_steps": 2, "micro_batches": 4}
    assert [len(pair["chosen"]) for pair in pairs.read(config)] == [1, 2, 3, 4, 5, 6]
    watch = Stopwatch()
    watch.seconds, watch.busy_elsewhere = 8.0, 0.0
    found = pairs.answer(config, watch, [{"loss": 0.7}, {"loss": 0.6}, {"loss": 0.5}], {"loss_first_step": 0.7})
    assert (found["value"], found["losses"]) == (4 / 8, [0.7, 0.6, 0.5])
    assert found["tokens"] == 4 * 2 * 5 + (3 + 4 + 5 + 6) + 4
    sizes = trl_training.micro_batches(config["batch_size"], config)
    assert sizes == {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}, "no more parts than rows"
    assert our_training.settings({"batch_size": 2}).batch_size == 2
    placed = our_training.in_order(range(6))
    plan = shuffled_steps(6, batch_size=2, epochs=1, seed=0)
    assert [[placed[number] for number in step] for step in plan] == [[0, 1], [2, 3], [4, 5]]
    found = pairs.answer(config | {"warm_up_steps": 2, "timed_steps": 1}, watch, [{"loss": 0.7}], {})
    assert (found["value"], found["tokens"]) == (2 / 8, 2 * 2 * 5 + (5 + 6) + 2)
    with pytest.raises(BenchmarkError, match="the sample data has 8 such pairs, fewer than 18"):
        pairs.read(config | {"timed_steps": 8})


def test_the_time_of_workers_that_live_on_is_not_somebody_elses() -> None:
    """As those of a fork server: no child of ours, and not waited for."""
    burn = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint(flush=True); sys.stdin.read()"
    start = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}]).wait()"
    watch = Stopwatch(children=True)
    watch.start()
    with subprocess.Popen([sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert watch._own_seconds() - watch._own >= 0.3
        watch.stop()
        assert child.stdin is not None
        child.stdin.close()
    assert watch.answer(1.0)["peak_rss_bytes"] > 2 * 2**20


def test_curves_are_compared_step_by_step() -> None:
    assert curves.departure([0.7, 0.5], [0.7, 0.5005], scaled=False) == pytest.approx(0.0005 / 0.5005)
    assert curves.departure([0.7, 0.0], [0.7, 0.001], scaled=True) == pytest.approx(0.001 / 0.3505)
    assert curves.departure([[1.0, 3.0], [1.0, 3.0]], [[1.0, 3.0], [1.0, 2.0]], scaled=False) == pytest.approx(0.5)
    assert curves.departure([0.7], [0.7, 0.5], scaled=False) == float("inf")
    assert curves.departure([], [], scaled=False) == float("inf")
    assert curves.departure([float("nan"), 0.5], [0.7, 0.5], scaled=False) == float("inf")


@pytest.mark.parametrize("command", [curves, profile])
def test_a_side_that_fails_ends_the_command_with_what_it_said(
    command: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def failing(*_: Any) -> Config:
        raise BenchmarkError("the sample data is not there")

    monkeypatch.setattr(command, "call", failing)
    with pytest.raises(SystemExit, match=r"^dpo[a-z_]*: the sample data is not there$"):
        command.main(threads=1, output=tmp_path / "found.json", **({"quick": True} if command is profile else {}))


@pytest.mark.parametrize("name", curves.CURVES)
def test_a_curve_gives_the_sizes_that_its_module_knows(name: str) -> None:
    curve = curves.CURVES[name]
    known = [{*row.parameters, *row.axes} for row in ROWS.values() if row.module == curve.module]
    assert any(curve.parameters.keys() <= keys for keys in known)


def test_a_rollouts_losses_are_the_means_over_its_updates() -> None:
    updates = [{"loss/policy_avg": 0.2, "loss/value_avg": 1.0}, {"loss/policy_avg": 0.4, "loss/value_avg": 3.0}]
    assert ppo.mean_losses(updates) == pytest.approx({"loss/policy_avg": 0.3, "loss/value_avg": 2.0})


@dataclass(frozen=True)
class Words:
    """A tokenizer whose text is the numbers of the tokens."""

    stop_ids: frozenset[int] = frozenset({7, 8})

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


def test_rollouts_take_the_prompts_in_order(tmp_path: Path) -> None:
    prompts = [[number] * 20 for number in range(6)]
    fixed = [[[number, 7], [number, 8, 7]] for number in range(6)]
    decoder = tiny_decoder(0)
    work = our_rollouts.sampled_work(Words(), prompts, fixed=True)
    assert not work.tokenizer.stop_ids
    config = RolloutConfig(sampling=Sampling(max_new_tokens=3), prompts=2, num_generations=2)
    taken = Rollouts(
        decoder,
        work,
        config,
        Run(tmp_path),
        columns=lambda batch: {"reference_logps": decoder.logps(batch.forest, batch.scored)},
    )
    with our_rollouts.given(prompts, fixed):
        assert [taken[number].answers for number in range(3)] == [
            [answer for group in fixed[place : place + 2] for answer in group] for place in (0, 2, 4)
        ]
    assert [taken[number].prompts for number in range(3)] == [prompts[:2], prompts[2:4], prompts[4:]]
    assert taken[1].answers == [*fixed[2], *fixed[3]]
    assert taken[1].totals.tolist() == [[0.5, pytest.approx(1 / 3)], [1.0, pytest.approx(2 / 3)]]
    assert [len(values) for values in taken[1].columns["reference_logps"]] == [2, 3, 2, 3]


def test_a_profile_knows_the_operations_of_a_training_step() -> None:
    """All products of a forward and a backward pass, counted by hand, each of its kind."""
    decoder = tiny_decoder(0)
    config = decoder.config
    forest, _ = Forest.from_sequences([list(range(12))])
    recorder = Recorder(decoder)
    recorder.start()
    decoder.logps(forest, torch.arange(1, 12)).sum().backward()
    found = recorder.stop(1.0)["kinds"]
    blocks, vocabulary = matrix_parameters(config)
    assert found["products of the layers"]["flops"] == pytest.approx(3 * 2 * 12 * blocks, rel=0.02)
    assert found["products with the vocabulary"]["flops"] == 2 * 2 * 2 * 11 * vocabulary
    pairs_seen = 12 * 13 / 2
    products = 2 * (2 + 5) * config.n_layers * config.n_heads * config.head_dim
    assert found["attention"]["flops"] == products * pairs_seen
    assert all(found[kind]["seconds"] > 0 for kind in ("attention", "log-softmax", "element-wise, norms, rotation"))
    assert sum(one["seconds"] for one in found.values()) == pytest.approx(1.0)
