"""`smollm2` of `burnish lab reasoning`: rows that no two sides share, and verdicts that follow from the numbers."""

import pytest

from burnish.errors import BurnishError
from burnish.lab.reasoning.catalogue import chosen
from burnish.lab.reasoning.gym import FULL, STARTED, GymExperiment, quick
from burnish.lab.reasoning.gym_results import GRPO, MORE_SFT, SFT, GymResults
from burnish.lab.reasoning.gym_setting import Graded, make_rows
from burnish.lab.reasoning.gym_tables import findings_table, operations_table, rewards_of, tasks_table
from burnish.rewards.reasoning_tasks import KEY
from burnish.rewards.scorer import Scorer


@pytest.mark.slow
def test_no_question_is_on_two_sides() -> None:
    pytest.importorskip("reasoning_gym")
    with Scorer("reasoning-gym") as scorer:
        rows = make_rows(scorer, FULL, further=2 * FULL.steps * FULL.prompts, seed=1)
        sides = [rows.sft, rows.further, [row for of_task in rows.heldout.values() for row in of_task]]
        questions = [str(row["prompt"]) for side in sides for row in side]
        assert len(set(questions)) == len(questions)
        assert [len(side) for side in sides] == [720, 720, 120]
        assert [row[KEY]["task"] for row in rows.sft[:4]] == [*FULL.tasks, next(iter(FULL.tasks))]
        assert set(rows.floors) == set(FULL.tasks)
        assert rows == make_rows(scorer, FULL, further=2 * FULL.steps * FULL.prompts, seed=1)
        with pytest.raises(BurnishError, match=r"spell_backward has .* different tasks here"):
            make_rows(scorer, quick(FULL), further=30_000, seed=1)


def graded(right: int, greedy: bool) -> Graded:
    return Graded([right] * 20, 4, [greedy] * 20, 240, ["spell sun → nus"])


def results(after: int, taught: int) -> GymResults:
    policies = {
        SFT: {"spell": graded(1, False), "sum": graded(1, False), "count": graded(2, True)},
        GRPO: {"spell": graded(after, True), "sum": graded(after, False), "count": graded(2, True)},
        MORE_SFT: {"spell": graded(taught, False), "sum": graded(taught, True), "count": graded(2, True)},
    }
    return GymResults(
        {name: [of_tasks] * 2 for name, of_tasks in policies.items()},
        {GRPO: [2e12, 4e12], MORE_SFT: [2e12, 4e12]},
        {GRPO: [24, 24], MORE_SFT: [60, 60]},
        [{"spell": [0.1, 0.5]}] * 2,
        {"spell": 0.0, "sum": 0.05, "count": 0.4},
    )


@pytest.mark.slow
def test_tasks_with_a_start_are_enough_for_all_sides() -> None:
    pytest.importorskip("reasoning_gym")
    with Scorer("reasoning-gym") as scorer:
        rows = make_rows(scorer, STARTED, further=STARTED.at_most * STARTED.steps * STARTED.prompts, seed=0)
    assert [len(side) for side in (rows.sft, rows.further)] == [240, 1440]
    assert set(rows.heldout) == set(STARTED.tasks)
    assert max(rows.floors.values()) < 0.1


def test_experiments_are_told_apart_by_their_topic() -> None:
    first, second = chosen(["smollm2", "smollm2-started"], seed=3, seeds=1, is_quick=False)
    assert (first.name, second.name) == ("reasoning-smollm2", "reasoning-smollm2-started")
    assert second == GymExperiment(topic="smollm2-started", seed=3, seeds=1, scale=STARTED)


@pytest.mark.parametrize(
    ("after", "taught", "verdict", "between"),
    [
        (3, 1, "holds here, on 2 (spell, sum)", "GRPO is better"),
        (3, 4, "holds here, on 2 (spell, sum)", "more SFT is better"),
        (1, 1, "does not hold here, on none", "which is better is not decided"),
    ],
)
def test_what_is_said_follows_from_the_gains(after: int, taught: int, verdict: str, between: str) -> None:
    found = results(after, taught)
    lines = [str(row[0]) for row in findings_table(found, seed=0).rows]
    assert verdict in lines[0]
    assert lines[1].startswith("spell, samples at temperature 1")
    assert between in lines[1]
    assert "does not hold here, on 1 (spell)" in lines[4]
    gain = found.gain("spell", GRPO, seed=0)
    assert (gain.before, gain.after) == (0.25, after / 4)


def test_tables_have_every_policy_of_every_task() -> None:
    table = tasks_table(results(3, 2), "", seed=0)
    assert [row[2] for row in table.rows] == [SFT, GRPO, MORE_SFT] * 3
    assert {row[-1] for row in table.rows} == {3.0}
    assert [row[1:] for row in operations_table(results(3, 2)).rows] == [[3.0, 24.0], [3.0, 60.0]]


def test_rewards_are_what_the_method_has_logged() -> None:
    found = rewards_of([{"rewards/reward-sum/mean": 0.5}, {}], ["sum"])["sum"]
    assert found[0] == 0.5
    assert found[1] != found[1]
