"""Encoders of texts: BERT's and RoBERTa's folders, as sentence-transformers or transformers write them.

Notable choices:
- an encoder is the decoder's network where nothing is causal: no second implementation;
- how states of tokens become one vector is read from sentence-transformers' files where they are there: `modules.json`
  says what is behind the network, `1_Pooling/config.json` how it pools, `sentence_bert_config.json` the longest text;
- a module that is not computed here, such as another projection, is refused and not left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from burnish.checkpoints import huggingface
from burnish.checkpoints.families import read_settings
from burnish.checkpoints.families.bert import FAMILIES, KINDS
from burnish.checkpoints.families.family import Family
from burnish.checkpoints.families.settings import shown
from burnish.checkpoints.weights import build_decoder, check_vocabulary
from burnish.errors import CheckpointError
from burnish.hardware import choose_compute_dtype, choose_device
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.text.tokenizer import Tokenizer

Pooling = Literal["mean", "cls"]
MODULES_FILE = "modules.json"
_POOLINGS: Mapping[str, Pooling] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """A network from texts to states of their tokens, and what is known of the way from there to one vector.

    pooling: the mean of a text's states, or the first. max_length: tokens of a text, those that begin and end it
    included. prompts: what is written before texts of a kind, such as `query`, by kind.
    """

    network: Decoder
    tokenizer: Tokenizer
    pooling: Pooling
    max_length: int
    prompts: Mapping[str, str] = field(default_factory=dict)


def load_text_encoder(folder: Path | str, *, compute_dtype: str = "auto", device: str = "auto") -> TextEncoder:
    """Load the encoder in a folder, of the family of BERT or RoBERTa.

    Raises `CheckpointError` naming the file and what is missing, damaged or not supported.
    """
    folder = Path(folder)
    if not folder.is_dir():
        there = "is not a folder" if folder.exists() else "there is no such folder"
        raise CheckpointError(f"{folder}: {there}; an encoder is one, with its configuration, weights and tokenizer")
    file = folder / "config.json"
    values = huggingface.read_json(file)
    family = FAMILIES.get(str(values.get("model_type")))
    if family is None:
        raise CheckpointError(
            f"{file}: model_type is {shown(values.get('model_type'))}; the supported encoders are {', '.join(FAMILIES)}"
        )
    config = read_settings(family, file, values)
    where = choose_device(device)
    dtype = choose_compute_dtype(compute_dtype, where)
    network = build_decoder(
        config, _state(folder, family, config, values.get("type_vocab_size", 2)), compute_dtype=dtype, device=where
    )
    tokenizer = Tokenizer.from_folder(folder)
    check_vocabulary(network, tokenizer)
    sentences = _optional(folder / "sentence_bert_config.json")
    if sentences.get("do_lower_case"):
        raise CheckpointError(
            f"{folder / 'sentence_bert_config.json'}: do_lower_case is true, which is not supported; the tokenizer of "
            "nearly all such models does it: set it to false if it does"
        )
    return TextEncoder(
        network,
        tokenizer,
        _pooling(folder),
        _longest(folder / "sentence_bert_config.json", sentences.get("max_seq_length"), config.max_positions),
        _prompts(folder / "config_sentence_transformers.json"),
    )


def _state(folder: Path, family: Family, config: DecoderConfig, n_kinds: object) -> dict[str, torch.Tensor]:
    """The network's parameters, with the embedding of a text alone in that of the positions."""
    weights = list(family.expected_weights(config))
    homes = huggingface.tensor_files(folder)
    kinds = next((name for name in (f"{family.prefix}{KINDS}", KINDS) if name in homes), None)
    stored = huggingface.stored_names(weights, family, homes)
    state = huggingface.read_weights(weights, stored, family, folder, homes, beside=[kinds] if kinds else [])
    if kinds is None:
        raise CheckpointError(f"{folder}: tensor {KINDS} is missing; the model is incomplete")
    if type(n_kinds) is not int or not 0 < n_kinds <= config.vocab_size:
        raise CheckpointError(
            f"{folder / 'config.json'}: type_vocab_size is {shown(n_kinds)}; expected a number above 0"
        )
    ((_, embedding),) = huggingface.read_tensors(homes[kinds], {kinds: (n_kinds, config.d_model)})
    state["position_embedding.weight"] += embedding[0]
    return state


def _pooling(folder: Path) -> Pooling:
    """How states become a vector: the mean where nothing says otherwise."""
    file = folder / MODULES_FILE
    if not file.exists():
        return "mean"
    poolings: list[Pooling] = []
    for module in _list(file):
        kind = str(module.get("type")).rpartition(".")[2]
        if kind == "Pooling":
            inner = folder / str(module.get("path"))
            if inner.resolve().parent != folder.resolve():
                raise CheckpointError(f"{file}: the module's folder {inner} is not beside it")
            poolings.append(_pooling_mode(inner / "config.json"))
        elif kind not in ("Transformer", "Normalize"):
            raise CheckpointError(f"{file}: a module {shown(module.get('type'))}, which is not supported yet")
    if len(poolings) != 1:
        raise CheckpointError(f"{file}: {len(poolings)} modules pool; expected one")
    return poolings[0]


def _pooling_mode(file: Path) -> Pooling:
    values = huggingface.read_json(file)
    modes = [key.removeprefix("pooling_mode_") for key, value in values.items() if key in _POOLINGS and value is True]
    other = [key for key, value in values.items() if key.startswith("pooling_mode_") and key not in _POOLINGS and value]
    if other or len(modes) != 1:
        raise CheckpointError(f"{file}: pools by {', '.join([*modes, *other]) or 'nothing'}; expected one of mean, cls")
    return _POOLINGS[f"pooling_mode_{modes[0]}"]


def _longest(file: Path, stated: object, max_positions: int) -> int:
    if stated is None:
        return max_positions
    if type(stated) is not int or stated < 8:
        raise CheckpointError(f"{file}: max_seq_length is {shown(stated)}; expected a whole number of at least 8")
    return min(stated, max_positions)


def _prompts(file: Path) -> dict[str, str]:
    prompts = _optional(file).get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(one, str) for one in prompts.values()):
        raise CheckpointError(f"{file}: prompts is {shown(prompts)}; expected an object of texts")
    return prompts


def _optional(file: Path) -> dict[str, Any]:
    return huggingface.read_json(file) if file.exists() else {}


def _list(file: Path) -> list[dict[str, Any]]:
    import json

    from burnish.files import open_regular

    try:
        with open_regular(file) as opened:
            value = json.loads(opened.read(1 << 20))
    except ValueError as error:
        raise CheckpointError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise CheckpointError(f"{file} must hold a list of objects, found {shown(value)}")
    return value
