"""Between config.json and `DecoderConfig`, and which family can hold a configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from burnish.checkpoints.families.family import Family
from burnish.checkpoints.families.positions import SCALING_KEYS
from burnish.checkpoints.families.settings import (
    ConfigKeys,
    check_divided,
    check_fixed,
    check_understood,
    checked_fields,
    make_config,
)
from burnish.errors import CheckpointError
from burnish.nn.config import DecoderConfig, RopeScaling

FIXED: Mapping[str, tuple[Any, ...]] = {
    "is_causal": (True,),
    "is_encoder_decoder": (False, None),
    "add_cross_attention": (False, None),
    "per_layer_config": (None, {}),
    "pruned_heads": (None, {}),
    "quantization_config": (None,),
    "attention_chunk_size": (None,),
}
"""Keys that transformers reads whatever the family, and the values under which a decoder computes the same."""

IDLE = frozenset(
    (
        # what made the file
        *("model_type", "architectures", "transformers_version", "torch_dtype", "dtype", "auto_map", "tokenizer_class"),
        *("_name_or_path", "name_or_path", "_commit_hash", "finetuning_task", "task_specific_params", "license"),
        *("custom_pipelines", "output_past", "predict_special_tokens", "xla_device", "_num_labels"),
        *("unsloth_fixed", "unsloth_version", "unsloth_training_mode", "transformers.js_config", "is_llama_config"),
        # tokens: the tokenizer's files say them too, and say what is used
        *(f"{kind}_token_id" for kind in ("bos", "eos", "pad", "sep", "cls", "unk", "mask", "decoder_start")),
        *("forced_bos_token_id", "forced_eos_token_id", "prefix", "model_max_length", "max_sequence_length"),
        # training
        *("initializer_range", "pretraining_tp", "gradient_checkpointing", "router_aux_loss_coef"),
        "neftune_noise_alpha",
        *("attention_dropout", "hidden_dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop", "classifier_dropout"),
        *("attention_probs_dropout_prob", "hidden_dropout_prob", "summary_first_dropout", "summary_last_dropout"),
        # how transformers computes and returns the same
        *("use_cache", "return_dict", "output_attentions", "output_hidden_states", "torchscript", "use_bfloat16"),
        *("_attn_implementation", "attn_implementation", "_attn_implementation_autoset", "_flash_attn_2_enabled"),
        *("_experts_implementation", "experts_implementation", "chunk_size_feed_forward", "tie_last_hidden_states"),
        *("tie_encoder_decoder", "reorder_and_upcast_attn", "tf_legacy_loss", "is_decoder"),
        # heads of classifiers
        *("num_labels", "id2label", "label2id", "problem_type", "summary_activation", "summary_proj_to_labels"),
        *("summary_type", "summary_use_proj", "step_separator"),
        # sampling, which moved to generation_config.json
        *("max_length", "min_length", "max_new_tokens", "do_sample", "temperature", "top_k", "top_p", "typical_p"),
        *("num_beams", "num_beam_groups", "diversity_penalty", "repetition_penalty", "length_penalty"),
        *("early_stopping", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids"),
        *("num_return_sequences", "output_scores", "return_dict_in_generate", "remove_invalid_values"),
        *("exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens", "cache_implementation"),
    )
)
"""Keys that change nothing that a decoder computes, whatever their value and the family."""


def read_settings(family: Family, file: object, values: Mapping[str, Any]) -> DecoderConfig:
    """The configuration that the keys of config.json state.

    Raises `CheckpointError` naming the file and the key that is missing, malformed or not supported.
    """
    check_fixed(file, values, {**FIXED, **family.fixed})
    understood = {*IDLE, *FIXED, *family.fixed, *family.idle, *family.huggingface_keys.values()}
    understood.update(key for conversion in family.conversions for key in conversion.keys)
    check_understood(file, values, understood, f"{family.model_type} models")
    keys = {field: (key, values.get(key)) for field, key in family.huggingface_keys.items()}
    known = checked_fields(file, keys, family.defaults, family.constants)
    if family.divided:
        check_divided(file, keys, known)
    for conversion in family.conversions:
        known |= conversion.read(ConfigKeys(file, values), known)
    return make_config(file, {**known, "model_type": family.model_type})


def write_settings(family: Family, config: DecoderConfig) -> dict[str, Any]:
    """The keys of config.json that `read_settings` reads back to `config`, where the family can express it."""
    values: dict[str, Any] = {"architectures": [family.architecture], "model_type": family.model_type}
    values |= {key: getattr(config, field) for field, key in family.huggingface_keys.items()}
    for conversion in family.conversions:
        values |= conversion.write(config)
    return values | {key: allowed[0] for key, allowed in family.fixed.items() if allowed[0] is not None}


def choose_family(families: Sequence[Family], config: DecoderConfig) -> Family:
    """The family that a decoder is saved as: the one it came from where that can express it, else the first that can.

    Raises `CheckpointError` naming the settings that stand in the way.
    """
    own = [family for family in families if family.model_type == config.model_type]
    lost: dict[str, list[str]] = {}
    for family in (*own, *families):
        lost[family.model_type] = _lost(family, config)
        if not lost[family.model_type]:
            return family
    nowhere = [name for name in lost[families[0].model_type] if all(name in names for names in lost.values())]
    if nowhere:
        raise CheckpointError(f"cannot save the model: no model family has {_named(config, nowhere)}")
    closest = min(lost, key=lambda model_type: len(lost[model_type]))
    raise CheckpointError(
        f"cannot save the model: no model family has all its settings; {closest} lacks {_named(config, lost[closest])}"
    )


def _lost(family: Family, config: DecoderConfig) -> list[str]:
    """The fields that come back different, or all where nothing does, when `config` is written and read as `family`."""
    names = [field.name for field in fields(DecoderConfig)]
    wanted = meaning(config)
    try:
        found = meaning(read_settings(family, "config.json", write_settings(family, config)))
    except CheckpointError:
        return names
    return [name for name in names if getattr(found, name) != getattr(wanted, name)]


def meaning(config: DecoderConfig) -> DecoderConfig:
    """The same decoder with every setting that has no effect at its default, so that equal ones compute the same."""
    defaults = {field.name: field.default for field in fields(DecoderConfig)}
    idle = ["model_type"]
    if config.positions == "learned":
        idle += ["rope_theta", "rope_scaling", "local_rope_theta", "rotary_dim", "unrotated_layers"]
    layers = range(config.n_layers)
    full = tuple(layer for layer in layers if config.window(layer) is None)
    if len(full) == config.n_layers:
        idle += ["sliding_window", "full_attention_layers", "local_rope_theta"]
    if config.local_rope_theta == config.rope_theta and config.rope_scaling is None:
        idle += ["local_rope_theta"]
    if config.rotary_dim == config.head_dim:
        idle += ["rotary_dim"]
    if config.attention_scale == config.head_dim**-0.5:
        idle += ["attention_scale"]
    if config.norm not in ("layer", "batch"):
        idle += ["norm_bias"]
    changes: dict[str, Any] = {
        "rope_scaling": config.rope_scaling and _scaling_meaning(config.rope_scaling),
        "unrotated_layers": tuple(layer for layer in layers if layer in config.unrotated_layers),
        "full_attention_layers": full,
        **{name: defaults[name] for name in idle},
    }
    return replace(config, **changes)


def _scaling_meaning(scaling: RopeScaling) -> RopeScaling:
    used = {field: getattr(scaling, field) for field in SCALING_KEYS[scaling.kind]}
    return RopeScaling(kind=scaling.kind, **used)


def _named(config: DecoderConfig, names: Sequence[str]) -> str:
    return ", ".join(f"{name} {getattr(config, name)!r}" for name in names)
