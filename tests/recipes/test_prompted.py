"""A system prompt that the recipe says once reaches every row that has none, and chat; it is part of the keys."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.console.chat import find_target
from burnish.console.display import Display
from burnish.datasets.rows import Conversation, Labelled, Preference, Ranking, Task
from burnish.recipes.plan.plan import Plan
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from burnish.recipes.schema.prompted import _with_system
from workshop import SAME_BITS, make_workshop

ASKED: list[dict[str, Any]] = [{"role": "user", "content": "q"}]
ANSWER: list[dict[str, Any]] = [{"role": "assistant", "content": "a"}]
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (Conversation([*ASKED, *ANSWER]), "messages"),
        (Preference(ASKED, ANSWER, ANSWER), "prompt"),
        (Ranking(ASKED, [ANSWER, ANSWER]), "prompt"),
        (Labelled(ASKED, ANSWER, True), "prompt"),
        (Task(ASKED, {}), "prompt"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_row(row: Any, field: str) -> None:
    changed = _with_system(row, "Be brief.")
    assert getattr(changed, field) == [SYSTEM, *getattr(row, field)]
    assert _with_system(changed, "Another.") == changed, "a row's own goes first"


STAGES = """
system: "@prepare/system.txt"
stages:
  - {type: prepare, script: prepare.py}
  - {type: sft, data: "@prepare/bare.jsonl", columns: {prompt: question, completion: sql}, heldout: 0}
  - type: sample
    tasks: "@prepare/bare.jsonl"
    columns: {prompt: question}
    judges: [{type: sql, database: "@prepare/numbers.duckdb"}]
    samples: 2
    max_new_tokens: 4
  - type: evaluate
    tasks: "@prepare/bare.jsonl"
    columns: {prompt: question}
    models: {sft: "@sft"}
    judges: [{type: sql, database: "@prepare/numbers.duckdb"}]
    max_new_tokens: 4
"""


def plan(folder: Path, text: str, *overrides: str) -> Plan:
    (folder / "recipe.yaml").write_text(text)
    return make_plan(folder / "recipe.yaml", overrides=overrides, runs=folder / "runs")


def test_the_recipes_system_prompt_reaches_stages_and_chat(tmp_path: Path) -> None:
    recipe = make_workshop(tmp_path, "name: said-once" + SAME_BITS + STAGES)
    with (tmp_path / "prepare.py").open("a") as script:
        script.write('write("bare.jsonl", [{"question": f"{i} mod 3?", "sql": f"SELECT {i % 3}"} for i in range(6)])\n')
    run(recipe, runs=tmp_path / "runs", display=Display(quiet=True))
    folder = tmp_path / "runs" / "said-once"
    for name in ("03-sample/samples.jsonl", "04-evaluate/answers-sft.jsonl"):
        for line in (folder / name).read_text().splitlines():
            assert json.loads(line)["prompt"][0] == {"role": "system", "content": "Answer in SQL."}
    assert find_target(folder).system == "Answer in SQL."


def test_it_is_part_of_the_keys_and_a_stages_own_goes_first(tmp_path: Path) -> None:
    make_workshop(tmp_path)
    (tmp_path / "train.jsonl").write_text("{}")
    text = f"name: keys{SAME_BITS}system: One.\nstages:\n  - {{type: sft, data: train.jsonl}}\n  - {{type: export}}\n"
    first = plan(tmp_path, text).stages
    other = plan(tmp_path, text.replace("One.", "Two.")).stages
    assert first[0].key != other[0].key
    assert first[0].config.model_dump()["system"] == "One."
    own = plan(tmp_path, text, "sft.system=Own: indeed").stages
    assert own[0].config.model_dump()["system"] == "Own: indeed"
