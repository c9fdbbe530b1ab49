"""A decoder with every norm, placement, residual and option equals the textbook decoder, in value and gradient."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import textbook
import torch
from agreement import assert_agree
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from burnish.forest import Forest
from burnish.nn.config import DecoderConfig, RopeScaling
from burnish.nn.decoder import Decoder
from forests import forests
from tiny_models import TINY

NORMS = ["rms", "layer", "batch", "weight", "none"]
PLACEMENTS = ["pre", "post", "sandwich", "deepnorm", "reordered"]
SMALL = replace(TINY, norm_eps=1e-3)
FOREST = Forest.from_segments(
    [([1, 2, 3, 4, 5], -1), ([6, 7], 0), ([8, 9, 10, 11, 12, 13], 0), ([14], 2), ([15, 16], -1), ([20, 21, 22, 1], 4)]
)


def _possible(norm: str, placement: str) -> bool:
    return norm != "weight" or placement in ("pre", "deepnorm")


def _decoder(config: DecoderConfig, seed: int = 0) -> Decoder:
    """Weights of a size at which every sublayer matters, norms and gains around one, random biases."""
    decoder = Decoder(config)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in decoder.state_dict().items():
        if name.endswith(("gain", "running_variance")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.dim() == 2:
            tensor.normal_(std=0.5 if "embedding" in name else tensor.shape[1] ** -0.5, generator=generator)
        else:
            tensor.normal_(mean=float("norm.weight" in name), std=0.3, generator=generator)
    return decoder


def _assert_equals_the_textbook(
    decoder: Decoder, forest: Forest, *, rope_factor: float = 1.0, rtol: float = 5e-5
) -> None:
    state = {name: tensor.double() for name, tensor in decoder.state_dict(keep_vars=True).items()}
    expected = textbook.decoder(decoder.config, state, forest, rope_factor=rope_factor, training=decoder.training)
    found = decoder(forest)
    assert found.dtype == torch.float32
    used = [parameter for name, parameter in decoder.named_parameters() if not name.startswith("head")]
    assert_agree(found, expected, used, rtol=rtol)


@pytest.mark.parametrize(
    ("norm", "placement", "residual"),
    [each for each in product(NORMS, PLACEMENTS, [True, False]) if _possible(*each[:2])],
)
def test_every_norm_and_placement_with_and_without_residuals(norm: str, placement: str, residual: bool) -> None:
    config = replace(SMALL, norm=norm, norm_placement=placement, residual=residual)
    decoder = _decoder(config)
    _assert_equals_the_textbook(decoder.eval(), FOREST)
    _assert_equals_the_textbook(decoder.train(), FOREST)


VARIANTS: Mapping[str, dict[str, Any]] = {
    "GPT-2": {
        "positions": "learned", "norm": "layer", "activation": "gelu_tanh", "gated": False, "n_kv_heads": 4,
        "qkv_bias": True, "attention_bias": True, "feed_forward_bias": True, "max_positions": 16,
    },
    "GPT-J": {
        "norm": "layer", "parallel": True, "shared_norm": True, "rotary_dim": 4, "n_kv_heads": 4,
        "activation": "gelu_tanh", "gated": False, "feed_forward_bias": True,
    },
    "GPT-NeoX": {
        "norm": "layer", "parallel": True, "rotary_dim": 2, "activation": "gelu", "gated": False, "qkv_bias": True,
    },
    "Qwen 2": {"qkv_bias": True, "sliding_window": 4, "full_attention_layers": (0,)},
    "Qwen 3": {"qk_norm": "head"},
    "OLMo 2": {"qk_norm": "projection", "norm_placement": "reordered", "n_kv_heads": 4},
    "Gemma 2": {
        "norm_placement": "sandwich", "attention_softcap": 5.0, "sliding_window": 4, "full_attention_layers": (1,),
        "embedding_scale": 24**0.5, "activation": "gelu_tanh", "attention_scale": 0.2,
    },
    "Gemma 3": {
        "norm_placement": "sandwich", "qk_norm": "head", "sliding_window": 3, "full_attention_layers": (1,),
        "rope_theta": 1000.0, "local_rope_theta": 10.0, "rope_scaling": RopeScaling(kind="linear", factor=4.0),
    },
    "SmolLM 3": {"unrotated_layers": (1,)},
    "Falcon": {"norm": "layer", "norm_bias": False, "parallel": True, "shared_norm": True, "n_kv_heads": 1},
    "OPT": {"norm": "layer", "activation": "relu", "gated": False, "positions": "learned", "max_positions": 13},
    "an encoder": {"causal": False, "norm": "layer", "norm_placement": "post", "positions": "learned"},
    "parallel without residuals": {"parallel": True, "residual": False},
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_families_in_miniature(name: str) -> None:
    config = replace(SMALL, **VARIANTS[name])
    _assert_equals_the_textbook(
        _decoder(config), FOREST, rope_factor=1.0 if config.rope_scaling is None else config.rope_scaling.factor
    )


@st.composite
def configs(draw: st.DrawFn) -> DecoderConfig:
    """Any possible configuration of a small decoder."""
    norm = draw(st.sampled_from(NORMS))
    placement = draw(st.sampled_from([placement for placement in PLACEMENTS if _possible(norm, placement)]))
    parallel = placement == "pre" and draw(st.booleans())
    layers = st.sampled_from([(), (0,), (1,), (0, 1)])
    options = st.fixed_dictionaries(
        {
            "n_kv_heads": st.sampled_from([1, 2, 4]),
            "tie_embeddings": st.booleans(),
            "embedding_scale": st.sampled_from([1.0, 3.0]),
            "causal": st.booleans(),
            "qkv_bias": st.booleans(),
            "attention_bias": st.booleans(),
            "qk_norm": st.sampled_from([None, "head", "projection"]),
            "attention_scale": st.sampled_from([None, 0.2]),
            "attention_softcap": st.sampled_from([None, 4.0]),
            "sliding_window": st.none() | st.integers(1, 9),
            "full_attention_layers": layers,
            "positions": st.sampled_from(["rotary", "learned"]),
            "local_rope_theta": st.sampled_from([None, 7.0]),
            "rotary_dim": st.sampled_from([None, 2, 4]),
            "unrotated_layers": layers,
            "activation": st.sampled_from(["silu", "gelu", "gelu_tanh", "relu"]),
            "gated": st.booleans(),
            "feed_forward_bias": st.booleans(),
            "norm_bias": st.booleans(),
            "residual": st.booleans(),
        }
    )
    shared = parallel and draw(st.booleans())
    return replace(SMALL, norm=norm, norm_placement=placement, parallel=parallel, shared_norm=shared, **draw(options))


@given(config=configs(), forest=forests(max_depth=2), seed=st.integers(0, 99))
@settings(max_examples=80)
def test_any_combination_of_options(config: DecoderConfig, forest: Forest, seed: int) -> None:
    decoder = _decoder(config, seed)
    # Two tokens are always at plus and minus one after BatchNorm: its gradient is then nothing but rounding.
    decoder.train(config.norm != "batch" or forest.n_tokens > 8)
    # Without a norm, activations and gradients grow from layer to layer, and so do the errors of float32.
    _assert_equals_the_textbook(decoder, forest, rtol=5e-4)


def test_batch_norm_learns_its_statistics_in_training_and_evaluates_with_them() -> None:
    config = replace(SMALL, norm="batch")
    decoder = _decoder(config).train()
    theirs = nn.BatchNorm1d(config.d_model)
    theirs.running_mean.copy_(decoder.blocks[0].attention_norm.running_mean)
    theirs.running_var.copy_(decoder.blocks[0].attention_norm.running_variance)
    for _ in range(3):
        decoder(FOREST)
        theirs(decoder.embedding.weight[FOREST.tokens])
    norm = decoder.blocks[0].attention_norm
    torch.testing.assert_close(norm.running_mean, theirs.running_mean)
    torch.testing.assert_close(norm.running_variance, theirs.running_var)
    decoder.eval()
    whole, kept = decoder(FOREST), norm.running_mean.clone()
    first = Forest.from_segments([(FOREST.tokens[:5].tolist(), -1)])
    assert_agree(decoder(first), whole[:5])
    assert torch.equal(norm.running_mean, kept)


def _changes(config: DecoderConfig, changed: Tensor) -> Tensor:
    """Which hidden states of one sequence of 12 tokens change with the tokens at `changed`."""
    decoder = _decoder(config).eval()
    tokens = torch.arange(12)
    hidden = [decoder(Forest(each, (12,), (-1,))) for each in (tokens, tokens.index_put((changed,), torch.tensor(40)))]
    return ((hidden[0] - hidden[1]).abs().amax(-1) > 1e-5).nonzero().flatten()


def test_a_token_reaches_as_far_as_its_layers_windows_add_up_to() -> None:
    change = torch.tensor([3])
    assert _changes(TINY, change).tolist() == list(range(3, 12))
    assert _changes(replace(TINY, sliding_window=3), change).tolist() == [3, 4, 5, 6, 7]
    assert _changes(replace(TINY, sliding_window=3, full_attention_layers=(1,)), change).tolist() == list(range(3, 12))
    assert _changes(replace(TINY, causal=False), change).tolist() == list(range(12))


@pytest.mark.parametrize("options", [{"unrotated_layers": (0, 1)}, {}])
def test_without_rotation_the_order_of_earlier_tokens_is_not_seen(options: dict[str, Any]) -> None:
    decoder = _decoder(replace(TINY, n_layers=1, **options))
    sequences = [1, 2, 3, 4], [3, 1, 2, 4]
    last = [decoder(Forest.from_segments([(sequence, -1)]))[-1] for sequence in sequences]
    assert torch.allclose(*last, atol=1e-5) == bool(options)
