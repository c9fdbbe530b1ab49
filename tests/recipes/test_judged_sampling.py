"""The sample stage with a judge, and rounds of it with dpo: best against worst, nothing asked twice."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import burnish
from burnish.checkpoints import save_reward_model
from burnish.console.display import Display
from burnish.errors import BurnishError
from burnish.generation.answer import Answer
from burnish.methods.preferences import score_pairs
from burnish.nn.scalar import ScalarModel
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import preview, run
from burnish.rewards.judgement import JudgedAnswer, Judgement
from chat_server import ChatServer, chat_server
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: online"
    + SAME_BITS
    + """stages:
  - &sample
    type: sample
    tasks: tasks.jsonl
    judges: [{type: reward_model, model: reward}]
    samples: 4
    max_new_tokens: 24
  - &dpo
    type: dpo
    pairs: "@sample"
    training: {learning_rate: 1e-4, batch_size: 4, micro_batch_tokens: 256}
  - {<<: *sample, name: sample2}
  - {<<: *dpo, name: dpo2, pairs: "@sample2"}
"""
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe whose model ends its answers: the token that does is made likely."""
    file = make_workshop(tmp_path, RECIPE)
    rows = [{"prompt": f"{i} mod 3?"} for i in range(6)]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    decoder, tokenizer = burnish.load(tmp_path / "model", device="cpu", compute_dtype="float32")
    save_reward_model(ScalarModel(decoder, seed=5), tokenizer, tmp_path / "reward")
    decoder.embedding.weight.data[2] *= 1.5
    decoder.embedding.weight.data[3:] *= 0.3
    burnish.save(decoder, tokenizer, tmp_path / "model")
    return file


def longer_is_better(body: dict[str, Any]) -> str:
    text = body["messages"][1]["content"]
    a, b = (text.split(f"<answer_{name}>\n")[1].split(f"\n</answer_{name}>")[0] for name in "AB")
    return "[[A]]" if len(a) > len(b) else "[[B]]" if len(b) > len(a) else "[[C]]"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server(longer_is_better) as running:
        yield running


def sampled(recipe: Path, *overrides: str) -> tuple[Path, dict[str, Any]]:
    """The run's folder and summary."""
    runs = recipe.parent / "runs"
    summary = run(recipe, overrides=overrides, runs=runs, display=Display(quiet=True))
    return runs / "online", summary


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().split("\n") if line]


def check_pairs(folder: Path) -> None:
    """Every pair is the best and the worst of its prompt's whole answers, and every prompt with two has one."""
    samples, pairs = rows(folder / "samples.jsonl"), rows(folder / "pairs.jsonl")
    assert len(samples) == 24
    by_prompt: dict[str, list[dict[str, Any]]] = {}
    for one in samples:
        assert (one["score"] is not None) == (one["finished"] and bool(one["completion"].strip()))
        if one["score"] is not None:
            by_prompt.setdefault(json.dumps(one["prompt"]), []).append(one)
    expected = {prompt for prompt, ones in by_prompt.items() if len({one["score"] for one in ones}) > 1}
    assert {json.dumps(pair["prompt"]) for pair in pairs} == expected
    assert len(expected) >= 3
    for pair in pairs:
        scores = {one["completion"]: one["score"] for one in by_prompt[json.dumps(pair["prompt"])]}
        assert pair["chosen_score"] == scores[pair["chosen"]] == max(scores.values())
        assert pair["rejected_score"] == scores[pair["rejected"]] == min(scores.values())


@pytest.mark.slow
def test_rounds_of_sampling_and_training_follow_from_each_other(recipe: Path) -> None:
    plan = make_plan(recipe, runs=recipe.parent / "runs")
    assert [stage.config.model for stage in plan.stages] == ["base", "base", "@dpo", "@dpo"]  # type: ignore[union-attr]
    folder, _ = sampled(recipe)
    check_pairs(folder / "01-sample")
    check_pairs(folder / "03-sample2")
    assert rows(folder / "01-sample" / "samples.jsonl") != rows(folder / "03-sample2" / "samples.jsonl")
    changed = make_plan(recipe, overrides=["dpo.beta=0.2"], runs=recipe.parent / "runs")
    again = [stage.name for stage, status in preview(changed) if not status.cached]
    assert again == ["dpo", "sample2", "dpo2"]


def only_sampling(recipe: Path, judge: str) -> None:
    """Leave the first stage alone, with another judge."""
    head = RECIPE.split("  - &dpo")[0].replace("[{type: reward_model, model: reward}]", f"[{judge}]" if judge else "[]")
    recipe.write_text(head)


@pytest.mark.slow
def test_several_models_and_temperatures_answer_and_judges_are_compared(recipe: Path) -> None:
    head = RECIPE.split("  - &dpo")[0]
    judges = "[{type: reward_model, model: reward}, {type: reward_model, name: other, model: reward, weight: 0.5}]"
    text = head.replace("[{type: reward_model, model: reward}]", judges).replace("samples: 4", "samples: 2")
    recipe.write_text(text.rstrip() + "\n    others: {again: model}\n    temperatures: [0.5]\n")
    folder, _ = sampled(recipe)
    samples = rows(folder / "01-sample" / "samples.jsonl")
    by = ["model at 1", "model at 0.5", "again at 1", "again at 0.5"]
    assert [one["answered_by"] for one in samples] == [label for label in by for _ in range(2)] * 6
    agreement = json.loads((folder / "01-sample" / "stage.json").read_text())["metrics"]["agreement"]
    ((_, found),) = agreement.items()
    assert found["observed"] == found["kappa"] == 1.0
    assert found["items"] > 10


def test_a_judge_model_is_asked_in_both_orders_and_once(recipe: Path, server: ChatServer) -> None:
    only_sampling(recipe, f"{{type: chat, address: '{server.address}', model: big}}")
    folder, summary = sampled(recipe)
    check_pairs(folder / "01-sample")
    for pair in rows(folder / "01-sample" / "pairs.jsonl"):
        assert len(pair["chosen"]) > len(pair["rejected"])
    assert summary["pairs"] == len(rows(folder / "01-sample" / "pairs.jsonl"))
    asked = [json.dumps(body["messages"]) for body in server.requests]
    assert len(asked) == len(set(asked))
    assert len(asked) % 2 == 0
    before = (folder / "01-sample" / "pairs.jsonl").read_bytes()
    (folder / "01-sample" / "stage.json").unlink()
    sampled(recipe)
    assert len(server.requests) == len(asked), "what was answered is not asked again"
    assert (folder / "01-sample" / "pairs.jsonl").read_bytes() == before


def test_a_server_that_dies_leaves_what_it_answered(recipe: Path) -> None:
    answered = 0

    def dying(body: dict[str, Any]) -> Any:
        nonlocal answered
        answered += 1
        return longer_is_better(body) if answered <= 5 or answered > 6 else (400, {}, b"out of memory")

    with chat_server(dying) as server:
        only_sampling(recipe, f"{{type: chat, address: '{server.address}', model: big, concurrency: 1}}")
        with pytest.raises(BurnishError, match=r"stage sample: .*HTTP 400 .*out of memory"):
            sampled(recipe)
        folder, _ = sampled(recipe)
        asked = [json.dumps(body["messages"]) for body in server.requests]
    check_pairs(folder / "01-sample")
    assert len(asked) - len(set(asked)) == 1, "only the refused question comes again"


def test_what_was_sampled_gives_answers_to_imitate(recipe: Path) -> None:
    only_sampling(recipe, "{type: reward_model, model: reward}")
    folder, _ = sampled(recipe, "sample.choose=best")
    samples, chosen = (rows(folder / "01-sample" / name) for name in ("samples.jsonl", "chosen.jsonl"))
    best: dict[str, dict[str, Any]] = {}
    for one in samples:
        key = json.dumps(one["prompt"])
        if one["score"] is not None and one["score"] > best.get(key, {"score": -1e9})["score"]:
            best[key] = one
    assert [row["messages"][-1]["content"] for row in chosen] == [one["completion"] for one in best.values()]
    assert [json.dumps(row["messages"][:-1]) for row in chosen] == list(best)
    scores = sorted(one["score"] for one in samples if one["score"] is not None)
    threshold = scores[len(scores) // 2]
    sampled(recipe, "sample.choose=accepted", f"sample.threshold={threshold}", "sample.max_per_prompt=1")
    accepted = rows(folder / "01-sample" / "chosen.jsonl")
    expected: dict[str, str] = {}
    for one in samples:
        if one["score"] is not None and one["score"] >= threshold:
            expected.setdefault(json.dumps(one["prompt"]), one["completion"])
    assert [row["messages"][-1]["content"] for row in accepted] == list(expected.values())


def test_answers_that_were_all_cut_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge = "{type: python, file: mine.py}"
    stage = f"""stages:
  - {{type: sample, tasks: tasks.jsonl, samples: 2, max_new_tokens: 2, choose: best, judges: [{judge}]}}
"""
    file = make_workshop(tmp_path, "name: online" + SAME_BITS + stage)
    (tmp_path / "tasks.jsonl").write_text(json.dumps({"prompt": "1 mod 3?"}) + "\n")
    (tmp_path / "mine.py").write_text("def reward(prompt, completion, row):\n    return float(len(completion))\n")
    summary = run(file, runs=tmp_path / "runs", display=Display())
    assert summary["pairs"] == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "no prompt has two whole answers of different score" in said
    assert "`max_new_tokens`" in said
    folder = tmp_path / "runs" / "online" / "01-sample"
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert [row["finished"] for row in rows] == [False, False]
    assert (folder / "chosen.jsonl").read_text() == ""


@pytest.mark.parametrize(
    ("choose", "message"),
    [("votes", "can tell which answers come to the same"), ("accepted", "tells right from wrong: set `threshold`")],
)
def test_a_choice_that_no_judge_can_make_is_refused(recipe: Path, choose: str, message: str) -> None:
    only_sampling(recipe, "{type: reward_model, model: reward}")
    with pytest.raises(BurnishError, match=message):
        sampled(recipe, f"sample.choose={choose}")


def test_the_best_meets_the_worst() -> None:
    from burnish.datasets.rows import Task

    task = Task([{"role": "user", "content": "?"}], {"prompt": "?"})
    answers = [Answer(task.prompt, text, tokens=[1], logp=-1.0) for text in "abcde"]

    def pairs(limit: int, *scores: float) -> list[tuple[str, str]]:
        judged = [JudgedAnswer(*pair, {}) for pair in zip(answers, map(Judgement, scores), strict=False)]
        found = score_pairs(task, judged, limit)
        return [(pair["chosen"], pair["rejected"]) for pair in found]

    assert pairs(1, 0.3, 0.9, 0.1, 0.5, 0.7) == [("b", "c")]
    assert pairs(9, 0.3, 0.9, 0.1, 0.5, 0.7) == [("b", "c"), ("e", "a")]
    assert pairs(9, 1.0, 1.0, 1.0) == []
    assert pairs(9, 2.0, 1.0, 1.0, 1.0) == [("a", "d")]
    assert pairs(9, 1.0) == []
    assert pairs(9) == []


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ("{type: chat, address: 'localhost:8000/v1', model: m}", r"address.*localhost:8000/v1"),
        ("{type: chat, address: 'http://key@host/v1', model: m}", "address"),
        ("{type: chat, address: 'http://localhost/v1'}", "model"),
        ("{type: chatt, model: m}", "did you mean 'chat'"),
        ("{type: reward_model, model: nowhere}", "got 'nowhere'; no such file"),
        ("", "judges.*expected at least 1"),
        ("{type: format}, {type: format}", "there is a judge 'format' already"),
        ("{type: numbers}", r"tasks\.jsonl:1: .*answer"),
        ("{type: format, where: {kind: sum}}", r"tasks\.jsonl:1: no judge for this row \(kind: null\)"),
        (
            "{type: chat, address: 'http://localhost/v1', model: m, api_key_env: BURNISH_NO_SUCH_KEY}",
            "environment variable BURNISH_NO_SUCH_KEY is not set",
        ),
    ],
)
def test_judges_are_checked_before_anything_runs(judge: str, message: str, recipe: Path) -> None:
    only_sampling(recipe, judge)
    with pytest.raises(BurnishError, match=message):
        sampled(recipe)
    assert not (recipe.parent / "runs" / "online" / "01-sample").exists()


def test_the_key_is_sent_and_written_nowhere(recipe: Path, server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_TEST_KEY", "very-secret")
    only_sampling(recipe, f"{{type: chat, address: '{server.address}', model: big, api_key_env: BURNISH_TEST_KEY}}")
    folder, _ = sampled(recipe)
    assert set(server.keys) == {"Bearer very-secret"}
    for file in folder.rglob("*"):
        assert not file.is_file() or b"very-secret" not in file.read_bytes(), file
