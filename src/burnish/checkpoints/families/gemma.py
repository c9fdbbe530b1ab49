"""Gemma 2 (arXiv:2408.00118) and 3 (arXiv:2503.19786): sandwich norms stored less one, windows in most layers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from burnish.checkpoints.families.family import Family, in_layers, norm, table
from burnish.checkpoints.families.llama import (
    ATTENTION_BIAS,
    FIXED,
    GATED,
    GGUF_KEYS,
    HEAD,
    KEYS,
    NO_BIAS,
    attention,
)
from burnish.checkpoints.families.positions import layer_windows, local_and_global_rotary, rotary
from burnish.checkpoints.families.settings import ConfigKeys, Conversion, activation
from burnish.nn.config import DecoderConfig

_FIXED = {**FIXED, "use_bidirectional_attention": (None, False)}

WEIGHTS = (
    table("embedding", "model.embed_tokens", "token_embd"),
    *norm("norm", "model.norm", "output_norm", layout="less_one"),
)
SANDWICH_NORMS = (
    *norm("attention_norm", "input_layernorm", "attn_norm", layout="less_one"),
    *norm("attention_output_norm", "post_attention_layernorm", "post_attention_norm", layout="less_one"),
    *norm("feed_forward_norm", "pre_feedforward_layernorm", "ffn_norm", layout="less_one"),
    *norm("feed_forward_output_norm", "post_feedforward_layernorm", "post_ffw_norm", layout="less_one"),
)
HEAD_NORMS = (
    *norm("attention.q_norm", "self_attn.q_norm", "attn_q_norm", "head_dim", layout="less_one"),
    *norm("attention.k_norm", "self_attn.k_norm", "attn_k_norm", "head_dim", layout="less_one"),
)


def _read_scale(settings: ConfigKeys, known: Mapping[str, Any]) -> dict[str, Any]:
    """Scores are divided by the root of `query_pre_attn_scalar`, embeddings multiplied by that of the width."""
    scalar = settings.number("query_pre_attn_scalar", 256.0) or 256.0
    return {
        "attention_scale": None if scalar == known["head_dim"] else scalar**-0.5,
        "embedding_scale": known["d_model"] ** 0.5,
    }


def _write_scale(config: DecoderConfig) -> dict[str, Any]:
    scalar = config.head_dim if config.attention_scale is None else round(config.attention_scale**-2)
    return {"query_pre_attn_scalar": scalar}


_SCALES = Conversion(_read_scale, _write_scale, ("query_pre_attn_scalar",))


def _soft_caps(attention: float | None, logits: float | None) -> Conversion:
    """The caps of scores and logits with their defaults; null is none."""
    return Conversion(
        lambda settings, _: {
            "attention_softcap": settings.number("attn_logit_softcapping", attention),
            "logits_softcap": settings.number("final_logit_softcapping", logits),
        },
        lambda config: {
            "attn_logit_softcapping": config.attention_softcap,
            "final_logit_softcapping": config.logits_softcap,
        },
        ("attn_logit_softcapping", "final_logit_softcapping"),
    )


def _between_full_layers(settings: ConfigKeys, _: Mapping[str, Any], layer: int) -> bool:
    return (layer + 1) % (settings.whole("sliding_window_pattern") or 6) != 0


GEMMA2 = Family(
    model_type="gemma2",
    architecture="Gemma2ForCausalLM",
    reward_architecture="Gemma2ForSequenceClassification",
    gguf_architecture="gemma2",
    constants={"norm_placement": "sandwich"},
    huggingface_keys={**KEYS, **ATTENTION_BIAS},
    gguf_keys=GGUF_KEYS,
    defaults={**NO_BIAS, "norm_eps": 1e-6, "max_positions": 8192, "tie_embeddings": True},
    conversions=(
        activation("hidden_activation", "gelu_pytorch_tanh"),
        _SCALES,
        _soft_caps(50.0, 30.0),
        rotary(),
        layer_windows(lambda _settings, _known, layer: layer % 2 == 0),
    ),
    fixed=_FIXED,
    # `hidden_activation` took the place of the first, `sliding_window` that of the second.
    idle=("hidden_act", "sliding_window_size"),
    divided=True,
    weights=WEIGHTS,
    layer_weights=in_layers("model.layers.{i}", SANDWICH_NORMS, attention(), GATED),
    untied_weights=HEAD,
)

GEMMA3 = replace(
    GEMMA2,
    model_type="gemma3_text",
    architecture="Gemma3ForCausalLM",
    reward_architecture="Gemma3TextForSequenceClassification",
    token_head=None,
    gguf_architecture="gemma3",
    constants={"norm_placement": "sandwich", "qk_norm": "head"},
    defaults={**GEMMA2.defaults, "max_positions": 131_072},
    conversions=(
        activation("hidden_activation", "gelu_pytorch_tanh"),
        _SCALES,
        _soft_caps(None, None),
        local_and_global_rotary,
        layer_windows(_between_full_layers, pattern=True),
    ),
    # transformers reads the cap of the scores and ignores it.
    fixed={**_FIXED, "attn_logit_softcapping": (None,)},
    layer_weights=in_layers("model.layers.{i}", SANDWICH_NORMS, attention(), HEAD_NORMS, GATED),
)
