"""BART (Lewis 2019, arXiv:1910.13461): an encoder-decoder whose two sides are families of one checkpoint.

Post-norm with LayerNorm and biases everywhere, learned positions whose table has two rows that nothing reads before the
first, a norm of the embeddings, and one embedding for source, target and output.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from burnish.checkpoints.families.family import Family, WeightRule, in_layers, norm, projection, table
from burnish.checkpoints.families.settings import ConfigKeys, Conversion, activation
from burnish.nn.config import DecoderConfig

SHARED = "model.shared.weight"
REPEATED = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")
"""Where files may hold the shared embedding once more."""
LOGITS_BIAS = "final_logits_bias"
ARCHITECTURES = ("BartForConditionalGeneration", "BartModel")
"""The second is the first without its output layer, which is the embedding."""

_LAYER_KEYS = {"n_layers": "layers", "n_heads": "attention_heads", "d_ff": "ffn_dim"}
_FIXED: Mapping[str, tuple[Any, ...]] = {
    "is_encoder_decoder": (True,),
    "tie_word_embeddings": (True, None),
    "add_final_layer_norm": (None, False),
    "add_bias_logits": (None, False),
    "do_blenderbot_90_layernorm": (None, False),
    "extra_pos_embeddings": (None, 2),
    "normalize_before": (None, False),
    "normalize_embedding": (None, True),
    "static_position_embeddings": (None, False),
}
_IDLE = (
    *("dropout", "activation_dropout", "classif_dropout", "encoder_layerdrop", "decoder_layerdrop", "init_std"),
    # read where the whole model is: which tokens begin a target
    *("force_bos_token_to_be_generated", "add_cross_attention"),
)
_BIASES = {"qkv_bias": True, "attention_bias": True, "feed_forward_bias": True}


def _read_scale(settings: ConfigKeys, known: Mapping[str, Any]) -> dict[str, Any]:
    return {"embedding_scale": known["d_model"] ** 0.5 if settings.flag("scale_embedding", False) else 1.0}


def _write_scale(config: DecoderConfig) -> dict[str, Any]:
    return {"scale_embedding": config.embedding_scale == config.d_model**0.5}


def _read_aliases(settings: ConfigKeys, _: Mapping[str, Any]) -> dict[str, Any]:
    """transformers takes these names for the encoder's keys: one that says something else would change the encoder."""
    for alias, key in (
        ("num_hidden_layers", "encoder_layers"),
        ("num_attention_heads", "encoder_attention_heads"),
        ("hidden_size", "d_model"),
    ):
        if settings.values.get(alias) not in (None, settings.values.get(key)):
            settings.refuse(alias, f"but {key} is {settings.values.get(key)!r}")
    return {}


_SCALE = Conversion(_read_scale, _write_scale, ("scale_embedding",))
_ALIASES = Conversion(_read_aliases, lambda _: {}, ("num_hidden_layers", "num_attention_heads", "hidden_size"))


def _attention(name: str, theirs: str) -> tuple[WeightRule, ...]:
    parts = (("q", "q"), ("k", "kv"), ("v", "kv"))
    rules = [
        projection(f"{name}.qkv", f"{theirs}.{part}_proj", "", (width, "d_model"), part=part, bias="qkv_bias")
        for part, width in parts
    ]
    output = projection(f"{name}.o", f"{theirs}.out_proj", "", ("d_model", "q"), bias="attention_bias")
    return (*(rule for group in rules for rule in group), *output)


_SELF_ATTENTION = (
    *_attention("attention", "self_attn"),
    *norm("attention_norm", "self_attn_layer_norm", "", bias=True),
)
_CROSS_ATTENTION = (
    *_attention("cross_attention", "encoder_attn"),
    *norm("cross_attention_norm", "encoder_attn_layer_norm", "", bias=True),
)
_FEED_FORWARD = (
    *projection("feed_forward.up", "fc1", "", ("d_ff", "d_model"), bias="feed_forward_bias"),
    *projection("feed_forward.down", "fc2", "", ("d_model", "d_ff"), bias="feed_forward_bias"),
    *norm("feed_forward_norm", "final_layer_norm", "", bias=True),
)


def _side(side: str, other: str, *sublayers: tuple[WeightRule, ...]) -> Family:
    positions = table("position_embedding", f"model.{side}.embed_positions", "", "positions")
    return Family(
        model_type="bart",
        architecture=ARCHITECTURES[0],
        reward_architecture="BartForSequenceClassification",
        token_head=None,
        gguf_architecture="",
        constants={
            **_BIASES,
            "causal": side == "decoder",
            "positions": "learned",
            "norm": "layer",
            "norm_placement": "post",
            "embedding_norm": True,
            "gated": False,
        },
        huggingface_keys={
            "vocab_size": "vocab_size",
            "d_model": "d_model",
            "max_positions": "max_position_embeddings",
            **{field: f"{side}_{key}" for field, key in _LAYER_KEYS.items()},
        },
        defaults={"max_positions": 1024},
        conversions=(activation("activation_function", "gelu"), _SCALE, _ALIASES),
        fixed=_FIXED,
        idle=(*_IDLE, *(f"{other}_{key}" for key in _LAYER_KEYS.values())),
        divided=True,
        ignored=("encoder.version", "decoder.version"),
        weights=(
            replace(positions, layout="behind_two"),
            *norm("embedding_norm", f"model.{side}.layernorm_embedding", "", bias=True),
        ),
        layer_weights=in_layers(f"model.{side}.layers.{{i}}", *sublayers),
        untied_weights=(),
    )


ENCODER = _side("encoder", "decoder", _SELF_ATTENTION, _FEED_FORWARD)
DECODER = _side("decoder", "encoder", _SELF_ATTENTION, _CROSS_ATTENTION, _FEED_FORWARD)
