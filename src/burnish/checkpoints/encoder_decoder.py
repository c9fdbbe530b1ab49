"""Encoder-decoders as folders that transformers loads as `AutoModelForSeq2SeqLM`: the family BART; or as our own.

Notable choices:
- each side is read and written by the tables of `families/bart.py`, as a decoder of any other family is;
- BART's constant of the logits is zero in nearly all checkpoints: it becomes a part of the model only where it is not.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from burnish.checkpoints import huggingface, own_format
from burnish.checkpoints.families import bart, read_settings, write_settings
from burnish.checkpoints.families.configuration import meaning
from burnish.checkpoints.families.settings import shown
from burnish.checkpoints.weights import check_vocabulary, weights_of
from burnish.errors import CheckpointError
from burnish.nn.config import DecoderConfig, EncoderDecoderConfig
from burnish.nn.encoder_decoder import EncoderDecoder
from burnish.text.tokenizer import Tokenizer

_SIDES = {"encoder": bart.ENCODER, "decoder": bart.DECODER}
_PREFIX = bart.DECODER.prefix


def save_encoder_decoder(
    model: EncoderDecoder,
    tokenizer: Tokenizer,
    folder: Path | str,
    *,
    card: str | None = None,
    generation: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes a folder that transformers loads as a BART where it is one, else one of Burnish's own; as `save`.

    An existing folder is replaced whole, or left alone if anything fails.
    """
    written = own_format.write_pair if lost_as_bart(model.config) else write
    written(model, tokenizer, folder, card=card, generation=generation, dtype=dtype)


def write(
    model: EncoderDecoder,
    tokenizer: Tokenizer,
    folder: Path | str,
    *,
    card: str | None = None,
    generation: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes a folder that transformers loads as `BartForConditionalGeneration`. Arguments as for `save`.

    Raises `CheckpointError` naming a setting that BART has not.
    """
    if lost := lost_as_bart(model.config):
        raise CheckpointError(f"cannot save the model: BART, the only family of encoder-decoders, has no {lost[0]}")
    check_vocabulary(model.decoder, tokenizer)
    tokens = {**_start_of(model.config), "forced_eos_token_id": tokenizer.eos_id}
    tensors = {bart.SHARED: model.decoder.embedding.weight.detach().to("cpu", torch.float32)}
    for side, family in ((model.encoder, bart.ENCODER), (model.decoder, bart.DECODER)):
        tensors |= {weight.huggingface: weight.from_decoder(tensor) for weight, tensor in weights_of(side, family)}
    bias = model.decoder.logits_bias
    tensors[bart.LOGITS_BIAS] = torch.zeros(1, model.config.decoder.vocab_size) if bias is None else bias.cpu()[None]
    huggingface.write_folder(
        folder,
        settings={**_settings_of(model.config), **tokens},
        tokenizer=tokenizer,
        tensors=tensors.items(),
        card=card,
        generation={**tokens, **(generation or {})},
        dtype=dtype,
    )


def read(folder: Path, *, compute_dtype: torch.dtype, device: torch.device) -> tuple[EncoderDecoder, Tokenizer]:
    """The encoder-decoder in a folder. Raises `CheckpointError` naming what is missing or not supported."""
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder} is not a folder; an encoder-decoder is one, with its configuration and weights"
        )
    if own_format.is_own(folder):
        config = own_format.read_pair_config(folder)
        state = own_format.read_pair_state(folder, config)
    else:
        config, state = _read_bart(folder)
    tokenizer = Tokenizer.from_folder(folder)
    with torch.device("meta"):
        model = EncoderDecoder(config, compute_dtype=compute_dtype)
    model.load_state_dict(state, assign=True)
    check_vocabulary(model.decoder, tokenizer)
    return model.to(device), tokenizer


def _read_bart(folder: Path) -> tuple[EncoderDecoderConfig, dict[str, Tensor]]:
    file = folder / "config.json"
    values = huggingface.read_json(file)
    if values.get("model_type") != "bart":
        raise CheckpointError(
            f"{file}: model_type is {shown(values.get('model_type'))}; the supported encoder-decoders are bart "
            "(burnish.load reads decoders)"
        )
    architectures = values.get("architectures") or [bart.ARCHITECTURES[0]]
    if not isinstance(architectures, list) or any(name not in bart.ARCHITECTURES for name in architectures):
        raise CheckpointError(
            f"{file}: architectures is {shown(architectures)}; only {' and '.join(bart.ARCHITECTURES)} can be loaded"
        )
    config = _config_of(file, values, _generation(folder))
    homes = huggingface.tensor_files(folder)
    embedding = _embedding(folder, homes, config.decoder)
    bias = _logits_bias(homes, config.decoder)
    config = replace(config, decoder=replace(config.decoder, logits_bias=bias is not None))
    state = _state(folder, homes, config, embedding)
    return config, state if bias is None else {**state, "decoder.logits_bias": bias}


def _state(
    folder: Path, homes: Mapping[str, Path], config: EncoderDecoderConfig, embedding: Tensor
) -> dict[str, Tensor]:
    """All tensors but the constant of the logits, under the model's names."""
    weights = [
        replace(weight, name=f"{side}.{weight.name}")
        for side, family in _SIDES.items()
        for weight in family.expected_weights(getattr(config, side))
    ]
    stored = huggingface.stored_names(weights, bart.DECODER, homes)
    beside = _present(homes, bart.SHARED, *bart.REPEATED, bart.LOGITS_BIAS)
    state = huggingface.read_weights(weights, stored, bart.DECODER, folder, homes, beside=beside)
    return {**state, **{f"{side}.embedding.weight": embedding for side in _SIDES}}


def _config_of(file: Path, values: Mapping[str, Any], generation: Mapping[str, Any]) -> EncoderDecoderConfig:
    """The configuration that the keys of config.json state; how a target begins is in either file."""
    sides = {side: read_settings(family, file, values) for side, family in _SIDES.items()}
    start = _first("decoder_start_token_id", values, generation)
    forced = _first("forced_bos_token_id", generation, values)
    # What was written before the key above existed.
    if forced is None and values.get("force_bos_token_to_be_generated") is True:
        forced = values.get("bos_token_id", 0)
    for key, token in (("decoder_start_token_id", start), ("forced_bos_token_id", forced)):
        if token is not None and type(token) is not int:
            raise CheckpointError(f"{file}: {key} is {shown(token)}, which is not the id of one token")
    try:
        return EncoderDecoderConfig(
            encoder=sides["encoder"],
            decoder=sides["decoder"],
            start_id=2 if start is None else start,
            forced_id=forced,
        )
    except ValueError as error:
        raise CheckpointError(f"{file}: {error}") from error


def _settings_of(config: EncoderDecoderConfig) -> dict[str, Any]:
    """The keys of config.json; `lost_as_bart` says what they leave out."""
    sides = {side: getattr(config, side) for side in _SIDES}
    return {key: value for side, own in sides.items() for key, value in write_settings(_SIDES[side], own).items()}


def _start_of(config: EncoderDecoderConfig) -> dict[str, Any]:
    return {"decoder_start_token_id": config.start_id, "forced_bos_token_id": config.forced_id}


def lost_as_bart(config: EncoderDecoderConfig) -> list[str]:
    """The settings that would come back different from a folder of a BART; none where it is one."""
    try:
        found = _config_of(Path("config.json"), {**_settings_of(config), **_start_of(config)}, {})
    except CheckpointError as error:
        return [f"such sizes: {error}"]
    lost = [
        f"{name} {getattr(own, name)!r} of the {side}"
        for side in _SIDES
        for own, other in [(meaning(getattr(config, side)), meaning(getattr(found, side)))]
        for name in (field.name for field in fields(DecoderConfig))
        if name != "logits_bias" and getattr(own, name) != getattr(other, name)
    ]
    if config.n_cross_kv_heads != config.decoder.n_heads:
        lost.append(f"cross_kv_heads {config.n_cross_kv_heads}")
    if not config.share_embedding:
        lost.append("share_embedding False")
    return lost


def _first(key: str, *places: Mapping[str, Any]) -> Any:
    return next((place[key] for place in places if place.get(key) is not None), None)


def _generation(folder: Path) -> dict[str, Any]:
    file = folder / "generation_config.json"
    return huggingface.read_json(file) if file.exists() else {}


def _present(homes: Mapping[str, Path], *names: str) -> list[str]:
    """Which of the names are in the files; what was saved without the head has no prefix."""
    return [short for name in names for short in (name, name.removeprefix(_PREFIX)) if short in homes]


def _embedding(folder: Path, homes: Mapping[str, Path], config: DecoderConfig) -> Tensor:
    """The embedding of source, target and output. Raises `CheckpointError` where they are not one."""
    names = list(dict.fromkeys(_present(homes, bart.SHARED, *bart.REPEATED)))
    if not names:
        raise CheckpointError(f"{folder}: tensor {bart.SHARED}, the embedding, is missing; the model is incomplete")
    shape = (config.vocab_size, config.d_model)
    first, *others = (tensor for name in names for _, tensor in huggingface.read_tensors(homes[name], {name: shape}))
    for name, other in zip(names[1:], others, strict=True):
        if not torch.equal(first, other):
            raise CheckpointError(
                f"{homes[name]}: tensor {name} differs from {names[0]}; only a model with one embedding for source, "
                "target and output is supported"
            )
    return first


def _logits_bias(homes: Mapping[str, Path], config: DecoderConfig) -> Tensor | None:
    """The constant that is added to the logits, `[vocab]`; None where it is zero or absent."""
    for name in _present(homes, bart.LOGITS_BIAS)[:1]:
        ((_, bias),) = huggingface.read_tensors(homes[name], {name: (1, config.vocab_size)})
        if bool(bias.any()):
            return bias[0].clone()
    return None
