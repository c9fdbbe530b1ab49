"""Families after GPT-2 and GPT-NeoX: LayerNorm, a plain feed-forward layer, fused queries, keys and values."""

from burnish.checkpoints.families.family import Family, in_layers, norm, projection, table
from burnish.checkpoints.families.positions import rotary
from burnish.checkpoints.families.settings import activation, feed_forward_width

BIASES = {"qkv_bias": True, "attention_bias": True, "feed_forward_bias": True}

GGUF_KEYS = {
    "d_model": "embedding_length",
    "n_layers": "block_count",
    "n_heads": "attention.head_count",
    "d_ff": "feed_forward_length",
    "norm_eps": "attention.layer_norm_epsilon",
    "max_positions": "context_length",
}

GPT2_KEYS = {
    "vocab_size": "vocab_size",
    "d_model": "n_embd",
    "n_layers": "n_layer",
    "n_heads": "n_head",
    "norm_eps": "layer_norm_epsilon",
    "max_positions": "n_positions",
    "tie_embeddings": "tie_word_embeddings",
}
GPT2_WEIGHTS = (
    table("embedding", "transformer.wte", "token_embd"),
    table("position_embedding", "transformer.wpe", "position_embd", "positions"),
    *norm("norm", "transformer.ln_f", "output_norm", bias=True),
)
GPT2_FIXED = {"scale_attn_weights": (True,)}
HEAD = (table("head", "lm_head", "output"),)

GPT2 = Family(
    model_type="gpt2",
    architecture="GPT2LMHeadModel",
    reward_architecture="GPT2ForSequenceClassification",
    token_head="classifier",
    gguf_architecture="gpt2",
    constants={**BIASES, "positions": "learned", "norm": "layer", "gated": False},
    huggingface_keys=GPT2_KEYS,
    gguf_keys=GGUF_KEYS,
    defaults={"norm_eps": 1e-5, "max_positions": 1024, "tie_embeddings": True},
    conversions=(activation("activation_function", "gelu_new"), feed_forward_width("n_inner")),
    fixed={**GPT2_FIXED, "scale_attn_by_inverse_layer_idx": (False, None)},
    idle=("n_ctx",),
    prefix="transformer.",
    ignored=(".attn.bias", ".attn.masked_bias"),
    weights=GPT2_WEIGHTS,
    layer_weights=in_layers(
        "transformer.h.{i}",
        norm("attention_norm", "ln_1", "attn_norm", bias=True),
        projection(
            "attention.qkv", "attn.c_attn", "attn_qkv", ("qkv", "d_model"), bias="qkv_bias", layout="transposed"
        ),
        projection(
            "attention.o", "attn.c_proj", "attn_output", ("d_model", "q"), bias="attention_bias", layout="transposed"
        ),
        norm("feed_forward_norm", "ln_2", "ffn_norm", bias=True),
        projection(
            "feed_forward.up", "mlp.c_fc", "ffn_up", ("d_ff", "d_model"), bias="feed_forward_bias", layout="transposed"
        ),
        projection(
            "feed_forward.down",
            "mlp.c_proj",
            "ffn_down",
            ("d_model", "d_ff"),
            bias="feed_forward_bias",
            layout="transposed",
        ),
    ),
    untied_weights=HEAD,
)

# One key-value head, and plain projections in place of GPT-2's transposed ones.
GPT_BIGCODE = Family(
    model_type="gpt_bigcode",
    architecture="GPTBigCodeForCausalLM",
    reward_architecture="GPTBigCodeForSequenceClassification",
    token_head="classifier",
    gguf_architecture="starcoder",
    constants={**GPT2.constants, "n_kv_heads": 1},
    huggingface_keys=GPT2_KEYS,
    gguf_keys=GGUF_KEYS,
    defaults=GPT2.defaults,
    conversions=(activation("activation_function", "gelu_pytorch_tanh"), feed_forward_width("n_inner")),
    fixed={**GPT2_FIXED, "multi_query": (True,), "num_key_value_heads": (1, None)},
    idle=(
        "n_ctx",
        "attention_softmax_in_fp32",
        "scale_attention_softmax_in_fp32",
        "inference_runner",
        "max_batch_size",
        "pad_key_length",
        "pre_allocate_kv_cache",
        "runner_max_sequence_length",
        "validate_runner_input",
    ),
    prefix="transformer.",
    ignored=(".attn.bias", ".attn.masked_bias"),
    weights=GPT2_WEIGHTS,
    layer_weights=in_layers(
        "transformer.h.{i}",
        norm("attention_norm", "ln_1", "attn_norm", bias=True),
        projection("attention.qkv", "attn.c_attn", "attn_qkv", ("qkv", "d_model"), bias="qkv_bias"),
        projection("attention.o", "attn.c_proj", "attn_output", ("d_model", "q"), bias="attention_bias"),
        norm("feed_forward_norm", "ln_2", "ffn_norm", bias=True),
        projection("feed_forward.up", "mlp.c_fc", "ffn_up", ("d_ff", "d_model"), bias="feed_forward_bias"),
        projection("feed_forward.down", "mlp.c_proj", "ffn_down", ("d_model", "d_ff"), bias="feed_forward_bias"),
    ),
    untied_weights=HEAD,
)

GPT_NEOX = Family(
    model_type="gpt_neox",
    architecture="GPTNeoXForCausalLM",
    reward_architecture="GPTNeoXForSequenceClassification",
    token_head="classifier",
    gguf_architecture="gptneox",
    constants={"feed_forward_bias": True, "norm": "layer", "gated": False},
    huggingface_keys={
        "vocab_size": "vocab_size",
        "d_model": "hidden_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "d_ff": "intermediate_size",
        "qkv_bias": "attention_bias",
        "attention_bias": "attention_bias",
        "parallel": "use_parallel_residual",
        "norm_eps": "layer_norm_eps",
        "max_positions": "max_position_embeddings",
        "tie_embeddings": "tie_word_embeddings",
    },
    gguf_keys={**GGUF_KEYS, "parallel": "use_parallel_residual", "rope_theta": "rope.freq_base"},
    defaults={**BIASES, "parallel": True, "norm_eps": 1e-5, "max_positions": 2048, "tie_embeddings": False},
    conversions=(activation("hidden_act", "gelu"), rotary(theta_key="rotary_emb_base", share=("rotary_pct", 0.25))),
    divided=True,
    prefix="gpt_neox.",
    ignored=(".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq"),
    weights=(
        table("embedding", "gpt_neox.embed_in", "token_embd"),
        *norm("norm", "gpt_neox.final_layer_norm", "output_norm", bias=True),
    ),
    layer_weights=in_layers(
        "gpt_neox.layers.{i}",
        norm("attention_norm", "input_layernorm", "attn_norm", bias=True),
        projection(
            "attention.qkv",
            "attention.query_key_value",
            "attn_qkv",
            ("qkv", "d_model"),
            bias="qkv_bias",
            layout="by_head",
        ),
        projection("attention.o", "attention.dense", "attn_output", ("d_model", "q"), bias="attention_bias"),
        norm("feed_forward_norm", "post_attention_layernorm", "ffn_norm", bias=True),
        projection("feed_forward.up", "mlp.dense_h_to_4h", "ffn_up", ("d_ff", "d_model"), bias="feed_forward_bias"),
        projection("feed_forward.down", "mlp.dense_4h_to_h", "ffn_down", ("d_model", "d_ff"), bias="feed_forward_bias"),
    ),
    untied_weights=(table("head", "embed_out", "output"),),
    head_also="lm_head",  # the module in transformers 5, and so in adapters; its model files keep the old name
)

# The 7B's layout: one key-value head, and one norm for attention and feed-forward side by side. The 40B's is another.
FALCON = Family(
    model_type="falcon",
    architecture="FalconForCausalLM",
    reward_architecture="FalconForSequenceClassification",
    token_head="classifier",
    gguf_architecture="falcon",
    constants={"n_kv_heads": 1, "norm": "layer", "gated": False, "parallel": True, "shared_norm": True},
    huggingface_keys={
        "vocab_size": "vocab_size",
        "d_model": "hidden_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "norm_eps": "layer_norm_epsilon",
        "max_positions": "max_position_embeddings",
        "tie_embeddings": "tie_word_embeddings",
    },
    gguf_keys={**GGUF_KEYS, "rope_theta": "rope.freq_base"},
    defaults={"norm_eps": 1e-5, "max_positions": 2048, "tie_embeddings": True},
    conversions=(activation("activation", "gelu"), rotary(), feed_forward_width("ffn_hidden_size")),
    fixed={
        "new_decoder_architecture": (False, None),
        "alibi": (False, None),
        "multi_query": (True,),
        "parallel_attn": (True,),
        "bias": (False, None),
        "num_ln_in_parallel_attn": (None, 1),
        "partial_rotary_factor": (None, 1.0),
        "apply_residual_connection_post_layernorm": (False, None),
    },
    idle=("num_kv_heads",),  # read with `multi_query` false, or in the 40B's layout
    prefix="transformer.",
    weights=(
        table("embedding", "transformer.word_embeddings", "token_embd"),
        *norm("norm", "transformer.ln_f", "output_norm", bias=True),
    ),
    layer_weights=in_layers(
        "transformer.h.{i}",
        norm("attention_norm", "input_layernorm", "attn_norm", bias=True),
        projection("attention.qkv", "self_attention.query_key_value", "attn_qkv", ("qkv", "d_model")),
        projection("attention.o", "self_attention.dense", "attn_output", ("d_model", "q")),
        projection("feed_forward.up", "mlp.dense_h_to_4h", "ffn_up", ("d_ff", "d_model")),
        projection("feed_forward.down", "mlp.dense_4h_to_h", "ffn_down", ("d_model", "d_ff")),
    ),
    untied_weights=HEAD,
)
