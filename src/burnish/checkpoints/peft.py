"""LoRA adapters as PEFT folders: adapter_config.json and adapter_model.safetensors.

Format: https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from burnish.checkpoints.families import LLAMA, check_fixed
from burnish.checkpoints.huggingface import read_json, read_tensors, tensor_names
from burnish.errors import CheckpointError
from burnish.files import atomic_folder
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, LoraLinear, add_lora, lora_config

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

# Settings under which an adapter computes what `LoraLinear` does; absent keys are fine.
_FIXED: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "fan_in_fan_out": (False, None),
    "use_rslora": (False, None),
    "use_dora": (False, None),
    "modules_to_save": (None, []),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "layers_to_transform": (None,),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
    "lora_bias": (False, None),
}

# The decoder's short names of the projections ("q") to Hugging Face's ("q_proj").
_MODULES = {
    rule.name.split(".")[-2]: rule.huggingface.split(".")[-2] for rule in LLAMA.layer_weights if len(rule.shape) == 2
}


def save_adapter(decoder: Decoder, folder: Path | str, base: str) -> None:
    """Writes the decoder's adapters as a PEFT folder; `base` is the path or name of the model they belong to."""
    config = lora_config(decoder)
    if config is None:
        raise CheckpointError(f"cannot save an adapter to {folder}: the model has no LoRA adapters")
    values = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": config.rank,
        "lora_alpha": int(config.alpha) if config.alpha == int(config.alpha) else config.alpha,
        "lora_dropout": config.dropout,
        "target_modules": [_MODULES[target] for target in config.targets],
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "inference_mode": True,
    }
    tensors = {
        f"{prefix}.{which}.weight": parameter.detach().to("cpu", torch.float32).contiguous()
        for prefix, linear in _adapted(decoder)
        for which, parameter in (("lora_A", linear.lora_a), ("lora_B", linear.lora_b))
    }
    with atomic_folder(folder) as temporary:
        (temporary / CONFIG_FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        save_file(tensors, temporary / WEIGHTS_FILE, metadata={"format": "pt"})


def load_adapter(decoder: Decoder, folder: Path | str) -> None:
    """Gives `decoder`, in place, the adapters of a PEFT folder; they stay apart from the frozen weights.

    Raises `CheckpointError` naming the key or tensor for a variant of LoRA that is not supported, and for an
    adapter that does not fit the decoder.
    """
    folder = Path(folder)
    if lora_config(decoder) is not None:
        raise CheckpointError(f"cannot load {folder}: the model has LoRA adapters already; merge them first")
    values = read_json(folder / CONFIG_FILE)
    check_fixed(folder / CONFIG_FILE, values, _FIXED)
    file = folder / WEIGHTS_FILE
    if not file.is_file():
        pickle = folder / "adapter_model.bin"
        reason = f"; {pickle.name} is a pickle, which can run code, and is never read" if pickle.exists() else ""
        raise CheckpointError(f"{file} is missing{reason}")
    # Everything is checked before the decoder is touched.
    present = tensor_names(file)
    config = _lora_config(folder / CONFIG_FILE, values, present)
    shapes = _expected_shapes(decoder, config)
    if extra := sorted(set(present) - shapes.keys()):
        raise CheckpointError(f"{file}: tensor {extra[0]} is not part of a LoRA adapter for the base model")
    tensors = read_tensors(file, shapes)
    add_lora(decoder, config, seed=0)
    with torch.no_grad():
        for prefix, linear in _adapted(decoder):
            linear.lora_a.copy_(tensors[f"{prefix}.lora_A.weight"])
            linear.lora_b.copy_(tensors[f"{prefix}.lora_B.weight"])


def base_of(folder: Path) -> str | None:
    """The base model that an adapter names, if any."""
    base = read_json(folder / CONFIG_FILE).get("base_model_name_or_path")
    return base if isinstance(base, str) and base else None


def _lora_config(file: Path, values: Mapping[str, Any], present: Sequence[str]) -> LoraConfig:
    """The configuration of an adapter with the tensors `present`.

    `target_modules` may be a list of names, of paths or an expression; the tensors say plainly what it came to.
    """
    adapted = {name.split(".")[-3] for name in present if name.count(".") >= 3}
    targets = tuple(name for name, module in _MODULES.items() if module in adapted)
    for key, kind in (("r", int), ("lora_alpha", int | float), ("lora_dropout", int | float)):
        if not isinstance(values.get(key, 0.0 if key == "lora_dropout" else None), kind):
            raise CheckpointError(f"{file}: {key} must be a number, found {values.get(key)!r}")
    try:
        return LoraConfig(
            rank=values["r"],
            alpha=float(values["lora_alpha"]),
            dropout=float(values.get("lora_dropout", 0.0)),
            targets=targets,
        )
    except (ValueError, OverflowError) as error:
        raise CheckpointError(f"{file}: {error}") from error


def _expected_shapes(decoder: Decoder, config: LoraConfig) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for weight in LLAMA.expected_weights(decoder.config):
        parts = weight.name.split(".")
        if parts[0] == "blocks" and parts[-2] in config.targets:
            prefix = _prefix(weight.huggingface)
            shapes[f"{prefix}.lora_A.weight"] = (config.rank, weight.shape[1])
            shapes[f"{prefix}.lora_B.weight"] = (weight.shape[0], config.rank)
    return shapes


def _adapted(decoder: Decoder) -> list[tuple[str, LoraLinear]]:
    """Every adapted projection with the beginning of its tensors' names in a PEFT file."""
    modules = dict(decoder.named_modules())
    named = [
        (_prefix(weight.huggingface), modules.get(weight.name.removesuffix(".weight")))
        for weight in LLAMA.expected_weights(decoder.config)
    ]
    return [(prefix, module) for prefix, module in named if isinstance(module, LoraLinear)]


def _prefix(huggingface: str) -> str:
    return "base_model.model." + huggingface.removesuffix(".weight")
