"""LoRA adapters as PEFT folders: adapter_config.json and adapter_model.safetensors.

A family decides what is one matrix, and so what an adapter covers: Llama's q_proj is a part of the decoder's `qkv`,
Phi-3's qkv_proj is all of it. Adapters of parts that the family stores as one are written as one of higher rank, which
computes the same: `[B1 A1; B2 A2] x = diag(B1, B2) [A1; A2] x`. PEFT's `rank_pattern` says so.

Format: https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from burnish.checkpoints.families import Family, Weight, check_fixed, family_for
from burnish.checkpoints.huggingface import read_json, read_tensors, tensor_names
from burnish.errors import CheckpointError
from burnish.files import atomic_folder
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, LoraLinear, adaptable, add_lora, lora_config

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

# Settings under which an adapter computes what `LoraLinear` does; absent keys are fine.
_FIXED: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_rslora": (False, None),
    "use_dora": (False, None),
    "modules_to_save": (None, []),
    "layers_to_transform": (None,),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
    "lora_bias": (False, None),
}


@dataclass(frozen=True)
class _Module:
    """A matrix of the blocks as the family stores it.

    path: its name in Hugging Face's model; kind: the end of that name, the same in every layer, that PEFT finds it by.
    projection: the decoder's module; target: what `LoraConfig` calls these rows of it.
    """

    weight: Weight
    kind: str

    @property
    def path(self) -> str:
        return self.weight.huggingface.removesuffix(".weight")

    @property
    def projection(self) -> str:
        return self.weight.name.removesuffix(".weight")

    @property
    def target(self) -> str:
        return self.weight.part or self.projection.rsplit(".", 1)[1]

    def tensor(self, which: str) -> str:
        """The name of lora_A or lora_B in a PEFT file."""
        return f"base_model.model.{self.path}.{which}.weight"


def save_adapter(decoder: Decoder, folder: Path | str, base: str) -> None:
    """Writes the decoder's adapters as a PEFT folder; `base` is the path or name of the model they belong to."""
    config = lora_config(decoder)
    if config is None:
        raise CheckpointError(f"cannot save an adapter to {folder}: the model has no LoRA adapters")
    family = family_for(decoder.config)
    projections = dict(decoder.named_modules())
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for module in _modules(family, decoder):
        linear = projections[module.projection]
        if isinstance(linear, LoraLinear) and (adapter := _stored_adapter(linear, module.weight)) is not None:
            for which, tensor in zip(("lora_A", "lora_B"), adapter, strict=True):
                tensors[module.tensor(which)] = tensor.detach().to("cpu", torch.float32).contiguous()
            ranks[module.kind] = len(adapter[0])
    higher = {kind: rank for kind, rank in ranks.items() if rank != config.rank}
    values = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": config.rank,
        "lora_alpha": _plain(config.alpha),
        "lora_dropout": config.dropout,
        "target_modules": list(ranks),
        "rank_pattern": higher,
        "alpha_pattern": {kind: _plain(config.alpha * rank / config.rank) for kind, rank in higher.items()},
        "bias": "none",
        "fan_in_fan_out": any(rule.layout == "transposed" for rule in family.layer_weights),
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "inference_mode": True,
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
    # Everything is checked before the decoder is touched. `target_modules` may be a list of names, of paths or an
    # expression; the tensors say plainly what it came to.
    present = set(tensor_names(file))
    modules = list(_modules(family_for(decoder.config), decoder))
    adapted = {module.kind for module in modules if present & {module.tensor("lora_A"), module.tensor("lora_B")}}
    modules = [module for module in modules if module.kind in adapted]
    config = _lora_config(folder / CONFIG_FILE, values, tuple(dict.fromkeys(module.target for module in modules)))
    ranks = _ranks(folder / CONFIG_FILE, values, config, adapted)
    shapes: dict[str, tuple[int, ...]] = {}
    for module in modules:
        shapes[module.tensor("lora_A")] = (ranks[module.kind], module.weight.shape[1])
        shapes[module.tensor("lora_B")] = (module.weight.shape[0], ranks[module.kind])
    if extra := sorted(present - shapes.keys()):
        raise CheckpointError(f"{file}: tensor {extra[0]} is not part of a LoRA adapter for the base model")
    tensors = dict(read_tensors(file, shapes))
    add_lora(decoder, config, seed=0)
    projections = dict(decoder.named_modules())
    for module in modules:
        linear = projections[module.projection]
        assert isinstance(linear, LoraLinear)
        b = module.weight.rows_to_decoder(tensors[module.tensor("lora_B")])
        # New parameters, since the rank may be another.
        linear.lora_a[module.target] = nn.Parameter(tensors[module.tensor("lora_A")].to(decoder.device))
        linear.lora_b[module.target] = nn.Parameter(b.to(decoder.device))


def base_of(folder: Path) -> str | None:
    """The base model that an adapter names, if any."""
    base = read_json(folder / CONFIG_FILE).get("base_model_name_or_path")
    return base if isinstance(base, str) and base else None


def _modules(family: Family, decoder: Decoder) -> Iterator[_Module]:
    """The matrices of the blocks, in the order of the checkpoint."""
    ends = [rule.huggingface.split(".")[-2] for rule in family.layer_weights if len(rule.shape) == 2]
    for weight in family.expected_weights(decoder.config):
        if weight.name.startswith("blocks.") and len(weight.shape) == 2:
            parts = weight.huggingface.split(".")
            # GPT-2 has two projections of the same name in a block.
            yield _Module(weight, ".".join(parts[-3:-1] if ends.count(parts[-2]) > 1 else parts[-2:-1]))


def _stored_adapter(linear: LoraLinear, weight: Weight) -> tuple[Tensor, Tensor] | None:
    """A `[rank, in]` and B `[rows, rank]` of what is adapted in the rows of `weight`; None for nothing."""
    adapters = []
    for name, a in linear.lora_a.items():
        rows = adaptable(linear)[name]
        start, stop = max(rows.start, weight.rows.start), min(rows.stop, weight.rows.stop)
        if start < stop:
            b = a.new_zeros(weight.shape[0], len(a))
            of_part = linear.lora_b[name][start - rows.start : stop - rows.start]
            b[start - weight.rows.start : stop - weight.rows.start] = of_part
            adapters.append((a, weight.rows_from_decoder(b)))
    if not adapters:
        return None
    return torch.cat([a for a, _ in adapters]), torch.cat([b for _, b in adapters], dim=1)


def _lora_config(file: Path, values: Mapping[str, Any], targets: Sequence[str]) -> LoraConfig:
    for key, kind in (("r", int), ("lora_alpha", int | float), ("lora_dropout", int | float)):
        if not isinstance(values.get(key, 0.0 if key == "lora_dropout" else None), kind):
            raise CheckpointError(f"{file}: {key} must be a number, found {values.get(key)!r}")
    try:
        return LoraConfig(
            rank=values["r"],
            alpha=float(values["lora_alpha"]),
            dropout=float(values.get("lora_dropout", 0.0)),
            targets=tuple(targets),
        )
    except (ValueError, OverflowError) as error:
        raise CheckpointError(f"{file}: {error}") from error


def _ranks(file: Path, values: Mapping[str, Any], config: LoraConfig, kinds: set[str]) -> dict[str, int]:
    """The rank of each kind of module. Their alphas must be in proportion, so that one scale holds for all."""
    patterns = {key: values.get(key) or {} for key in ("rank_pattern", "alpha_pattern")}
    for key, pattern in patterns.items():
        if not isinstance(pattern, dict) or not pattern.keys() <= kinds:
            raise CheckpointError(
                f"{file}: {key} is {pattern!r}; only names of adapted projections ({', '.join(sorted(kinds))}) "
                "are supported"
            )
    ranks = dict.fromkeys(kinds, config.rank)
    for kind in patterns["rank_pattern"].keys() | patterns["alpha_pattern"].keys():
        rank = patterns["rank_pattern"].get(kind, config.rank)
        alpha = patterns["alpha_pattern"].get(kind, config.alpha)
        numbers = type(rank) is int and rank > 0 and type(alpha) in (int, float)
        if not numbers or not math.isclose(alpha * config.rank, config.alpha * rank):
            found = " and ".join(f"{key} is {pattern!r}" for key, pattern in patterns.items())
            raise CheckpointError(f"{file}: {found}; alpha / rank must be the same for all projections")
        ranks[kind] = rank
    return ranks


def _plain(number: float) -> int | float:
    return int(number) if number == int(number) else number
