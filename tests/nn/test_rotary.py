"""Rotary positions equal complex multiplication, and their scalings equal those of transformers."""

import pytest
import torch
from agreement import assert_agree
from torch import Tensor

from burnish.nn.config import RopeScaling
from burnish.nn.rotary import attention_factor, frequencies, rotary_angles, rotate

POSITIONS = torch.tensor([0, 1, 2, 7, 100])


def _turned(x: Tensor, dim: int, theta: float) -> Tensor:
    """Dimensions j and j + dim / 2 as one complex number, turned by its position; the others as they are."""
    radians = POSITIONS[:, None] * theta ** (-torch.arange(dim // 2) / (dim // 2))
    turns = torch.polar(torch.ones_like(radians), radians)[:, None]
    turned = torch.complex(x[..., : dim // 2], x[..., dim // 2 : dim]) * turns
    return torch.cat([turned.real, turned.imag, x[..., dim:]], dim=-1)


@pytest.mark.parametrize("dim", [8, 6, 2])
def test_rotation_of_the_first_dimensions_equals_complex_multiplication(dim: int) -> None:
    x = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = rotate(x, rotary_angles(POSITIONS, dim, 50.0))
    assert_agree(found, _turned(x, dim, 50.0), [x])
    assert torch.equal(found[..., dim:], x[..., dim:])


@pytest.mark.parametrize("views", [True, False])
def test_rotation_leaves_its_input_as_it_is(views: bool) -> None:
    whole = torch.randn(5, 6, 8, generator=torch.Generator().manual_seed(0))
    x = whole[:, 1:3] if views else whole
    kept = x.clone()
    assert_agree(rotate(x, rotary_angles(POSITIONS, 8, 50.0)), _turned(kept, 8, 50.0))
    assert torch.equal(x, kept)


def test_rotation_is_float32_and_its_gradient_has_the_type_of_the_input() -> None:
    x = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    found = rotate(x, rotary_angles(POSITIONS, 8, 50.0))
    assert found.dtype == torch.float32
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert gradient.dtype == torch.bfloat16


SCALINGS = {
    "linear": RopeScaling(kind="linear", factor=4.0),
    "llama3 as published": RopeScaling(kind="llama3", factor=8.0),
    "llama3 otherwise": RopeScaling(
        kind="llama3", factor=32.0, original_max_positions=512, low_freq_factor=2.0, high_freq_factor=16.0
    ),
    "yarn": RopeScaling(kind="yarn", factor=4.0, original_max_positions=4096),
    "yarn with its ramp": RopeScaling(
        kind="yarn", factor=16.0, original_max_positions=256, beta_fast=8.0, beta_slow=2.0, attention_factor=1.5
    ),
    "yarn on a short context": RopeScaling(kind="yarn", factor=2.0, original_max_positions=16),
}


@pytest.mark.parametrize("scaling", SCALINGS.values(), ids=SCALINGS)
@pytest.mark.parametrize(("head_dim", "share", "theta"), [(64, 1.0, 10_000.0), (64, 0.5, 500_000.0), (8, 1.0, 100.0)])
def test_scaled_frequencies_equal_those_of_transformers(
    scaling: RopeScaling, head_dim: int, share: float, theta: float
) -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = LlamaConfig(
        hidden_size=4 * head_dim,
        num_attention_heads=4,
        head_dim=head_dim,
        max_position_embeddings=int(scaling.original_max_positions * scaling.factor),
        rope_parameters={
            "rope_type": scaling.kind,
            "rope_theta": theta,
            "factor": scaling.factor,
            "partial_rotary_factor": share,
            **(
                {} if scaling.kind == "linear" else {"original_max_position_embeddings": scaling.original_max_positions}
            ),
            **(
                {"low_freq_factor": scaling.low_freq_factor, "high_freq_factor": scaling.high_freq_factor}
                if scaling.kind == "llama3"
                else {}
            ),
            **(
                {
                    "beta_fast": scaling.beta_fast,
                    "beta_slow": scaling.beta_slow,
                    "attention_factor": scaling.attention_factor,
                }
                if scaling.kind == "yarn"
                else {}
            ),
        },
    )
    expected, factor = ROPE_INIT_FUNCTIONS[scaling.kind](config, torch.device("cpu"))
    torch.testing.assert_close(frequencies(int(head_dim * share), theta, scaling), expected, rtol=1e-5, atol=0)
    assert attention_factor(scaling) == pytest.approx(factor)


@pytest.mark.parametrize("scaling", SCALINGS.values(), ids=SCALINGS)
def test_angles_are_positions_times_frequencies_scaled_by_the_attention_factor(scaling: RopeScaling) -> None:
    cos, sin = rotary_angles(POSITIONS, 8, 100.0, scaling)
    radians = POSITIONS[:, None].double() * frequencies(8, 100.0, scaling).double()
    factor = attention_factor(scaling)
    expected = radians.cos() * factor, radians.sin() * factor
    torch.testing.assert_close(cos[:, 0].double(), torch.cat([expected[0]] * 2, dim=-1), rtol=0, atol=1e-5)
    torch.testing.assert_close(sin[:, 0].double(), torch.cat([-expected[1], expected[1]], dim=-1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "linear", "factor": 0.5}, "at least 1, got 0.5"),
        ({"kind": "llama3", "factor": 8.0, "low_freq_factor": 4.0}, r"high_freq_factor \(4.0\) must be above"),
    ],
)
def test_an_impossible_scaling_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RopeScaling(**options)
