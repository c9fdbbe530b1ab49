"""Equality of two computations in value and in gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor


def assert_agree(
    found: Tensor,
    expected: Tensor,
    inputs: Sequence[Tensor] = (),
    expected_inputs: Sequence[Tensor] | None = None,
    *,
    rtol: float = 1e-5,
) -> None:
    """Assert that values, and the gradients for `inputs`, agree within `rtol` of their norms.

    expected_inputs: the leaves of `expected`, where they are other tensors than those of `found`. A gradient that
    is nearly zero may be off by `rtol` of the largest one: it is a difference of terms of that size.
    """
    _assert_near(found, expected, rtol)
    # Every output element gets a weight of its own, so that no error can cancel.
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(0))
    pairs = list(
        zip(
            torch.autograd.grad((found * weights).sum(), inputs) if inputs else (),
            torch.autograd.grad((expected * weights).sum(), expected_inputs or inputs) if inputs else (),
            strict=True,
        )
    )
    largest = max((gradient.norm().item() for _, gradient in pairs), default=0.0)
    for index, (a, b) in enumerate(pairs):
        _assert_near(a, b, rtol, floor=0.1 * rtol * largest, what=f"gradient {index} of shape {list(b.shape)}")


def _assert_near(a: Tensor, b: Tensor, rtol: float, *, floor: float = 0.0, what: str = "value") -> None:
    assert a.shape == b.shape
    error, size = (a.double() - b.double()).norm().item(), b.double().norm().item()
    assert error <= rtol * size + floor + 1e-7, f"{what}: error {error:.2e} at norm {size:.2e}"
