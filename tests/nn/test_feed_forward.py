"""The feed-forward layer equals the textbook's with every activation, in value and gradient."""

from dataclasses import replace

import pytest
import textbook
import torch
from agreement import assert_agree
from torch import nn

from burnish.nn.feed_forward import ACTIVATIONS, FeedForward
from tiny_models import TINY


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm", ["rms", "weight"])
def test_equals_the_textbook(activation: str, gated: bool, bias: bool, norm: str) -> None:
    config = replace(TINY, activation=activation, gated=gated, feed_forward_bias=bias, norm=norm)
    layer = FeedForward(config, compute_dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=generator)
    x = torch.randn(7, TINY.d_model, generator=generator).requires_grad_()
    double = {name: parameter.double() for name, parameter in layer.named_parameters()}
    expected = textbook.feed_forward(config, double, x.double())
    assert_agree(layer(x), expected, [x, *layer.parameters()])
    layer.eval()
    with torch.no_grad():
        assert_agree(layer(x), expected)


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"relu"}))  # The slope of relu jumps with a rounding.
def test_bfloat16_products_stay_close(activation: str) -> None:
    config = replace(TINY, activation=activation, feed_forward_bias=True)
    layer = FeedForward(config, compute_dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    x = torch.randn(7, TINY.d_model, generator=generator).requires_grad_()
    expected = layer(x)
    layer.gate_up.compute_dtype = layer.down.compute_dtype = torch.bfloat16
    assert_agree(layer(x).float(), expected, [x, *layer.parameters()], rtol=0.03)


def test_gate_and_up_are_the_rows_of_one_product() -> None:
    layer = FeedForward(TINY, compute_dtype=torch.float32)
    assert layer.gate_up.parts == {"gate": slice(0, 32), "up": slice(32, 64)}
    assert FeedForward(replace(TINY, gated=False), compute_dtype=torch.float32).up.parts == {"up": slice(0, 32)}
