"""The estimators equal their formulas, and their means over samples the divergence where they are unbiased."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from burnish.objectives.kl import ESTIMATORS, Estimator, kl_estimate

LOGPS = st.floats(-20, 0, width=32)


@given(LOGPS, LOGPS)
def test_each_estimator_is_its_formula(logp: float, reference: float) -> None:
    found = [kl_estimate(torch.tensor(logp), torch.tensor(reference), kind).item() for kind in ESTIMATORS]
    log_ratio = torch.tensor(reference, dtype=torch.float64) - logp
    expected = [-log_ratio, log_ratio**2 / 2, log_ratio.exp() - 1 - log_ratio]
    assert found == pytest.approx([value.item() for value in expected], rel=1e-5, abs=1e-5)
    assert found[1] >= 0
    assert found[2] >= 0


@pytest.mark.parametrize(("estimator", "unbiased"), [("k1", True), ("k2", False), ("k3", True)])
def test_the_mean_over_the_policy_is_the_divergence_where_unbiased(estimator: Estimator, unbiased: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    policy, reference = (torch.randn(8, generator=generator, dtype=torch.float64).log_softmax(-1) for _ in range(2))
    true = (policy.exp() * (policy - reference)).sum()
    mean = (policy.exp() * kl_estimate(policy, reference, estimator)).sum()
    assert (abs(mean - true) < 1e-12) == unbiased


@pytest.mark.parametrize(("estimator", "direction"), [("k1", None), ("k2", "forward"), ("k3", "reverse")])
def test_the_gradient_as_a_loss(estimator: Estimator, direction: str | None) -> None:
    """k1 has none, k2 that of KL(π ∥ π_ref), k3 that of KL(π_ref ∥ π)."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(8, generator=generator, dtype=torch.float64, requires_grad=True)
    reference = torch.randn(8, generator=generator, dtype=torch.float64).log_softmax(-1)
    policy = logits.log_softmax(-1)
    # Expectation over samples whose choice has no gradient, as in training on samples.
    loss = (policy.detach().exp() * kl_estimate(policy, reference, estimator)).sum()
    (found,) = torch.autograd.grad(loss, logits, retain_graph=True)
    if direction is None:
        expected = torch.zeros_like(logits)
    else:
        first, second = (policy, reference) if direction == "forward" else (reference, policy)
        (expected,) = torch.autograd.grad((first.exp() * (first - second)).sum(), logits)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-9)


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown KL estimator 'k4'; expected one of k1, k2, k3"):
        kl_estimate(torch.zeros(1), torch.zeros(1), "k4")  # type: ignore[arg-type]
