"""The same model in transformers, handed over in memory."""

from typing import TYPE_CHECKING

from burnish.nn.decoder import Decoder
from burnish.nn.linear import Linear

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

_MODULES = {
    "embedding": "model.embed_tokens",
    "blocks": "model.layers",
    "attention_norm": "input_layernorm",
    "feed_forward_norm": "post_attention_layernorm",
    "attention": "self_attn",
    "feed_forward": "mlp",
    "norm": "model.norm",
}


def in_transformers(decoder: Decoder) -> "LlamaForCausalLM":
    """A Llama model of transformers with the weights of `decoder`, in evaluation mode."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = decoder.config
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.d_model,
            intermediate_size=config.d_ff,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.n_kv_heads,
            head_dim=config.head_dim,
            rms_norm_eps=config.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            tie_word_embeddings=config.tie_embeddings,
        )
    )
    state = {}
    linears = {name: module for name, module in decoder.named_modules() if isinstance(module, Linear)}
    for name, tensor in decoder.state_dict().items():
        path, _, ending = name.rpartition(".")
        *parents, module = [_MODULES.get(part, part) for part in path.split(".")]
        # The projections are the modules with named parts; transformers has a module for each part.
        parts = {part: rows for part, rows in linears[path].parts.items() if part} if path in linears else {}
        if not parts:
            state[".".join([*parents, module, ending])] = tensor
        for part, rows in parts.items():
            state[".".join([*parents, f"{part}_proj", ending])] = tensor[rows]
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing == ["lm_head.weight"]
    assert not unexpected
    return model.eval()
