"""adapter_config.json of PEFT's LoRA: which modules it adapts, with what rank and scale.

A key that is neither read here nor known to change nothing is refused by its name. Some initializations move the base
model's weights aside when an adapter is made; without those weights such an adapter means nothing.

Format: https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import regex

from burnish.checkpoints.families.settings import ConfigKeys, check_fixed, check_understood, shown
from burnish.errors import CheckpointError
from burnish.nn.lora import LoraConfig

_FIXED: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "lora_bias": (False, None),
    "use_dora": (False, None),
    "use_qalora": (False, None),
    "use_bdlora": (None,),
    "layer_replication": (None, []),
    "trainable_token_indices": (None, [], {}),
    "target_parameters": (None, []),
    "alora_invocation_tokens": (None, []),
    "ensure_weight_tying": (False, None),
    "arrow_config": (None,),
    "kasa_config": (None,),
    "velora_config": (None,),
    "monteclora_config": (None,),
    "megatron_config": (None,),
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),
}
"""Settings under which an adapter computes what `LoraLinear` does; absent keys are fine."""

_READ = (
    *("r", "lora_alpha", "lora_dropout", "use_rslora", "rank_pattern", "alpha_pattern", "base_model_name_or_path"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save"),
)
# Who made it and how. PEFT sets `fan_in_fan_out` by the kind of module that it finds, whatever the file says.
_IDLE = (
    *("task_type", "inference_mode", "auto_mapping", "revision", "peft_version", "fan_in_fan_out", "runtime_config"),
    *("eva_config", "corda_config", "loftq_config", "lora_ga_config", "megatron_core", "qalora_group_size"),
)
# What "all-linear" leaves out: embeddings and output layers.
_NOT_LINEAR = ("embed_tokens", "embed_in", "wte", "wpe", "word_embeddings", "lm_head", "embed_out")
_PATIENCE = 1.0
"""Seconds for one expression: one with repetitions within repetitions may never end."""


@dataclass(frozen=True)
class AdapterSettings:
    """What adapter_config.json says, checked. Paths of modules are those of transformers' model."""

    file: Path
    values: Mapping[str, Any]
    rank: int
    alpha: float
    dropout: float

    @property
    def saved(self) -> tuple[str, ...]:
        """Ends of the paths of modules whose whole weights the adapter has."""
        return tuple(self._names("modules_to_save"))

    def adapts(self, path: str) -> bool:
        """Whether PEFT adapts the module at `path`."""
        excluded, targets = self.values.get("exclude_modules"), self.values.get("target_modules")
        if excluded and self._matches("exclude_modules", path):
            return False
        if any(path == name or f".{name}." in f".{path}." for name in self.saved) or not targets:
            return False
        if isinstance(targets, str) and targets.lower() == "all-linear":
            return path.rsplit(".", 1)[-1] not in _NOT_LINEAR
        if not self._matches("target_modules", path):
            return False
        if isinstance(targets, str) or path in targets:
            return True
        chosen = self.values.get("layers_to_transform")
        if chosen is None or chosen == []:
            return True
        layers = chosen if isinstance(chosen, list) else [chosen]
        if not all(type(layer) is int for layer in layers):
            self._refuse("layers_to_transform", "which is neither a number of a layer nor a list of them")
        patterns = self._names("layers_pattern") or [r"[^.]*"]
        found = [
            self._match("layers_pattern", rf"(?:.*?\.)??(?:{pattern})\.(\d+)\.", path, True) for pattern in patterns
        ]
        return next((int(match[1]) in layers for match in found if match), False)

    def rank_of(self, path: str) -> int:
        """The rank of a module's adapter."""
        rank = self._pattern("rank_pattern", path, self.rank)
        if type(rank) is not int or rank < 1:
            self._refuse("rank_pattern", "but a rank is a whole number of at least 1")
        return rank

    def scale_of(self, path: str) -> float:
        """What a module's `B A` is multiplied by: alpha / rank, or alpha / √rank (Kalajdzievski 2023)."""
        rank, alpha = self.rank_of(path), self._pattern("alpha_pattern", path, self.alpha)
        if type(alpha) not in (int, float) or not math.isfinite(alpha):
            self._refuse("alpha_pattern", "but an alpha is a finite number")
        return float(alpha) / (math.sqrt(rank) if self.values.get("use_rslora") else rank)

    def lora_config(self, targets: tuple[str, ...]) -> LoraConfig:
        """The configuration of the decoder's adapters, for modules that no pattern names."""
        alpha = self.alpha * math.sqrt(self.rank) if self.values.get("use_rslora") else self.alpha
        try:
            return LoraConfig(rank=self.rank, alpha=alpha or float(self.rank), dropout=self.dropout, targets=targets)
        except ValueError as error:
            raise CheckpointError(f"{self.file}: {error}") from error

    def _pattern(self, key: str, path: str, usual: float) -> Any:
        for name, value in (self.values.get(key) or {}).items():
            if self._match(key, rf"(?:.*\.)?(?:{name})", path):
                return value
        return usual

    def _matches(self, key: str, path: str) -> bool:
        names = self.values.get(key)
        if isinstance(names, str):
            return self._match(key, names, path) is not None
        return any(path == name or path.endswith(f".{name}") for name in self._names(key))

    def _match(self, key: str, expression: str, path: str, start: bool = False) -> Any:
        try:
            compiled = regex.compile(expression)
            return (compiled.match if start else compiled.fullmatch)(path, timeout=_PATIENCE)
        except (regex.error, TimeoutError, RecursionError, OverflowError) as error:
            self._refuse(key, f"an expression that cannot be matched: {error}")

    def _names(self, key: str) -> list[str]:
        names = self.values.get(key)
        if isinstance(names, str):
            return [names]
        if names is None:
            return []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self._refuse(key, "which is not a list of names")
        return names

    def _refuse(self, key: str, reason: str) -> NoReturn:
        raise CheckpointError(f"{self.file}: {key} is {shown(self.values.get(key))}, {reason}")


def read_adapter_settings(file: Path, values: Mapping[str, Any]) -> AdapterSettings:
    """The settings in adapter_config.json. Raises `CheckpointError` naming a key that is malformed or not supported."""
    check_fixed(file, values, _FIXED)
    check_understood(file, values, {*_FIXED, *_READ, *_IDLE}, "LoRA adapters")
    settings = ConfigKeys(file, values)
    numbers: dict[str, float] = {}
    for key, usual in (("r", None), ("lora_alpha", None), ("lora_dropout", 0.0)):
        number = values.get(key, usual)
        if type(number) not in (int, float):
            raise CheckpointError(f"{file}: {key} must be a number, found {shown(number)}")
        if not abs(number) <= 1e30:
            settings.refuse(key, "but weights would not be finite")
        numbers[key] = number
    if type(values["r"]) is not int or values["r"] < 1:
        settings.refuse("r", "but rank must be at least 1, and a whole number")
    for key in ("rank_pattern", "alpha_pattern"):
        if not isinstance(values.get(key), dict | None):
            settings.refuse(key, "which is not an object")
    if not isinstance(values.get("use_rslora"), bool | None):
        settings.refuse("use_rslora", "which is neither true nor false")
    if not isinstance(values.get("target_modules"), str | list | None):
        settings.refuse("target_modules", "which is neither a list of names nor an expression")
    checked = AdapterSettings(
        file, values, rank=values["r"], alpha=float(values["lora_alpha"]), dropout=float(numbers["lora_dropout"])
    )
    for key in ("modules_to_save", "layers_pattern"):
        checked._names(key)
    if not isinstance(values.get("target_modules"), str):
        checked._names("target_modules")
    if not isinstance(values.get("exclude_modules"), str):
        checked._names("exclude_modules")
    return checked
