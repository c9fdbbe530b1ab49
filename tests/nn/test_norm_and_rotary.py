"""Closed-form gradients equal those of the textbook formula."""

import torch

from burnish.nn.norm import RMSNorm
from burnish.nn.rotary import rotary_angles, rotate


def test_rms_norm_equals_pytorch_in_value_and_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(7, 12, generator=generator).requires_grad_()
    norm = RMSNorm(12, eps=1e-3)
    norm.weight.data.normal_(generator=generator)
    weights = torch.randn(7, 12, generator=generator)
    found = norm(x)
    expected = torch.nn.functional.rms_norm(x, (12,), norm.weight, 1e-3)
    torch.testing.assert_close(found, expected)
    for a, b in zip(
        torch.autograd.grad((found * weights).sum(), [x, norm.weight]),
        torch.autograd.grad((expected * weights).sum(), [x, norm.weight]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_rotation_equals_complex_multiplication_and_its_gradient_rotates_back() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 3, 8, generator=generator).requires_grad_()
    positions = torch.tensor([0, 1, 2, 7, 100])
    found = rotate(x, rotary_angles(positions, 8, 50.0))
    frequencies = 50.0 ** (-torch.arange(4) / 4)
    turns = torch.polar(torch.ones(5, 4), positions[:, None] * frequencies)[:, None]
    rotated = torch.complex(x[..., :4], x[..., 4:]) * turns
    expected = torch.cat([rotated.real, rotated.imag], dim=-1)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(5, 3, 8, generator=generator)
    (a,) = torch.autograd.grad((found * weights).sum(), [x])
    (b,) = torch.autograd.grad((expected * weights).sum(), [x])
    torch.testing.assert_close(a, b)
