"""The day that chat templates print is an input of the run: fixed at its start and part of the keys it matters to."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from burnish.recipes.plan import planned as plan
from burnish.recipes.plan.plan import Plan
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import preview, run
from burnish.recipes.stages.sft import SftStage
from burnish.runs.names import RUN_FILE
from burnish.text.chat import render
from workshop import CHATML, SAME_BITS, make_workshop

RECIPE = (
    "name: dated"
    + SAME_BITS
    + """
stages:
  - type: sft
    data: rows.jsonl
    training: {learning_rate: 1e-3, batch_size: 4, epochs: 1}
  - type: export
    model: "@sft"
    gguf: [F16]
"""
)
DATED = "Today is {{ strftime_now('%d %b %Y') }}.\n" + CHATML


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = make_workshop(tmp_path, RECIPE)
    rows = [{"prompt": f"{i} mod 3?", "completion": f"SELECT {i % 3}"} for i in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def with_template(recipe: Path, template: str) -> None:
    file = recipe.parent / "model" / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": template}))


def on(monkeypatch: pytest.MonkeyPatch, day: str) -> None:
    class Day(date):
        @classmethod
        def today(cls) -> date:
            return date.fromisoformat(day)

    monkeypatch.setattr(plan, "date", Day)


def planned(recipe: Path, *overrides: str) -> Plan:
    return make_plan(recipe, overrides=overrides, runs=recipe.parent / "runs")


def keys(plan: Plan) -> dict[str, str]:
    return {stage.name: stage.key for stage in plan.stages}


def test_a_run_keeps_the_day_on_which_it_was_started(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_template(recipe, DATED)
    seen: list[str] = []
    original = SftStage.run

    def stopped_once(self: Any, context: Any) -> Any:
        seen.append(render(context.load(self.model)[1], [{"role": "user", "content": "?"}]).splitlines()[0])
        if len(seen) == 1:
            raise KeyboardInterrupt
        return original(self, context)

    monkeypatch.setattr(SftStage, "run", stopped_once)
    for day in ("2026-11-29", "2026-11-30", "2026-12-01"):
        on(monkeypatch, day)
        try:
            run(recipe, runs=recipe.parent / "runs")
        except KeyboardInterrupt:
            continue
    assert seen == ["Today is 29 Nov 2026."] * 2
    assert json.loads((recipe.parent / "runs" / "dated" / RUN_FILE).read_text())["today"] == "2026-11-29"
    assert all(status.cached for _, status in preview(planned(recipe)))


def test_the_day_is_in_the_key_of_what_may_print_it(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "2026-11-29")
    plain = keys(planned(recipe))
    with_template(recipe, DATED)
    dated = keys(planned(recipe))
    on(monkeypatch, "2026-11-30")
    later = keys(planned(recipe))
    assert [name for name in dated if dated[name] != later[name]] == ["sft", "export"]
    assert keys(planned(recipe, "date=2026-11-29")) == dated
    with_template(recipe, CHATML)
    assert keys(planned(recipe)).keys() == plain.keys()
    again = keys(planned(recipe))
    on(monkeypatch, "2026-12-01")
    assert keys(planned(recipe)) == again


def test_a_date_that_is_none(recipe: Path) -> None:
    with pytest.raises(Exception, match=r"date"):
        planned(recipe, "date=31.1.2026")
