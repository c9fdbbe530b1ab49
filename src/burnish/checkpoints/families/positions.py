"""Keys of config.json for rotary positions and sliding windows, as transformers 4 and 5 name them.

transformers 5 keeps all rotary settings in `rope_parameters`; transformers 4 has `rope_theta`, `rope_scaling` and
family-specific keys beside each other. Both are read and both are written. Newer files list `layer_types`, older ones
give a rule from which the types of the layers follow.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from burnish.checkpoints.families.settings import ConfigKeys, Conversion, check_understood
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

_ROPE_KEYS = {
    "rope_theta",
    "rope_type",
    "type",
    "partial_rotary_factor",
    "finetuned",  # says how the model was made
    *(key for keys in SCALING_KEYS.values() for key in keys.values()),
}
"""Keys of the object that describes rotary positions; `_REFUSED` has further ones."""
_ROPE_OBJECTS = ("rope_scaling", "rope_parameters", "original_max_position_embeddings")

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

    aliases = {"rope_theta": theta_key, "partial_rotary_factor": "partial_rotary_factor" if share is None else share[0]}

    def read(settings: ConfigKeys, known: Mapping[str, Any]) -> dict[str, Any]:
        key = "rope_scaling" if settings.values.get("rope_scaling") else "rope_parameters"
        rope = settings.inside(key)
        fields: dict[str, Any] = {
            "rope_theta": rope.number("rope_theta") or settings.number(theta_key, theta) or theta,
            "rope_scaling": _read_scaling(settings, key, known["max_positions"], kinds),
        }
        given = rope.number("partial_rotary_factor")
        for alias, name in aliases.items():
            # Some versions of transformers wrote both, and read the family's own name only.
            if alias != name and settings.values.get(alias) not in (None, settings.values.get(name)):
                settings.refuse(alias, f"but these models have {name}")
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

    return Conversion(read, write, (*_ROPE_OBJECTS, *aliases, *aliases.values()))


def _read_local_and_global(settings: ConfigKeys, known: Mapping[str, Any]) -> dict[str, Any]:
    """Gemma 3: one base for the layers with a window, another with scaling for those without."""
    nested = settings.inside("rope_parameters")
    if stray := sorted(nested.values.keys() - {_FULL, _SLIDING}):
        settings.refuse("rope_parameters", f"where {stray[0]} is not a type of layer")
    max_positions = known["max_positions"]
    _read_scaling(nested, _SLIDING, max_positions, kinds=())
    full, local = nested.inside(_FULL), nested.inside(_SLIDING)
    if scaling := settings.inside("rope_scaling").values:
        # transformers 5 lays it over what `rope_parameters` says of the layers without a window. The older name of the
        # kind then loses against the newer one, which is always there.
        if scaling.get("rope_type") is None:
            settings.refuse("rope_scaling", "which lacks rope_type")
        full = ConfigKeys(settings.file, {**full.values, **scaling}, f"{settings.prefix}rope_scaling.")
        source, key = ConfigKeys(settings.file, {**settings.values, "rope_scaling": full.values}), "rope_scaling"
    else:
        source, key = nested, _FULL
    for rope in (full, local):
        if rope.number("partial_rotary_factor") not in (None, 1.0):
            rope.refuse("partial_rotary_factor", "but this family rotates whole heads")
    return {
        "rope_theta": full.number("rope_theta") or settings.number("rope_theta") or 1_000_000.0,
        "rope_scaling": _read_scaling(source, key, max_positions, tuple(SCALING_KEYS)),
        "local_rope_theta": local.number("rope_theta") or settings.number("rope_local_base_freq") or 10_000.0,
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


local_and_global_rotary = Conversion(
    _read_local_and_global, _write_local_and_global, (*_ROPE_OBJECTS, "rope_theta", "rope_local_base_freq")
)


def _read_unrotated(settings: ConfigKeys, known: Mapping[str, Any]) -> dict[str, Any]:
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
    ("no_rope_layers", "no_rope_layer_interval"),
)


def uniform_window(default: int | None) -> Conversion:
    """One sliding window for all layers."""
    return Conversion(
        lambda settings, _: {"sliding_window": settings.whole("sliding_window", default)},
        lambda config: {"sliding_window": config.sliding_window},
        ("sliding_window",),
    )


def layer_windows(
    slides: Callable[[ConfigKeys, Mapping[str, Any], int], bool],
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

    def read(settings: ConfigKeys, known: Mapping[str, Any]) -> dict[str, Any]:
        n_layers = known["n_layers"]
        window = settings.whole("sliding_window", default)
        off = window is None or (switch and not settings.flag("use_sliding_window", False))
        types = settings.values.get("layer_types")
        if types is None:
            types = [_SLIDING if not off and slides(settings, known, layer) else _FULL for layer in range(n_layers)]
        if not isinstance(types, list) or len(types) != n_layers or any(t not in (_FULL, _SLIDING) for t in types):
            settings.refuse("layer_types", f"which is not {_FULL} or {_SLIDING} for each of the {n_layers} layers")
        full = tuple(layer for layer in range(n_layers) if types[layer] == _FULL)
        if len(full) == n_layers:
            return {"sliding_window": None}
        if off:
            settings.refuse("layer_types", f"but no window is in use; only {_FULL} is understood then")
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

    switches = ("use_sliding_window", "max_window_layers") if switch else ()
    patterns = ("sliding_window_pattern", "_sliding_window_pattern") if pattern else ()
    return Conversion(read, write, ("sliding_window", "layer_types", *switches, *patterns))


def _read_scaling(settings: ConfigKeys, key: str, max_positions: int, kinds: Sequence[str]) -> RopeScaling | None:
    """The scaling that the object under `key` describes; refused unless it is one of `kinds`."""
    rope = settings.inside(key)
    kind: Any = rope.values.get("rope_type") or rope.values.get("type") or "default"
    if kind not in ("default", *kinds):
        known = ", ".join(("default", *kinds))
        settings.refuse(
            key, f"which is not supported (only {known} positions are); the model would compute wrong results"
        )
    found = {rope.prefix + name: value for name, value in rope.values.items()}
    understood = {rope.prefix + name for name in (*_ROPE_KEYS, *_REFUSED)}
    check_understood(settings.file, found, understood, "rotary positions")
    if kind == "default":
        return None
    for other, allowed in _REFUSED.items():
        if rope.values.get(other) not in allowed:
            settings.refuse(key, f"where {other} is not supported")
    fields: dict[str, Any] = {}
    for field, name in SCALING_KEYS[kind].items():
        if name in _REQUIRED and rope.values.get(name) is None:
            settings.refuse(key, f"which lacks {name}")
        fields[field] = rope.whole(name) if field == "original_max_positions" else rope.number(name)
    if "original_max_positions" in fields:
        name, inside = "original_max_position_embeddings", fields["original_max_positions"]
        outside = settings.whole(name)
        if outside and inside not in (None, outside):
            settings.refuse(name, f"but {rope.prefix}{name} is {inside}")
        fields["original_max_positions"] = inside or outside or max_positions
    try:
        return RopeScaling(kind=kind, **{field: value for field, value in fields.items() if value is not None})
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
