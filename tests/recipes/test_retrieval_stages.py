"""The stages `index` and `evaluate` with retrieval: what is asked, what is measured, what is made again."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.console.chat import find_target
from burnish.console.display import Display
from burnish.console.evaluating import EvalOptions, evaluation_recipe
from burnish.errors import BurnishError, RecipeError
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from burnish.retrieval import index
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: found"
    + SAME_BITS
    + """
chat:
  retrieval: {index: "@index", passages: 2}
stages:
  - type: index
    documents: [docs]
    size: 24
    overlap: 0
  - type: evaluate
    tasks: tasks.jsonl
    models: {base: model}
    max_new_tokens: 2
    judges: [{type: regex, pattern: "[0-9A-M]"}]
    retrieval: {index: "@index", passages: 2, examples: solved.jsonl, shots: 1}
"""
)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    recipe = make_workshop(tmp_path / "workshop", RECIPE, context=2048)
    folder = recipe.parent
    (folder / "docs").mkdir()
    for name, text in (
        ("leave", "Thirty days of leave."),
        ("lunch", "Lunch is at noon."),
        ("keys", "Keys are in room 3."),
    ):
        (folder / "docs" / f"{name}.md").write_text(f"# {name.title()}\n\n{text}\n")
    tasks = ["How many days of leave?", "When is lunch?", "zebra?"]
    (folder / "tasks.jsonl").write_text("".join(json.dumps({"prompt": task}) + "\n" for task in tasks))
    solved = [("When is dinner?", "At six."), ("When is lunch?", "GIVEN AWAY")]
    rows = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in solved]
    (folder / "solved.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return recipe


def go(recipe: Path, *overrides: str) -> dict[str, Any]:
    return run(recipe, overrides=overrides, runs=recipe.parent / "runs", display=Display(quiet=True))


def test_models_are_asked_without_and_with_what_is_found(recipe: Path) -> None:
    summary = go(recipe)
    stage = recipe.parent / "runs" / "found" / "02-evaluate"
    results = json.loads((stage / "results.json").read_text())
    assert list(results["scores"]) == ["base", "base+retrieval"]
    rows = [json.loads(line) for line in (stage / "answers-base+retrieval.jsonl").read_text().splitlines()]
    assert [row["prompt"][-1]["content"] for row in rows] == ["How many days of leave?", "When is lunch?", "zebra?"]
    prompts = [row.get("asked", row["prompt"]) for row in rows]
    assert "[1] leave.md, Leave\nThirty days of leave." in prompts[0][-1]["content"]
    assert prompts[1][-1]["content"].endswith("\n\nQuestion: When is lunch?")
    assert [turn["content"] for turn in prompts[1][:-1]] == ["When is dinner?", "At six."], (
        "its own answer is not shown"
    )
    assert prompts[2] == [{"role": "user", "content": "zebra?"}]
    costs = results["retrieval"]["base+retrieval"]
    assert (costs["passages"], costs["examples"], costs["without"]) == (2 / 3, 1 / 3, 1)
    assert summary["retrieval_tokens"] == {"base+retrieval": costs["tokens"]}
    assert costs["tokens"] > 0 < costs["milliseconds"]
    page = (recipe.parent / "runs" / "found" / "report.html").read_text()
    assert "tokens added to a prompt" in page
    chat = find_target(recipe.parent / "runs" / "found")
    index_folder = recipe.parent / "runs" / "found" / "01-index" / "index"
    assert chat.index == index_folder
    again, _ = evaluation_recipe(recipe.parent / "runs" / "found", EvalOptions())
    assert again["stages"][0]["retrieval"]["index"] == str(index_folder), "`burnish eval` retrieves as the run did"


@pytest.mark.slow
def test_a_changed_document_alone_is_new_to_the_index(recipe: Path) -> None:
    go(recipe)
    (recipe.parent / "docs" / "keys.md").write_text("# Keys\n\nKeys are in room 4.\n")
    go(recipe)
    record = json.loads((recipe.parent / "runs" / "found" / "01-index" / "stage.json").read_text())
    assert record["metrics"]["changes"] == {"added": 1, "kept": 2, "removed": 1}


RETRIEVE = """  - {type: retrieve, data: solved.jsonl, index: "@index", passages: 1}
  - {type: retrieve, name: tasks, data: tasks.jsonl, index: "@index", passages: 1, share: 0.5, others: false}
"""


def test_rows_and_tasks_get_passages(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().partition("  - type: evaluate")[0] + RETRIEVE)
    go(recipe)
    folder = recipe.parent / "runs" / "found"
    rows = [json.loads(line) for line in (folder / "02-retrieve" / "retrieved.jsonl").read_text().splitlines()]
    assert [row["messages"][-1]["content"] for row in rows] == ["At six.", "GIVEN AWAY"]
    assert "Lunch is at noon." in rows[1]["messages"][0]["content"]
    tasks = (folder / "03-tasks" / "retrieved.jsonl").read_text().splitlines()
    record = json.loads((folder / "03-tasks" / "stage.json").read_text())["metrics"]
    assert len(tasks) == record["rows"] == record["with_passages"] < 3
    (recipe.parent / "solved.jsonl").write_text('{"messages": []}\n')
    with pytest.raises(BurnishError, match=r"solved\.jsonl:1: 'messages': got \[\]; expected a question"):
        go(recipe)


@pytest.mark.slow
def test_what_has_no_room_is_left_out_and_counted(recipe: Path) -> None:
    go(recipe, "evaluate.retrieval.passage_tokens=5")
    results = json.loads((recipe.parent / "runs" / "found" / "02-evaluate" / "results.json").read_text())
    costs = results["retrieval"]["base+retrieval"]
    assert (costs["passages"], costs["left_out"]) == (0, 2)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluate.retrieval={}", "expected `index`, `examples` or both"),
        ("evaluate.retrieval={index: '@nothing'}", "refers to stage 'nothing', which does not exist"),
        ("evaluate.retrieval.k=3", "unknown key"),
        ("index.overlap=20", r"overlap: got 20; expected at most half of size \(24\)"),
        ("index.language=klingon", "language: got 'klingon'"),
        ("index.encoder=missing", "no such file"),
        ("index.encoder=package:nowhere_at_all/model", "package 'nowhere_at_all' is not installed"),
    ],
)
def test_wrong_keys_are_named_before_anything_runs(recipe: Path, override: str, message: str) -> None:
    with pytest.raises((RecipeError, BurnishError), match=message):
        make_plan(recipe, overrides=[override], runs=recipe.parent / "runs")


@pytest.mark.slow
def test_a_question_that_cannot_be_searched_for_is_named(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LONGEST_QUERY", 20)
    with pytest.raises(BurnishError, match=r"tasks\.jsonl:1: the question has 23 characters; a search takes"):
        go(recipe)
