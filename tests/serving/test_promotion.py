"""Whether a candidate is promoted: better by the test, nothing forgotten, not against the judgements."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import BurnishError, DataError
from burnish.serving.flywheel.decision import decide
from burnish.serving.flywheel.history import History
from burnish.serving.flywheel.settings import Promotion

PROMOTION = Promotion.model_validate({})


def finished(folder: Path, current: list[int], candidate: list[int], change: tuple[float, float] | None = None) -> Path:
    """What an evaluate stage leaves."""
    for label, answers in (("current", current), ("candidate", candidate)):
        lines = (json.dumps({"correct": bool(right)}) + "\n" for right in answers)
        (folder / f"answers-{label}.jsonl").write_text("".join(lines))
    results: dict[str, Any] = {}
    if change is not None:
        results = {
            "perplexity_by_model": {"general": {"current": 20.0, "candidate": 20.0}},
            "perplexity_change": {"general": {"candidate": list(change)}},
        }
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def compared(folder: Path, low: float, high: float) -> Path:
    ranked = {"value": (low + high) / 2, "interval": [low, high], "count": 40}
    (folder / "comparison.json").write_text(json.dumps({"pairs_ranked_right": {"candidate": ranked}}))
    return folder


def test_twelve_gained_and_none_lost_is_better(tmp_path: Path) -> None:
    decision = decide(finished(tmp_path, [0] * 12 + [1] * 88, [1] * 100, (-0.02, 0.01)), None, PROMOTION, seed=1)
    assert decision.promoted
    test = decision.measured["test"]
    assert (test["gained"], test["lost"]) == (12, 0)
    assert test["difference"] == pytest.approx(0.12)
    assert test["p"] == pytest.approx(2 / 2**12)


def test_better_by_chance_and_worse_are_kept_out(tmp_path: Path) -> None:
    for current, candidate in (([0, 0, 0, *[1] * 97], [1] * 100), ([1] * 100, [0] * 12 + [1] * 88), ([1], [1])):
        decision = decide(finished(tmp_path, current, candidate), None, PROMOTION, seed=1)
        assert not decision.promoted
        assert decision.against[0].startswith("not shown to be better")


def test_what_may_be_forgotten_or_cannot_be_told_is_a_reason_against(tmp_path: Path) -> None:
    better = [0] * 12 + [1] * 88, [1] * 100
    decision = decide(finished(tmp_path, *better, (-0.01, 0.03)), None, PROMOTION, seed=1)
    assert [reason.split(":")[0] for reason in decision.against] == ["may have forgotten"]
    results = json.loads((tmp_path / "results.json").read_text())
    del results["perplexity_change"]
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert not decide(tmp_path, None, PROMOTION, seed=1).promoted


def test_held_out_judgements_speak_against_it_only_where_their_interval_does(tmp_path: Path) -> None:
    folder = finished(tmp_path, [0] * 12 + [1] * 88, [1] * 100)
    assert decide(folder, compared(tmp_path, 0.30, 0.52), PROMOTION, seed=1).promoted
    decision = decide(folder, compared(tmp_path, 0.20, 0.45), PROMOTION, seed=1)
    assert [reason.split(":")[0] for reason in decision.against] == ["against the judgements"]


def test_answers_to_other_tasks_are_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="answered other tasks"):
        decide(finished(tmp_path, [1, 1], [1]), None, PROMOTION, seed=1)
    (tmp_path / "answers-current.jsonl").write_text("not JSON\n")
    with pytest.raises(DataError, match="no answers with their judgements"):
        decide(tmp_path, None, PROMOTION, seed=1)


def test_a_roll_back_goes_back_one_promotion_at_a_time(tmp_path: Path) -> None:
    models = [tmp_path / name for name in ("first", "one", "two")]
    for model in models:
        model.mkdir()

    def history() -> History:
        return History.read(tmp_path / "flywheel", str(models[0]))

    history().decided(1, promoted=True, candidate=models[1], until=10, decision={})
    history().decided(2, promoted=False, candidate=tmp_path / "worse", until=20, decision={})
    history().decided(3, promoted=True, candidate=models[2], until=30, decision={})
    found = history()
    assert (found.model, found.read_until, found.tried_until, found.rounds) == (str(models[2]), 30, 30, 3)
    found.roll_back()
    assert (history().model, history().read_until, history().tried_until) == (str(models[1]), 10, 30)
    history().roll_back()
    assert (history().model, history().read_until) == (str(models[0]), 0)
    with pytest.raises(BurnishError, match="nothing is before it"):
        history().roll_back()


def test_what_happens_while_a_round_runs_is_not_lost(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    begun = History.read(tmp_path / "flywheel", str(first))
    begun.decided(1, promoted=True, candidate=second, until=10, decision={})
    running = History.read(tmp_path / "flywheel", str(first))  # as a round reads it that then takes hours
    History.read(tmp_path / "flywheel", str(first)).roll_back()
    event = running.decided(2, promoted=False, candidate=tmp_path / "third", until=20, decision={})
    assert (event.model, event.before, event.read) == (str(first), str(first), 0)
    kinds = [one.kind for one in History.read(tmp_path / "flywheel", str(first)).events]
    assert kinds == ["promoted", "rolled_back", "kept"]


def test_a_damaged_history_is_named(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"kind": "promoted"}\n')
    with pytest.raises(DataError, match=r"history\.jsonl: not a flywheel's history"):
        History.read(tmp_path, "model")
