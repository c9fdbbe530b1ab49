"""Every norm equals PyTorch's, in value, gradient and running statistics."""

from dataclasses import replace

import pytest
import torch
from agreement import assert_agree
from torch import Tensor, nn

from burnish.nn.norm import BatchNorm, LayerNorm, RMSNorm, make_norm
from tiny_models import TINY

WIDTH = 12
EPS = 1e-3


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _draw(*modules: nn.Module) -> None:
    """The same random weights for all of the modules."""
    for module in modules:
        generator = _generator()
        for parameter in module.parameters():
            nn.init.normal_(parameter, generator=generator)


@pytest.mark.parametrize("shape", [(7, WIDTH), (1, WIDTH), (5, 3, WIDTH)])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (RMSNorm(WIDTH, eps=EPS), nn.RMSNorm(WIDTH, eps=EPS)),
        (LayerNorm(WIDTH, eps=EPS), nn.LayerNorm(WIDTH, eps=EPS)),
        (LayerNorm(WIDTH, eps=EPS, bias=False), nn.LayerNorm(WIDTH, eps=EPS, bias=False)),
    ],
)
def test_norms_over_features_equal_pytorchs(shape: tuple[int, ...], ours: nn.Module, theirs: nn.Module) -> None:
    _draw(ours, theirs)
    x = (3 * torch.randn(shape, generator=_generator()) + 1).requires_grad_()
    assert_agree(ours(x), theirs(x), [x, *ours.parameters()], [x, *theirs.parameters()])


@pytest.mark.parametrize("bias", [True, False])
def test_batch_norm_equals_pytorchs_over_training_and_evaluation(bias: bool) -> None:
    ours, theirs = BatchNorm(WIDTH, eps=EPS, bias=bias), nn.BatchNorm1d(WIDTH, eps=EPS)
    if not bias:
        theirs.bias.requires_grad_(False)
    _draw(ours)
    theirs.weight.data.copy_(ours.weight)
    if bias:
        theirs.bias.data.copy_(ours.bias)
    parameters = [parameter for parameter in theirs.parameters() if parameter.requires_grad]
    generator = _generator()
    for n_tokens in (9, 2, 30, 5):
        x = (2 * torch.randn(n_tokens, WIDTH, generator=generator) + 1).requires_grad_()
        assert_agree(ours(x), theirs(x), [x, *ours.parameters()], [x, *parameters])
        torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        torch.testing.assert_close(ours.running_variance, theirs.running_var)
    for module in (ours, theirs):
        module.eval()
    for n_tokens in (1, 6):
        x = torch.randn(n_tokens, WIDTH, generator=generator).requires_grad_()
        assert_agree(ours(x), theirs(x), [x, *ours.parameters()], [x, *parameters])
    torch.testing.assert_close(ours.running_mean, theirs.running_mean, rtol=0, atol=1e-6)
    assert set(ours.state_dict()) == {"weight", "running_mean", "running_variance"} | ({"bias"} if bias else set())


def test_batch_norm_of_a_single_token_in_training_uses_the_running_statistics_and_leaves_them() -> None:
    norm = BatchNorm(WIDTH, eps=EPS)
    norm(torch.randn(20, WIDTH, generator=_generator()))
    before = [norm.running_mean.clone(), norm.running_variance.clone()]
    x = torch.randn(1, WIDTH, generator=_generator())
    found = norm(x)
    assert torch.equal(found, norm.eval()(x))
    assert torch.equal(norm.running_mean, before[0])
    assert torch.equal(norm.running_variance, before[1])


@pytest.mark.parametrize("norm", [RMSNorm(WIDTH, eps=EPS), LayerNorm(WIDTH, eps=EPS), BatchNorm(WIDTH, eps=EPS)])
def test_norms_are_float32_and_hand_the_gradient_back_in_the_type_of_their_input(norm: nn.Module) -> None:
    _draw(norm)
    x = torch.randn(6, WIDTH, generator=_generator()).bfloat16().requires_grad_()
    found = norm(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, norm(x.float()))
    (gradient,) = torch.autograd.grad(found.square().sum(), x)
    assert gradient.dtype == torch.bfloat16


@pytest.mark.parametrize("trained", ["x", "weight"])
def test_rms_norm_gives_the_one_gradient_that_is_asked_for(trained: str) -> None:
    norm, theirs = RMSNorm(WIDTH, eps=EPS), nn.RMSNorm(WIDTH, eps=EPS)
    _draw(norm, theirs)
    x = torch.randn(6, WIDTH, generator=_generator()).requires_grad_(trained == "x")
    for module in (norm, theirs):
        module.weight.requires_grad_(trained == "weight")
    ours, expected = ([x], [x]) if trained == "x" else ([norm.weight], [theirs.weight])
    assert_agree(norm(x), theirs(x), ours, expected)


@pytest.mark.parametrize("shape", [(5, WIDTH), (5, 3, WIDTH)])
def test_rms_norm_takes_inputs_and_gradients_of_any_layout(shape: tuple[int, ...]) -> None:
    norm, theirs = RMSNorm(WIDTH, eps=EPS), nn.RMSNorm(WIDTH, eps=EPS)
    _draw(norm, theirs)
    whole = torch.randn(*shape[:-1], 2 * WIDTH, generator=_generator()).requires_grad_()
    for x in (whole[..., :WIDTH], whole[..., ::2]):

        def turned(y: Tensor) -> Tensor:
            return y.transpose(0, 1) * 2  # Its gradient arrives transposed.

        assert_agree(turned(norm(x)), turned(theirs(x)), [whole, norm.weight], [whole, theirs.weight])


def test_rms_norm_of_zeros_is_zero_with_a_finite_gradient() -> None:
    norm = RMSNorm(WIDTH, eps=EPS)
    x = torch.zeros(2, WIDTH, requires_grad=True)
    found = norm(x)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert not found.any()
    torch.testing.assert_close(gradient, torch.full_like(x, EPS**-0.5))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("rms", RMSNorm), ("layer", LayerNorm), ("batch", BatchNorm), ("weight", nn.Identity), ("none", nn.Identity)],
)
def test_the_configuration_chooses_the_norm(kind: str, expected: type[nn.Module]) -> None:
    norm = make_norm(replace(TINY, norm=kind, norm_eps=0.25, norm_bias=False))
    assert type(norm) is expected
    if expected is not nn.Identity:
        assert norm.eps == 0.25
        assert [tuple(parameter.shape) for parameter in norm.parameters()] == [(TINY.d_model,)]
        assert make_norm(replace(TINY, norm=kind), width=5).weight.shape == (5,)
