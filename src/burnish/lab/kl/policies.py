"""Policies small enough that what an estimator does to them is known exactly, and the same by Monte Carlo."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from burnish.objectives.kl import Estimator, kl_estimate

USES = ("loss term", "in the reward", "both")
VOCABULARY = 16

_NODES = 160
"""Of the Gauss-Hermite quadrature: more than enough for all three up to μ = 2."""
_CHUNK = 1 << 20

LogProbabilities = Callable[[Tensor, Tensor], Tensor]
"""Parameters and outcomes `[n]` -> log-probabilities `[n]`, in nats."""


@dataclass(frozen=True)
class Setting:
    """A policy at `parameters` `[k]`, its reference, and all it can do: `outcomes` `[n]` with their `weights` `[n]`."""

    policy: LogProbabilities
    parameters: Tensor
    reference: Tensor
    outcomes: Tensor
    weights: Tensor

    def estimates(self, estimator: Estimator, parameters: Tensor, outcomes: Tensor) -> Tensor:
        """The estimator at outcomes `[n]`, for the policy at `parameters`."""
        return kl_estimate(self.policy(parameters, outcomes), self.policy(self.reference, outcomes).detach(), estimator)

    def gradients(self, estimator: Estimator, use: str, outcomes: Tensor) -> Tensor:
        """What one sample contributes to the policy's gradient, `[n, k]`: `use` is one of `USES`.

        As a loss term the estimator is differentiated at a sample that stands still. In the reward it is a number that
        weighs the sample's score ∇ log π (Williams 1992). Both together are the whole derivative of its expectation.
        """

        def by_sample(values: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
            return torch.vmap(torch.func.grad(values), in_dims=(None, 0))(self.parameters, outcomes)

        total = torch.zeros(len(outcomes), len(self.parameters), dtype=torch.float64)
        if use != "in the reward":
            total += by_sample(partial(self.estimates, estimator))
        if use != "loss term":
            total += self.estimates(estimator, self.parameters, outcomes)[:, None] * by_sample(self.policy)
        return total


@dataclass(frozen=True)
class Moments:
    """Mean `[...]` and standard deviation `[...]` of what one sample says."""

    mean: Tensor
    deviation: Tensor


def exact(setting: Setting, values: Callable[[Tensor], Tensor]) -> Moments:
    """The moments of `values(outcomes)` `[n, ...]`, by summing over all outcomes."""
    all_values = values(setting.outcomes)
    mean = torch.tensordot(setting.weights, all_values, 1)
    variance = torch.tensordot(setting.weights, (all_values - mean).square(), 1)
    return Moments(mean, variance.sqrt())


def sampled(draw: Callable[[int], Tensor], values: Callable[[Tensor], Tensor], samples: int) -> Moments:
    """The same by Monte Carlo: `draw(n)` gives outcomes `[n]`."""
    total, squares = torch.zeros(()), torch.zeros(())
    for start in range(0, samples, _CHUNK):
        chunk = values(draw(min(_CHUNK, samples - start)))
        total, squares = total + chunk.sum(0), squares + chunk.square().sum(0)
    mean = total / samples
    return Moments(mean, (squares / samples - mean.square()).clamp_min(0).sqrt())


def normal(mean: float) -> Setting:
    """q = N(0, 1), with its mean and the logarithm of its deviation as parameters, beside p = N(mean, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)

    def logps(parameters: Tensor, outcomes: Tensor) -> Tensor:
        standard = (outcomes - parameters[0]) / parameters[1].exp()
        return -standard.square() / 2 - parameters[1] - math.log(2 * math.pi) / 2

    return Setting(
        logps,
        torch.zeros(2, dtype=torch.float64),
        torch.tensor([mean, 0.0], dtype=torch.float64),
        torch.from_numpy(nodes),
        torch.from_numpy(weights / weights.sum()),
    )


def softmax(shift: float, *, seed: int) -> Setting:
    """A next-token distribution over a few tokens: reference logits ~ N(0, 1), the policy's moved by N(0, shift²)."""
    rng = np.random.default_rng([seed, VOCABULARY])
    reference = torch.from_numpy(rng.normal(size=VOCABULARY))
    parameters = reference + shift * torch.from_numpy(rng.normal(size=VOCABULARY))

    def logps(parameters: Tensor, outcomes: Tensor) -> Tensor:
        return parameters.log_softmax(-1).gather(-1, outcomes.reshape(-1)).reshape(outcomes.shape)

    return Setting(logps, parameters, reference, torch.arange(VOCABULARY), parameters.softmax(-1))


def true_gradients(setting: Setting) -> tuple[Tensor, Tensor]:
    """The gradients of KL(π ∥ π_ref) and of KL(π_ref ∥ π) by the policy's parameters, each `[k]`, without estimators.

    Over a normal policy the sums are quadratures whose nodes stand still: exact all the same, as the policy's own
    density is divided out.
    """

    def policy(parameters: Tensor) -> Tensor:
        return setting.policy(parameters, setting.outcomes)

    start, reference = policy(setting.parameters), policy(setting.reference)

    def forward(parameters: Tensor) -> Tensor:
        logps = policy(parameters)
        return ((logps - start).exp() * setting.weights * (logps - reference)).sum()

    def backward(parameters: Tensor) -> Tensor:
        return ((reference - start).exp() * setting.weights * (reference - policy(parameters))).sum()

    return torch.func.grad(forward)(setting.parameters), torch.func.grad(backward)(setting.parameters)


def standard_normal(seed: int) -> Callable[[int], Tensor]:
    """Draws outcomes of `normal`'s policy."""
    generator = torch.Generator().manual_seed(seed)
    return lambda n: torch.randn(n, dtype=torch.float64, generator=generator)


def tokens(setting: Setting, seed: int) -> Callable[[int], Tensor]:
    """Draws outcomes of a `softmax` policy."""
    generator = torch.Generator().manual_seed(seed)
    return lambda n: torch.multinomial(setting.weights, n, replacement=True, generator=generator)
