"""Reward models as folders that transformers loads as `AutoModelForSequenceClassification`.

Notable choices:
- the padding token never ends a turn: transformers reads the last token that is not padding, which is one token early
  where a tokenizer pads with the token that ends an answer;
- no vocabulary projection is stored, and none is made on loading: nothing reads it.
"""

import itertools
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from burnish.checkpoints import huggingface
from burnish.checkpoints.families import family_for, write_settings
from burnish.checkpoints.weights import build_decoder, check_vocabulary, weights_of
from burnish.errors import CheckpointError
from burnish.nn.scalar import ScalarModel
from burnish.text.tokenizer import Tokenizer

SCORE = "score.weight"


def save_reward_model(
    model: ScalarModel,
    tokenizer: Tokenizer,
    folder: Path | str,
    *,
    card: str | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes a folder that transformers loads as `AutoModelForSequenceClassification`. Arguments as for `save`.

    An existing folder is replaced whole, or left alone if anything fails.
    """
    decoder = model.decoder
    check_vocabulary(decoder, tokenizer)
    tokenizer = replace(tokenizer, pad_id=padding_id(tokenizer, decoder.config.vocab_size))
    config = replace(decoder.config, tie_embeddings=True)
    family = family_for(config)
    weights = (
        (weight.huggingface, weight.from_decoder(tensor))
        for weight, tensor in weights_of(decoder, family)
        if not weight.name.startswith("head.")
    )
    one_label = {"num_labels": 1, "id2label": {"0": "reward"}, "label2id": {"reward": 0}}
    huggingface.write_folder(
        folder,
        settings={**write_settings(family, config), "architectures": [family.reward_architecture], **one_label},
        tokenizer=tokenizer,
        tensors=itertools.chain(weights, [(SCORE, model.score.detach().cpu())]),
        card=card,
        dtype=dtype,
    )


def read(folder: Path, *, compute_dtype: torch.dtype, device: torch.device) -> tuple[ScalarModel, Tokenizer]:
    """The reward model in a folder. Raises `CheckpointError` naming what is missing or not supported."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; a reward model is one, with config.json and {SCORE}")
    family, config = huggingface.read_config(folder, purpose="reward model")
    config = replace(config, tie_embeddings=True)
    tokenizer = Tokenizer.from_folder(folder)
    _check_labels(folder / "config.json")
    score = _read_score(folder, config.d_model)
    state = huggingface.read_state(folder, family, config, beside=[SCORE])
    decoder = build_decoder(config, state, compute_dtype=compute_dtype, device=device)
    check_vocabulary(decoder, tokenizer)
    model = ScalarModel(decoder)
    with torch.no_grad():
        model.score.copy_(score)
    return model, tokenizer


def padding_id(tokenizer: Tokenizer, n_rows: int | None = None) -> int:
    """The token to pad with: the tokenizer's own, or another control token, but none that ends an answer.

    n_rows: the rows of the embedding, if not one for each token; padding is read and needs one.
    """
    usual = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id)
    for token in (*usual, *sorted(tokenizer.control_ids)):
        if token is not None and token not in tokenizer.stop_ids and (n_rows is None or token < n_rows):
            return token
    raise CheckpointError(
        f"{tokenizer.source}: every control token ends a turn, so that none is left to pad with, and a reward read at "
        "the last token that is not padding would be read too early; add a padding token"
    )


def _check_labels(file: Path) -> None:
    values = huggingface.read_json(file)
    labels = values.get("id2label")
    n_labels = values.get("num_labels", len(labels) if isinstance(labels, dict) else 1)
    if n_labels != 1:
        raise CheckpointError(f"{file}: the model has {n_labels} labels; a reward model has one, the reward")


def _read_score(folder: Path, width: int) -> Tensor:
    """The head, `[1, width]`."""
    homes = huggingface.tensor_files(folder)
    if others := sorted(name for name in homes if name.startswith("score.") and name != SCORE):
        raise CheckpointError(
            f"{homes[others[0]]}: tensor {others[0]} is part of the head; only a linear head without a bias, {SCORE}, "
            "is supported"
        )
    if SCORE not in homes:
        raise CheckpointError(f"{folder}: tensor {SCORE}, the head of the reward model, is missing")
    ((_, score),) = huggingface.read_tensors(homes[SCORE], {SCORE: (1, width)})
    return score
