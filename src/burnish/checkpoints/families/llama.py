"""Llama and its relatives: RMSNorm, rotary positions, a gated feed-forward layer, and mostly Llama's names."""

from collections.abc import Mapping
from typing import Any

from burnish.checkpoints.families.family import Family, WeightRule, in_layers, norm, projection, table
from burnish.checkpoints.families.positions import layer_windows, rotary, uniform_window, unrotated_layers
from burnish.checkpoints.families.settings import ConfigKeys, activation

KEYS = {
    "vocab_size": "vocab_size",
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "d_ff": "intermediate_size",
    "norm_eps": "rms_norm_eps",
    "max_positions": "max_position_embeddings",
    "tie_embeddings": "tie_word_embeddings",
}
ATTENTION_BIAS = {"qkv_bias": "attention_bias", "attention_bias": "attention_bias"}
"""One key for the biases of all four projections."""
MLP_BIAS = {"feed_forward_bias": "mlp_bias"}
DEFAULTS = {"norm_eps": 1e-6, "tie_embeddings": False}
NO_BIAS = dict.fromkeys((*ATTENTION_BIAS, *MLP_BIAS), False)
FIXED = {"partial_rotary_factor": (None, 1.0)}

GGUF_KEYS = {
    "d_model": "embedding_length",
    "n_layers": "block_count",
    "n_heads": "attention.head_count",
    "n_kv_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "d_ff": "feed_forward_length",
    "norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
    "max_positions": "context_length",
}

WEIGHTS = (table("embedding", "model.embed_tokens", "token_embd"), *norm("norm", "model.norm", "output_norm"))
HEAD = (table("head", "lm_head", "output"),)

PRE_NORMS = (
    *norm("attention_norm", "input_layernorm", "attn_norm"),
    *norm("feed_forward_norm", "post_attention_layernorm", "ffn_norm"),
)
OUTPUT = projection("attention.o", "self_attn.o_proj", "attn_output", ("d_model", "q"), bias="attention_bias")
DOWN = projection("feed_forward.down", "mlp.down_proj", "ffn_down", ("d_model", "d_ff"), bias="feed_forward_bias")
GATED = (
    *projection(
        "feed_forward.gate_up", "mlp.gate_proj", "ffn_gate", ("d_ff", "d_model"), part="gate", bias="feed_forward_bias"
    ),
    *projection(
        "feed_forward.gate_up", "mlp.up_proj", "ffn_up", ("d_ff", "d_model"), part="up", bias="feed_forward_bias"
    ),
    *DOWN,
)
HEAD_NORMS = (
    *norm("attention.q_norm", "self_attn.q_norm", "attn_q_norm", "head_dim"),
    *norm("attention.k_norm", "self_attn.k_norm", "attn_k_norm", "head_dim"),
)


def attention(*, interleaved: bool = False) -> tuple[WeightRule, ...]:
    """The four projections; `interleaved` where GGUF keeps the two halves of a rotary pair side by side."""
    parts = (("q", "q", "n_heads"), ("k", "kv", "n_kv_heads"), ("v", "kv", None))
    rules = [
        projection(
            "attention.qkv",
            f"self_attn.{part}_proj",
            f"attn_{part}",
            (width, "d_model"),
            part=part,
            bias="qkv_bias",
            interleaved_heads=heads if interleaved else None,
        )
        for part, width, heads in parts
    ]
    return tuple(rule for group in (*rules, OUTPUT) for rule in group)


LLAMA = Family(
    model_type="llama",
    architecture="LlamaForCausalLM",
    reward_architecture="LlamaForSequenceClassification",
    gguf_architecture="llama",
    huggingface_keys={**KEYS, **ATTENTION_BIAS, **MLP_BIAS},
    gguf_keys=GGUF_KEYS,
    defaults={**DEFAULTS, **NO_BIAS, "max_positions": 2048},
    conversions=(activation("hidden_act", "silu"), rotary()),
    fixed={**FIXED, "sliding_window": (None,)},
    divided=True,
    weights=WEIGHTS,
    layer_weights=in_layers("model.layers.{i}", PRE_NORMS, attention(interleaved=True), GATED),
    untied_weights=HEAD,
)

MISTRAL = Family(
    model_type="mistral",
    architecture="MistralForCausalLM",
    reward_architecture="MistralForSequenceClassification",
    gguf_architecture="llama",
    huggingface_keys=KEYS,
    gguf_keys=GGUF_KEYS,
    defaults={**DEFAULTS, "max_positions": 131_072},
    conversions=(activation("hidden_act", "silu"), rotary(), uniform_window(4096)),
    fixed={**FIXED, "layer_types": (None,)},
    weights=WEIGHTS,
    layer_weights=in_layers("model.layers.{i}", PRE_NORMS, attention(interleaved=True), GATED),
    untied_weights=HEAD,
)

# Without `layer_types`, the window is for the layers that are not rotated.
_NOPE_WINDOWS = layer_windows(lambda _, known, layer: layer in known["unrotated_layers"], default=None, switch=True)

SMOLLM3 = Family(
    model_type="smollm3",
    architecture="SmolLM3ForCausalLM",
    reward_architecture="SmolLM3ForSequenceClassification",
    gguf_architecture="smollm3",
    huggingface_keys={**KEYS, **ATTENTION_BIAS, **MLP_BIAS},
    gguf_keys=GGUF_KEYS,
    defaults={**DEFAULTS, **NO_BIAS, "max_positions": 32_768, "tie_embeddings": True},
    conversions=(activation("hidden_act", "silu"), rotary(theta=2_000_000.0), unrotated_layers, _NOPE_WINDOWS),
    fixed=FIXED,
    weights=WEIGHTS,
    layer_weights=in_layers("model.layers.{i}", PRE_NORMS, attention(interleaved=True), GATED),
    untied_weights=HEAD,
)


def _above_max_window_layers(settings: ConfigKeys, _: Mapping[str, Any], layer: int) -> bool:
    return layer >= settings.count("max_window_layers", 28)


_QWEN_CONVERSIONS = (
    activation("hidden_act", "silu"),
    rotary(),
    layer_windows(_above_max_window_layers, switch=True),
)

QWEN2 = Family(
    model_type="qwen2",
    architecture="Qwen2ForCausalLM",
    reward_architecture="Qwen2ForSequenceClassification",
    gguf_architecture="qwen2",
    constants={"qkv_bias": True},
    huggingface_keys=KEYS,
    gguf_keys=GGUF_KEYS,
    defaults={**DEFAULTS, "max_positions": 32_768},
    conversions=_QWEN_CONVERSIONS,
    fixed=FIXED,
    weights=WEIGHTS,
    layer_weights=in_layers("model.layers.{i}", PRE_NORMS, attention(), GATED),
    untied_weights=HEAD,
)

QWEN3 = Family(
    model_type="qwen3",
    architecture="Qwen3ForCausalLM",
    reward_architecture="Qwen3ForSequenceClassification",
    gguf_architecture="qwen3",
    constants={"qk_norm": "head"},
    huggingface_keys={**KEYS, **ATTENTION_BIAS},
    gguf_keys=GGUF_KEYS,
    defaults={**DEFAULTS, **NO_BIAS, "max_positions": 32_768},
    conversions=_QWEN_CONVERSIONS,
    fixed=FIXED,
    weights=WEIGHTS,
    layer_weights=in_layers("model.layers.{i}", PRE_NORMS, attention(), HEAD_NORMS, GATED),
    untied_weights=HEAD,
)

OLMO2 = Family(
    model_type="olmo2",
    architecture="Olmo2ForCausalLM",
    reward_architecture="Olmo2ForSequenceClassification",
    token_head=None,
    gguf_architecture="olmo2",
    constants={"qk_norm": "projection", "norm_placement": "reordered"},
    huggingface_keys={**KEYS, **ATTENTION_BIAS},
    gguf_keys=GGUF_KEYS,
    defaults={**DEFAULTS, **NO_BIAS, "norm_eps": 1e-5, "max_positions": 2048},
    conversions=(activation("hidden_act", "silu"), rotary()),
    fixed=FIXED,
    weights=WEIGHTS,
    layer_weights=in_layers(
        "model.layers.{i}",
        attention(),
        norm("attention.q_norm", "self_attn.q_norm", "attn_q_norm", "q"),
        norm("attention.k_norm", "self_attn.k_norm", "attn_k_norm", "kv"),
        norm("attention_norm", "post_attention_layernorm", "post_attention_norm"),
        GATED,
        norm("feed_forward_norm", "post_feedforward_layernorm", "post_ffw_norm"),
    ),
    untied_weights=HEAD,
)

PHI3 = Family(
    model_type="phi3",
    architecture="Phi3ForCausalLM",
    reward_architecture="Phi3ForSequenceClassification",
    gguf_architecture="phi3",
    huggingface_keys=KEYS,
    gguf_keys=GGUF_KEYS,
    defaults={**DEFAULTS, "norm_eps": 1e-5, "max_positions": 4096},
    # The first is read for longrope alone, the others by no version of transformers.
    idle=("original_max_position_embeddings", "full_attn_mod", "interpolate_factor"),
    # Its only scaling, longrope, changes the frequencies with the length of the sequence.
    conversions=(
        activation("hidden_act", "silu"),
        rotary(share=("partial_rotary_factor", 1.0), kinds=()),
        uniform_window(None),
    ),
    weights=WEIGHTS,
    layer_weights=in_layers(
        "model.layers.{i}",
        PRE_NORMS,
        projection("attention.qkv", "self_attn.qkv_proj", "attn_qkv", ("qkv", "d_model")),
        OUTPUT,
        projection("feed_forward.gate_up", "mlp.gate_up_proj", "ffn_up", ("gate_up", "d_model")),
        DOWN,
    ),
    untied_weights=HEAD,
)
