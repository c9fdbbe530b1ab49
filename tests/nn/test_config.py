"""Configurations that cannot be built are refused, with the values at fault; derived constants are the papers'."""

from dataclasses import replace
from typing import Any

import pytest

from burnish.nn.config import AttentionRule, DecoderConfig
from tiny_models import TINY


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_kv_heads": 3}, r"n_heads \(4\) must be a multiple of n_kv_heads \(3\)"),
        ({"n_kv_heads": 8}, r"n_heads \(4\) must be a multiple of n_kv_heads \(8\)"),
        ({"head_dim": 7}, "head_dim must be even for rotary positions, got 7"),
        ({"n_layers": 0}, "n_layers must be at least 1, got 0"),
        ({"vocab_size": 0}, "vocab_size must be at least 1"),
        ({"n_kv_heads": 0}, "n_kv_heads must be at least 1"),
        ({"rotary_dim": 3}, "rotary_dim must be even for rotary positions, got 3"),
        ({"rotary_dim": 10}, r"rotary_dim must be in 1 to head_dim \(8\), got 10"),
        ({"sliding_window": 0}, "sliding_window must be at least 1, got 0"),
        ({"parallel": True, "norm_placement": "post"}, "parallel sublayers need norm_placement 'pre', got 'post'"),
        ({"parallel": True, "norm_placement": "deepnorm"}, "parallel sublayers .* 'deepnorm'"),
        ({"parallel": True, "norm_placement": "sandwich"}, "parallel sublayers .* 'sandwich'"),
        ({"parallel": True, "norm_placement": "reordered"}, "parallel sublayers .* 'reordered'"),
        ({"shared_norm": True}, "shared_norm needs parallel"),
        ({"norm": "weight", "norm_placement": "post"}, "norm 'weight' .* 'pre' or 'deepnorm' .* got 'post'"),
        ({"norm": "weight", "norm_placement": "sandwich"}, "norm 'weight' .* got 'sandwich'"),
        ({"norm": "weight", "norm_placement": "reordered"}, "norm 'weight' .* got 'reordered'"),
    ],
)
def test_an_impossible_configuration_is_refused_with_the_values_at_fault(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)


def test_learned_positions_need_no_even_head() -> None:
    assert replace(TINY, head_dim=7, positions="learned").head_dim == 7


def test_each_layer_has_its_rule() -> None:
    config = replace(
        TINY, sliding_window=5, full_attention_layers=(1,), attention_scale=0.3, attention_softcap=9.0, causal=False
    )
    assert config.attention_rule(0) == AttentionRule(scale=0.3, causal=False, window=5, softcap=9.0)
    assert config.attention_rule(1) == AttentionRule(scale=0.3, causal=False, window=None, softcap=9.0)
    assert TINY.attention_rule(0) == AttentionRule()


@pytest.mark.parametrize(
    ("n_layers", "alpha", "beta"), [(1, 2**0.25, 8**-0.25), (8, 2.0, 64**-0.25), (1250, 7.0711, 0.1)]
)
def test_deepnorm_scales_as_its_paper_says_for_decoders(n_layers: int, alpha: float, beta: float) -> None:
    """α = (2 M)^1/4 and β = (8 M)^-1/4: the decoder-only row of Wang 2022 (arXiv:2203.00555), figure 2."""
    config = replace(TINY, n_layers=n_layers, norm_placement="deepnorm")
    assert config.deepnorm.alpha == pytest.approx(alpha, rel=1e-4)
    assert config.deepnorm.beta == pytest.approx(beta, rel=1e-4)


@pytest.mark.parametrize("placement", ["pre", "post", "sandwich", "reordered"])
def test_only_deepnorm_scales(placement: str) -> None:
    config: DecoderConfig = replace(TINY, norm_placement=placement)
    assert config.deepnorm == (1.0, 1.0)
