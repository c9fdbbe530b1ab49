"""Equations 1 to 8 of Rafailov 2023 (arXiv:2305.18290) over answers that can all be enumerated.

Everything is a tensor `[prompts, answers]` in float64: rewards, and log-probabilities that sum to one over the answers
of a prompt. No expectation is sampled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from burnish.objectives.dpo import DPOLossType, dpo_loss
from burnish.objectives.reward_model import bradley_terry

Loss = Callable[[Tensor], Tensor]
"""Free parameters `[prompts, answers]` -> a scalar to be made small."""


@dataclass(frozen=True)
class PreferenceProblem:
    """A reward `[prompts, answers]`, the reference's log-probabilities of the same shape, and the price β of a nat."""

    rewards: Tensor
    reference_logps: Tensor
    beta: float

    @property
    def preferences(self) -> Tensor:
        """`p*(y_1 ≻ y_2 | x) = exp r_1 / (exp r_1 + exp r_2)`, equation 1: `[prompts, y_1, y_2]`."""
        return differences(self.rewards).sigmoid()

    @property
    def log_partition(self) -> Tensor:
        """`log Z(x) = log Σ_y π_ref(y|x) exp(r(x, y) / β)`: `[prompts, 1]`."""
        return (self.reference_logps + self.rewards / self.beta).logsumexp(-1, keepdim=True)

    @property
    def optimal_logps(self) -> Tensor:
        """`log π*(y|x)`, where `π* = π_ref exp(r / β) / Z`: equation 4."""
        return self.reference_logps + self.rewards / self.beta - self.log_partition

    @property
    def projected_rewards(self) -> Tensor:
        """`r(x, y) - β log Z(x)`, equation 8: the same for all rewards that differ by a function of the prompt only."""
        return self.rewards - self.beta * self.log_partition

    def value(self, logps: Tensor) -> Tensor:
        """`E_{y~π}[r(x, y)] - β KL(π ∥ π_ref)`, what equation 3 maximizes, of each prompt: `[prompts]`."""
        return (logps.exp() * self.rewards).sum(-1) - self.beta * divergence(logps, self.reference_logps)

    def implicit_rewards(self, logps: Tensor) -> Tensor:
        """`β log π(y|x) / π_ref(y|x)`: equation 5 without `β log Z(x)`."""
        return self.beta * (logps - self.reference_logps)

    def shifted(self, by_prompt: Tensor) -> "PreferenceProblem":
        """The problem with `by_prompt` `[prompts, 1]` added to the reward."""
        return replace(self, rewards=self.rewards + by_prompt)

    def drawn_pairs(self) -> Tensor:
        """How often `(y_1, y_2)` is asked about where both are drawn from the reference: `[prompts, y_1, y_2]`."""
        probabilities = self.reference_logps.exp()
        return probabilities[:, :, None] * probabilities[:, None, :]

    def reward_model_loss(self, preferences: Tensor) -> Loss:
        """Equation 2 over all pairs, with `preferences` as the shares of the labels: of a reward's values."""
        weights = self.drawn_pairs() * preferences

        def loss(rewards: Tensor) -> Tensor:
            return (weights * bradley_terry(rewards[:, :, None], rewards[:, None, :])).sum(dim=(1, 2)).mean()

        return loss

    def dpo_loss(self, preferences: Tensor, loss_type: DPOLossType = "sigmoid") -> Loss:
        """Equation 7 over all pairs: of a policy's logits. loss_type: another loss of the same log-ratios."""
        weights = self.drawn_pairs() * preferences

        def loss(logits: Tensor) -> Tensor:
            h = differences(logits.log_softmax(-1) - self.reference_logps)
            return (weights * dpo_loss(h, beta=self.beta, loss_type=loss_type)).sum(dim=(1, 2)).mean()

        return loss

    def rl_loss(self) -> Loss:
        """Equation 3 with its sign changed: of a policy's logits."""
        return lambda logits: -self.value(logits.log_softmax(-1)).mean()


def differences(values: Tensor) -> Tensor:
    """`v(y_1) - v(y_2)` of all pairs: `[prompts, answers]` -> `[prompts, y_1, y_2]`."""
    return values[:, :, None] - values[:, None, :]


def divergence(logps: Tensor, other: Tensor) -> Tensor:
    """KL(π ∥ π') in nats, of each prompt: `[prompts]`."""
    return (logps.exp() * (logps - other)).sum(-1)


def minimized(loss: Loss, start: Tensor, *, iterations: int = 500) -> Tensor:
    """The parameters of the smallest loss that L-BFGS finds from `start`."""
    parameters = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [parameters],
        max_iter=iterations,
        history_size=50,
        tolerance_grad=1e-13,
        tolerance_change=1e-18,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(parameters)
        value.backward()
        return value

    optimizer.step(closure)
    return parameters.detach()


def descended(loss: Loss, start: Tensor, steps: Sequence[int], *, learning_rate: float = 0.05) -> list[Tensor]:
    """The parameters after each of so many steps of Adam: for a loss whose minimum lies at infinity."""
    parameters = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([parameters], lr=learning_rate)
    found = []
    for step in range(1, max(steps) + 1):
        optimizer.zero_grad()
        loss(parameters).backward()
        optimizer.step()
        if step in steps:
            found.append(parameters.detach().clone())
    return found
