"""Divergences in chunks equal the formula over all logits, and TRL's, in value and gradient; so do the top tokens'."""

import pytest
import torch
from agreement import assert_agree
from torch import Tensor

from burnish.nn import divergence, top_tokens
from burnish.nn.divergence import divergences
from burnish.nn.log_probabilities import soft_capped
from burnish.nn.predictions import Predictions
from burnish.nn.top_tokens import at_tokens
from burnish.objectives.distillation import generalized_jsd

BETAS = [0.0, 0.1, 0.5, 0.9, 1.0]
VOCABULARY = 30


def predictions(seed: int, n: int, width: int, softcap: float | None = None, scale: float = 1.0) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    hidden = (scale * torch.randn(n, width, generator=generator)).requires_grad_()
    weight = torch.randn(VOCABULARY, width, generator=generator).requires_grad_()
    return Predictions(hidden, weight, weight.detach(), softcap)


def logits(of: Predictions, temperature: float = 1.0) -> Tensor:
    return soft_capped(of.hidden.double() @ of.weight.double().t(), of.softcap) / temperature


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (divergence, top_tokens):
        monkeypatch.setattr(module, "CHUNK", 7)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize(
    ("n", "temperature", "softcaps", "scale"),
    [
        (1, 1.0, (None, None), 1.0),
        (7, 2.0, (None, None), 1.0),
        (20, 0.7, (3.0, None), 1.0),
        (20, 1.7, (None, 5.0), 1.0),
        (15, 1.0, (30.0, 30.0), 30.0),
        (15, 1.0, (None, None), 4.0),
    ],
)
def test_chunks_equal_the_formula(
    beta: float, n: int, temperature: float, softcaps: tuple[float | None, float | None], scale: float
) -> None:
    student, teacher = predictions(0, n, 6, softcaps[0], scale), predictions(1, n, 9, softcaps[1], scale)
    found = divergences(student, teacher, beta=beta, temperature=temperature)
    log_p, log_q = (logits(one, temperature).log_softmax(-1) for one in (student, teacher))
    expected = generalized_jsd(log_p, log_q.detach(), beta=beta)
    assert found.values.dtype == torch.float32
    assert_agree(found.values, expected, [student.hidden, student.weight], rtol=2e-5 if scale == 1 else 1e-4)
    torch.testing.assert_close(found.entropies.double(), -(log_p.exp() * log_p).sum(-1), rtol=1e-4, atol=1e-5)
    assert not found.entropies.requires_grad


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_values_and_gradients_are_those_of_trl(beta: float, temperature: float) -> None:
    from trl.experimental.gkd import GKDTrainer

    student, teacher = predictions(0, 20, 6), predictions(1, 20, 9)
    found = divergences(student, teacher, beta=beta, temperature=temperature).values.mean()
    expected = GKDTrainer.generalized_jsd_loss(
        student.hidden @ student.weight.t(),
        (teacher.hidden @ teacher.weight.t()).detach(),
        beta=beta,
        temperature=temperature,
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    inputs = [student.hidden, student.weight]
    for ours, theirs in zip(torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_entropies_are_those_of_trl_s_trainer() -> None:
    from trl.trainer.distillation_trainer import _chunked_divergence_loss

    student, teacher = predictions(0, 20, 6, 3.0), predictions(1, 20, 9)
    found = divergences(student, teacher, beta=0.3, temperature=1.5)
    loss, entropies, n = _chunked_divergence_loss(
        student.hidden[None],
        teacher.hidden[None],
        student.weight,
        teacher.weight,
        torch.ones(1, 20),
        beta=0.3,
        student_final_logit_softcapping=3.0,
        temperature=1.5,
    )
    assert n == 20
    torch.testing.assert_close(found.values.mean(), loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.entropies.sum(), entropies, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("beta", BETAS)
def test_far_from_each_other_is_finite(beta: float) -> None:
    student, teacher = predictions(0, 9, 6, scale=300), predictions(1, 9, 6, scale=300)
    found = divergences(student, teacher, beta=beta).values
    assert torch.isfinite(found).all()
    assert all(torch.isfinite(one).all() for one in torch.autograd.grad(found.sum(), [student.hidden, student.weight]))
    same = divergences(student, student, beta=beta).values
    torch.testing.assert_close(same, torch.zeros(9), rtol=0, atol=1e-5)


def test_one_gradient_alone_and_one_in_bfloat16() -> None:
    teacher = predictions(1, 20, 9)
    for trained in ("hidden", "weight"):
        student = predictions(0, 20, 6)
        for name in ("hidden", "weight"):
            getattr(student, name).requires_grad_(name == trained)
        found = divergences(student, teacher, beta=0.5).values
        expected = generalized_jsd(logits(student).log_softmax(-1), logits(teacher).log_softmax(-1).detach(), beta=0.5)
        assert_agree(found, expected, [getattr(student, trained)], rtol=2e-5)
    student = predictions(0, 20, 6)
    rounded = student._replace(cast=student.weight.detach().bfloat16())
    found = divergences(rounded, teacher, beta=0.5).values
    expected = divergences(student, teacher, beta=0.5).values
    torch.testing.assert_close(found, expected)
    assert_agree(found, expected, [student.hidden, student.weight], rtol=0.02)


def test_what_cannot_be_compared_is_refused() -> None:
    teacher = predictions(1, 5, 6)
    with pytest.raises(ValueError, match=r"5 distributions of 20 tokens cannot be compared with 5 of 30"):
        divergences(predictions(0, 5, 6).of_first(20), teacher, beta=0.5)
    with pytest.raises(ValueError, match=r"4 distributions of 30"):
        divergences(predictions(0, 4, 6), teacher, beta=0.5)


def test_the_first_tokens_alone_are_a_vocabulary() -> None:
    student, teacher = predictions(0, 10, 6), predictions(1, 10, 6)
    found = divergences(student.of_first(20), teacher.of_first(20), beta=0.5).values
    log_p, log_q = (logits(one)[:, :20].log_softmax(-1) for one in (student, teacher))
    assert_agree(found, generalized_jsd(log_p, log_q.detach(), beta=0.5), [student.hidden, student.weight], rtol=2e-5)


def bucketed(log_p: Tensor, ids: Tensor) -> Tensor:
    """The chosen tokens' log-probabilities, and that of all others together."""
    others = torch.ones_like(log_p, dtype=torch.bool).scatter_(1, ids, False)
    rest = torch.stack([row[mask].logsumexp(-1) for row, mask in zip(log_p, others, strict=True)])
    return torch.cat([log_p.gather(1, ids), rest[:, None]], dim=1)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize(
    ("k", "temperature", "softcap", "scale"), [(1, 1.0, None, 1.0), (5, 2.0, 3.0, 1.0), (29, 1.0, None, 5.0)]
)
def test_top_tokens_and_the_rest_equal_the_formula(
    beta: float, k: int, temperature: float, softcap: float | None, scale: float
) -> None:
    student, teacher = predictions(0, 20, 6, softcap, scale), predictions(1, 20, 9, softcap, scale)
    kept = top_tokens.top_tokens(teacher, k, temperature=temperature)
    log_p, log_q = (logits(one, temperature).log_softmax(-1) for one in (student, teacher))
    assert torch.equal(kept.ids, log_q.topk(k).indices)
    torch.testing.assert_close(kept.logps.double(), bucketed(log_q, kept.ids), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(kept.logps.exp().sum(-1), torch.ones(20))
    said = at_tokens(student, kept.ids, temperature=temperature)
    found = generalized_jsd(said.logps, kept.logps, beta=beta)
    expected = generalized_jsd(bucketed(log_p, kept.ids), kept.logps.double(), beta=beta)
    assert_agree(found, expected, [student.hidden, student.weight], rtol=5e-5)
    torch.testing.assert_close(said.entropies.double(), -(log_p.exp() * log_p).sum(-1), rtol=1e-4, atol=1e-5)
    whole = divergences(student, teacher, beta=beta, temperature=temperature).values
    if k == VOCABULARY - 1:  # "another" is one token then, and nothing is lost
        torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-5)
    assert (found <= whole + 1e-5).all()


def test_the_rest_is_what_trl_calls_the_tail() -> None:
    from trl.experimental.server_distillation.server_distillation_trainer import _add_tail_bucket

    kept = top_tokens.top_tokens(predictions(1, 12, 6), 4)
    theirs, _ = _add_tail_bucket(kept.logps[:, :-1], torch.ones(12, 4, dtype=torch.bool))
    torch.testing.assert_close(kept.logps, theirs, rtol=1e-4, atol=1e-5)


def test_a_rest_below_what_float32_can_add_to_one_is_kept() -> None:
    weight = torch.eye(4)
    sure = Predictions(torch.tensor([[40.0, 0.0, 1.0, 0.0]]), weight, weight)
    kept = top_tokens.top_tokens(sure, 1)
    expected = torch.tensor([0.0, 1.0, 0.0]).logsumexp(0) - 40
    torch.testing.assert_close(kept.logps[0, 1], expected)
