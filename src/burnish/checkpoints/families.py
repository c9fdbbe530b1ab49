"""Model families as data: what their configuration keys and tensors are called, and which settings they may have.

A family is an entry of `FAMILIES`. Settings that would change the mathematics in a way the decoder does not compute are
listed in `fixed`, so that such a model is refused instead of giving wrong logits.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from burnish.errors import CheckpointError
from burnish.nn.config import DecoderConfig


@dataclass(frozen=True, kw_only=True)
class Weight:
    """One tensor: its name in the decoder, in Hugging Face's and in GGUF's checkpoints, and its shape.

    `interleaved_heads` is the number of heads of a projection whose rows GGUF stores with each rotary pair side by side
    (x0, y0, x1, y1, ...) where the decoder and Hugging Face keep the halves apart (x0, x1, ..., y0, y1, ...).
    """

    name: str
    huggingface: str
    gguf: str
    shape: tuple[int, ...]
    interleaved_heads: int | None = None


@dataclass(frozen=True, kw_only=True)
class WeightRule:
    """A `Weight` for any configuration: `{i}` in a name is the layer, the shape is made of named sizes."""

    name: str
    huggingface: str
    gguf: str
    shape: tuple[str, ...]
    interleaved_heads: str | None = None


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a checkpoint of one architecture looks like.

    `huggingface_keys` and `gguf_keys` map fields of `DecoderConfig` to configuration keys (those of GGUF without the
    architecture before them). `defaults` are the values of absent keys; a field without one must be present.
    `fixed` maps further keys to the values under which the decoder computes this model; absent keys are fine.
    """

    model_type: str
    architecture: str
    gguf_architecture: str
    huggingface_keys: Mapping[str, str]
    gguf_keys: Mapping[str, str]
    defaults: Mapping[str, Any]
    fixed: Mapping[str, tuple[Any, ...]]
    gguf_fixed: Mapping[str, tuple[Any, ...]]
    weights: tuple[WeightRule, ...]
    layer_weights: tuple[WeightRule, ...]
    untied_weights: tuple[WeightRule, ...]

    def expected_weights(self, config: DecoderConfig) -> Iterator[Weight]:
        """Every tensor that a checkpoint with this configuration has."""
        sizes = {
            "vocab": config.vocab_size,
            "d_model": config.d_model,
            "d_ff": config.d_ff,
            "q": config.n_heads * config.head_dim,
            "kv": config.n_kv_heads * config.head_dim,
        }
        rules = [(rule, 0) for rule in self.weights]
        rules += [(rule, layer) for layer in range(config.n_layers) for rule in self.layer_weights]
        if not config.tie_embeddings:
            rules += [(rule, 0) for rule in self.untied_weights]
        for rule, layer in rules:
            heads = rule.interleaved_heads
            yield Weight(
                name=rule.name.format(i=layer),
                huggingface=rule.huggingface.format(i=layer),
                gguf=rule.gguf.format(i=layer),
                shape=tuple(sizes[size] for size in rule.shape),
                interleaved_heads=None if heads is None else int(getattr(config, heads)),
            )


LLAMA = Family(
    model_type="llama",
    architecture="LlamaForCausalLM",
    gguf_architecture="llama",
    huggingface_keys={
        "vocab_size": "vocab_size",
        "d_model": "hidden_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "n_kv_heads": "num_key_value_heads",
        "head_dim": "head_dim",
        "d_ff": "intermediate_size",
        "norm_eps": "rms_norm_eps",
        "rope_theta": "rope_theta",
        "max_positions": "max_position_embeddings",
        "tie_embeddings": "tie_word_embeddings",
    },
    gguf_keys={
        "d_model": "embedding_length",
        "n_layers": "block_count",
        "n_heads": "attention.head_count",
        "n_kv_heads": "attention.head_count_kv",
        "head_dim": "attention.key_length",
        "d_ff": "feed_forward_length",
        "norm_eps": "attention.layer_norm_rms_epsilon",
        "rope_theta": "rope.freq_base",
        "max_positions": "context_length",
    },
    defaults={"norm_eps": 1e-6, "rope_theta": 10_000.0, "max_positions": 2048, "tie_embeddings": False},
    fixed={
        "hidden_act": ("silu",),
        "attention_bias": (False, None),
        "mlp_bias": (False, None),
        "sliding_window": (None,),
        "partial_rotary_factor": (1.0, None),
        "quantization_config": (None,),
    },
    gguf_fixed={
        "rope.scaling.type": ("none",),
        "rope.scale_linear": (1.0,),
        "attention.sliding_window": (0,),
        "expert_count": (0,),
    },
    weights=(
        WeightRule(
            name="embedding.weight",
            huggingface="model.embed_tokens.weight",
            gguf="token_embd.weight",
            shape=("vocab", "d_model"),
        ),
        WeightRule(name="norm.weight", huggingface="model.norm.weight", gguf="output_norm.weight", shape=("d_model",)),
    ),
    layer_weights=(
        WeightRule(
            name="blocks.{i}.attention_norm.weight",
            huggingface="model.layers.{i}.input_layernorm.weight",
            gguf="blk.{i}.attn_norm.weight",
            shape=("d_model",),
        ),
        WeightRule(
            name="blocks.{i}.attention.q.weight",
            huggingface="model.layers.{i}.self_attn.q_proj.weight",
            gguf="blk.{i}.attn_q.weight",
            shape=("q", "d_model"),
            interleaved_heads="n_heads",
        ),
        WeightRule(
            name="blocks.{i}.attention.k.weight",
            huggingface="model.layers.{i}.self_attn.k_proj.weight",
            gguf="blk.{i}.attn_k.weight",
            shape=("kv", "d_model"),
            interleaved_heads="n_kv_heads",
        ),
        WeightRule(
            name="blocks.{i}.attention.v.weight",
            huggingface="model.layers.{i}.self_attn.v_proj.weight",
            gguf="blk.{i}.attn_v.weight",
            shape=("kv", "d_model"),
        ),
        WeightRule(
            name="blocks.{i}.attention.o.weight",
            huggingface="model.layers.{i}.self_attn.o_proj.weight",
            gguf="blk.{i}.attn_output.weight",
            shape=("d_model", "q"),
        ),
        WeightRule(
            name="blocks.{i}.feed_forward_norm.weight",
            huggingface="model.layers.{i}.post_attention_layernorm.weight",
            gguf="blk.{i}.ffn_norm.weight",
            shape=("d_model",),
        ),
        WeightRule(
            name="blocks.{i}.feed_forward.gate.weight",
            huggingface="model.layers.{i}.mlp.gate_proj.weight",
            gguf="blk.{i}.ffn_gate.weight",
            shape=("d_ff", "d_model"),
        ),
        WeightRule(
            name="blocks.{i}.feed_forward.up.weight",
            huggingface="model.layers.{i}.mlp.up_proj.weight",
            gguf="blk.{i}.ffn_up.weight",
            shape=("d_ff", "d_model"),
        ),
        WeightRule(
            name="blocks.{i}.feed_forward.down.weight",
            huggingface="model.layers.{i}.mlp.down_proj.weight",
            gguf="blk.{i}.ffn_down.weight",
            shape=("d_model", "d_ff"),
        ),
    ),
    untied_weights=(
        WeightRule(name="head.weight", huggingface="lm_head.weight", gguf="output.weight", shape=("vocab", "d_model")),
    ),
)

FAMILIES = (LLAMA,)


def find_family(file: object, key: str, value: object) -> Family:
    """The family that `key` of `file` (`model_type` or `general.architecture`) names.

    Raises `CheckpointError` listing the known families when there is none.
    """
    names = {
        family.gguf_architecture if key == "general.architecture" else family.model_type: family for family in FAMILIES
    }
    if not isinstance(value, str) or value not in names:
        raise CheckpointError(
            f"{file}: {key} is {value!r}; the supported model families are {', '.join(sorted(names))}"
        )
    return names[value]


def check_fixed(file: object, found: Mapping[str, Any], fixed: Mapping[str, tuple[Any, ...]], prefix: str = "") -> None:
    """Refuses a configuration with a setting that the decoder does not compute, naming the key."""
    for key, allowed in fixed.items():
        value = found.get(prefix + key, allowed[0])
        if value not in allowed:
            raise CheckpointError(
                f"{file}: {prefix}{key} is {value!r}, which is not supported yet (only {allowed[0]!r} is); "
                "the model would compute wrong results"
            )


def build_config(file: object, fields: Mapping[str, tuple[str, Any]], defaults: Mapping[str, Any]) -> DecoderConfig:
    """The `DecoderConfig` of `fields`, which maps its fields to (key in the file, value or None if absent).

    Absent numbers of key-value heads and of dimensions a head follow from the number of heads, as in both formats.
    """
    keys = {field: key for field, (key, _) in fields.items()}
    values: dict[str, Any] = {
        field: defaults.get(field) if value is None else value for field, (_, value) in fields.items()
    }
    if values["n_kv_heads"] is None:
        values["n_kv_heads"] = values["n_heads"]
    implied = {"head_dim"} if values["head_dim"] is None else set()
    values |= {field: _checked(file, keys[field], field, values[field]) for field in values.keys() - implied}
    if implied:
        if values["d_model"] % values["n_heads"]:
            raise CheckpointError(
                f"{file}: {keys['d_model']} ({values['d_model']}) is not a multiple of {keys['n_heads']} "
                f"({values['n_heads']}) and {keys['head_dim']} is missing"
            )
        values["head_dim"] = values["d_model"] // values["n_heads"]
    try:
        return DecoderConfig(**values)
    except ValueError as error:
        raise CheckpointError(f"{file}: {error}") from error


def _checked(file: object, key: str, field: str, value: Any) -> Any:
    """A value of the type and range that `field` of `DecoderConfig` needs."""
    kind = _TYPES.get(field, int)
    if value is None:
        raise CheckpointError(f"{file}: {key} is missing")
    if type(value) not in ((int, float) if kind is float else (kind,)):
        raise CheckpointError(f"{file}: {key} must be {_TYPE_NAMES[kind]}, found {value!r}")
    # A damaged number of layers must not make us list tensors for hours.
    largest = 10_000 if field == "n_layers" else 2**31
    if kind is not bool and not 0 < value <= largest:
        raise CheckpointError(f"{file}: {key} must be above 0 and at most {largest:,}, found {value!r}")
    return kind(value)


_TYPES: Mapping[str, type] = {"tie_embeddings": bool, "norm_eps": float, "rope_theta": float}
_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number"}
