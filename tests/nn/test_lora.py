"""Adapters change nothing at first, train alone, and merge to the same model."""

import pytest
import torch

from burnish.forest import Forest
from burnish.nn.decoder import Decoder
from burnish.nn.linear import Linear
from burnish.nn.lora import LoraConfig, LoraLinear, add_lora, lora_config, merge_lora
from tiny_models import TINY

FOREST, _ = Forest.from_sequences([[1, 2, 3, 4], [1, 2, 9, 9, 9]], min_shared=2)


def _with_random_adapters(dtype: torch.dtype = torch.float32) -> Decoder:
    decoder = Decoder(TINY, compute_dtype=dtype)
    add_lora(decoder, LoraConfig(rank=3, alpha=6.0), seed=1)
    generator = torch.Generator().manual_seed(2)
    for module in decoder.modules():
        if isinstance(module, LoraLinear):
            torch.nn.init.normal_(module.lora_b, generator=generator)
    return decoder


def test_new_adapters_change_nothing() -> None:
    decoder = Decoder(TINY)
    before = decoder(FOREST)
    add_lora(decoder, LoraConfig(rank=3), seed=1)
    torch.testing.assert_close(decoder(FOREST), before, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_adapters_get_gradients(dtype: torch.dtype) -> None:
    decoder = _with_random_adapters(dtype)
    decoder(FOREST).square().sum().backward()
    for name, parameter in decoder.named_parameters():
        assert (parameter.grad is not None) == ("lora_" in name), name


def test_merging_keeps_the_function_and_removes_the_adapters() -> None:
    decoder = _with_random_adapters()
    before = decoder(FOREST)
    assert lora_config(decoder) == LoraConfig(rank=3, alpha=6.0)
    merge_lora(decoder)
    assert lora_config(decoder) is None
    assert all(parameter.requires_grad for parameter in decoder.parameters())
    torch.testing.assert_close(decoder(FOREST), before, rtol=1e-4, atol=1e-4)


def test_targets_choose_the_projections() -> None:
    decoder = Decoder(TINY)
    add_lora(decoder, LoraConfig(rank=2, targets=("q", "v")), seed=0)
    adapted = {name.rsplit(".", 1)[-1] for name, m in decoder.named_modules() if isinstance(m, LoraLinear)}
    plain = {name.rsplit(".", 1)[-1] for name, m in decoder.named_modules() if type(m) is Linear}
    assert adapted == {"q", "v"}
    assert plain >= {"k", "o", "gate", "up", "down"}


def test_dropout_acts_in_training_only() -> None:
    decoder = _with_random_adapters()
    for module in decoder.modules():
        if isinstance(module, LoraLinear):
            module.config = LoraConfig(rank=3, alpha=6.0, dropout=0.5)
    decoder.train()
    assert not torch.equal(decoder(FOREST), decoder(FOREST))
    decoder.eval()
    assert torch.equal(decoder(FOREST), decoder(FOREST))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"rank": 0}, "rank"), ({"dropout": 1.0}, "dropout"), ({"targets": ("head",)}, "targets")],
)
def test_wrong_settings_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoraConfig(**options)
