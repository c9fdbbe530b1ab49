"""The divergence of whole distributions is the papers', and the loss a mean times the temperature's square."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.datasets.batches import Batch
from burnish.nn.divergence import Divergences
from burnish.objectives.distillation import Distillation, generalized_jsd


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def naive(p: list[float], q: list[float], beta: float) -> float:
    """Of the student's p from the teacher's q."""
    m = [(1 - beta) * a + beta * b for a, b in zip(p, q, strict=True)]
    if beta in (0, 1):
        return kl(q, p) if beta == 0 else kl(p, q)
    return beta * kl(q, m) + (1 - beta) * kl(p, m)


numbers = st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4)


@settings(max_examples=25)
@given(numbers, numbers, st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_it_is_the_formula_and_never_negative(a: list[float], b: list[float], beta: float) -> None:
    p, q = ([value / sum(one) for value in one] for one in (a, b))
    found = generalized_jsd(torch.tensor(p).log(), torch.tensor(q).log(), beta=beta).item()
    assert found == pytest.approx(naive(p, q, beta), abs=1e-5)
    assert found >= -1e-6
    # Exchanging the two exchanges the directions.
    assert generalized_jsd(torch.tensor(q).log(), torch.tensor(p).log(), beta=1 - beta).item() == pytest.approx(
        found, abs=1e-5
    )


def test_the_loss_is_the_mean_times_the_square_of_the_temperature() -> None:
    batch = Batch.from_rows([[1, 2, 3], [1, 2, 4, 5]], [[False, True, True], [False, False, True, True]])
    values, entropies = torch.tensor([1.0, 2.0, 3.0, 6.0]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    objective = Distillation(temperature=2.0)
    (loss,), metrics = objective(Divergences(values, entropies), batch)
    assert loss / objective.counts(batch)[0] == 4 * 3.0
    assert metrics["entropy"].sum / metrics["entropy"].count == pytest.approx(0.25)


def test_the_square_keeps_the_gradient_from_shrinking() -> None:
    """At high temperatures it is that of half the squared distance of centred logits (Hinton 2015, section 2.1)."""
    student = torch.tensor([0.3, -0.2, 0.5], requires_grad=True)
    teacher = torch.tensor([0.1, 0.4, -0.6])
    for temperature in (50.0, 400.0):
        log_p, log_q = ((one / temperature).log_softmax(-1) for one in (student.double(), teacher.double()))
        loss = temperature**2 * generalized_jsd(log_p, log_q, beta=0)
        (gradient,) = torch.autograd.grad(loss, student)
        expected = ((student - student.mean()) - (teacher - teacher.mean())) / 3
        torch.testing.assert_close(gradient, expected.detach(), rtol=0.02, atol=1e-3)
