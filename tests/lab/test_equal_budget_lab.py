"""`burnish lab reasoning --experiment methods`: what a budget pays for, what is chosen by which numbers, and more."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from burnish.generation.answer import Answer
from burnish.lab.reasoning.arithmetic import END, Addition, tasks, written
from burnish.lab.reasoning.equal_budget import FULL, QUICK, USUAL_BETA, EqualBudgetExperiment
from burnish.lab.reasoning.equal_budget_results import PolicyOutcome, Results
from burnish.lab.reasoning.equal_budget_tables import tables_and_panels
from burnish.lab.reasoning.peak_memory import peak_tensor_bytes
from burnish.lab.reasoning.rivals import (
    GROUP,
    METHODS,
    PPO_EPOCHS,
    PROMPTS,
    RFT_EPOCHS,
    BudgetPlan,
    RivalSetting,
    Stopwatch,
    in_forest,
    pairs_of,
)
from burnish.lab.reasoning.written_out import by_rule, chat_tokenizer, demonstration, problems, question
from burnish.text.chat import encode_answers, encode_prompt

PLAN = BudgetPlan(question=8.0, answer=25.0, solved=0.5, shared=20.0, paired=90.0)
PROBLEM = Addition(457, 86, 3)


def answer(text: str, *, finished: bool = True) -> Answer:
    (task,) = tasks([PROBLEM])
    tokens = chat_tokenizer().encode(text + END * finished)
    return Answer(task.prompt, text, task.row, tokens=tokens, finished=finished)


def test_questions_and_demonstrations_are_what_the_chat_template_writes() -> None:
    tokenizer, right = chat_tokenizer(), written(PROBLEM, "columns")
    (task,) = tasks([PROBLEM])
    assert question(tokenizer, PROBLEM) == encode_prompt(tokenizer, task.prompt)
    (encoded,) = encode_answers(tokenizer, [*task.prompt, {"role": "assistant", "content": right}])
    shown = demonstration(tokenizer, PROBLEM)
    assert (shown.tokens, shown.mask) == (encoded.tokens, encoded.mask)
    assert not encoded.lost


def test_what_is_learned_is_never_measured() -> None:
    learned, measured = (problems(2, 40, [0], heldout=side) for side in (False, True))
    assert not any(one.heldout for one in learned)
    assert all(one.heldout for one in measured)
    assert {one.digits for one in learned} == {2}


@pytest.mark.parametrize(
    ("method", "beta", "expected"),
    [
        # 2 operations a parameter and token forwards, 6 with the gradient; a group shares its question.
        ("SFT", None, 6 * 33),
        ("RFT", None, 2 * 25 + 6 * RFT_EPOCHS * 0.5 / GROUP * 33),
        ("online RFT", None, 2 * 25 + 6 * 0.75 / GROUP * 33),
        ("DPO", 0.1, 2 * GROUP * 25 + (2 + 6) * 90),
        ("PPO", 0.05, 2 * 25 + 2 * 3 * 33 + 6 * 2 * PPO_EPOCHS * 33),
        ("GRPO", 0.0, 2 * 25 + 6 * 20),
        ("GRPO", 0.04, 2 * 25 + 2 * 20 + 6 * 20),
    ],
)
def test_an_answer_costs_what_is_computed_of_it(method: Any, beta: float | None, expected: float) -> None:
    choice = RivalSetting(method=method, learning_rate=1e-3, beta=beta)
    assert PLAN.operations(choice, 10) == pytest.approx(10 * expected)


def test_the_budget_is_that_of_grpo() -> None:
    free = RivalSetting(method="GRPO", learning_rate=1e-3)
    assert PLAN.budget(3, 7) == pytest.approx(3 * PROMPTS * GROUP * PLAN.operations(free, 7))


def test_what_is_planned_is_what_is_computed() -> None:
    asked = list(range(40))
    assert in_forest([[*asked, 50, 51], [*asked, 60]]) == 43
    assert in_forest([]) == 0


def test_pairs_are_right_above_wrong_and_nothing_twice() -> None:
    group = [
        answer("543"),
        answer("1"),
        answer("760=13;581=14;401=05;543"),
        answer("2"),
        answer("3"),
        answer("543", finished=False),
    ]
    asked = question(chat_tokenizer(), PROBLEM)
    pairs = pairs_of(asked, group)
    assert [one.chosen for one in pairs] == [list(group[0].tokens), list(group[2].tokens)]
    assert [one.rejected for one in pairs] == [list(group[1].tokens), list(group[3].tokens)]
    assert all(one.prompt == asked for one in pairs)


def test_the_watch_counts_what_is_before_a_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([2.0, 2.5, 10.0, 13.0, 14.0])
    monkeypatch.setattr("burnish.lab.reasoning.rivals.time.process_time", lambda: next(times))
    watch = Stopwatch(since=0.0)
    assert watch.judge([answer("543")])[0].correct  # sampled from 0 to 2, judged until 2.5
    watch.look(None)  # type: ignore[arg-type]  # a step ends at 10
    assert not watch.judge([answer("1")])[0].correct
    assert watch.seconds == 2.0 + 3.0


def test_every_method_with_a_price_has_the_usual_one_and_those_around_it() -> None:
    for method in METHODS:
        grid = FULL.choices(method)
        assert len({one.name for one in grid}) == len(grid)
        assert {one.learning_rate for one in grid} == set(FULL.learning_rates)
        prices = {one.beta for one in grid}
        usual = USUAL_BETA.get(method)
        assert prices == ({None} if usual is None else {usual * 0.1, usual, usual * 10})


def outcome(chosen_by: int, right: int, seconds: float = 1.0) -> PolicyOutcome:
    return PolicyOutcome(
        [chosen_by] * 4, [right] * 4, 4, seconds=seconds, sampling_seconds=seconds / 4, budget_share=1.0
    )


def results(right: dict[str, tuple[int, int]]) -> Results:
    """Two settings of each method; the second is chosen, by other problems than those that are reported."""
    outcomes = {}
    for method in METHODS:
        for place, rate in enumerate((1e-4, 1e-3)):
            usual = USUAL_BETA.get(method)
            choice = RivalSetting(method=method, learning_rate=rate, beta=usual)
            outcomes[choice] = [outcome(place, right.get(method, (2, 2))[place])] * 2
    return Results([outcome(2, 2)] * 2, outcomes, dict.fromkeys(METHODS, 2**20))


def test_the_best_is_chosen_by_other_problems_than_are_reported() -> None:
    found = results({"DPO": (4, 1)})
    assert found.best["DPO"].learning_rate == 1e-3
    assert found.accuracy(found.best["DPO"]) == (0.25, 0.0)


@pytest.mark.parametrize(
    ("dpo", "ppo", "stable"),
    [((3, 3), (0, 4), "holds"), ((0, 4), (3, 3), "is reversed"), ((3, 3), (2, 2), "is not decided")],
)
def test_stability_is_the_spread_over_the_grid(dpo: tuple[int, int], ppo: tuple[int, int], stable: str) -> None:
    found = results({"DPO": dpo, "PPO": ppo})
    tables, panels = tables_and_panels(found, "note")
    first = str(tables[0].rows[0][0])
    assert f"more stable than PPO {stable}" in first
    assert found.spread("PPO")[0] == pytest.approx(np.std([one / 4 for one in ppo]))
    assert found.worse("PPO") == sum(one < 2 for one in ppo) / 2
    assert len(tables[3].rows) == len(METHODS)
    assert all(panel.series for panel in panels)


@pytest.mark.slow
def test_peak_memory_is_that_of_tensors_at_once() -> None:
    def action() -> None:
        first = torch.zeros(500, 500, dtype=torch.float32)
        second = first + 1
        del first
        (second * 2).sum()

    assert 2_000_000 <= peak_tensor_bytes(action) < 2_010_000


def test_settings_are_json_and_say_what_they_are_of() -> None:
    experiment = EqualBudgetExperiment(seed=0, seeds=2, scale=replace(QUICK, rollouts=2), quick=True)
    assert json.loads(json.dumps(experiment.settings()))["scale"]["rollouts"] == 2
    assert experiment.command.endswith("--experiment methods --quick")


def test_the_rule_wants_an_end() -> None:
    judged = by_rule([answer("543"), answer("543", finished=False)])
    assert [one.correct for one in judged] == [True, False]
