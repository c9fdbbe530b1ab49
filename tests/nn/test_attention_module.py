"""The attention module equals PyTorch's and, with every option, the textbook's, in value and gradient."""

from dataclasses import replace
from typing import Any

import pytest
import textbook
import torch
from agreement import assert_agree
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from burnish.forest import Forest
from burnish.nn.attention import Attention, Backend, cpu, cross_attention, reference
from burnish.nn.config import DecoderConfig
from burnish.nn.rotary import rotary_angles
from forests import forests
from tiny_models import TINY

BACKENDS = [reference.attention, cpu.attention]


@st.composite
def configs(draw: st.DrawFn) -> DecoderConfig:
    """Everything of a `DecoderConfig` that concerns attention."""
    n_heads, n_kv_heads = draw(st.sampled_from([(4, 4), (4, 2), (4, 1), (6, 3), (1, 1)]))
    return replace(
        TINY,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        causal=draw(st.booleans()),
        qkv_bias=draw(st.booleans()),
        attention_bias=draw(st.booleans()),
        qk_norm=draw(st.sampled_from([None, "head", "projection"])),
        attention_scale=draw(st.sampled_from([None, 0.1])),
        attention_softcap=draw(st.sampled_from([None, 3.0])),
        sliding_window=draw(st.none() | st.integers(1, 9)),
        rotary_dim=draw(st.sampled_from([None, 2, 4])),
        unrotated_layers=draw(st.sampled_from([(), (0,)])),
        norm=draw(st.sampled_from(["rms", "weight"])),
    )


def _module(config: DecoderConfig, seed: int = 0) -> Attention:
    module = Attention(config, compute_dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        nn.init.normal_(parameter, std=0.5, mean=float(name.endswith(("norm.weight", "gain"))), generator=generator)
    return module


def _input(n: int, seed: int) -> Tensor:
    return torch.randn(n, TINY.d_model, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def _double(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.double() for name, parameter in module.named_parameters()}


@pytest.mark.parametrize("backend", BACKENDS)
@given(forest=forests(), config=configs(), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_self_attention_equals_the_textbook(backend: Backend, forest: Forest, config: DecoderConfig, seed: int) -> None:
    module, x = _module(config, seed), _input(forest.n_tokens, seed + 1)
    rotary = rotary_angles(forest.positions, config.rotary_dim or config.head_dim, config.rope_theta)
    found = module(
        x,
        None if 0 in config.unrotated_layers else rotary,
        lambda q, k, v: backend(q, k, v, forest, config.attention_rule(0)),
    )
    expected = textbook.attention_layer(config, _double(module), x.double(), forest)
    assert_agree(found, expected, [x, *module.parameters()], rtol=2e-5)


@given(data=st.data(), config=configs(), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_cross_attention_equals_the_textbook(data: st.DataObject, config: DecoderConfig, seed: int) -> None:
    queries = data.draw(forests())
    context = data.draw(forests(n_trees=len(queries.roots)))
    module, x, y = _module(config, seed), _input(queries.n_tokens, seed + 1), _input(context.n_tokens, seed + 2)
    k, v = module.keys_and_values(y)
    found = module.across(x, lambda q: cross_attention(q, k, v, queries, context, config.attention_rule(0)))
    seen = textbook.tree_of(queries)[:, None] == textbook.tree_of(context)[None, :]
    expected = textbook.attention_layer(config, _double(module), x.double(), queries, context=y.double(), seen=seen)
    assert_agree(found, expected, [x, y, *module.parameters()], rtol=2e-5)


def _as_in_pytorch(module: Attention) -> nn.MultiheadAttention:
    """`torch.nn.MultiheadAttention` with the same weights, as leaves of its own."""
    theirs = nn.MultiheadAttention(TINY.d_model, module.n_heads, bias=module.o.bias is not None)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(module.qkv.weight)
        theirs.out_proj.weight.copy_(module.o.weight)
        if module.o.bias is not None:
            theirs.in_proj_bias.copy_(module.qkv.bias)
            theirs.out_proj.bias.copy_(module.o.bias)
    return theirs


def _parameters(module: Attention | nn.MultiheadAttention) -> list[nn.Parameter]:
    """In one order for both."""
    ours = isinstance(module, Attention)
    first = (module.qkv.weight, module.qkv.bias) if ours else (module.in_proj_weight, module.in_proj_bias)
    last = module.o if ours else module.out_proj
    return [parameter for parameter in (*first, last.weight, last.bias) if parameter is not None]


def _multi_head(bias: bool, **options: Any) -> DecoderConfig:
    head_dim = TINY.d_model // 4
    return replace(TINY, n_heads=4, n_kv_heads=4, head_dim=head_dim, qkv_bias=bias, attention_bias=bias, **options)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("lengths", [(7,), (5, 3, 1)])
def test_self_attention_equals_pytorchs_multi_head_attention(
    backend: Backend, bias: bool, causal: bool, lengths: tuple[int, ...]
) -> None:
    config = _multi_head(bias, causal=causal)
    module, x = _module(config), _input(sum(lengths), 1)
    theirs = _as_in_pytorch(module)
    forest = Forest(torch.zeros(sum(lengths), dtype=torch.long), lengths, (-1,) * len(lengths))
    found = module(x, None, lambda q, k, v: backend(q, k, v, forest, config.attention_rule(0)))
    expected = []
    for sequence in x.split(lengths):
        hidden = torch.ones(len(sequence), len(sequence), dtype=torch.bool).triu(1) if causal else None
        expected.append(theirs(sequence, sequence, sequence, attn_mask=hidden, need_weights=False)[0])
    assert_agree(found, torch.cat(expected), [x, *_parameters(module)], [x, *_parameters(theirs)])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lengths", [((3,), (8,)), ((5, 3, 1), (2, 1, 6))])
def test_cross_attention_equals_pytorchs_multi_head_attention(
    bias: bool, lengths: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    module = _module(_multi_head(bias))
    theirs = _as_in_pytorch(module)
    forests = [Forest(torch.zeros(sum(each), dtype=torch.long), each, (-1,) * len(each)) for each in lengths]
    x, context = _input(sum(lengths[0]), 1), _input(sum(lengths[1]), 2)
    k, v = module.keys_and_values(context)
    found = module.across(x, lambda q: cross_attention(q, k, v, *forests))
    pairs = zip(x.split(lengths[0]), context.split(lengths[1]), strict=True)
    expected = torch.cat([theirs(query, keys, keys, need_weights=False)[0] for query, keys in pairs])
    assert_agree(found, expected, [x, context, *_parameters(module)], [x, context, *_parameters(theirs)])


def test_the_rows_of_the_one_product_are_those_of_q_then_k_then_v() -> None:
    parts = _module(TINY).qkv.parts
    assert parts == {"q": slice(0, 32), "k": slice(32, 48), "v": slice(48, 64)}


@pytest.mark.parametrize("context", [True, False])
def test_bfloat16_products_stay_close_and_attention_takes_the_compute_dtype(context: bool) -> None:
    forest, _ = Forest.from_sequences([[*range(5), 7, 8], [*range(5), 9]], min_shared=2)
    module = _module(replace(TINY, qkv_bias=True, attention_bias=True))
    for parameter in module.parameters():
        parameter.data.mul_(0.3)
    x = _input(forest.n_tokens, 1)
    seen: list[torch.dtype] = []

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        seen.extend(part.dtype for part in (q, k, v))
        return cpu.attention(q, k, v, forest)

    def run() -> Tensor:
        if not context:
            return module(x, None, attend)
        k, v = module.keys_and_values(x)
        return module.across(x, lambda q: attend(q, k, v))

    expected = run()
    for linear in (module.qkv, module.o):
        linear.compute_dtype = torch.bfloat16
    found = run()
    assert found.dtype == torch.bfloat16
    assert seen == [torch.float32] * 3 + [torch.bfloat16] * 3
    assert_agree(found.float(), expected, [x, *module.parameters()], rtol=0.05)
