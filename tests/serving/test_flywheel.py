"""A flywheel turns: corrections make a better model, which is promoted; wrong ones do not; and all of it is told."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from typer.testing import CliRunner

from burnish.cli import app
from burnish.datasets.feedback import Answered, Feedback, Judged
from burnish.errors import BurnishError
from burnish.recipes.plan.plan import Plan
from burnish.serving.flywheel.decision import Decision
from burnish.serving.flywheel.history import Event
from burnish.serving.flywheel.rounds import Flywheel, Waiting
from burnish.serving.flywheel.settings import read_settings
from workshop import make_workshop

ROUND = {
    "name": "round",
    "seed": 3,
    "model": "model",
    "device": "cpu",
    "compute_dtype": "float32",
    "threads": 1,
    "system": "Answer in SQL.",
    "stages": [
        {"type": "feedback", "store": "feedback.db", "heldout": 0.1, "tests": ["test.jsonl"], "anonymize": []},
        {
            "type": "sft",
            "data": "@feedback/conversations.jsonl",
            "heldout": 0.0,
            "training": {"learning_rate": 1e-2, "epochs": 12, "batch_size": 8},
        },
        {
            "type": "evaluate",
            "tasks": "test.jsonl",
            "judges": [{"type": "exact", "key": "expected"}],
            "models": {"current": "base", "candidate": "@sft"},
            "max_new_tokens": 12,
        },
    ],
}


def prompt(question: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Answer in SQL."}, {"role": "user", "content": question}]


@pytest.fixture
def flywheel(tmp_path: Path) -> Flywheel:
    make_workshop(tmp_path, yaml.safe_dump(ROUND, sort_keys=False))
    (tmp_path / "round.yaml").write_text(yaml.safe_dump(ROUND, sort_keys=False))
    (tmp_path / "flywheel.yaml").write_text(
        "name: numbers\nrecipe: round.yaml\nmodel: model\nfolder: flywheel\nminimum: 20\n"
    )
    rows = ({"prompt": f"{i} mod 3?", "expected": f"SELECT {i % 3}"} for i in range(100, 130))
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Feedback.open(tmp_path / "feedback.db").close()
    return Flywheel(tmp_path / "flywheel.yaml", read_settings(tmp_path / "flywheel.yaml"))


def corrected(flywheel: Flywheel, first: int, count: int, shift: int = 0) -> None:
    """What users say who would have had the answer, or `shift` more than it."""
    with Feedback.open(flywheel.file.parent / "feedback.db") as store:
        for number in range(first, first + count):
            name = f"{number}/{shift}"
            store.record(Answered(id=name, prompt=prompt(f"{number} mod 3?"), answer="no idea", model="m"))
            store.judge(Judged(answer=name, kind="correction", text=f"SELECT {(number + shift) % 3}"))


@pytest.mark.slow
def test_a_better_model_is_promoted_a_worse_one_is_not_and_a_roll_back_returns(flywheel: Flywheel) -> None:
    file = str(flywheel.file)
    assert flywheel.run_round() == Waiting(0, 20)
    corrected(flywheel, 0, 60)
    first = flywheel.run_round()
    assert isinstance(first, Event)
    assert first.kind == "promoted"
    assert first.decision["test"]["candidate"] > first.decision["test"]["current"] == 0
    assert flywheel.run_round() == Waiting(0, 20)

    corrected(flywheel, 200, 60, shift=1)
    second = flywheel.run_round()
    assert isinstance(second, Event)
    assert second.kind == "kept"
    assert second.model == first.model
    assert second.decision["against"]
    stage = json.loads((flywheel.folder / "rounds" / "0002" / "01-feedback" / "stage.json").read_text())
    assert stage["metrics"]["judgements"] == 60, "only what the model in force has not learned from"

    said = CliRunner().invoke(app, ["flywheel", "history", file])
    assert "round 1 promoted" in said.output
    assert "not shown to be better" in said.output
    assert CliRunner().invoke(app, ["flywheel", "rollback", file]).exit_code == 0
    assert flywheel.history().model == str((flywheel.file.parent / "model").absolute())


def test_a_round_that_was_begun_goes_on_with_what_it_began_with(flywheel: Flywheel) -> None:
    corrected(flywheel, 0, 25)
    folder = flywheel.folder / "rounds" / "0001"
    begun = flywheel._begin(folder, flywheel.history())
    corrected(flywheel, 300, 25)
    assert flywheel._begin(folder, flywheel.history()) == begun
    assert isinstance(begun, dict)
    assert begun["until"] == 25


def test_a_roll_back_while_a_round_runs_keeps_its_candidate_out(
    flywheel: Flywheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = flywheel.file.parent / "model"
    flywheel.history().decided(1, promoted=True, candidate=flywheel.file.parent, until=0, decision={})
    corrected(flywheel, 0, 25)
    better = Decision((), {"test": {}})
    monkeypatch.setattr("burnish.serving.flywheel.rounds.execute", lambda *_, **__: flywheel.history().roll_back())
    monkeypatch.setattr(Flywheel, "_decide", lambda *_: better)
    monkeypatch.setattr(Flywheel, "_plan", lambda *_: SimpleNamespace(folder=flywheel.folder))
    monkeypatch.setattr("burnish.serving.flywheel.rounds._candidate", lambda _: flywheel.folder / "candidate")
    event = flywheel.run_round()
    assert isinstance(event, Event)
    assert (event.kind, event.round, event.model) == ("kept", 2, str(first.absolute()))
    assert event.decision["against"] == ["another model is in force by now than the one that it was compared with"]


def test_a_recipe_that_compares_other_models_is_refused_before_it_runs(flywheel: Flywheel) -> None:
    corrected(flywheel, 0, 25)
    for models, reason in (
        ({"candidate": "@sft", "current": "base"}, "in this order"),
        ({"current": "@sft", "candidate": "base"}, "in this order"),
    ):
        recipe = json.loads(json.dumps(ROUND))
        recipe["stages"][2]["models"] = models
        flywheel.recipe.write_text(yaml.safe_dump(recipe, sort_keys=False))
        with pytest.raises(BurnishError, match=reason):
            flywheel.run_round()
    recipe["stages"] = [recipe["stages"][2] | {"models": {"current": "base", "candidate": "base"}}]
    flywheel.recipe.write_text(yaml.safe_dump(recipe, sort_keys=False))
    with pytest.raises(BurnishError, match="0 stages of type feedback"):
        flywheel.run_round()


def test_values_of_the_rounds_recipe_can_be_changed(flywheel: Flywheel) -> None:
    corrected(flywheel, 0, 25)
    plans: list[Plan] = []

    def stop(plan: Plan) -> None:
        plans.append(plan)
        raise BurnishError("no")

    with pytest.raises(BurnishError, match=r"^no$"):
        flywheel.run_round(agree=stop, overrides=["threads=2", "sft.training.epochs=3", "name=mine"])
    (plan,) = plans
    assert plan.recipe.threads == 2
    assert plan.folder.name == "0001", "a round keeps its own name"
    sft = next(stage.config for stage in plan.stages if stage.type == "sft")
    assert sft.model_dump()["training"]["epochs"] == 3


def test_the_command_says_how_many_judgements_are_missing(flywheel: Flywheel) -> None:
    corrected(flywheel, 0, 5)
    said = CliRunner().invoke(app, ["flywheel", "run", str(flywheel.file)])
    assert said.exit_code == 0, said.output
    assert "5 new judgements; a round needs 20" in said.output


def test_judgements_are_exported_and_deleted(flywheel: Flywheel, tmp_path: Path) -> None:
    corrected(flywheel, 0, 6)
    store, output = str(tmp_path / "feedback.db"), tmp_path / "exported"
    said = CliRunner().invoke(app, ["flywheel", "export", store, "--output", str(output), "--with-personal-data"])
    assert "pairs: 6" in said.output
    rows = [json.loads(line) for line in (output / "pairs.jsonl").read_text().splitlines()]
    assert {row["rejected"][0]["content"] for row in rows} == {"no idea"}
    said = CliRunner().invoke(app, ["flywheel", "delete", store, "--before", "9999-01-01"])
    assert "deleted 6 answers" in said.output
    for day in (1, 2, 3):
        with Feedback.open(tmp_path / "feedback.db") as feedback:
            at = f"2026-01-0{day}T12:00:00.000+00:00"
            feedback.record(Answered(id=at, prompt=prompt("1 mod 3?"), answer="no", model="m", at=at))
    said = CliRunner().invoke(app, ["flywheel", "delete", store, "--since", "2026-01-02T14:00+02:00"])
    assert "deleted 2 answers" in said.output, "those of noon on the second day, and of the third"
    assert CliRunner().invoke(app, ["flywheel", "delete", store, "--since", "noon"]).exit_code != 0
    assert CliRunner().invoke(app, ["flywheel", "delete", store, "--since", "2026-01-02", "--user", "a"]).exit_code != 0
    assert CliRunner().invoke(app, ["flywheel", "delete", store]).exit_code != 0
