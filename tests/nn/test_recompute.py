"""What is computed again is not kept, and gives the same bits."""

import weakref
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.forest import Forest
from burnish.nn import block, feed_forward
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, add_lora
from burnish.nn.recompute import recomputed
from tiny_models import TINY


@pytest.mark.parametrize("again", [True, False])
def test_the_value_is_freed_and_made_again(again: bool) -> None:
    weight = nn.Parameter(torch.ones(3, 4))
    memory = np.arange(8, dtype=np.float32).reshape(2, 4)
    watched = weakref.ref(memory)
    calls = []

    def make() -> Tensor:
        calls.append(torch.is_grad_enabled())
        return torch.arange(8.0).reshape(2, 4)

    value = torch.from_numpy(memory)
    del memory
    with recomputed(value, make) if again else nullcontext():
        product = F.linear(value, weight)
    del value
    assert (watched() is None) == again, "without it the graph holds the value: the test could fail"
    assert not calls
    product.sum().backward()
    assert calls == [False] * again
    assert weight.grad is not None
    assert torch.equal(weight.grad, torch.tensor([4.0, 6.0, 8.0, 10.0]).expand(3, 4))


def test_other_tensors_are_kept_as_they_are() -> None:
    x, weight = torch.randn(5, 4, requires_grad=True), nn.Parameter(torch.randn(3, 4))
    other = torch.randn(5, 4)
    with recomputed(other, lambda: pytest.fail("not what was saved")):
        F.linear(x * 2, weight).square().sum().backward()
    expected = torch.autograd.grad(F.linear(x * 2, weight).square().sum(), [x, weight])
    for found, wanted in zip((x.grad, weight.grad), expected, strict=True):
        assert found is not None
        assert torch.equal(found, wanted)


def _gradients(config: Any, *, lora: bool) -> dict[str, Tensor]:
    torch.manual_seed(0)
    decoder = Decoder(config)
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    if lora:
        add_lora(decoder, LoraConfig(rank=2), seed=0)
    for parameter in decoder.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    forest, _ = Forest.from_sequences([[1, 2, 3, 4, 5], [1, 2, 3, 6], [7, 8]], min_shared=2)
    decoder(forest).square().sum().backward()
    return {name: p.grad for name, p in decoder.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("placement", ["pre", "sandwich"])
@pytest.mark.parametrize("lora", [True, False])
def test_gradients_have_the_same_bits(placement: str, lora: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(TINY, norm_placement=placement)
    made: list[Tensor] = []

    def watched(value: Tensor, make: Any) -> Any:
        def counted() -> Tensor:
            made.append(again := make())
            assert torch.equal(again, original)
            return again

        original = value.detach().clone()
        return recomputed(value, counted)

    for module in (block, feed_forward):
        monkeypatch.setattr(module, "recomputed", watched)
    found = _gradients(config, lora=lora)
    assert len(made) >= 3 * config.n_layers, "both norms and the product of gate and up"
    for module in (block, feed_forward):
        monkeypatch.setattr(module, "recomputed", lambda value, make: nullcontext())
    plain = _gradients(config, lora=lora)
    assert found.keys() == plain.keys()
    for name, gradient in found.items():
        assert torch.equal(gradient, plain[name]), name
