"""The section of the report that compares models: every figure, safe against what models write, absent without data."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from test_report import HOSTILE, Page, read

from burnish.errors import DataError
from burnish.report.run_page import write_report


def value(mean: float, spread: float) -> dict[str, Any]:
    return {"value": mean, "interval": [mean - spread, mean + spread], "count": 48}


def model(reward: float, kl: float, tokens: float, seconds: float, wins: float | None) -> dict[str, Any]:
    return {
        "reward": {"reward_model": value(reward, 0.2)},
        "kl": {"k1": value(kl, kl / 4), "k3": value(kl * 1.1, kl / 5)},
        "tokens": value(tokens, 12.0),
        "cut_off": 0.375,
        "win_rate": {} if wins is None else {"reward_model": value(wins, 0.1)},
        "training": {
            "stages": [
                {"name": "sft", "type": "sft", "seconds": 130.0, "peak_rss_gib": 3.7},
                {"name": "last", "type": "last", "seconds": seconds, "peak_rss_gib": 2.9},
            ],
            "seconds": 130.0 + seconds,
            "peak_rss_gib": 3.7,
        },
    }


METRICS = {
    "prompts": 48,
    "pairs": 50,
    "samples": 1,
    "reference": "@sft",
    "baseline": "sft",
    "models": {
        "sft": model(-0.31, 0.0, 171.0, 0.4, None),
        "dpo": model(0.52, 6.1, 148.0, 201.0, 0.68),
        "ppo": model(0.83, 9.7, 190.0, 411.0, 0.74),
    },
    "pairs_ranked_right": {
        "dpo": value(0.64, 0.13) | {"per_token": value(0.71, 0.12), "length_correlation": -0.42},
        "ppo": value(0.58, 0.13),
        "reward_model": value(0.66, 0.13),
    },
}


@pytest.fixture
def compared(tmp_path: Path) -> Path:
    run = tmp_path / "runs" / "compare"
    folder = run / "01-compare"
    folder.mkdir(parents=True)
    configuration = {"type": "compare", "models": {label: f"@{label}" for label in METRICS["models"]}}  # type: ignore[attr-defined]
    (folder / "stage.json").write_text(json.dumps({"metrics": METRICS, "configuration": configuration}))
    chance = random.Random(1)
    for label in ("sft", "dpo", "ppo"):
        rows = [
            {
                "prompt": f"How would you explain the tides to a child of {number}?",
                "completion": f"{label} says: " + "the moon pulls at the sea. " * chance.randint(2, 12),
                "rewards": {"reward_model": chance.gauss(0, 1)},
            }
            for number in range(48)
        ]
        (folder / f"samples-{label}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    entry = {"name": "compare", "type": "compare", "folder": "01-compare", "seconds": 61.0, "peak_rss_gib": 2.2}
    (run / "summary.json").write_text(json.dumps({"name": "compare", "seed": 1, "stages": [entry]}))
    return run


def test_every_figure_is_there(compared: Path) -> None:
    page = read(compared)
    assert "Models on 48 held-out prompts" in page.words
    assert "KL is that from @sft" in page.words
    assert "ppo 0.83 0.63 to 1.03 9.7" in page.words
    assert "37.5 %" in page.words
    assert "3 min 21 s 5 min 31 s 3.70 GiB" in page.words
    assert "Wins against sft by reward model, ties half" in page.words
    assert "74.0 % 64.0 to 84.0" in page.words
    assert "reward model 66.0 %" in page.words
    assert "dpo, a token 71.0 %" in page.words
    assert "Correlation of dpo's margin with how much longer the chosen answer is: −0.42." in page.words
    charts = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert [chart["aria-label"] for chart in charts] == ["reward model against KL, by model"]
    assert sum(tag == "circle" for tag, _ in page.tags) == 3
    assert "4 of 48 prompts" in page.words
    for number in (0, 12, 24, 36):
        assert f"a child of {number}?" in page.words


def test_points_lie_inside_the_chart(compared: Path) -> None:
    circles = [attributes for tag, attributes in read(compared).tags if tag == "circle"]
    places = [(float(str(one["cx"])), float(str(one["cy"]))) for one in circles]
    assert all(46 < x < 330 and 10 < y < 164 for x, y in places)
    assert sorted(places) == places, "more KL is further right"
    assert sorted(places, key=lambda place: -place[1]) == places, "more reward is further up"


def test_what_a_model_writes_stays_text(compared: Path) -> None:
    plain = read(compared)
    for file in compared.glob("01-compare/samples-*.jsonl"):
        rows = [json.loads(line) | {"completion": HOSTILE, "prompt": HOSTILE} for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    html = write_report(compared).read_text(encoding="utf-8")
    assert {tag for tag, _ in Page(html).tags} == {tag for tag, _ in plain.tags}
    assert "<script" not in html


def test_without_rewards_pairs_and_samples_the_rest_is_shown(compared: Path) -> None:
    for file in compared.glob("01-compare/samples-*.jsonl"):
        file.unlink()
    metrics = json.loads(json.dumps(METRICS))
    metrics.pop("pairs_ranked_right")
    for row in metrics["models"].values():
        row |= {"reward": {}, "win_rate": {}, "training": {}}
    (compared / "01-compare" / "stage.json").write_text(json.dumps({"metrics": metrics}))
    page = read(compared)
    assert "dpo 6.1 4.57 to 7.62" in page.words
    assert "Wins" not in page.words
    assert "ranked right" not in page.words
    assert not any(tag == "svg" for tag, _ in page.tags)


@pytest.mark.parametrize("lost", ["models", "prompts", "baseline"])
def test_a_damaged_record_is_named(compared: Path, lost: str) -> None:
    metrics = {key: part for key, part in METRICS.items() if key != lost}
    (compared / "01-compare" / "stage.json").write_text(json.dumps({"metrics": metrics}))
    with pytest.raises(DataError, match=f"stage compare: its comparison is described wrongly.*{lost}"):
        write_report(compared)
