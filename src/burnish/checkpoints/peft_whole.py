"""What a PEFT folder changes beside the projections of the blocks.

Adapters of embeddings and of the output layer, the whole weights of `modules_to_save`, and embeddings that PEFT stores
because the vocabulary grew (`save_embedding_layers`). PEFT wraps a module of its own around each, so that in a tied
model the embedding and the output layer part; embeddings that are merely stored stay tied.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from burnish.checkpoints.families import Family, Weight
from burnish.checkpoints.peft_settings import AdapterSettings
from burnish.checkpoints.weights import build_decoder, check_finite
from burnish.errors import CheckpointError
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder

_PREFIX = "base_model.model."
_EMBEDDING, _POSITIONS, _HEAD = "embedding.weight", "position_embedding.weight", "head.weight"


@dataclass(frozen=True, kw_only=True)
class WholeWeight:
    """A weight that an adapter changes as a whole.

    kind: `stored` where the tensor replaces the base model's; `saved` where PEFT has a copy for this module alone;
    `table` and `linear` where the product of two tensors, times `scale`, is added. shapes: of the tensors, by name.
    """

    weight: Weight
    kind: Literal["stored", "saved", "table", "linear"]
    shapes: Mapping[str, tuple[int, ...]]
    scale: float = field(default=1.0)


def whole_weights(
    settings: AdapterSettings, family: Family, config: DecoderConfig, present: Collection[str]
) -> list[WholeWeight]:
    """The changes that the settings and the names of the tensors `present` describe, stored ones first."""
    weights = list(family.expected_weights(replace(config, tie_embeddings=False)))
    if family.head_also is not None and any(name.startswith(f"{_PREFIX}{family.head_also}.") for name in present):
        renamed = f"{family.head_also}.weight"
        weights = [replace(one, huggingface=renamed) if one.name == _HEAD else one for one in weights]
    changes = list(_stored(settings, weights, present))
    for end in settings.saved:
        found = [weight for weight in weights if _path(weight).endswith(end)]
        if not found:
            raise CheckpointError(f"{settings.file}: modules_to_save is {list(settings.saved)}; there is no {end}")
        for weight in found:
            shapes = {_PREFIX + weight.huggingface: weight.huggingface_shape}
            changes.append(WholeWeight(weight=weight, kind="saved", shapes=shapes))
    for weight in weights:
        path = _path(weight)
        if weight.name not in (_EMBEDDING, _POSITIONS, _HEAD) or not settings.adapts(path):
            continue
        rank, scale = settings.rank_of(path), settings.scale_of(path)
        n_rows, width = weight.shape
        if weight.name == _HEAD:
            shapes = {f"{_PREFIX}{path}.lora_A.weight": (rank, width), f"{_PREFIX}{path}.lora_B.weight": (n_rows, rank)}
            changes.append(WholeWeight(weight=weight, kind="linear", shapes=shapes, scale=scale))
        else:
            names = [f"{_PREFIX}{path}.lora_embedding_{which}" for which in "AB"]
            shapes = dict(zip(names, ((rank, n_rows), (width, rank)), strict=True))
            changes.append(WholeWeight(weight=weight, kind="table", shapes=shapes, scale=scale))
    return changes


def _stored(settings: AdapterSettings, weights: Sequence[Weight], present: Collection[str]) -> Iterator[WholeWeight]:
    for weight in weights:
        path = _path(weight)
        if weight.name not in (_EMBEDDING, _HEAD) or any(path.endswith(end) for end in settings.saved):
            continue
        for name in (f"{_PREFIX}{path}.weight", f"{_PREFIX}{path}.base_layer.weight"):
            if name in present:
                yield WholeWeight(weight=weight, kind="stored", shapes={name: weight.huggingface_shape})


@torch.no_grad()
def with_whole_weights(
    decoder: Decoder, changes: Sequence[WholeWeight], tensors: Mapping[str, Tensor], file: Path
) -> Decoder:
    """The decoder with the changes made: in place, or a new one where a tied model comes apart."""
    if not changes:
        return decoder
    tied = decoder.config.tie_embeddings
    state = decoder.state_dict()
    if tied:
        state[_HEAD] = state[_EMBEDDING]
    for change in changes:
        weight, given = change.weight, [tensors[name].to(decoder.device) for name in change.shapes]
        old = state[weight.name]
        if change.kind in ("stored", "saved"):
            (new,) = (weight.to_decoder(tensor) for tensor in given)
        else:
            product = change.scale * (given[1] @ given[0])
            new = old[weight.rows] + (product.t() if change.kind == "table" else product)
        check_finite(file, f"{weight.huggingface} with the adapter", new)
        whole = old.clone()
        whole[weight.rows] = new
        state[weight.name] = whole
        if tied and change.kind == "stored":
            state[_EMBEDDING] = state[_HEAD] = whole
    config = decoder.config
    if tied and torch.equal(state[_EMBEDDING], state[_HEAD]):
        del state[_HEAD]
    elif tied:
        config = replace(config, tie_embeddings=False)
    if config is decoder.config:
        decoder.load_state_dict(state)
        return decoder
    return build_decoder(config, state, compute_dtype=decoder.compute_dtype, device=decoder.device)


def _path(weight: Weight) -> str:
    """The module that a weight belongs to, in transformers' model."""
    return weight.huggingface.rsplit(".", 1)[0]
