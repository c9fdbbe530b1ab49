"""Tiny decoders of every architecture that GGUF has for the families, with sizes that llama.cpp accepts."""

from typing import Any

import torch

from burnish.nn.config import DecoderConfig, RopeScaling
from burnish.nn.decoder import Decoder

_SIZES: dict[str, Any] = {
    "d_model": 64,
    "n_layers": 4,
    "n_heads": 2,
    "n_kv_heads": 1,
    "head_dim": 32,
    "d_ff": 96,
    "max_positions": 128,
}
_BIASES = dict.fromkeys(("qkv_bias", "attention_bias", "feed_forward_bias"), True)
_GPT: dict[str, Any] = {"norm": "layer", "gated": False, **_BIASES}
_LEARNED: dict[str, Any] = {"positions": "learned", "activation": "gelu_tanh", **_GPT}
_GEMMA: dict[str, Any] = {
    "norm_placement": "sandwich",
    "embedding_scale": 8.0,
    "activation": "gelu_tanh",
    "sliding_window": 8,
}
_GEMMA2: dict[str, Any] = {
    "model_type": "gemma2",
    "attention_softcap": 20.0,
    "logits_softcap": 10.0,
    "full_attention_layers": (1, 3),
    **_GEMMA,
}
_GEMMA3: dict[str, Any] = {
    "model_type": "gemma3_text",
    "qk_norm": "head",
    "rope_theta": 1e6,
    "local_rope_theta": 1e4,
    **_GEMMA,
}
_YARN = RopeScaling(kind="yarn", factor=4.0, original_max_positions=32)

CASES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama, wide heads": {"tie_embeddings": False, "head_dim": 64, "norm_eps": 1e-6},
    "llama, biases": {"n_kv_heads": 2, **_BIASES},
    "llama, llama3 positions": {
        "rope_theta": 500.0,
        "rope_scaling": RopeScaling(kind="llama3", factor=8.0, original_max_positions=32),
    },
    "llama, llama3 positions, other bounds": {
        "rope_theta": 500.0,
        "rope_scaling": RopeScaling(
            kind="llama3", factor=4.0, original_max_positions=64, low_freq_factor=0.5, high_freq_factor=8.0
        ),
    },
    "llama, linear positions": {"rope_scaling": RopeScaling(kind="linear", factor=4.0)},
    "llama, yarn": {"rope_theta": 500.0, "rope_scaling": _YARN},
    "llama, yarn, temperature": {
        "rope_theta": 500.0,
        "rope_scaling": RopeScaling(kind="yarn", factor=4.0, original_max_positions=32, attention_factor=1.25),
    },
    "mistral": {"model_type": "mistral", "sliding_window": 128, "tie_embeddings": False},
    "qwen2": {"model_type": "qwen2", "qkv_bias": True},
    "qwen2, yarn": {"model_type": "qwen2", "qkv_bias": True, "rope_theta": 500.0, "rope_scaling": _YARN},
    "qwen3": {"model_type": "qwen3", "qk_norm": "head", "head_dim": 64},
    "smollm3": {"model_type": "smollm3", "unrotated_layers": (3,), "rope_theta": 2e6},
    "olmo2": {
        "model_type": "olmo2",
        "qk_norm": "projection",
        "norm_placement": "reordered",
        "tie_embeddings": False,
    },
    "phi3": {"model_type": "phi3", "tie_embeddings": False, "sliding_window": 128},
    "phi3, partly rotated": {"model_type": "phi3", "rotary_dim": 16},
    "gemma2": _GEMMA2,
    "gemma2, other layers full": {**_GEMMA2, "full_attention_layers": (0, 3)},
    "gemma2, linear positions": {**_GEMMA2, "rope_scaling": RopeScaling(kind="linear", factor=4.0)},
    "gemma3": {**_GEMMA3, "full_attention_layers": (5,), "n_layers": 6},
    "gemma3, capped": {**_GEMMA3, "full_attention_layers": (1, 3), "logits_softcap": 30.0},
    "gemma3, linear positions": {
        **_GEMMA3,
        "full_attention_layers": (2, 3),
        "rope_scaling": RopeScaling(kind="linear", factor=8.0),
    },
    "gpt2": {"model_type": "gpt2", "n_kv_heads": 2, **_LEARNED},
    "gpt2, untied": {"model_type": "gpt2", "n_kv_heads": 2, "tie_embeddings": False, **_LEARNED},
    "gpt_neox": {
        "model_type": "gpt_neox",
        "n_kv_heads": 2,
        "activation": "gelu",
        "rotary_dim": 8,
        "parallel": True,
        "tie_embeddings": False,
        **_GPT,
    },
    "gpt_neox, not parallel": {
        "model_type": "gpt_neox",
        "n_kv_heads": 2,
        "activation": "gelu",
        "tie_embeddings": False,
        **_GPT,
    },
    "falcon": {
        "model_type": "falcon",
        "norm": "layer",
        "gated": False,
        "activation": "gelu",
        "parallel": True,
        "shared_norm": True,
    },
    "gpt_bigcode": {"model_type": "gpt_bigcode", **_LEARNED},
}


def make_model(name: str, vocab_size: int, *, seed: int = 0, **changes: Any) -> Decoder:
    """The decoder of a case, with weights large enough that every part of the network shows in the logits."""
    sizes = {"model_type": "llama", "vocab_size": vocab_size, **_SIZES, **CASES[name], **changes}
    decoder = Decoder(DecoderConfig(**sizes))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter_name, parameter in decoder.named_parameters():
            parameter.normal_(std=0.15, generator=generator)
            if "norm" in parameter_name and parameter_name.endswith("weight"):
                parameter.add_(1.0)
    return decoder
