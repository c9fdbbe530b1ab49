"""Reading the keys of a configuration file with their types checked."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from burnish.errors import CheckpointError
from burnish.nn.config import Activation, DecoderConfig

_LARGEST = 2**31
_LONGEST = 200
_DEEPEST = 10_000
"""A damaged number of layers must not make us list tensors for hours."""

_KINDS: Mapping[str, type] = {
    **dict.fromkeys(("tie_embeddings", "qkv_bias", "attention_bias", "feed_forward_bias", "parallel"), bool),
    **dict.fromkeys(("norm_eps", "rope_theta"), float),
}
"""Types of the fields of `DecoderConfig` that keys set directly; whole numbers where not named."""

_KIND_NAMES = {bool: "true or false", int: "a whole number", float: "a number"}


def shown(value: object) -> str:
    """A value for an error message: a damaged file may hold megabytes."""
    try:
        text = repr(value)
    except RecursionError:
        return f"a {type(value).__name__} nested too deeply to be shown"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


@dataclass(frozen=True)
class ConfigKeys:
    """The keys of a configuration file, or of an object inside it, whose path `prefix` begins their names in errors.

    Every method raises `CheckpointError` naming the file and the key.
    """

    file: object
    values: Mapping[str, Any]
    prefix: str = ""

    def refuse(self, key: str, reason: str) -> NoReturn:
        """Refuse the value of a key: `FILE: KEY is VALUE, REASON`."""
        raise CheckpointError(f"{self.file}: {self.prefix}{key} is {shown(self.values.get(key))}, {reason}")

    def number(self, key: str, default: float | None = None) -> float | None:
        """A number above 0; `default` where it is absent, None where it is null."""
        return self._optional(key, float, default)

    def whole(self, key: str, default: int | None = None) -> int | None:
        """A whole number above 0; `default` where it is absent, None where it is null."""
        return self._optional(key, int, default)

    def count(self, key: str, default: int) -> int:
        """A whole number, 0 or above; `default` where it is absent or null."""
        return 0 if self.values.get(key) == 0 else self.whole(key) or default

    def flag(self, key: str, default: bool) -> bool:
        """True or false; `default` where it is absent or null."""
        value = self._optional(key, bool, default)
        return default if value is None else value

    def inside(self, key: str) -> "ConfigKeys":
        """The keys of the object under `key`; none where it is absent or null."""
        value = self.values.get(key)
        if not isinstance(value, dict | None):
            self.refuse(key, "which is not an object")
        return ConfigKeys(self.file, value or {}, f"{self.prefix}{key}.")

    def _optional(self, key: str, kind: type, default: Any) -> Any:
        value = self.values.get(key, default)
        return None if value is None else checked(self.file, self.prefix + key, kind, value)


class Conversion(NamedTuple):
    """Keys of config.json that take computing, in both directions.

    read: from the file's keys and the fields known so far to further fields of `DecoderConfig`.
    write: from the configuration to keys.
    keys: those that `read` understands, whether or not it needs them.
    """

    read: Callable[[ConfigKeys, Mapping[str, Any]], dict[str, Any]]
    write: Callable[[DecoderConfig], dict[str, Any]]
    keys: tuple[str, ...]


_ACTIVATIONS: Mapping[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
}
"""Hugging Face's names of the activations; of several for one, the first is written."""


def activation(key: str, usual: str) -> Conversion:
    """The activation of the feed-forward layer under `key`; `usual` is its default, and the name written if it fits."""

    def read(settings: ConfigKeys, _: Mapping[str, Any]) -> dict[str, Any]:
        name = settings.values.get(key) or usual
        if not isinstance(name, str) or name not in _ACTIVATIONS:
            settings.refuse(key, f"which is not supported (only {', '.join(_ACTIVATIONS)} are)")
        return {"activation": _ACTIVATIONS[name]}

    def write(config: DecoderConfig) -> dict[str, Any]:
        return {key: next(name for name in (usual, *_ACTIVATIONS) if _ACTIVATIONS[name] == config.activation)}

    return Conversion(read, write, (key,))


def feed_forward_width(key: str) -> Conversion:
    """The width of the feed-forward layer where it is four times the model's unless given."""
    return Conversion(
        lambda settings, known: {"d_ff": settings.whole(key) or 4 * known["d_model"]},
        lambda config: {key: config.d_ff},
        (key,),
    )


def check_fixed(file: object, found: Mapping[str, Any], fixed: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuses a configuration with a setting that the decoder does not compute, naming the key."""
    for key, allowed in fixed.items():
        value = found.get(key, allowed[0])
        if value not in allowed:
            raise CheckpointError(
                f"{file}: {key} is {shown(value)}, which is not supported yet (only {allowed[0]!r} is); "
                "the model would compute wrong results"
            )


def check_understood(file: object, found: Mapping[str, Any], understood: Collection[str], what: str) -> None:
    """Refuses a key that is set and that nothing here understands: what it changes would be ignored in silence.

    understood: all keys that are read, fixed or known to change nothing; `what` completes "not a known setting of".
    """
    for key, value in found.items():
        unset = value is None or value is False or (isinstance(value, str | list | dict) and not value)
        if key not in understood and not unset:
            raise CheckpointError(
                f"{file}: {shown(key)[1:-1]} is {shown(value)}, which is not a known setting of {what}; if they "
                "compute the same without it, remove it"
            )


def checked_fields(
    file: object,
    fields: Mapping[str, tuple[str, Any]],
    defaults: Mapping[str, Any],
    constants: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """`constants` and the values of `fields`, which maps fields of `DecoderConfig` to (key, value or None if absent).

    Absent numbers of key-value heads and of dimensions a head follow from the number of heads, as in both formats.
    """
    values = dict(constants or {})
    for field, (key, value) in fields.items():
        value = defaults.get(field) if value is None else value
        if value is not None or field not in ("n_kv_heads", "head_dim"):
            largest = _DEEPEST if field == "n_layers" else _LARGEST
            values[field] = checked(file, key, _KINDS.get(field, int), value, largest)
    values.setdefault("n_kv_heads", values["n_heads"])
    if "head_dim" not in values:
        if values["d_model"] % values["n_heads"]:
            missing = f" and {fields['head_dim'][0]} is missing" if "head_dim" in fields else ""
            raise CheckpointError(f"{file}: {_not_multiple(fields, values)}{missing}")
        values["head_dim"] = values["d_model"] // values["n_heads"]
    return values


def make_config(file: object, values: Mapping[str, Any]) -> DecoderConfig:
    """The configuration with these fields; `CheckpointError` naming the file where they do not fit together."""
    try:
        return DecoderConfig(**values)
    except ValueError as error:
        raise CheckpointError(f"{file}: {error}") from error


def check_divided(file: object, fields: Mapping[str, tuple[str, Any]], values: Mapping[str, Any]) -> None:
    """Refuses a width that is no multiple of the number of heads."""
    if values["d_model"] % values["n_heads"]:
        raise CheckpointError(f"{file}: {_not_multiple(fields, values)}")


def checked(file: object, key: str, kind: type, value: Any, largest: int = _LARGEST) -> Any:
    """A value of the type asked for; numbers above 0 and at most `largest`."""
    if value is None:
        raise CheckpointError(f"{file}: {key} is missing")
    if type(value) not in ((int, float) if kind is float else (kind,)):
        raise CheckpointError(f"{file}: {key} must be {_KIND_NAMES[kind]}, found {shown(value)}")
    if kind is not bool and not 0 < value <= largest:
        raise CheckpointError(f"{file}: {key} must be above 0 and at most {largest:,}, found {shown(value)}")
    return kind(value)


def _not_multiple(fields: Mapping[str, tuple[str, Any]], values: Mapping[str, Any]) -> str:
    return (
        f"{fields['d_model'][0]} ({values['d_model']}) is not a multiple of {fields['n_heads'][0]} "
        f"({values['n_heads']})"
    )
