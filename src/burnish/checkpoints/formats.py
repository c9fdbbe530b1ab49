"""One model in several formats, as those who run it need it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from burnish.checkpoints import huggingface
from burnish.checkpoints.gguf import write
from burnish.checkpoints.int8 import require_torchao
from burnish.checkpoints.k_quants import K_QUANTS, quantize_file, require_llama_cpp
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
    int8: Path | None = None,
    card: str | None = None,
) -> list[Path]:
    """Write `output/NAME-QUANTIZATION.gguf`, and where `model` says so a Hugging Face folder; returns what was written.

    context_length: that the GGUF files name. dtype: the folder's number format. int8: a further folder, whose matrices
    have 8 bits a weight. card: the folders' model card.

    Raises BurnishError where a K-quant is wanted and llama.cpp, which makes them, is not installed, or torchao for
    `int8`.
    """
    for quantization in K_QUANTS.keys() & set(gguf):
        require_llama_cpp(quantization)
    if int8 is not None:
        require_torchao()
    written = []
    if model is not None:
        written.append(model)
        # Not `burnish.save`, which has a format of its own for what no other program could read.
        huggingface.write(decoder, tokenizer, model, card=card, dtype=getattr(torch, dtype))
    if int8 is not None:
        written.append(int8)
        huggingface.write_int8(decoder, tokenizer, int8, card=card, dtype=getattr(torch, dtype))
    for quantization in dict.fromkeys(gguf):
        written.append(output / f"{name}-{quantization}.gguf")
        if quantization in K_QUANTS:
            _write_k_quant(decoder, tokenizer, written[-1], quantization, context_length)
        else:
            write(decoder, tokenizer, written[-1], quantization=quantization, context_length=context_length)
    return written


def _write_k_quant(
    decoder: Decoder, tokenizer: Tokenizer, path: Path, quantization: str, context_length: int | None
) -> None:
    """Write the model as F32 beside `path`, and from that the file that is wanted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        plain = Path(folder) / path.name  # whose stem is the model's name in the file
        write(decoder, tokenizer, plain, quantization="F32", context_length=context_length)
        quantize_file(plain, path, quantization)
