"""Fewer key and value heads: pooling against its definition, head by head, and what must not change."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor

from burnish.forest import Forest
from burnish.nn.attention import Attention
from burnish.nn.config import DecoderConfig
from burnish.nn.conversion import Pooling, with_kv_heads
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, add_lora

CONFIG = DecoderConfig(
    vocab_size=40, d_model=32, n_layers=2, n_heads=8, n_kv_heads=8, head_dim=4, d_ff=48, qkv_bias=True
)
FOREST = Forest.from_sequences([[1, 2, 3, 4, 5], [1, 2, 6, 7]])[0]


def random_decoder(config: DecoderConfig = CONFIG) -> Decoder:
    """Every parameter random, norms and biases too."""
    decoder = Decoder(config)
    generator = torch.Generator().manual_seed(1)
    for parameter in decoder.parameters():
        parameter.data.normal_(std=0.3, generator=generator)
    return decoder


def attentions(decoder: Decoder) -> list[Attention]:
    return [module for module in decoder.modules() if isinstance(module, Attention)]


def heads(attention: Attention, part: str, what: Literal["weight", "bias"]) -> list[Tensor]:
    """The rows of each head of q, k or v."""
    rows = getattr(attention.qkv, what)[attention.qkv.parts[part]]
    return list(rows.split(attention.head_dim))


def logits(decoder: Decoder) -> Tensor:
    with torch.no_grad():
        return decoder.logits(decoder.eval()(FOREST))


def naive(old_heads: list[Tensor], n_groups: int, pooling: Pooling) -> list[Tensor]:
    """Section 2.1 of the paper, one head at a time."""
    size = len(old_heads) // n_groups
    groups = [old_heads[group * size : (group + 1) * size] for group in range(n_groups)]
    return [sum(group[1:], group[0]) / size if pooling == "mean" else group[0] for group in groups]


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize(("present", "wanted"), [(8, 4), (8, 1), (4, 2), (4, 1), (2, 1)])
def test_pooling_equals_its_definition(present: int, wanted: int, pooling: Pooling) -> None:
    decoder = random_decoder(replace(CONFIG, n_kv_heads=present))
    converted = with_kv_heads(decoder, wanted, pooling=pooling)
    for old, new in zip(attentions(decoder), attentions(converted), strict=True):
        for what in ("weight", "bias"):
            for part in ("k", "v"):
                expected = naive(heads(old, part, what), wanted, pooling)
                torch.testing.assert_close(heads(new, part, what), expected)
            torch.testing.assert_close(heads(new, "q", what), heads(old, "q", what), rtol=0, atol=0)


def test_two_conversions_are_one() -> None:
    decoder = random_decoder()
    at_once, in_steps = with_kv_heads(decoder, 2), with_kv_heads(with_kv_heads(decoder, 4), 2)
    torch.testing.assert_close(logits(at_once), logits(in_steps), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "first", "random"])
def test_the_same_number_changes_nothing(pooling: Pooling) -> None:
    decoder = random_decoder(replace(CONFIG, n_kv_heads=2))
    converted = with_kv_heads(decoder, 2, pooling=pooling)
    assert torch.equal(logits(converted), logits(decoder))
    assert converted.embedding.weight.data_ptr() != decoder.embedding.weight.data_ptr()


@pytest.mark.parametrize("qk_norm", [None, "head", "projection"])
@pytest.mark.parametrize("norm", ["rms", "weight"])
@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_pooling_heads_that_are_alike_changes_no_output(
    qk_norm: Literal["head", "projection"] | None, norm: Literal["rms", "weight"], pooling: Pooling
) -> None:
    """Where the heads of each group are copies of each other, one of them says all."""
    decoder = random_decoder(replace(CONFIG, qk_norm=qk_norm, norm=norm))
    for attention in attentions(decoder):
        rows = {"qkv.weight": attention.qkv.weight, "qkv.bias": attention.qkv.bias}
        if norm == "weight":
            rows["qkv.gain"] = attention.qkv.gain
        for part in ("k", "v"):
            for parameter in rows.values():
                copy_first_of_pairs(parameter.data[attention.qkv.parts[part]], attention.head_dim)
        if qk_norm == "projection":
            copy_first_of_pairs(attention.k_norm.weight.data, attention.head_dim)
    expected, found = logits(decoder), logits(with_kv_heads(decoder, 4, pooling=pooling))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def copy_first_of_pairs(rows: Tensor, head_dim: int) -> None:
    pairs = rows.unflatten(0, (-1, 2, head_dim))
    pairs[:, 1] = pairs[:, 0]


def test_random_heads_are_drawn_as_at_initialisation() -> None:
    config = replace(CONFIG, d_model=256, head_dim=32, n_layers=1)
    decoder = random_decoder(config)
    one, same, other = (with_kv_heads(decoder, 2, pooling="random", seed=seed) for seed in (1, 1, 2))
    (attention,) = attentions(one)
    for part in ("k", "v"):
        rows = torch.cat(heads(attention, part, "weight"))
        assert abs(rows.std().item() - 0.02) < 0.001
        assert torch.cat(heads(attention, part, "bias")).abs().max() == 0
    assert torch.equal(logits(one), logits(same))
    assert not torch.equal(logits(one), logits(other))


def test_the_given_decoder_stays_as_it_is() -> None:
    decoder = random_decoder()
    before = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
    converted = with_kv_heads(decoder, 1)
    for parameter in converted.parameters():
        parameter.data.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in decoder.state_dict().items())
    assert decoder.config.n_kv_heads == 8


@pytest.mark.parametrize("wanted", [0, 3, 5, 16, -1])
def test_groups_of_unequal_size_are_refused(wanted: int) -> None:
    with pytest.raises(ValueError, match=r"8 key/value heads cannot become .* possible are: 1, 2, 4, 8"):
        with_kv_heads(random_decoder(), wanted)


def test_adapters_are_refused() -> None:
    decoder = random_decoder()
    add_lora(decoder, LoraConfig(rank=2, alpha=4.0, dropout=0.0, targets=("q", "v")), seed=0)
    with pytest.raises(ValueError, match="merge"):
        with_kv_heads(decoder, 1)
