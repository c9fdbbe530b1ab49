"""The compare stage on tiny models: what it measures, what it refuses, and that a stopped run measures the same."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import burnish
from burnish.checkpoints import save_reward_model
from burnish.console.display import Display
from burnish.errors import BurnishError
from burnish.methods import comparing
from burnish.nn.scalar import ScalarModel
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from burnish.runs.lineage import stages_behind
from chat_server import chat_server
from workshop import SAME_BITS, make_workshop, tiny_tokenizer

RECIPE = (
    "name: compared"
    + SAME_BITS
    + """stages:
  - type: sft
    data: sft.jsonl
    heldout: 0
    training: {learning_rate: 1e-2, batch_size: 4, epochs: 12, micro_batch_tokens: 256}
  - type: compare
    prompts: pairs.jsonl
    models: {base: base, sft: "@sft"}
    reference: base
    reward_model: reward
    samples: 2
    max_new_tokens: 8
    max_length: 64
"""
)


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = make_workshop(tmp_path, RECIPE)
    write(tmp_path / "sft.jsonl", [{"prompt": f"{i} mod 3?", "completion": f"SELECT {i % 3}"} for i in range(12)])
    pairs = [{"prompt": f"{i} mod 3?", "chosen": f"SELECT {i % 3}", "rejected": "prose " * 3} for i in range(6)]
    pairs.append({"prompt": "why? " * 40, "chosen": "SELECT 1", "rejected": "prose"})
    write(tmp_path / "pairs.jsonl", pairs)
    decoder, tokenizer = burnish.load(tmp_path / "model", device="cpu", compute_dtype="float32")
    save_reward_model(ScalarModel(decoder, seed=5), tokenizer, tmp_path / "reward")
    return file


def compared(recipe: Path, *overrides: str) -> tuple[dict[str, Any], Path]:
    """What the stage measured, and its folder."""
    run(recipe, overrides=overrides, runs=recipe.parent / "runs", display=Display(quiet=True))
    folder = recipe.parent / "runs" / "compared" / "02-compare"
    return json.loads((folder / "stage.json").read_text())["metrics"], folder


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().split("\n") if line]


def test_everything_is_measured(recipe: Path) -> None:
    metrics, folder = compared(recipe)
    base, sft = metrics["models"]["base"], metrics["models"]["sft"]
    assert metrics["prompts"] == metrics["pairs"] == 6, "the long prompt is left out"
    assert "tokens" in rows(folder / "data_report.jsonl")[0]["reason"]
    assert rows(folder / "data_report.jsonl")[0]["line"] == 7

    assert base["kl"]["k1"]["value"] == base["kl"]["k3"]["value"] == 0
    assert sft["kl"]["k3"]["value"] > 0
    assert base["win_rate"] == {}
    assert base["training"] == {}
    assert [stage["name"] for stage in sft["training"]["stages"]] == ["sft"]
    assert sft["training"]["peak_rss_gib"] > 0

    written = {label: rows(folder / f"samples-{label}.jsonl") for label in ("base", "sft")}
    for label, measured in metrics["models"].items():
        ours = written[label]
        assert len(ours) == 12
        assert measured["tokens"]["value"] == pytest.approx(sum(row["tokens"] for row in ours) / 12)
        assert measured["cut_off"] == sum(not row["finished"] for row in ours) / 12
        assert measured["kl"]["k1"]["value"] == pytest.approx(sum(row["log_ratio"] for row in ours) / 12, rel=1e-4)
        reward = sum(row["rewards"]["reward_model"] for row in ours) / 12
        assert measured["reward"]["reward_model"]["value"] == pytest.approx(reward)
        assert measured["reward"]["reward_model"]["count"] == 6
        low, high = measured["reward"]["reward_model"]["interval"]
        assert low < reward < high
    scores = [[row["rewards"]["reward_model"] for row in written[label]] for label in ("sft", "base")]
    expected = sum(one > other for one, other in zip(*scores, strict=True)) / 12
    assert sft["win_rate"]["reward_model"]["value"] == pytest.approx(expected)

    assert list(metrics["pairs_ranked_right"]) == ["sft", "reward_model"], "the reference ranks nothing"
    assert metrics["pairs_ranked_right"]["sft"]["value"] == 1.0, "trained on the chosen answers"
    assert metrics["pairs_ranked_right"]["sft"]["per_token"]["value"] == 1.0
    assert -1 <= metrics["pairs_ranked_right"]["sft"]["length_correlation"] <= 1
    summary = json.loads((folder.parent / "summary.json").read_text())
    assert summary["kl"]["sft"] == sft["kl"]["k1"]["value"]
    assert "Models on 6 held-out prompts" in (folder.parent / "report.html").read_text()


@pytest.mark.slow
def test_rewards_and_ratios_are_those_of_the_models(recipe: Path) -> None:
    """Against each answer computed alone, from what the stage wrote down."""
    metrics, folder = compared(recipe, "compare.samples=1")
    from burnish.checkpoints import load_reward_model
    from burnish.forest import Forest
    from burnish.text.chat import encode_conversation

    tokenizer = tiny_tokenizer()
    model, _ = load_reward_model(recipe.parent / "reward", compute_dtype="float32", device="cpu")

    def reward(prompt: list[dict[str, str]], answer: str) -> float:
        tokens, _ = encode_conversation(tokenizer, [*prompt, {"role": "assistant", "content": answer}])  # type: ignore[arg-type, list-item]
        with torch.no_grad():
            return model(Forest.from_segments([(tokens, -1)]), torch.tensor([len(tokens) - 1])).item()

    for row in rows(folder / "samples-sft.jsonl"):
        assert row["rewards"]["reward_model"] == pytest.approx(reward(row["prompt"], row["completion"]), rel=1e-4)
    right = [
        reward([{"role": "user", "content": pair["prompt"]}], pair["chosen"])
        > reward([{"role": "user", "content": pair["prompt"]}], pair["rejected"])
        for pair in rows(recipe.parent / "pairs.jsonl")[:6]
    ]
    assert metrics["pairs_ranked_right"]["reward_model"]["value"] == sum(right) / 6


@pytest.mark.slow
def test_tasks_have_no_pairs_to_rank(recipe: Path) -> None:
    write(recipe.parent / "tasks.jsonl", [{"prompt": f"{i} mod 3?"} for i in range(4)])
    metrics, _ = compared(recipe, "compare.prompts=tasks.jsonl")
    assert metrics["pairs"] == 0
    assert "pairs_ranked_right" not in metrics


@pytest.mark.slow
def test_a_stopped_stage_goes_on_to_the_same(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, folder = compared(recipe)
    before = [(folder / f"samples-{label}.jsonl").read_text() for label in ("base", "sft")]
    (folder / "stage.json").unlink()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(comparing.AnswerScorer, "rewards", stop)
        with pytest.raises(KeyboardInterrupt):
            compared(recipe)
    partial = sorted(file.name for file in (folder / "partial").iterdir())
    assert any(name.startswith("logps-") for name in partial)
    found, _ = compared(recipe)
    assert found == expected
    assert [(folder / f"samples-{label}.jsonl").read_text() for label in ("base", "sft")] == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("compare.baseline=sftt", r"compare.*baseline.*got 'sftt'.*did you mean 'sft'"),
        ("compare.max_new_tokens=64", r"max_new_tokens.*got 64; leaves no room for a prompt"),
        ("compare.models={reward_model: base}", "what the results call the reward model"),
        ("compare.rewards=[{type: format}, {type: format}]", "there is a reward 'format' already"),
        ("compare.rewards=[{type: numbers}]", r"pairs\.jsonl:1: .*answer"),
        ("compare.reward_model=@sft", r"stage 'sft' \(sft\) makes no reward_model"),
        ("compare.reward_model=nowhere", "got 'nowhere'; no such file"),
        ("compare.max_length=9", "no prompt leaves room for an answer of 8 tokens"),
        ("compare.reward_model=model", r"score\.weight|ForSequenceClassification"),
    ],
)
def test_what_cannot_be_compared_is_said(recipe: Path, override: str, message: str) -> None:
    with pytest.raises(BurnishError, match=message):
        compared(recipe, override)


@pytest.mark.slow
def test_the_lineage_is_found_in_another_run(recipe: Path) -> None:
    compared(recipe)
    run_folder = recipe.parent / "runs" / "compared"
    model = run_folder / "01-sft" / "model"
    assert [stage["name"] for stage in stages_behind(model)] == ["sft"]
    later = run_folder / "03-dpo"
    later.mkdir()
    (later / "stage.json").write_text(json.dumps({"name": "dpo", "inputs": [{"producer": "sft"}, {"producer": None}]}))
    assert [stage["name"] for stage in stages_behind(later / "model")] == ["sft", "dpo"]
    assert stages_behind(recipe.parent / "model") == []
    elsewhere = recipe.parent / "other.yaml"
    elsewhere.write_text(
        RECIPE.replace("name: compared", "name: other").replace('"@sft"', "runs/compared/01-sft/model")
    )
    plan = make_plan(elsewhere, runs=recipe.parent / "runs")
    assert plan.stages[1].inputs[2].producer is None
    assert math.prod(len(item.paths) for item in plan.stages[1].inputs) == 1


@pytest.mark.slow
def test_a_judge_model_and_further_rewards_decide_wins(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge here prefers the answer it sees first: in both orders that is a tie."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (recipe.parent / "short.py").write_text("def reward(prompt, completion, row):\n    return -len(completion)\n")
    with chat_server(lambda _: "[[A]]") as server:
        metrics, folder = compared(
            recipe,
            f"compare.judge={{type: chat, address: '{server.address}', model: big}}",
            "compare.rewards=[{type: python, file: short.py, name: short}, {type: format, name: form}]",
        )
        assert server.requests
    sft, base = metrics["models"]["sft"], metrics["models"]["base"]
    assert sft["win_rate"]["judge"] == {"value": 0.5, "interval": [0.5, 0.5], "count": 6}
    assert list(sft["win_rate"]) == ["reward_model", "short", "form", "judge"]
    lengths = [-len(row["completion"]) for row in rows(folder / "samples-base.jsonl")]
    assert base["reward"]["short"]["value"] == pytest.approx(sum(lengths) / 12)
    assert "by judge, ties half" in (folder.parent / "report.html").read_text()
