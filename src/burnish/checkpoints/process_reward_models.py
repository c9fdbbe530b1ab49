"""Process reward models as folders that transformers loads as `AutoModelForTokenClassification`.

Notable choices:
- two labels, 0 wrong and 1 right, as TRL's PRMTrainer has them, whose models are read too;
- `config.json` keeps what steps end with (`step_separator`), since a model is of use only at the tokens it has learned;
- no dropout before the head: transformers would add some in training mode, which models here do not have.
"""

import itertools
from dataclasses import replace
from pathlib import Path

import torch

from burnish.checkpoints import huggingface
from burnish.checkpoints.families import Family, family_for, write_settings
from burnish.checkpoints.weights import build_decoder, check_vocabulary, weights_of
from burnish.errors import CheckpointError
from burnish.nn.config import DecoderConfig
from burnish.nn.process_reward import ProcessRewardModel
from burnish.text.steps import STEP_SEPARATOR
from burnish.text.tokenizer import Tokenizer

LABELS = ("wrong", "right")
_SEPARATOR_KEY = "step_separator"


def save_process_reward_model(
    model: ProcessRewardModel,
    tokenizer: Tokenizer,
    folder: Path | str,
    *,
    card: str | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes a folder that transformers loads as `AutoModelForTokenClassification`. Arguments as for `save`.

    An existing folder is replaced whole, or left alone if anything fails. Raises `CheckpointError` where transformers
    has no such class for the model's family.
    """
    decoder = model.decoder
    check_vocabulary(decoder, tokenizer)
    family, config = saved_as(decoder.config)
    weights = (
        (weight.huggingface, weight.from_decoder(tensor))
        for weight, tensor in weights_of(decoder, family)
        if not weight.name.startswith("head.")
    )
    head = ((f"{family.token_head}.{name}", tensor.detach().cpu()) for name, tensor in _head(model).items())
    settings = {
        "architectures": [family.token_architecture],
        "num_labels": len(LABELS),
        "id2label": {str(number): label for number, label in enumerate(LABELS)},
        "label2id": {label: number for number, label in enumerate(LABELS)},
        "classifier_dropout": 0.0,
        _SEPARATOR_KEY: model.step_separator,
    }
    huggingface.write_folder(
        folder,
        settings={**write_settings(family, config), **settings},
        tokenizer=tokenizer,
        tensors=itertools.chain(weights, head),
        card=card,
        dtype=dtype,
    )


def saved_as(config: DecoderConfig) -> tuple[Family, DecoderConfig]:
    """The family that a process reward model of this shape is saved as, and the shape without its vocabulary's head.

    Raises `CheckpointError` where no family can hold it, or transformers has no such class for the one that can.
    """
    config = replace(config, tie_embeddings=True)
    family = family_for(config)
    if family.token_architecture is None:
        raise CheckpointError(
            f"transformers has no class of {family.model_type} models for token classification, as which process "
            "reward models are saved; take a model of another family, or an outcome reward model"
        )
    return family, config


def read(folder: Path, *, compute_dtype: torch.dtype, device: torch.device) -> tuple[ProcessRewardModel, Tokenizer]:
    """The process reward model in a folder. Raises `CheckpointError` naming what is missing or not supported."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; a process reward model is one, with config.json and a head")
    family, config = huggingface.read_config(folder, purpose="process reward model")
    config = replace(config, tie_embeddings=True)
    tokenizer = Tokenizer.from_folder(folder)
    separator = _read_separator(folder / "config.json")
    shapes = {f"{family.token_head}.weight": (len(LABELS), config.d_model), f"{family.token_head}.bias": (len(LABELS),)}
    homes = huggingface.tensor_files(folder)
    for name in shapes:
        if name not in homes:
            raise CheckpointError(f"{folder}: tensor {name}, of the head of the process reward model, is missing")
    head = {
        name.rpartition(".")[2]: tensor
        for name, shape in shapes.items()
        for _, tensor in huggingface.read_tensors(homes[name], {name: shape})
    }
    state = huggingface.read_state(folder, family, config, beside=list(shapes))
    decoder = build_decoder(config, state, compute_dtype=compute_dtype, device=device)
    check_vocabulary(decoder, tokenizer)
    model = ProcessRewardModel(decoder, step_separator=separator)
    with torch.no_grad():
        for name, parameter in _head(model).items():
            parameter.copy_(head[name])
    return model, tokenizer


def _head(model: ProcessRewardModel) -> dict[str, torch.nn.Parameter]:
    """The parameters of the head under the endings of their names."""
    return {"weight": model.score, "bias": model.bias}


def _read_separator(file: Path) -> str:
    """What steps end with. Raises `CheckpointError` for other labels than two, and for a separator that is no text."""
    values = huggingface.read_json(file)
    labels = values.get("id2label")
    n_labels = values.get("num_labels", len(labels) if isinstance(labels, dict) else len(LABELS))
    if n_labels != len(LABELS):
        raise CheckpointError(
            f"{file}: the model has {n_labels} labels; a process reward model has two, 0 for a wrong step and 1 for a "
            "right one"
        )
    separator = values.get(_SEPARATOR_KEY, STEP_SEPARATOR)
    if not isinstance(separator, str) or not separator:
        raise CheckpointError(f"{file}: {_SEPARATOR_KEY} is {separator!r}; expected the text that steps end with")
    return separator
