"""A tiny model of each family in transformers, with random weights and settings that show in its logits.

Sequences of the tests are longer than the windows, and scaled positions begin to differ within them.
"""

from typing import Any

import torch

SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
RMS: dict[str, Any] = {**SIZES, "rms_norm_eps": 0.05}
GROUPED: dict[str, Any] = {**RMS, "num_key_value_heads": 2}
GPT2_SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 128,
    "layer_norm_epsilon": 0.05,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
NEOX_SIZES = {**SIZES, "layer_norm_eps": 0.05}
FALCON_SIZES = {key: value for key, value in SIZES.items() if key != "intermediate_size"} | {"layer_norm_epsilon": 0.05}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN_ROPE = {"rope_type": "yarn", "rope_theta": 500.0, "factor": 8.0, "original_max_position_embeddings": 16}
WINDOWS = ["sliding_attention", "full_attention", "sliding_attention"]

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama 2": ("LlamaConfig", {**RMS, "num_key_value_heads": 4}),
    "llama 3.1": ("LlamaConfig", {**GROUPED, "rope_parameters": LLAMA3_ROPE}),
    "llama 3.2": ("LlamaConfig", {**GROUPED, "rope_parameters": LLAMA3_ROPE, "tie_word_embeddings": True}),
    "llama, linear scaling": (
        "LlamaConfig",
        {**GROUPED, "head_dim": 16, "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
    ),
    "llama with biases": ("LlamaConfig", {**GROUPED, "attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"}),
    "smollm2": ("LlamaConfig", {**RMS, "num_key_value_heads": 1, "tie_word_embeddings": True}),
    "smollm3": ("SmolLM3Config", {**GROUPED, "num_hidden_layers": 4, "attention_bias": True}),
    "smollm3 with windows": (
        "SmolLM3Config",
        {**GROUPED, "no_rope_layers": [1, 0, 1], "use_sliding_window": True, "sliding_window": 6},
    ),
    "mistral": ("MistralConfig", {**GROUPED, "sliding_window": 6}),
    "mistral without a window": ("MistralConfig", {**GROUPED, "sliding_window": None, "head_dim": 16}),
    "qwen2": ("Qwen2Config", {**GROUPED, "rope_parameters": YARN_ROPE}),
    "qwen2 with other constants of YaRN": (
        "Qwen2Config",
        {**GROUPED, "rope_parameters": {**YARN_ROPE, "beta_fast": 4.0, "beta_slow": 0.5, "attention_factor": 1.3}},
    ),
    "qwen2 with windows": (
        "Qwen2Config",
        {**GROUPED, "use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3Config", {**GROUPED, "head_dim": 16, "tie_word_embeddings": True}),
    "qwen3 with windows": (
        "Qwen3Config",
        {**GROUPED, "head_dim": 8, "use_sliding_window": True, "sliding_window": 6, "layer_types": WINDOWS},
    ),
    "gemma2": (
        "Gemma2Config",
        {
            **GROUPED,
            "head_dim": 16,
            "sliding_window": 6,
            "query_pre_attn_scalar": 24,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
    ),
    "gemma3": (
        "Gemma3TextConfig",
        {
            **GROUPED,
            "head_dim": 16,
            "sliding_window": 6,
            "layer_types": WINDOWS,
            "query_pre_attn_scalar": 24,
            "final_logit_softcapping": 3.0,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            },
        },
    ),
    "phi3": ("Phi3Config", {**GROUPED, "partial_rotary_factor": 0.5, "sliding_window": 6}),
    "phi3 without a window": ("Phi3Config", {**GROUPED, "tie_word_embeddings": True}),
    "olmo2": ("Olmo2Config", GROUPED),
    "gpt2": ("GPT2Config", GPT2_SIZES),
    "gpt2 with its own head": ("GPT2Config", {**GPT2_SIZES, "n_inner": 40, "tie_word_embeddings": False}),
    "gpt_neox": (
        "GPTNeoXConfig",
        {**NEOX_SIZES, "rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
    ),
    "gpt_neox in sequence": ("GPTNeoXConfig", {**NEOX_SIZES, "use_parallel_residual": False, "attention_bias": False}),
    "falcon": ("FalconConfig", FALCON_SIZES),
    "falcon with its own head": ("FalconConfig", {**FALCON_SIZES, "ffn_hidden_size": 40, "tie_word_embeddings": False}),
    "gpt_bigcode": ("GPTBigCodeConfig", GPT2_SIZES),
}


def make_model(case: str) -> Any:
    """A model of transformers in evaluation mode; norms and biases are random too."""
    import transformers

    name, settings = CASES[case]
    config = getattr(transformers, name)(**settings)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            around = parameter.round() if parameter.ndim == 1 else 0.0  # norms are at one, Gemma's at zero
            parameter.copy_(around + torch.randn(parameter.shape, generator=generator) * 0.25)
    return model.eval()
