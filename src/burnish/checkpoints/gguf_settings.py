"""Between the metadata of a GGUF file and `DecoderConfig`.

The keys are llama.cpp's (`llama-arch.cpp`), each with the architecture's name before it; where one is absent, what
llama.cpp assumes holds. A few settings are told by tensors alone: whether projections have biases, whether the output
layer is the embedding, and Llama 3's scaled rotary positions, as the factor of each frequency.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType
from numpy.typing import NDArray
from torch import Tensor

from burnish.checkpoints.families import FAMILIES, Family, find_family
from burnish.checkpoints.families.configuration import meaning
from burnish.checkpoints.families.settings import (
    ConfigKeys,
    check_fixed,
    check_understood,
    checked_fields,
    make_config,
)
from burnish.checkpoints.gguf_file import GgufFile, StoredTensor
from burnish.checkpoints.weights import check_shape
from burnish.errors import CheckpointError
from burnish.nn.config import DecoderConfig, RopeScaling
from burnish.nn.rotary import attention_factor, frequencies

EMBEDDING = "token_embd.weight"
ROPE_FACTORS = "rope_freqs.weight"
"""What Llama 3 divides each frequency by, `[rotary_dim / 2]`."""

_SOFT_CAPS = {"attention_softcap": "attn_logit_softcapping", "logits_softcap": "final_logit_softcapping"}
_BIASES = ("qkv_bias", "attention_bias", "feed_forward_bias")


@dataclass(frozen=True, kw_only=True)
class GgufArchitecture:
    """What llama.cpp computes for a `general.architecture`, beyond what its tensors and keys show.

    biases: fields of `DecoderConfig` that may be true.
    tied: whether the output layer must be the embedding, or must not.
    divided: a head has `d_model / n_heads` dimensions, whatever the file says.
    partly_rotated: `rope.dimension_count` may be less than a head.
    scalings: of rotary positions.
    windows: whether windows are computed. For the other architectures llama.cpp reads their length and ignores it.
    full_period: where there are windows, every so many-th layer sees everything unless the file says which do.
    windowed: some layers have a window.
    local_theta: whether the layers with a window may have a base of their own.
    """

    biases: tuple[str, ...] = ()
    tied: bool | None = None
    divided: bool = False
    partly_rotated: bool = False
    scalings: tuple[str, ...] = ("linear", "yarn")
    windows: bool = False
    full_period: int = 0
    windowed: bool = False
    local_theta: bool = False


_ARCHITECTURES: Mapping[str, GgufArchitecture] = {
    "llama": GgufArchitecture(biases=_BIASES, scalings=("linear", "yarn", "llama3")),
    "qwen2": GgufArchitecture(biases=("qkv_bias",), divided=True),
    "qwen3": GgufArchitecture(),
    "smollm3": GgufArchitecture(),
    "olmo2": GgufArchitecture(tied=False, divided=True, windows=True, full_period=4),
    "phi3": GgufArchitecture(divided=True, partly_rotated=True),
    "gemma2": GgufArchitecture(
        tied=True, scalings=("linear",), windows=True, full_period=2, windowed=True, local_theta=True
    ),
    "gemma3": GgufArchitecture(scalings=("linear",), windows=True, full_period=6, local_theta=True),
    "gpt2": GgufArchitecture(biases=_BIASES, divided=True),
    "starcoder": GgufArchitecture(biases=_BIASES, divided=True),
    "gptneox": GgufArchitecture(biases=_BIASES, tied=False, divided=True, partly_rotated=True),
    "falcon": GgufArchitecture(divided=True),
}

_PER_LAYER = ("attention.head_count", "attention.head_count_kv", "feed_forward_length")
"""Keys under which llama.cpp reads one number, or one for each layer."""

_FIXED: Mapping[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "attention.max_alibi_bias": (0.0,),
    "attention.clamp_kqv": (0.0,),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "expert_shared_count": (0,),
    "nextn_predict_layers": (0,),
    "leading_dense_block_count": (0,),
}
"""Keys of no plain decoder, and the values under which one computes the same."""

_READ = (
    "vocab_size",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scale_linear",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.attn_factor",
    "rope.scaling.original_context_length",
    "rope.scaling.yarn_log_multiplier",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    # These change nothing: epsilons of the norm that an architecture does not have, and what is said for people.
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "rope.scaling.finetuned",
    "tensor_data_layout",
    "pooling_type",
)

# Gemma's largest models scale scores by the width of the model, not that of the head; llama.cpp knows them by this.
_LAYERS_SCALED_BY_WIDTH = {"gemma2": 46, "gemma3": 62}


def read_settings(file: GgufFile) -> tuple[Family, DecoderConfig]:
    """The family and configuration that the file states.

    Raises `CheckpointError` naming the key that is missing, malformed or not supported.
    """
    name = file.metadata.get("general.architecture")
    family = find_family(file.path, "general.architecture", name)
    settings = ConfigKeys(file.path, _below(file.metadata, f"{name}."), f"{name}.")
    if name == "llama" and settings.values.get("attention.sliding_window"):
        family = next(other for other in FAMILIES if other.model_type == "mistral")
    _check_keys(settings, family)
    settings = _same_in_all_layers(settings)
    keys = {field: (settings.prefix + key, settings.values.get(key)) for field, key in family.gguf_keys.items()}
    keys["vocab_size"] = (EMBEDDING, _rows(file, EMBEDDING))
    given = checked_fields(file.path, keys, {**family.defaults, "rope_theta": 10_000.0}, family.constants)
    known = dict(given)
    for conversion in family.conversions:  # what config.json may choose is at its usual value
        known |= conversion.read(ConfigKeys(file.path, {}), known)
    known |= given
    known |= _told_by_tensors(file, family)
    known |= _read_attention(settings, known, family)
    if known.get("positions") != "learned":
        known |= _read_positions(settings, known, family, file)
    return family, make_config(file.path, {**known, "model_type": family.model_type})


def _check_keys(settings: ConfigKeys, family: Family) -> None:
    """Refuses keys of the architecture that nothing here understands."""
    caps = _SOFT_CAPS.values() if family.gguf_architecture in _LAYERS_SCALED_BY_WIDTH else ()
    fixed = {settings.prefix + key: allowed for key, allowed in _FIXED.items()}
    found = {settings.prefix + key: value for key, value in settings.values.items()}
    check_fixed(settings.file, found, fixed)
    understood = {*_FIXED, *_READ, *family.gguf_keys.values(), *caps}
    understood = {settings.prefix + key for key in understood}
    check_understood(settings.file, found, understood, f"{family.gguf_architecture} models")


def _same_in_all_layers(settings: ConfigKeys) -> ConfigKeys:
    """The settings with one number where the file has an equal one for each layer."""
    n_layers, values = settings.whole("block_count"), dict(settings.values)
    for key in _PER_LAYER:
        value = values.get(key)
        if isinstance(value, list):
            if len(value) != n_layers:
                settings.refuse(key, f"which is not a number for each of the {n_layers} layers")
            if any(other != value[0] for other in value):
                settings.refuse(key, "but layers that differ are not supported")
            values[key] = value[0]
    return replace(settings, values=values)


def write_settings(family: Family, config: DecoderConfig, path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and extra tensors, from which `read_settings` makes `config` again.

    Raises `CheckpointError` naming the settings that the file cannot hold or llama.cpp would not compute.
    """
    _check_windows(family, config, path)
    prefix = f"{family.gguf_architecture}."
    scaling = config.rope_scaling
    values = {key: getattr(config, field) for field, key in family.gguf_keys.items()}
    values |= {
        "vocab_size": config.vocab_size,
        "attention.head_count_kv": config.n_kv_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        **_windows(family, config),
    }
    if config.positions == "rotary":
        values |= {"rope.dimension_count": config.rotary_dim or config.head_dim, **_scaling_values(scaling)}
        if config.local_rope_theta is not None:
            values["rope.freq_base_swa"] = config.local_rope_theta
    for field, key in _SOFT_CAPS.items():
        if getattr(config, field) is not None:
            values[key] = getattr(config, field)
    metadata = {"general.architecture": family.gguf_architecture, **{prefix + key: v for key, v in values.items()}}
    factors = {ROPE_FACTORS: _factors(config, scaling)} if scaling is not None and scaling.kind == "llama3" else {}
    if lost := sorted({*_not_computed(family, config), *_lost(family, config, metadata, factors, path)}):
        named = ", ".join(f"{name} {getattr(config, name)!r}" for name in lost)
        raise CheckpointError(
            f"cannot write {path}: llama.cpp's architecture {family.gguf_architecture} has no {named}"
        )
    return metadata, factors


def _check_windows(family: Family, config: DecoderConfig, path: Path) -> None:
    """Refuses windows that a text within the context can outgrow where llama.cpp computes none."""
    window = config.sliding_window
    everywhere = all(config.window(layer) is None for layer in range(config.n_layers))
    if _ARCHITECTURES[family.gguf_architecture].windows or window is None or everywhere:
        return
    if window < config.max_positions:
        raise CheckpointError(
            f"cannot write {path}: llama.cpp's architecture {family.gguf_architecture} has no sliding_window "
            f"({window:,} tokens), so that texts of up to {config.max_positions:,} tokens would give other results "
            f"there; write it with context_length={window} or less, within which both compute the same"
        )


def _not_computed(family: Family, config: DecoderConfig) -> list[str]:
    """Fields whose values llama.cpp does not compute, although a file could state them."""
    known = _ARCHITECTURES[family.gguf_architecture]
    lost = [bias for bias in _BIASES if getattr(config, bias) and bias not in known.biases]
    if known.tied not in (None, config.tie_embeddings):
        lost.append("tie_embeddings")
    if known.divided and config.n_heads * config.head_dim != config.d_model:
        lost.append("head_dim")
    if known.windowed and all(config.window(layer) is None for layer in range(config.n_layers)):
        lost.append("sliding_window")
    if config.rope_scaling is not None and config.rope_scaling.kind not in known.scalings:
        lost.append("rope_scaling")
    if not known.local_theta and config.local_rope_theta not in (None, config.rope_theta):
        lost.append("local_rope_theta")
    return lost


def _lost(
    family: Family, config: DecoderConfig, metadata: Mapping[str, Any], extra: Mapping[str, Tensor], path: Path
) -> Iterator[str]:
    """The fields that come back different when the file is read."""
    nothing = np.empty((0, 0), np.uint8)
    shapes = {weight.gguf: (weight.shape, nothing) for weight in family.expected_weights(config)}
    shapes |= {name: (tuple(tensor.shape), tensor.numpy().view(np.uint8)[None]) for name, tensor in extra.items()}
    tensors = {
        name: StoredTensor(name=name, shape=shape, kind=GGMLQuantizationType.F32, data=data)
        for name, (shape, data) in shapes.items()
    }
    again = read_settings(GgufFile(path=path, metadata=dict(metadata), tensors=tensors))[1]
    # llama.cpp has one GELU, by tanh, for both.
    gelus = ("gelu", "gelu_tanh")
    if config.activation in gelus and again.activation in gelus:
        again = replace(again, activation=config.activation)
    wanted, found = asdict(meaning(config)), asdict(meaning(again))
    yield from (name for name in wanted if not _close(wanted[name], found[name]))


def _close(wanted: Any, found: Any) -> bool:
    """Equal, as far as a float32 can hold it."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(_close(wanted[key], found[key]) for key in wanted)
    if isinstance(wanted, float) and isinstance(found, float):
        return math.isclose(wanted, found, rel_tol=1e-6)
    return bool(wanted == found)


def _told_by_tensors(file: GgufFile, family: Family) -> dict[str, bool]:
    """Whether the output layer is the embedding, and which projections have biases."""
    told = {"tie_embeddings": all(rule.gguf not in file.tensors for rule in family.untied_weights)}
    for rule in family.layer_weights:
        if rule.when is not None and rule.when not in family.constants:
            told[rule.when] = told.get(rule.when, False) or rule.gguf.format(i=0) in file.tensors
    return told


def _read_attention(settings: ConfigKeys, known: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """Windows, caps and scale of the scores; refuses heads of other numbers and sizes than the family's."""
    n_layers, name = known["n_layers"], family.gguf_architecture
    if name == "gemma3" and settings.values.get("attn_logit_softcapping"):
        settings.refuse("attn_logit_softcapping", "which llama.cpp ignores in this architecture")
    for key, expected in (
        ("attention.head_count_kv", known["n_kv_heads"]),
        ("attention.key_length", known["head_dim"]),
        ("attention.value_length", known["head_dim"]),
    ):
        if settings.values.get(key, expected) != expected:
            settings.refuse(key, f"but only {expected} is supported here")
    fields: dict[str, Any] = {"sliding_window": None, "full_attention_layers": ()}
    usual_window = 4096 if name == "gemma2" else 0
    if window := settings.count("attention.sliding_window", usual_window):
        full = _read_full_layers(settings, n_layers, _ARCHITECTURES[name].full_period)
        if len(full) < n_layers:
            fields = {"sliding_window": window, "full_attention_layers": full}
    if name in _LAYERS_SCALED_BY_WIDTH:
        by_width = n_layers == _LAYERS_SCALED_BY_WIDTH[name]
        fields["attention_scale"] = (known["d_model"] // known["n_heads"]) ** -0.5 if by_width else None
        fields |= {field: settings.number(key, known[field]) for field, key in _SOFT_CAPS.items()}
    return fields


def _read_full_layers(settings: ConfigKeys, n_layers: int, usual_period: int) -> tuple[int, ...]:
    """The layers that see everything: every so many-th, or those that a list of windows says false of."""
    key = "attention.sliding_window_pattern"
    pattern = settings.values.get(key, usual_period)
    if isinstance(pattern, list) and len(pattern) == n_layers and all(slides in (0, 1) for slides in pattern):
        return tuple(layer for layer, slides in enumerate(pattern) if not slides)
    if type(pattern) is not int or pattern < 0:
        settings.refuse(key, f"which is neither a number of layers nor true or false for each of the {n_layers}")
    return tuple(range(pattern - 1, n_layers, pattern)) if pattern else ()


def _windows(family: Family, config: DecoderConfig) -> dict[str, Any]:
    full = [config.window(layer) is None for layer in range(config.n_layers)]
    usual = _ARCHITECTURES[family.gguf_architecture].full_period
    if all(full):
        return {}
    values: dict[str, Any] = {"attention.sliding_window": config.sliding_window}
    period = full.index(True) + 1 if True in full else 0
    if full != [period > 0 and layer % period == period - 1 for layer in range(config.n_layers)]:
        return {**values, "attention.sliding_window_pattern": [not whole for whole in full]}
    return values if period == usual else {**values, "attention.sliding_window_pattern": period}


def _read_positions(settings: ConfigKeys, known: Mapping[str, Any], family: Family, file: GgufFile) -> dict[str, Any]:
    """Extent, bases and scaling of rotary positions."""
    name, head_dim = family.gguf_architecture, known["head_dim"]
    n_rotated = settings.whole("rope.dimension_count") or head_dim
    if n_rotated != head_dim and not _ARCHITECTURES[name].partly_rotated:
        settings.refuse(
            "rope.dimension_count",
            f"but a head has {head_dim} dimensions; heads that are rotated in part are not supported here",
        )
    scaling = _read_scaling(settings, known)
    if ROPE_FACTORS in file.tensors and "llama3" in _ARCHITECTURES[name].scalings:
        if scaling is not None:
            settings.refuse("rope.scaling.type", f"but the file also has the tensor {ROPE_FACTORS}")
        scaling = _llama3_scaling(settings, {**known, "rotary_dim": n_rotated}, file)
    local = settings.number("rope.freq_base_swa", 10_000.0 if name == "gemma3" else None)
    if name == "olmo2" and local is None and scaling is not None:
        local = known["rope_theta"]
    return {
        "rotary_dim": None if n_rotated == head_dim else n_rotated,
        "rope_scaling": scaling,
        "local_rope_theta": local if known["sliding_window"] else None,
    }


def _read_scaling(settings: ConfigKeys, known: Mapping[str, Any]) -> RopeScaling | None:
    kind = settings.values.get("rope.scaling.type", "linear")
    factor = settings.number("rope.scaling.factor") or settings.number("rope.scale_linear")
    if kind == "none":
        return None
    if kind not in ("linear", "yarn"):
        settings.refuse("rope.scaling.type", "which is not supported (only none, linear and yarn are)")
    share = settings.number("rope.scaling.attn_factor", 1.0) or 1.0
    if kind == "linear":
        if share != 1.0:
            settings.refuse("rope.scaling.attn_factor", "which is supported with yarn alone")
        if factor is not None and factor < 1:
            settings.refuse("rope.scaling.factor", "but must be at least 1")
        return None if factor is None or factor == 1.0 else RopeScaling(kind="linear", factor=factor)
    if factor is None:
        settings.refuse("rope.scaling.type", f"but {settings.prefix}rope.scaling.factor is missing")
    if factor < 1:
        settings.refuse("rope.scaling.factor", "but must be at least 1")
    if settings.values.get("rope.scaling.yarn_log_multiplier"):
        settings.refuse("rope.scaling.yarn_log_multiplier", "which is not supported")
    usual = RopeScaling(
        kind="yarn",
        factor=factor,
        original_max_positions=settings.whole("rope.scaling.original_context_length") or known["max_positions"],
        beta_fast=settings.number("rope.scaling.yarn_beta_fast") or 32.0,
        beta_slow=settings.number("rope.scaling.yarn_beta_slow") or 1.0,
    )
    return usual if share == 1.0 else replace(usual, attention_factor=share * attention_factor(usual))


def _scaling_values(scaling: RopeScaling | None) -> dict[str, Any]:
    if scaling is None:
        return {}
    values: dict[str, Any] = {}
    if scaling.kind != "linear":
        values["rope.scaling.original_context_length"] = scaling.original_max_positions
    if scaling.kind != "llama3":
        values |= {"rope.scaling.type": scaling.kind, "rope.scaling.factor": float(scaling.factor)}
    if scaling.attention_factor is not None and scaling.kind == "yarn":
        # llama.cpp multiplies YaRN's own temperature by this. It takes YaRN's two bounds as they usually are.
        usual = attention_factor(replace(scaling, attention_factor=None))
        values["rope.scaling.attn_factor"] = scaling.attention_factor / usual
    return values


def _factors(config: DecoderConfig, scaling: RopeScaling) -> Tensor:
    """What each frequency is divided by: float32 `[rotary_dim / 2]`."""
    rotation = config.rotary_dim or config.head_dim, config.rope_theta
    return (frequencies(*rotation).double() / frequencies(*rotation, scaling).double()).float()


def _llama3_scaling(settings: ConfigKeys, known: Mapping[str, Any], file: GgufFile) -> RopeScaling:
    """Llama 3's rule with the numbers that give the factors of the file, which does not state them."""
    stored = file.tensors[ROPE_FACTORS]
    plain = frequencies(known["rotary_dim"], known["rope_theta"]).numpy()
    check_shape(file.path, ROPE_FACTORS, stored.shape, plain.shape)
    if stored.kind != GGMLQuantizationType.F32:
        raise CheckpointError(f"{file.path}: tensor {ROPE_FACTORS} is stored as {stored.kind.name}, not as F32")
    factors = np.maximum(stored.data.view(np.float32).reshape(-1), 1.0)
    original = settings.whole("rope.scaling.original_context_length") or 8192
    rule = RopeScaling(kind="llama3", factor=max(round(float(factors.max()), 4), 1.0), original_max_positions=original)
    for scaling in (rule, _fitted(rule, plain, factors)) if rule.factor > 1 else ():
        made = frequencies(known["rotary_dim"], known["rope_theta"], scaling).numpy()
        if np.allclose(made * factors, plain, rtol=1e-4):
            return scaling
    raise CheckpointError(
        f"{file.path}: tensor {ROPE_FACTORS} is not part of a plain llama model: its factors are not Llama 3's "
        "rule; this variant is not supported"
    )


def _fitted(rule: RopeScaling, plain: NDArray[np.float32], factors: NDArray[np.float32]) -> RopeScaling:
    """`rule` with its two bounds set so that the frequencies between them are blended as in `factors`."""
    share = (1 / factors - 1 / rule.factor) / (1 - 1 / rule.factor)
    between = (share > 0.001) & (share < 0.999)
    if between.sum() < 2:
        return rule
    # The share of the plain frequency grows evenly with the turns within the original context.
    turns = rule.original_max_positions * plain[between] / (2 * math.pi)
    slope, offset = np.polyfit(turns, share[between], 1)
    low = round(float(-offset / slope), 4)
    high = round(low + float(1 / slope), 4)
    return replace(rule, low_freq_factor=low, high_freq_factor=high) if low < high else rule


def _below(metadata: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}


def _rows(file: GgufFile, name: str) -> int:
    if name not in file.tensors:
        raise CheckpointError(f"{file.path}: tensor {name} is missing; the file is incomplete")
    return file.tensors[name].shape[0]
