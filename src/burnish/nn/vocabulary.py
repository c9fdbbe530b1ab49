"""A trained decoder with a row of embedding and output layer for each of some new tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from burnish.nn.decoder import Decoder
from burnish.nn.lora import lora_config


@torch.no_grad()
def with_new_rows(decoder: Decoder, pieces: Mapping[int, Sequence[int]]) -> Decoder:
    """A copy of `decoder` that has the tokens `pieces`; the given one stays as it is.

    pieces: by the id of each new token the ids of old ones, at least one, whose mean its rows begin as (Hewitt 2021,
    "Initializing new word embeddings for pretrained language models", of the tokens that say the same). Rows that the
    model has beyond its tokenizer are used; where it has none, the vocabulary grows up to the largest new id.
    Raises ValueError where the decoder has low-rank adapters.
    """
    if lora_config(decoder) is not None:
        raise ValueError("the decoder has low-rank adapters; merge them into its weights first")
    present = decoder.config.vocab_size
    size = max(present, *(number + 1 for number in pieces))
    grown = Decoder(replace(decoder.config, vocab_size=size), compute_dtype=decoder.compute_dtype)
    grown.to(decoder.device).initialize(seed=0)
    own, found = decoder.state_dict(), grown.state_dict()
    for name, tensor in found.items():
        if tensor.shape == own[name].shape:
            tensor.copy_(own[name])
            continue
        tensor[:present] = own[name]
    by_token = [tensor for name, tensor in found.items() if tensor.shape[:1] == (size,) and _is_by_token(name)]
    for tensor in by_token:
        rows = {number: tensor[list(old)].mean(0) for number, old in pieces.items()}
        for number, row in rows.items():
            tensor[number] = row
    grown.load_state_dict(found)
    return grown.train(decoder.training)


def _is_by_token(name: str) -> bool:
    """Whether a tensor of a decoder has a row for each token."""
    return name.partition(".")[0] in ("embedding", "head", "logits_bias")
