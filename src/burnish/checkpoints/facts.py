"""Facts about a model that need its files' headers only, not its weights."""

from pathlib import Path
from typing import TypeAlias

import torch

from burnish.checkpoints import read_config
from burnish.checkpoints.gguf_file import open_gguf
from burnish.errors import BurnishError
from burnish.nn.config import DecoderConfig, EncoderDecoderConfig
from burnish.nn.decoder import Decoder
from burnish.nn.encoder_decoder import EncoderDecoder
from burnish.text import templates, tokenizer_folder
from burnish.text.tokenizer import Tokenizer, gguf_templates
from burnish.text.tokenizer_folder import read_templates

__all__ = ["ModelShape", "PairShape", "count_parameters", "load_tokenizer", "prints_date", "read_config"]

ModelShape: TypeAlias = DecoderConfig
"""What a model's files say of its network, for those who know no networks."""
PairShape: TypeAlias = EncoderDecoderConfig
"""The same of an encoder-decoder."""


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a Hugging Face folder or a .gguf file."""
    return Tokenizer.from_folder(path) if path.is_dir() else Tokenizer.from_gguf(open_gguf(path).metadata, path)


def prints_date(path: Path) -> bool:
    """Whether a chat template, or that of a model in files, asks for the date; False for what cannot be read."""
    try:
        if path.is_dir():
            return templates.prints_date(read_templates(path, tokenizer_folder.read_config(path)))
        if path.suffix == ".jinja":
            return templates.prints_date({"": path.read_text(encoding="utf-8")})
        return path.is_file() and templates.prints_date(gguf_templates(open_gguf(path).metadata, str(path)))
    except (BurnishError, OSError, UnicodeDecodeError):  # said when the model is read in full
        return False


def count_parameters(config: ModelShape | PairShape) -> int:
    """How many parameters a model of this shape has."""
    with torch.device("meta"):
        model = Decoder(config) if isinstance(config, ModelShape) else EncoderDecoder(config)
    return sum(parameter.numel() for parameter in model.parameters())
