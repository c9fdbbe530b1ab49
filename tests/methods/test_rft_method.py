"""RFT learns from its right answers alone, offline and online, and ends with the same bits where it was killed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from test_rollouts import PROMPTS, TASKS, Words, alone
from torch import Tensor

from burnish.datasets.rollout import Rollout
from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.methods import rft
from burnish.nn.decoder import Decoder
from burnish.objectives.objective import loss_of, step_counts
from burnish.objectives.rft import RFT
from burnish.rewards.environment import Environment
from burnish.rewards.judgement import Judgement, WeightedJudge, verdict
from burnish.runs.run import Run
from burnish.training.events import read_events
from tiny_models import tiny_decoder

TRAINING = {"learning_rate": 1e-2, "batch_size": 4, "schedule": "constant", "checkpoint_seconds": 0}


def settings(**changes: Any) -> rft.Settings:
    training = TRAINING | changes.pop("training", {})
    options = {"num_generations": 4, "max_new_tokens": 6, "deduplicate": "none"}
    return rft.Settings.model_validate(options | changes | {"training": training})


def odd(answers: Sequence[Answer]) -> list[Judgement]:
    """Right where most tokens are odd."""
    return [verdict(sum(token % 2 for token in answer.tokens) * 2 > len(answer.tokens)) for answer in answers]


def some_odd(answers: Sequence[Answer]) -> list[Judgement]:
    return [verdict(any(token % 2 for token in answer.tokens)) for answer in answers]


def learn(folder: Path, config: rft.Settings, judge: Any = odd, **options: Any) -> tuple[Decoder, dict[str, Any], Run]:
    decoder, run = tiny_decoder(scale=3), Run(folder, 3, "run")
    environment = Environment(Words(), TASKS, PROMPTS, [WeightedJudge("odd", judge)])  # type: ignore[arg-type]
    return decoder, rft.learn(decoder, environment, config, run, **options), run


def a_rollout(kept: Sequence[bool]) -> Rollout:
    """Two groups of three."""
    answers = [[9, 8, 7], [9], [9, 1, 2, 3], [8, 9], [7, 7, 7, 7, 9], [6, 5]]
    marks = {"accepted": torch.tensor([True] * 6), "kept": torch.tensor(kept)}
    columns = {"sampling_logps": [torch.full((len(answer),), -2.0) for answer in answers]}
    rewards, finished = torch.zeros(1, 6), torch.ones(6, dtype=torch.bool)
    return Rollout([0, 1], [list(range(20)), [5, 6]], answers, finished, rewards, {"odd": 1.0}, columns, marks=marks)


def textbook(decoder: Decoder, rollout: Rollout) -> Tensor:
    """-E[1/|o| Σ_t 1(o) log π_θ] over all that was sampled."""
    terms = []
    for number, answer in enumerate(rollout.answers):
        indicator = float(rollout.marks["kept"][number])
        logps = alone(decoder, rollout.prompts[number // 3], answer)
        terms.append(sum(indicator * logp for logp in logps) / len(answer))
    return -torch.stack([torch.as_tensor(term) for term in terms]).mean()


@pytest.mark.parametrize("micro_batch_tokens", [2048, 24])
@pytest.mark.parametrize("kept", [[True, False, True, False, False, True], [False] * 6, [True] * 6])
def test_a_step_is_the_formula_in_loss_and_gradient(kept: list[bool], micro_batch_tokens: int) -> None:
    rollout, decoder = a_rollout(kept), tiny_decoder(scale=5)
    config = settings(online=True, training={"batch_size": 2, "micro_batch_tokens": micro_batch_tokens})
    plan = rft.UpdatePlan(config, 0, 1)
    batches = rft.batches(rollout, *plan.learned(rollout, 0, 0), config, first=True)
    assert sum(batch.n_rows for batch in batches) == max(1, sum(kept))
    counts = step_counts(RFT(), batches)
    losses = [loss_of(RFT()(decoder.logps(b.forest, b.scored), b)[0], counts) for b in batches]
    found, expected = torch.stack(losses).sum(), textbook(decoder, rollout)
    torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=1e-6)
    if any(kept):
        for a, b in zip(*(torch.autograd.grad(x, list(decoder.parameters())) for x in (found, expected)), strict=True):
            assert (a - b).norm() <= 1e-4 * b.norm() + 1e-6


def test_offline_every_pass_learns_from_all_that_was_kept_in_another_order() -> None:
    rollout = a_rollout([True, True, False, True, True, True])
    config = settings(training={"epochs": 2, "batch_size": 2})
    plan = rft.UpdatePlan(config, 7, 5)
    parts = [plan.learned(rollout, 1, update) for update in range(5)]
    order = [number for numbers, _ in parts for number in numbers]
    assert sorted(order) == sorted([0, 1, 3, 4, 5] * 2)
    assert len(set(order[:4])) == len(set(order[6:])) == 4
    assert [len(numbers) for numbers, _ in parts] == [2] * 5
    # Of six samples five were kept, so two of those stand for 2.4.
    assert [samples for _, samples in parts] == pytest.approx([2.4] * 5)
    assert [plan.learned(rollout, 2, update)[0] for update in range(5)] != [numbers for numbers, _ in parts]


def test_online_each_step_learns_from_its_own_prompts() -> None:
    rollout = a_rollout([True, False, False, True, False, True])
    config = settings(online=True, steps_per_generation=2, training={"batch_size": 1})
    plan = rft.UpdatePlan(config, 7, 2)
    assert [plan.learned(rollout, 0, update) for update in (0, 1)] == [([0], 3), ([3, 5], 3)]


@pytest.mark.parametrize(("online", "rollouts"), [(False, 4), pytest.param(True, 25, marks=pytest.mark.slow)])
def test_right_answers_become_more_frequent(tmp_path: Path, online: bool, rollouts: int) -> None:
    _, measured, run = learn(tmp_path, settings(online=online, rollouts=rollouts, training={"epochs": 8}))
    events = read_events(run.folder)
    accuracy = measured["accuracy_by_time"]
    assert accuracy["last"] > accuracy["first"] + 0.1
    assert measured["rollouts"] == rollouts
    assert len(events) == measured["steps"]
    names = {"accuracy", "solved", "kept", "kept/mean_length", "completions/mean_length", "rewards/odd/mean"}
    assert names <= {name for event in events for name in event}
    per_rollout = measured["steps"] // rollouts
    differences = [event.get("sampling/sampling_logp_difference/mean") for event in events]
    assert all((value is not None) == (step % per_rollout == 0) for step, value in enumerate(differences))
    assert max(value for value in differences if value is not None) < 1e-4
    first = next(event for event in events if event["step"] == 0)
    assert first["accuracy"] <= first["solved"] <= first["accuracy"] * 4
    assert first["accuracy"] < first["reward"], "an answer that was cut is right, but not accepted"


class Killed(BaseException):
    """Nothing catches it."""


@pytest.mark.parametrize("options", [{"rollouts": 2}, {"online": True, "rollouts": 4, "steps_per_generation": 2}])
def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path, options: dict[str, Any]) -> None:
    config = settings(**options, training={"batch_size": 3})
    expected, measured, _ = learn(tmp_path / "whole", config, some_odd)
    assert measured["steps"] >= 4

    @dataclass
    class Failing:
        left: int

        def __call__(self, answers: Sequence[Answer]) -> list[Judgement]:
            self.left -= 1
            if self.left < 0:
                raise Killed
            return some_odd(answers)

    def killed_after(step: int) -> dict[str, Any]:
        def kill(progress: Any) -> None:
            if progress.step == step:
                raise Killed

        return {"on_progress": kill}

    # While the first rollout is judged, after its first update, while the second is judged, after one of its updates.
    n = measured["steps"] // measured["rollouts"]
    for interruption in ({"judge": Failing(0)}, killed_after(1), {"judge": Failing(0)}, killed_after(n + 1)):
        with pytest.raises(Killed):
            learn(tmp_path / "cut", config, **{"judge": some_odd} | interruption)
    found, again, _ = learn(tmp_path / "cut", config, some_odd)
    for one, other in zip(found.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, other)
    for name in ("accuracy_by_time", "loss", "kept"):
        assert again[name] == measured[name]


def test_nothing_accepted_is_said_and_stops_where_nothing_can_follow(tmp_path: Path) -> None:
    def never(answers: Sequence[Answer]) -> list[Judgement]:
        return [verdict(False)] * len(answers)

    with pytest.raises(DataError, match=r"none of 40 answers was accepted, so there is nothing to learn; read `roll"):
        learn(tmp_path / "offline", settings(), never)
    assert (tmp_path / "offline" / "rollouts" / "00000.jsonl").exists()
    _, measured, run = learn(tmp_path / "online", settings(online=True, rollouts=2), never)
    assert [event["loss"] for event in read_events(run.folder)] == [0.0, 0.0]
    assert measured["kept"] == 0

    def once(answers: Sequence[Answer]) -> list[Judgement]:
        seen.extend(answers)
        return odd(answers) if len(seen) <= 40 else never(answers)

    seen: list[Answer] = []
    _, measured, run = learn(tmp_path / "rounds", settings(rollouts=2), once)
    assert run.notices == ["round 2: none of 40 answers was accepted, so it taught nothing"]
