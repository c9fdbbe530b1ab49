"""Estimators of a KL divergence from samples: k1, k2 and k3 (Schulman 2020, "Approximating KL Divergence").

The one place where they are written; every objective, metric and experiment uses these.
"""

from typing import Literal

import torch
from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]
ESTIMATORS: tuple[Estimator, ...] = ("k1", "k2", "k3")


def kl_estimate(logps: Tensor, reference_logps: Tensor, estimator: Estimator) -> Tensor:
    """Estimate KL(π_θ ∥ π_ref) at samples from π_θ, in nats, elementwise.

    With log r = log π_ref(x) - log π_θ(x):

        k1 = -log r              unbiased, often negative
        k2 = (log r)² / 2        biased, never negative; its gradient is unbiased
        k3 = (r - 1) - log r     unbiased, never negative

    logps and reference_logps have one shape, which the result has too. As a loss term only k2's gradient estimates that
    of the divergence; as a penalty in the reward, without gradient, k1 does.
    """
    log_ratio = reference_logps - logps
    if estimator == "k1":
        return -log_ratio
    if estimator == "k2":
        return log_ratio.square() / 2
    if estimator == "k3":
        return torch.expm1(log_ratio) - log_ratio
    raise ValueError(f"unknown KL estimator '{estimator}'; expected one of {', '.join(ESTIMATORS)}")
