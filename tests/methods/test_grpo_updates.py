"""GRPO without a recipe: a step's loss is that of the paper, whatever is left out of it; steps count apart."""

from typing import Any

import pytest
import torch
from torch import Tensor

from burnish.datasets.rollout import Rollout
from burnish.methods import grpo
from burnish.objectives.grpo import GRPO, group_advantages
from burnish.objectives.objective import measure


def a_rollout() -> Rollout:
    """Two groups of three, the first of which earned the same; a completion of each was cut."""
    generator = torch.Generator().manual_seed(0)
    answers = [[9] * length for length in (3, 1, 4, 2, 5, 2)]
    columns = {
        name: [-torch.rand(len(answer), generator=generator) for answer in answers]
        for name in ("old_logps", "reference_logps")
    }
    finished = torch.tensor([True, False, True, True, True, False])
    rewards = torch.tensor([[0.7, 0.7, 0.7, 0.0, 1.0, 0.2]])
    return Rollout([0, 1], [list(range(20)), [5, 6]], answers, finished, rewards, {"sql": 1.0}, columns)


def settings(**changes: Any) -> grpo.Settings:
    training = {"batch_size": 2, "micro_batch_tokens": 8} | changes.pop("training", {})
    options = {"num_generations": 3, "max_new_tokens": 6}
    return grpo.Settings.model_validate(options | {"training": training} | changes)


def losses(config: grpo.Settings, rollout: Rollout, update: int = 0) -> tuple[float, int]:
    """The loss of a step with made-up log-probabilities, and how many completions it computes."""
    batches = grpo.updates(rollout, update, config)
    objective = GRPO(
        config.beta, config.epsilon, loss_type=config.loss_type, max_completion_length=config.max_new_tokens
    )
    found = measure(objective, [(batch, made_up(batch.forest.tokens, batch.scored)) for batch in batches])
    return found["loss"], sum(batch.n_rows for batch in batches)


def made_up(tokens: Tensor, scored: Tensor) -> Tensor:
    return -0.5 - 0.01 * tokens[scored]


@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dapo", "dr_grpo"])
def test_leaving_out_what_has_no_gradient_changes_no_loss(loss_type: str, masked: bool, beta: float) -> None:
    rollout = a_rollout()
    config = settings(loss_type=loss_type, mask_truncated_completions=masked, beta=beta)
    advantages = group_advantages(rollout.totals).flatten()
    sums, counts = [], []
    for number, answer in enumerate(rollout.answers):
        counts.append(0 if masked and not rollout.finished[number] else len(answer))
        ratio = (torch.tensor(-0.5 - 0.09) - rollout.columns["old_logps"][number]).exp()
        gain = torch.minimum(ratio * advantages[number], ratio.clamp(0.8, 1.2) * advantages[number])
        log_r = rollout.columns["reference_logps"][number] + 0.59
        token_losses = beta * (log_r.exp() - 1 - log_r) - gain
        sums.append(token_losses.sum().item() if counts[-1] else 0.0)
    if loss_type == "grpo":
        expected = sum(total / max(1, count) for total, count in zip(sums, counts, strict=True)) / 6
    elif loss_type == "dr_grpo":
        expected = sum(sums) / (6 * 6)
    else:
        expected = sum(sums) / sum(counts)
    found, computed = losses(config, rollout)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
    # With no price on leaving the reference, the group that earned the same has no gradient.
    assert computed == {(0.0, False): 3, (0.0, True): 2, (0.3, False): 6, (0.3, True): 4}[beta, masked]


def test_a_step_in_which_nothing_has_a_gradient_has_a_loss_of_zero() -> None:
    rollout = a_rollout()
    config = settings(training={"batch_size": 1}, steps_per_generation=2)
    assert losses(config, rollout, 0) == (0.0, 1)
    assert losses(config, rollout, 1)[1] == 3


def test_steps_share_a_rollout_in_parts_and_pass_over_it_again() -> None:
    rollout = a_rollout()
    config = settings(beta=0.1, training={"batch_size": 1}, steps_per_generation=2, num_iterations=2)

    def rows(update: int) -> list[float]:
        return sorted(v for b in grpo.updates(rollout, update, config) for v in b.columns["old_logps"].tolist())

    parts = [sorted(torch.cat(rollout.columns["old_logps"][part]).tolist()) for part in (slice(3), slice(3, 6))]
    assert [rows(update) for update in range(4)] == [parts[0], parts[1], parts[0], parts[1]]


def test_the_divergence_as_a_reward_comes_off_each_completion() -> None:
    rollout = a_rollout()
    config = settings(beta=0.5, kl_in="reward", kl_estimator="k1", scale_rewards="none")
    pairs = zip(rollout.columns["old_logps"], rollout.columns["reference_logps"], strict=True)
    paid = torch.stack([(old - reference).sum() for old, reference in pairs])
    expected = group_advantages(rollout.totals - 0.5 * paid.view(2, 3), "none").flatten()
    torch.testing.assert_close(grpo.advantages(rollout, config), expected)
