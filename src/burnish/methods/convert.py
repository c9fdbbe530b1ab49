"""Fewer key and value heads (Ainslie 2023, arXiv:2305.13245): those of a group become one, to be up-trained."""

from pathlib import Path
from typing import Literal

import torch

import burnish
from burnish.errors import BurnishError
from burnish.nn.config import DecoderConfig
from burnish.nn.conversion import with_kv_heads


def convert_model(
    source: Path,
    output: Path,
    *,
    kv_heads: int,
    pooling: Literal["mean", "first", "random"],
    seed: int = 0,
    dtype: str = "float32",
    device: str = "cpu",
) -> DecoderConfig:
    """Write `source` with `kv_heads` key/value heads into `output`, as `burnish.nn.conversion` says.

    Returns the shape of the model before. Raises BurnishError where the number is not possible, or output is source.
    """
    if output.resolve() == source.resolve():
        raise BurnishError(
            f"{output}: the converted model would replace the one it is made from; choose another folder"
        )
    decoder, tokenizer = burnish.load(source, compute_dtype="float32", device=device)
    try:
        converted = with_kv_heads(decoder, kv_heads, pooling=pooling, seed=seed)
    except ValueError as error:
        raise BurnishError(f"{source}: {error}") from error
    burnish.save(converted, tokenizer, output, dtype=getattr(torch, dtype))
    return decoder.config
