"""Keys of config.json for rotary positions and sliding windows, as transformers 4 and 5 name them.

transformers 5 keeps all rotary settings in `rope_parameters`; transformers 4 has `rope_theta`, `rope_scaling` and
family-specific keys beside each other. Both are read and both are written. Newer files list `layer_types`, older ones
give a rule from which the types of the layers follow.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from burnish.checkpoints.families.settings import Conversion, Settings
from burnish.nn.config import DecoderConfig, RopeScaling

_FULL, _SLIDING = "full_attention", "sliding_attention"

SCALING_KEYS: Mapping[str, Mapping[str, str]] = {
    "linear": {"factor": "factor"},
    "llama3": {
        "factor": "factor",
        "original_max_positions": "original_max_position_embeddings",
        "low_freq_factor": "low_freq_factor",
        "high_freq_factor": "high_freq_factor",
    },
    "yarn": {
        "factor": "factor",
        "original_max_positions": "original_max_position_embeddings",
        "beta_fast": "beta_fast",
        "beta_slow": "beta_slow",
        "attention_factor": "attention_factor",
    },
}
"""What each kind of scaling depends on: fields of `RopeScaling` to keys."""

_REQUIRED = ("factor", "low_freq_factor", "high_freq_factor")
# Keys of YaRN that change it in ways that are not computed, and the values under which they do not.
_REFUSED = {"mscale": (None,), "mscale_all_dim": (None,), "truncate": (None, True)}


def rotary(
    *,
    theta: float = 10_000.0,
    theta_key: str = "rope_theta",
    share: tuple[str, float] | None = None,
    kinds: Sequence[str] = tuple(SCALING_KEYS),
) -> Conversion:
    """Base, scaling and extent of rotary positions.

    theta, theta_key: the default base and its key in transformers 4.
    share: key and default of the share of a head that is rotated, for families that rotate a part.
    kinds: the scalings that the family has.
    """

    def read(settings: Settings, known: Mapping[str, Any]) -> dict[str, Any]:
        key = "rope_scaling" if settings.values.get("rope_scaling") else "rope_parameters"
        rope = settings.inside(key)
        fields: dict[str, Any] = {
            "rope_theta": rope.number("rope_theta") or settings.number(theta_key, theta) or theta,
            "rope_scaling": _read_scaling(settings, key, known["max_positions"], kinds),
        }
        given = rope.number("partial_rotary_factor")
        if share is None:
            if given not in (None, 1.0):
                settings.refuse(key, "but this family rotates whole heads")
            return fields
        part = given or settings.number(*share) or share[1]
        rotary_dim = int(known["head_dim"] * part)
        return {**fields, "rotary_dim": None if rotary_dim == known["head_dim"] else rotary_dim}

    def write(config: DecoderConfig) -> dict[str, Any]:
        scaling = _scaling_values(config.rope_scaling)
        rope = {**scaling, "rope_theta": config.rope_theta}
        values = {theta_key: config.rope_theta, "rope_parameters": rope}
        if share is not None:
            values[share[0]] = rope["partial_rotary_factor"] = _share(config)
        return values if config.rope_scaling is None else {**values, "rope_scaling": scaling}

    return Conversion(read, write)


def _read_local_and_global(settings: Settings, known: Mapping[str, Any]) -> dict[str, Any]:
    """Gemma 3: one base for the layers with a window, another with scaling for those without."""
    nested = settings.inside("rope_parameters")
    if stray := sorted(nested.values.keys() - {_FULL, _SLIDING}):
        settings.refuse("rope_parameters", f"where {stray[0]} is not a type of layer")
    max_positions = known["max_positions"]
    _read_scaling(nested, _SLIDING, max_positions, kinds=())
    source, key = (settings, "rope_scaling") if settings.values.get("rope_scaling") else (nested, _FULL)
    full, local = nested.inside(_FULL).number("rope_theta"), nested.inside(_SLIDING).number("rope_theta")
    return {
        "rope_theta": full or settings.number("rope_theta") or 1_000_000.0,
        "rope_scaling": _read_scaling(source, key, max_positions, tuple(SCALING_KEYS)),
        "local_rope_theta": local or settings.number("rope_local_base_freq") or 10_000.0,
    }


def _write_local_and_global(config: DecoderConfig) -> dict[str, Any]:
    scaling = _scaling_values(config.rope_scaling)
    local = config.rope_theta if config.local_rope_theta is None else config.local_rope_theta
    values = {
        "rope_theta": config.rope_theta,
        "rope_local_base_freq": local,
        "rope_parameters": {
            _FULL: {**scaling, "rope_theta": config.rope_theta},
            _SLIDING: {"rope_type": "default", "rope_theta": local},
        },
    }
    return values if config.rope_scaling is None else {**values, "rope_scaling": scaling}


local_and_global_rotary = Conversion(_read_local_and_global, _write_local_and_global)


def _read_unrotated(settings: Settings, known: Mapping[str, Any]) -> dict[str, Any]:
    """SmolLM3: `no_rope_layers` has 1 for a layer that is rotated, 0 for one that is not (NoPE)."""
    n_layers = known["n_layers"]
    rotated = settings.values.get("no_rope_layers")
    if rotated is None:
        interval = settings.whole("no_rope_layer_interval") or 4
        rotated = [int((layer + 1) % interval != 0) for layer in range(n_layers)]
    if not isinstance(rotated, list) or len(rotated) < n_layers or not all(flag in (0, 1) for flag in rotated):
        settings.refuse("no_rope_layers", f"which is not a list of 0 and 1 for each of the {n_layers} layers")
    return {"unrotated_layers": tuple(layer for layer in range(n_layers) if not rotated[layer])}


unrotated_layers = Conversion(
    _read_unrotated,
    lambda config: {"no_rope_layers": [int(i not in config.unrotated_layers) for i in range(config.n_layers)]},
)


def uniform_window(default: int | None) -> Conversion:
    """One sliding window for all layers."""
    return Conversion(
        lambda settings, _: {"sliding_window": settings.whole("sliding_window", default)},
        lambda config: {"sliding_window": config.sliding_window},
    )


def layer_windows(
    slides: Callable[[Settings, Mapping[str, Any], int], bool],
    *,
    default: int | None = 4096,
    switch: bool = False,
    pattern: bool = False,
) -> Conversion:
    """Windows for some layers.

    slides: whether a layer has one, for files without `layer_types`.
    default: the window where the file gives none.
    switch: whether `use_sliding_window` must be true for any layer to have one.
    pattern: whether to write `sliding_window_pattern` (every so many layers one sees everything) where it holds.
    """

    def read(settings: Settings, known: Mapping[str, Any]) -> dict[str, Any]:
        n_layers = known["n_layers"]
        window = settings.whole("sliding_window", default)
        if window is None or (switch and not settings.flag("use_sliding_window", False)):
            return {"sliding_window": None}
        types = settings.values.get("layer_types")
        if types is None:
            types = [_SLIDING if slides(settings, known, layer) else _FULL for layer in range(n_layers)]
        if not isinstance(types, list) or len(types) != n_layers or any(t not in (_FULL, _SLIDING) for t in types):
            settings.refuse("layer_types", f"which is not {_FULL} or {_SLIDING} for each of the {n_layers} layers")
        full = tuple(layer for layer in range(n_layers) if types[layer] == _FULL)
        if len(full) == n_layers:
            return {"sliding_window": None}
        return {"sliding_window": window, "full_attention_layers": full}

    def write(config: DecoderConfig) -> dict[str, Any]:
        full = [config.window(layer) is None for layer in range(config.n_layers)]
        values: dict[str, Any] = {"layer_types": [_FULL if whole else _SLIDING for whole in full]}
        if switch:
            first = full.index(False) if False in full else config.n_layers
            values |= {"use_sliding_window": not all(full), "max_window_layers": first}
        if pattern and True in full:
            every = full.index(True) + 1
            if full == [(layer + 1) % every == 0 for layer in range(config.n_layers)]:
                values["sliding_window_pattern"] = every
        # Gemma's mask is built from the number even where no layer uses it.
        return {**values, "sliding_window": config.sliding_window or (None if switch else config.max_positions)}

    return Conversion(read, write)


def _read_scaling(settings: Settings, key: str, max_positions: int, kinds: Sequence[str]) -> RopeScaling | None:
    """The scaling that the object under `key` describes; refused unless it is one of `kinds`."""
    rope = settings.inside(key)
    kind: Any = rope.values.get("rope_type") or rope.values.get("type") or "default"
    if kind == "default":
        return None
    if kind not in kinds:
        known = ", ".join(("default", *kinds))
        settings.refuse(
            key, f"which is not supported (only {known} positions are); the model would compute wrong results"
        )
    for other, allowed in _REFUSED.items():
        if rope.values.get(other) not in allowed:
            settings.refuse(key, f"where {other} is not supported")
    found: dict[str, Any] = {}
    for field, name in SCALING_KEYS[kind].items():
        if name in _REQUIRED and rope.values.get(name) is None:
            settings.refuse(key, f"which lacks {name}")
        found[field] = rope.whole(name) if field == "original_max_positions" else rope.number(name)
    if "original_max_positions" in found:
        found["original_max_positions"] = (
            found["original_max_positions"] or settings.whole("original_max_position_embeddings") or max_positions
        )
    try:
        return RopeScaling(kind=kind, **{field: value for field, value in found.items() if value is not None})
    except ValueError as error:
        settings.refuse(key, f"but {error}")


def _scaling_values(scaling: RopeScaling | None) -> dict[str, Any]:
    if scaling is None:
        return {"rope_type": "default"}
    values = {name: getattr(scaling, field) for field, name in SCALING_KEYS[scaling.kind].items()}
    return {"rope_type": scaling.kind, **{name: value for name, value in values.items() if value is not None}}


def _share(config: DecoderConfig) -> float:
    """The share of a head that is rotated, such that `int(head_dim * share)` is the number of dimensions."""
    rotary_dim = config.rotary_dim or config.head_dim
    share = rotary_dim / config.head_dim
    return share if int(config.head_dim * share) == rotary_dim else math.nextafter(share, 1.0)
