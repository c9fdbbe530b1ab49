"""One model in several formats, as those who run it need it."""

from collections.abc import Sequence
from pathlib import Path

import torch

from burnish.checkpoints import huggingface
from burnish.checkpoints.gguf import write
from burnish.nn.decoder import Decoder
from burnish.text.tokenizer import Tokenizer


def write_formats(
    decoder: Decoder,
    tokenizer: Tokenizer,
    output: Path,
    *,
    name: str,
    gguf: Sequence[str],
    context_length: int | None = None,
    dtype: str = "float32",
    model: Path | None = None,
    card: str | None = None,
) -> list[Path]:
    """Write `output/NAME-QUANTIZATION.gguf`, and where `model` says so a Hugging Face folder; returns what was written.

    context_length: that the GGUF files name. dtype: the folder's number format. card: the folder's model card.
    """
    written = []
    if model is not None:
        written.append(model)
        # Not `burnish.save`, which has a format of its own for what no other program could read.
        huggingface.write(decoder, tokenizer, model, card=card, dtype=getattr(torch, dtype))
    for quantization in dict.fromkeys(gguf):
        written.append(output / f"{name}-{quantization}.gguf")
        write(decoder, tokenizer, written[-1], quantization=quantization, context_length=context_length)
    return written
