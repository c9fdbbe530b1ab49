"""Log-probabilities in chunks equal log-softmax of all logits, soft-capped or not, in value and gradient."""

import pytest
import torch
from agreement import assert_agree
from torch import Tensor

from burnish.nn import log_probabilities as module
from burnish.nn.log_probabilities import Scores, log_probabilities, log_probabilities_and_entropies, soft_capped

SOFTCAPS = [None, 3.0, 30.0]


def _inputs(n: int, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = (scale * torch.randn(n, 6, generator=generator)).requires_grad_()
    weight = torch.randn(30, 6, generator=generator).requires_grad_()
    return hidden, weight, torch.randint(30, (n,), generator=generator)


def _textbook(
    hidden: Tensor, weight: Tensor, targets: Tensor, softcap: float | None, temperature: float = 1.0
) -> Tensor:
    logits = hidden @ weight.t()
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    return (logits / temperature).log_softmax(-1).gather(1, targets[:, None]).squeeze(1)


@pytest.mark.parametrize("softcap", SOFTCAPS)
@pytest.mark.parametrize("n", [1, 6, 7, 8, 20])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_chunks_equal_log_softmax(monkeypatch: pytest.MonkeyPatch, n: int, softcap: float | None, scale: float) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)
    hidden, weight, targets = _inputs(n, scale)
    found = log_probabilities(hidden, weight, weight.detach(), targets, softcap=softcap)
    expected = _textbook(hidden.double(), weight.double(), targets, softcap)
    assert found.dtype == torch.float32
    assert_agree(found, expected, [hidden, weight], rtol=2e-5)


@pytest.mark.parametrize("softcap", SOFTCAPS)
@pytest.mark.parametrize("temperature", [0.3, 1.7])
def test_a_temperature_divides_what_the_cap_has_bounded(softcap: float | None, temperature: float) -> None:
    hidden, weight, targets = _inputs(20)
    options = {"softcap": softcap, "temperature": temperature}
    expected = _textbook(hidden.double(), weight.double(), targets, softcap, temperature)
    found = log_probabilities(hidden, weight, weight.detach(), targets, **options)
    assert_agree(found, expected, [hidden, weight], rtol=2e-5)
    scores = log_probabilities_and_entropies(hidden, weight, weight.detach(), targets, **options)
    assert torch.equal(scores.logps, found)
    logits = soft_capped(hidden.double() @ weight.double().t(), softcap) / temperature
    entropies = torch.distributions.Categorical(logits=logits).entropy()
    assert_agree(scores.entropies, entropies, [hidden, weight], rtol=2e-5)


@pytest.mark.parametrize("softcap", SOFTCAPS)
def test_more_rows_than_a_chunk_equal_log_softmax(softcap: float | None) -> None:
    hidden, weight, targets = _inputs(2 * module.CHUNK + 1)
    found = log_probabilities(hidden, weight, weight.detach(), targets, softcap=softcap)
    assert_agree(found, _textbook(hidden.double(), weight.double(), targets, softcap), [hidden, weight])


@pytest.mark.parametrize("softcap", SOFTCAPS)
def test_bfloat16_logits_give_float32_gradients_near_the_textbooks(softcap: float | None) -> None:
    hidden, weight, targets = _inputs(20)
    found = log_probabilities(hidden, weight, weight.detach().bfloat16(), targets, softcap=softcap)
    assert found.dtype == torch.float32
    assert_agree(found, _textbook(hidden, weight, targets, softcap), [hidden, weight], rtol=0.02)


@pytest.mark.parametrize("softcap", SOFTCAPS)
def test_a_compute_dtype_below_float32_rounds_no_log_probability(softcap: float | None) -> None:
    """Logits of 30 and more, as trained models have them: in bfloat16 they are multiples of 1/8."""
    generator = torch.Generator().manual_seed(1)
    hidden, weight = torch.randn(50, 64, generator=generator), 2 * torch.randn(200, 64, generator=generator)
    targets = torch.randint(200, (50,), generator=generator)
    exact = _textbook(hidden.double(), weight.double(), targets, softcap)
    rounded = _textbook(hidden.bfloat16(), weight.bfloat16(), targets, softcap)
    assert (rounded - exact).abs().max() > 0.01, "the case is not hard enough"
    found = log_probabilities(hidden, weight, weight.bfloat16(), targets, softcap=softcap)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-4)
    scores = log_probabilities_and_entropies(hidden, weight, weight.bfloat16(), targets, softcap=softcap)
    assert torch.equal(scores.logps, found)


@pytest.mark.parametrize("trained", ["hidden", "weight"])
def test_the_one_gradient_that_is_asked_for_is_given(trained: str) -> None:
    hidden, weight, targets = _inputs(20)
    for name, tensor in (("hidden", hidden), ("weight", weight)):
        tensor.requires_grad_(name == trained)
    found = log_probabilities(hidden, weight, weight.detach(), targets, softcap=3.0)
    assert_agree(found, _textbook(hidden, weight, targets, 3.0), [hidden if trained == "hidden" else weight])


def test_no_rows_are_no_log_probabilities() -> None:
    hidden, weight, targets = _inputs(0)
    found = log_probabilities(hidden, weight, weight.detach(), targets)
    assert found.shape == (0,)
    assert [gradient.abs().sum() for gradient in torch.autograd.grad(found.sum(), [hidden, weight])] == [0, 0]


def test_a_soft_cap_bounds_large_logits_and_leaves_small_ones() -> None:
    logits = torch.tensor([-1000.0, -0.01, 0.0, 0.01, 1000.0])
    torch.testing.assert_close(soft_capped(logits, 30.0), torch.tensor([-30.0, -0.01, 0.0, 0.01, 30.0]))
    assert soft_capped(logits, None) is logits


@pytest.mark.parametrize("softcap", SOFTCAPS)
@pytest.mark.parametrize("n", [1, 7, 20])
def test_entropies_equal_the_textbooks(monkeypatch: pytest.MonkeyPatch, n: int, softcap: float | None) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)
    hidden, weight, targets = _inputs(n)

    def found() -> Scores:
        return log_probabilities_and_entropies(hidden, weight, weight.detach(), targets, softcap=softcap)

    def expected() -> tuple[Tensor, Tensor]:
        logits = soft_capped(hidden.double() @ weight.double().t(), softcap)
        log_p = logits.log_softmax(-1)
        return log_p.gather(1, targets[:, None]).squeeze(1), -(log_p.exp() * log_p).sum(-1)

    for pick in (
        lambda logps, _: logps,
        lambda _, entropies: entropies,
        lambda logps, entropies: 3 * logps + entropies.square(),
    ):
        assert_agree(pick(*found()[:2]), pick(*expected()), [hidden, weight], rtol=2e-5)
