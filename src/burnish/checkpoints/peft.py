"""LoRA adapters as PEFT folders: adapter_config.json and adapter_model.safetensors.

A family decides what is one matrix, and so what an adapter covers: Llama's q_proj is a part of the decoder's `qkv`,
Phi-3's qkv_proj is all of it. Adapters of parts that the family stores as one are written as one of higher rank, which
computes the same: `[B1 A1; B2 A2] x = diag(B1, B2) [A1; A2] x`. PEFT's `rank_pattern` says so.

Format: https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from burnish.checkpoints.families import Family, Weight, family_for
from burnish.checkpoints.families.settings import shown
from burnish.checkpoints.huggingface import read_json, read_tensors, tensor_names
from burnish.checkpoints.peft_settings import AdapterSettings, read_adapter_settings
from burnish.checkpoints.peft_whole import whole_weights, with_whole_weights
from burnish.checkpoints.weights import check_finite
from burnish.errors import CheckpointError
from burnish.files import atomic_folder
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, LoraLinear, adapt, adaptable, lora_config, merge_lora
from burnish.nn.routed_lora import Adapter

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

_PREFIX = "base_model.model."


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
        return f"{_PREFIX}{self.path}.{which}.weight"


def save_adapter(decoder: Decoder, folder: Path | str, base: str) -> None:
    """Writes the decoder's adapters as a PEFT folder; `base` is the path or name of the model they belong to."""
    config = lora_config(decoder)
    if config is None:
        raise CheckpointError(f"cannot save an adapter to {folder}: the model has no LoRA adapters")
    family = family_for(decoder.config)
    projections = dict(decoder.named_modules())
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, dict[str, int]] = {}
    modules = list(_modules(family, decoder))
    for module in modules:
        linear = projections[module.projection]
        if isinstance(linear, LoraLinear) and (adapter := _stored_adapter(linear, module.weight)) is not None:
            for which, tensor in zip(("lora_A", "lora_B"), adapter, strict=True):
                tensors[module.tensor(which)] = tensor.detach().to("cpu", torch.float32).contiguous()
            ranks.setdefault(module.kind, {})[module.path] = len(adapter[0])
    # One name for a kind of module that has an adapter of one rank in every layer, else the path of each.
    everywhere = Counter(module.kind for module in modules)
    named: dict[str, int] = {}
    for kind, paths in ranks.items():
        same = len(paths) == everywhere[kind] and len({*paths.values()}) == 1
        named |= {kind: next(iter(paths.values()))} if same else paths
    higher = {name: rank for name, rank in named.items() if rank != config.rank}
    values = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": config.rank,
        "lora_alpha": _plain(config.alpha),
        "lora_dropout": config.dropout,
        "target_modules": list(named),
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


def load_adapter(decoder: Decoder, folder: Path | str, *, merge: bool = False) -> Decoder:
    """Gives `decoder` the adapters of a PEFT folder, and returns it.

    Unless `merge`, they stay apart from the frozen weights, and only adapters of the blocks' projections can be loaded.
    With it they are folded in, and so are adapters of embeddings and of the output layer and whole weights that the
    folder has (`modules_to_save`); a tied model in which these two then differ is returned as a new, untied one.

    Raises `CheckpointError` naming the key or tensor for a variant of LoRA that is not supported, and for an
    adapter that does not fit the decoder.
    """
    folder = Path(folder)
    if lora_config(decoder) is not None:
        raise CheckpointError(f"cannot load {folder}: the model has LoRA adapters already; merge them first")
    settings = read_adapter_settings(folder / CONFIG_FILE, read_json(folder / CONFIG_FILE))
    file = folder / WEIGHTS_FILE
    if not file.exists():
        pickle = folder / "adapter_model.bin"
        reason = f"; {pickle.name} is a pickle, which can run code, and is never read" if pickle.exists() else ""
        raise CheckpointError(f"{file} is missing{reason}")
    # Everything is checked before the decoder is touched.
    present = set(tensor_names(file))
    family = family_for(decoder.config)
    modules = [module for module in _modules(family, decoder) if settings.adapts(module.path)] if present else []
    outer = whole_weights(settings, family, decoder.config, present) if present else []
    if present and not modules and not outer:
        chosen = shown(settings.values.get("target_modules"))
        raise CheckpointError(f"{settings.file}: target_modules is {chosen}, by which nothing of the base is adapted")
    targets = tuple(dict.fromkeys(module.target for module in modules))
    config = settings.lora_config(targets) if modules or not outer else None
    shapes: dict[str, tuple[int, ...]] = {}
    for module in modules:
        rank = settings.rank_of(module.path)
        shapes[module.tensor("lora_A")] = (rank, module.weight.shape[1])
        shapes[module.tensor("lora_B")] = (module.weight.shape[0], rank)
    for change in outer:
        shapes |= change.shapes
    if extra := sorted(present - shapes.keys()):
        raise CheckpointError(
            f"{file}: tensor {extra[0]} is not part of a LoRA adapter for the base model, or not of one that "
            f"{CONFIG_FILE} describes ({len(extra)} such tensors)"
        )
    if outer and not merge:
        raise CheckpointError(
            f"{folder}: the adapter changes {outer[0].weight.huggingface}, which cannot be kept apart from the base "
            "model; load it merged"
        )
    tensors = dict(read_tensors(file, shapes))
    if config is not None:
        _add_adapters(decoder, config, settings, modules, tensors, file)
    if not merge:
        return decoder
    changed = {module.projection for module in modules}
    merge_lora(decoder)
    for name in changed:
        check_finite(file, f"{name}.weight with the adapter", decoder.get_parameter(f"{name}.weight"))
    return with_whole_weights(decoder, outer, tensors, file)


def _add_adapters(
    decoder: Decoder,
    config: LoraConfig,
    settings: AdapterSettings,
    modules: Sequence[_Module],
    tensors: Mapping[str, Tensor],
    file: Path,
) -> None:
    targets: dict[str, list[str]] = {}
    for module in modules:
        targets.setdefault(module.projection, []).append(module.target)
    adapt(decoder, config, targets)
    for module in modules:
        linear = decoder.get_submodule(module.projection)
        assert isinstance(linear, LoraLinear)
        a, b = tensors[module.tensor("lora_A")], module.weight.rows_to_decoder(tensors[module.tensor("lora_B")])
        scale = settings.scale_of(module.path)
        largest = abs(scale) * len(a) * float(a.abs().max()) * float(b.abs().max())
        if not largest < torch.finfo(torch.float32).max:
            raise CheckpointError(
                f"{file}: the adapter of {module.path} is too large, so that weights would not be finite; "
                f"{CONFIG_FILE} scales it by {scale:g}"
            )
        # One scale holds for all adapters of the decoder; what a module's own has more is part of its B.
        if scale != linear.scale:
            b = b * (scale / linear.scale)
        # New parameters, since the rank may be another.
        linear.lora_a[module.target] = nn.Parameter(a.to(decoder.device))
        linear.lora_b[module.target] = nn.Parameter(b.to(decoder.device))


def read_adapter(decoder: Decoder, folder: Path | str) -> Adapter:
    """The adapter of a PEFT folder, to be used beside `decoder`, which stays as it is. Raises as `load_adapter`."""
    with torch.device("meta"):
        beside = Decoder(decoder.config, compute_dtype=decoder.compute_dtype)
    beside.load_state_dict(decoder.state_dict(), assign=True)
    return Adapter.of(load_adapter(beside, folder))


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


def _plain(number: float) -> int | float:
    return int(number) if number == int(number) else number
