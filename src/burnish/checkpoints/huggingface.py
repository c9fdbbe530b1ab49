"""Hugging Face model folders: config.json, safetensors (sharded or not), tokenizer, generation_config.json.

What is written loads unchanged in transformers 4 and 5 and in vLLM. What is read is safetensors only: a pickle
(`pytorch_model.bin`) can run code when it is opened and is refused.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from burnish.checkpoints import int8
from burnish.checkpoints.families import Family, Weight, bart, family_for, find_family, read_settings, write_settings
from burnish.checkpoints.weights import assemble, check_finite, check_shape, check_vocabulary, reading, weights_of
from burnish.errors import CheckpointError, panics_told
from burnish.files import atomic_folder, open_regular, regular_file
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.text.tokenizer import Tokenizer

MAX_SHARD_BYTES = 5_000_000_000

_LONGEST_JSON = 64 * 2**20

_FLOATS = ("F16", "BF16", "F32", "F64")

Purpose = Literal["policy", "reward model", "process reward model"]
"""What a model is for, which its class in transformers says."""
_CALLED: dict[Purpose, tuple[str, str]] = {
    "policy": ("language model", "burnish.load"),
    "reward model": ("reward model", "burnish.load_reward_model"),
    "process reward model": ("process reward model", "burnish.load_process_reward_model"),
}
"""What a message calls a model for each purpose, and what reads it."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises `CheckpointError` naming the file when it is missing or malformed."""
    try:
        with reading(), open_regular(path) as file:
            text = file.read(_LONGEST_JSON + 1)
        if len(text) > _LONGEST_JSON:
            raise CheckpointError(f"{path} is larger than {_LONGEST_JSON // 2**20} MiB; it describes no model")
        value = json.loads(text)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    except RecursionError:
        raise CheckpointError(f"{path} is nested too deeply; it describes no model") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} must hold a JSON object, found {type(value).__name__}")
    return value


def read_config(folder: Path, *, purpose: Purpose = "policy") -> tuple[Family, DecoderConfig]:
    """The family and sizes in config.json, of a language model or of one for another purpose.

    Raises `CheckpointError` naming an unsupported or missing key.
    """
    file = folder / "config.json"
    values = int8.understood(file, read_json(file))
    if values.get("model_type") == bart.DECODER.model_type:
        raise CheckpointError(
            f"{file}: it is an encoder-decoder: a decoder is needed here (burnish.load_encoder_decoder reads it)"
        )
    family = find_family(file, "model_type", values.get("model_type"))
    config = read_settings(family, file, values)
    classes: dict[Purpose, str | None] = {
        "policy": family.architecture,
        "reward model": family.reward_architecture,
        "process reward model": family.token_architecture,
    }
    expected = classes[purpose]
    architectures = values.get("architectures") or [family.architecture]
    if not isinstance(architectures, list) or expected not in architectures:
        what = "no class of transformers" if expected is None else f"only {expected}"
        hint = next(
            (
                f"; it is a {called}: a {purpose} is needed here ({reader} reads it)"
                for one, (called, reader) in _CALLED.items()
                if architectures == [classes[one]]
            ),
            "",
        )
        raise CheckpointError(f"{file}: architectures is {architectures!r}; {what} can be loaded{hint}")
    return family, config


def untied(folder: Path, family: Family, config: DecoderConfig) -> DecoderConfig:
    """`config`, but not tied where the folder holds an output layer of its own, as transformers 5 decides.

    A tied model may repeat its embedding as the output layer; one with other values is what the model computes with.
    """
    (head,) = family.untied_weights
    homes = tensor_files(folder)
    if not config.tie_embeddings or not any(name in homes for name in _names(head.huggingface, family)):
        return config
    weights = {weight.name: weight for weight in family.expected_weights(replace(config, tie_embeddings=False))}
    tensors = []
    for weight in (weights["embedding.weight"], weights[head.name]):
        name = next((name for name in _names(weight.huggingface, family) if name in homes), None)
        if name is None:
            return config  # `read_state` says what is missing
        ((_, tensor),) = read_tensors(homes[name], {name: weight.huggingface_shape})
        tensors.append(tensor)
    return config if torch.equal(*tensors) else replace(config, tie_embeddings=False)


def read_state(
    folder: Path, family: Family, config: DecoderConfig, *, beside: Collection[str] = ()
) -> dict[str, Tensor]:
    """All tensors as float32 under the decoder's names; `beside` are further ones that the folder may hold."""
    weights = list(family.expected_weights(config))
    homes = tensor_files(folder)
    stored = stored_names(weights, family, homes)
    # A tied model may repeat its embedding as the head, or hold it under that name alone, as transformers 5 reads it.
    (head,) = family.untied_weights
    tied = _names(head.huggingface, family) if config.tie_embeddings else []
    embedding = next(weight.huggingface for weight in weights if weight.name == "embedding.weight")
    if stored[embedding] not in homes and not beside:
        stored[embedding] = next((name for name in tied if name in homes), stored[embedding])
    return read_weights(weights, stored, family, folder, homes, beside=[*tied, *beside])


def stored_names(weights: Iterable[Weight], family: Family, homes: Mapping[str, Path]) -> dict[str, str]:
    """What each tensor is called in a folder, by its usual name."""
    return {
        weight.huggingface: next(
            (name for name in _names(weight.huggingface, family) if name in homes), weight.huggingface
        )
        for weight in weights
    }


def read_weights(
    weights: Sequence[Weight],
    stored: Mapping[str, str],
    family: Family,
    folder: Path,
    homes: Mapping[str, Path],
    *,
    beside: Collection[str],
) -> dict[str, Tensor]:
    """All `weights` as float32 under the model's names; beyond what `stored` names, a folder may hold `beside`."""
    known = {*stored.values(), *beside}
    if extra := [name for name in homes if name not in known and not name.endswith(family.ignored)]:
        raise CheckpointError(
            f"{homes[extra[0]]}: tensor {extra[0]} is not part of a plain {family.model_type} model "
            f"({len(extra)} such tensors); this variant is not supported"
        )
    if missing := [name for name in stored.values() if name not in homes]:
        raise CheckpointError(
            f"{folder}: tensor {missing[0]} is missing ({len(missing)} of {len(weights)} are); the model is incomplete"
        )
    by_name = {stored[weight.huggingface]: weight for weight in weights}

    def tensors() -> Iterator[tuple[Weight, Tensor]]:
        for file in sorted({homes[name] for name in by_name}):
            shapes = {name: weight.huggingface_shape for name, weight in by_name.items() if homes[name] == file}
            for name, tensor in read_tensors(file, shapes):
                yield by_name[name], by_name[name].to_decoder(tensor)

    return assemble(weights, tensors())


def _names(name: str, family: Family) -> list[str]:
    """What a tensor may be called in a folder: what was saved without the head has no prefix."""
    names = [name, name.removeprefix(family.prefix)]
    if family.head_also is not None and name == family.untied_weights[0].huggingface:
        names.append(f"{family.head_also}.weight")
    return names


def read_tensors(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, Tensor]]:
    """The named tensors of a safetensors file, checked against `shapes`, as float32 in memory of their own."""
    try:
        with reading():
            regular_file(file)
        with panics_told(CheckpointError, f"{file} is damaged"), safe_open(file, framework="pt") as opened:
            present = set(opened.keys())
            for name, shape in shapes.items():
                if name not in present:
                    if (matrix := int8.read_matrix(opened, file, name, shape)) is not None:
                        check_finite(file, name, matrix)
                        yield name, matrix
                        continue
                    raise CheckpointError(f"{file}: tensor {name} is missing; the file is incomplete")
                view = opened.get_slice(name)
                check_shape(file, name, tuple(view.get_shape()), shape)
                if view.get_dtype() not in _FLOATS:
                    raise CheckpointError(
                        f"{file}: tensor {name} is stored as {view.get_dtype()}; only {', '.join(_FLOATS)} can be "
                        "read (quantized models: use the original or a GGUF file)"
                    )
                # A copy: what safetensors returns may still be the file itself, mapped into memory.
                tensor = opened.get_tensor(name).to(torch.float32, copy=True)
                check_finite(file, name, tensor)
                yield name, tensor
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} is not a complete safetensors file: {error}") from error


def tensor_names(file: Path) -> list[str]:
    """Names of the tensors in a safetensors file."""
    try:
        with reading():
            regular_file(file)
        with panics_told(CheckpointError, f"{file} is damaged"), safe_open(file, framework="pt") as opened:
            return list(opened.keys())
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} is not a complete safetensors file: {error}") from error


def write(
    decoder: Decoder,
    tokenizer: Tokenizer,
    folder: Path | str,
    *,
    card: str | None = None,
    generation: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Writes a model folder; an existing one at `folder` is replaced whole, or left alone if anything fails.

    `card` becomes README.md; `generation` (temperature, top_p, ...) joins the stop tokens in
    generation_config.json; weights are stored in `dtype`, float32 unless given.
    """
    check_vocabulary(decoder, tokenizer)
    family = family_for(decoder.config)
    write_folder(
        folder,
        settings=write_settings(family, decoder.config),
        tokenizer=tokenizer,
        tensors=((weight.huggingface, weight.from_decoder(tensor)) for weight, tensor in weights_of(decoder, family)),
        card=card,
        generation=generation,
        dtype=dtype,
        max_shard_bytes=max_shard_bytes,
    )


def write_folder(
    folder: Path | str,
    *,
    settings: Mapping[str, Any],
    tokenizer: Tokenizer,
    tensors: Iterable[tuple[str, Tensor]],
    card: str | None = None,
    generation: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """As `write`, for any model: `settings` are the keys of its config.json, `tensors` its named weights.

    Integers, as quantized weights are, stay what they are. metadata: of each file of weights.
    """
    dtype = dtype or torch.float32
    if not dtype.is_floating_point:
        raise CheckpointError(f"cannot save weights as {dtype}; use torch.float32, torch.bfloat16 or torch.float16")
    special = special_ids(tokenizer, settings.get("vocab_size"))
    name = str(dtype).removeprefix("torch.")
    with atomic_folder(folder) as temporary:
        # transformers 4 reads torch_dtype, transformers 5 dtype.
        write_json(temporary / "config.json", {**settings, "dtype": name, "torch_dtype": name, **special})
        write_json(temporary / "generation_config.json", {**special, **(generation or {})})
        tokenizer.save(temporary)
        if card is not None:
            (temporary / "README.md").write_text(card, encoding="utf-8")
        write_weights(
            ((name, tensor.to(dtype) if tensor.is_floating_point() else tensor) for name, tensor in tensors),
            temporary,
            max_shard_bytes=max_shard_bytes,
            metadata=metadata,
        )


def write_int8(
    decoder: Decoder,
    tokenizer: Tokenizer,
    folder: Path | str,
    *,
    card: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """As `write`, with the layers' matrices in 8 bits by torchao (`burnish.checkpoints.int8`)."""
    settings, tensors, metadata = int8.quantized(decoder, tokenizer, dtype)
    write_folder(
        folder,
        settings=settings,
        tokenizer=tokenizer,
        tensors=tensors.items(),
        card=card,
        dtype=dtype,
        metadata=metadata,
    )


def special_ids(tokenizer: Tokenizer, n_rows: int | None) -> dict[str, Any]:
    """Ids as transformers reads them, which refuses to build a model that has no row for its padding token."""
    stops = sorted(tokenizer.stop_ids)
    ids = {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": stops[0] if len(stops) == 1 else stops or None,
        "pad_token_id": None if n_rows and (tokenizer.pad_id or 0) >= n_rows else tokenizer.pad_id,
    }
    return ids


def write_weights(
    tensors: Iterable[tuple[str, Tensor]],
    folder: Path,
    *,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes named tensors as `model.safetensors`, or as several files with an index where they are larger."""
    header = {"format": "pt", **(metadata or {})}
    shards: list[dict[str, Tensor]] = [{}]
    size = total = 0
    for tensor_name, tensor in tensors:
        stored = tensor.contiguous()
        if shards[-1] and size + stored.nbytes > max_shard_bytes:
            shards.append({})
            size = 0
        shards[-1][tensor_name] = stored
        size += stored.nbytes
        total += stored.nbytes
    if len(shards) == 1:
        save_file(shards[0], folder / "model.safetensors", metadata=header)
        return
    homes: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, folder / name, metadata=header)
        homes |= dict.fromkeys(shard, name)
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": homes})


def write_json(path: Path, value: object) -> None:
    """Writes a value as the JSON files of model folders are written."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def tensor_files(folder: Path) -> dict[str, Path]:
    """Which file each tensor of a model folder is in; a quantized one by its own name."""
    file = folder / "config.json"
    return int8.gathered(read_json(file) if file.exists() else {}, _stored_in(folder))


def _stored_in(folder: Path) -> dict[str, Path]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        file = folder / "model.safetensors"
        if not file.exists():
            raise CheckpointError(_why_no_weights(folder))
        return dict.fromkeys(tensor_names(file), file)
    homes = read_json(index).get("weight_map")
    if not isinstance(homes, dict) or not homes:
        raise CheckpointError(f"{index}: weight_map is missing or empty")
    for name, file_name in homes.items():
        if not isinstance(file_name, str) or Path(file_name).name != file_name:
            raise CheckpointError(f"{index}: weight_map sends {name} to {file_name!r}, which is not a file name")
        if not (folder / file_name).exists():
            raise CheckpointError(f"{folder / file_name} is missing; {index.name} says that it holds {name}")
    return {name: folder / file_name for name, file_name in homes.items()}


def _why_no_weights(folder: Path) -> str:
    pickles: Sequence[Path] = sorted(file for suffix in ("bin", "pt", "pth") for file in folder.glob(f"*.{suffix}"))
    if pickles:
        return (
            f"{pickles[0]} is a pickle, which can run code when it is opened, and is never read; convert it with "
            "transformers (save_pretrained writes model.safetensors)"
        )
    return f"{folder / 'model.safetensors'} is missing, and so is model.safetensors.index.json"
