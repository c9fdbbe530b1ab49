"""Every row of the benchmarks does its work: on a tiny model, and, slowly, on the real one as the harness calls it.

Nothing else runs the rows, and what they call and mark moves with the code that they measure.
"""

import importlib
import json
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from benchmarks import material, pairs, worker
from benchmarks.__main__ import ROWS
from benchmarks.process import call
from benchmarks.profile_steps import GENERATION
from benchmarks.row import BenchmarkError, Config, Row

import burnish
from workshop import make_workshop

TINY: dict[str, Config] = {
    "decode_shared_prompt": {"prompt_tokens": 12, "n_prompts": 2, "samples": 2, "new_tokens": 3},
    "warm_prefix": {"prefix_tokens": 32, "n_prompts": 2},
    "sft_packed": {"batch_size": 2, "timed_steps": 1},
    "dpo_demo": {"warm_up_steps": 1, "timed_steps": 1},
    "reward_model": {"warm_up_steps": 1, "timed_steps": 1},
    "prm": {"questions": 1, "answers": 2, "warm_up_steps": 1, "timed_steps": 1},
    "ppo": {"prompts": 2, "new_tokens": 4, "epochs": 2, "timed_steps": 1},
    "grpo": {"prompts": 1, "samples": 4, "new_tokens": 4, "warm_up_steps": 1, "timed_steps": 1},
    "distill": {"prompts": 2, "new_tokens": 4, "timed_steps": 1},
    "tokenize": {"copies": 1},
}
"""Sizes of a row of each kind."""
SLOW_ONLY = {"benchmarks.data", "benchmarks.decode_one", "benchmarks.serve", "benchmarks.speculative"}
"""They start processes, and need llama.cpp or the real model."""


def row_config(row: Row, folder: Path, sizes: Config) -> Config:
    """What the workers of a row are told, as the harness has it, after its `prepare`."""
    return {"folder": str(folder), "threads": 1, "unit": row.unit, **row.parameters, **sizes}


def checked(answer: Config, *, timed: bool) -> None:
    """What every answer of a side has: a rate where it is timed, and else finite figures to compare with the peer's."""
    found = answer.get("evidence", {})
    assert answer["value"] > 0 if timed else found
    figures = [one for one in found.values() if isinstance(one, float)]
    for one in answer.get("losses", []):
        figures += one if isinstance(one, list) else [one]
    assert all(map(math.isfinite, figures)), figures


def our_side(row: Row, folder: Path, sizes: Config) -> Callable[[Config], Config]:
    """Our side of a row after its `prepare`, in this process, for further settings."""
    module = importlib.import_module(row.module)
    config = row_config(row, folder, {"compute_dtype": "float32", **sizes})
    prepare = getattr(module, "prepare", pairs.prepare)
    prepared = config | json.loads(json.dumps(prepare(config)))
    return lambda more: dict(module.ours(prepared | more))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model and a few lines of each file of sample data in place of the real ones; a folder for a row."""
    model = make_workshop(tmp_path / "workshop").parent / "model"
    data = tmp_path / "data"
    data.mkdir()
    asked = [f"{i} mod 3?" for i in range(12)]
    files: dict[str, Any] = {
        "alpaca_en_demo.json": [{"instruction": one, "input": "", "output": "SELECT 1"} for one in asked],
        "dpo_en_demo.json": [
            {
                "conversations": [{"from": "human", "value": one}],
                "chosen": {"from": "gpt", "value": "SELECT 1"},
                "rejected": {"from": "gpt", "value": "SELECT 2"},
            }
            for one in asked
        ],
    }
    for name, rows in files.items():
        (data / name).write_text(json.dumps(rows))
    solved = [json.dumps({"question": one, "answer": "1 + 1 = 2\n#### 2"}) for one in asked]
    (data / "gsm8k_train.jsonl").write_text("\n".join(solved))
    (data / "c4_demo.jsonl").write_text(json.dumps({"text": "SELECT 1 mod 3?"}))
    (data / "wiki_demo.txt").write_text("SELECT 1 mod 3 and 2 mod 3\n\n" * 40)
    monkeypatch.setattr(material, "SHARED_DATA", data)
    monkeypatch.setattr(material, "load_model", lambda: burnish.load(model, compute_dtype="float32", device="cpu"))
    monkeypatch.setattr(worker, "use_processor", lambda *_, **__: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "row"
    folder.mkdir()
    return folder


def test_a_row_of_every_kind_is_tried() -> None:
    assert {ROWS[name].module for name in TINY} | SLOW_ONLY == {row.module for row in ROWS.values()}


@pytest.mark.parametrize("name", TINY)
def test_our_side_of_a_row_does_its_work(name: str, small: Path) -> None:
    row, sizes = ROWS[name], TINY[name]
    ours = our_side(row, small, sizes)
    timed = ours({})
    checked(timed, timed=True)
    if "losses" in timed:
        assert len(timed["losses"]) == sizes.get("warm_up_steps", 1) + sizes["timed_steps"]
    untimed = {key: value for key, value in row.check.items() if key not in sizes or key == "timed_steps"}
    checked(ours(untimed), timed=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grpo", "ppo", "distill"])
def test_what_is_sampled_is_marked_in_a_profile(name: str, small: Path) -> None:
    profile = small / "profile.json"
    our_side(ROWS[name], small, TINY[name])({"profile": str(profile)})
    assert json.loads(profile.read_text())["kinds"][GENERATION]["seconds"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_the_harness_can_call_our_side_of_a_row(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    if row.module == "benchmarks.decode_one" and find_spec("llama_cpp") is None:
        pytest.skip("llama.cpp is not installed")
    try:
        material.shared_file("wiki_demo.txt")
    except BenchmarkError as error:
        pytest.skip(str(error))
    config = row_config(row, tmp_path, {**row.quick})
    config |= call(row.module, "prepare", config)
    answer = call(row.module, "ours", config | row.check)
    checked(answer, timed=False)
    assert answer["peak_rss_bytes"] > 2**20
