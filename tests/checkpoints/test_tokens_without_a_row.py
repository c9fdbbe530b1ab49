"""Tokens behind the last row of the embedding: harmless where nothing writes them, as in Gemma 3, else refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

import burnish
from burnish.checkpoints import gguf, huggingface
from burnish.checkpoints.reward_models import padding_id
from burnish.errors import CheckpointError
from burnish.nn.decoder import Decoder
from burnish.text.tokenizer import Tokenizer

MakeDecoder = Callable[..., Decoder]


def with_token(tokenizer: Tokenizer, text: str, *, special: bool = True) -> Tokenizer:
    backend = Backend.from_str(tokenizer.backend.to_str())
    backend.add_tokens([AddedToken(text, special=special, normalized=False)])
    return replace(tokenizer, backend=backend)


def test_a_control_token_without_a_row(make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder, more = make_decoder(), with_token(tiny_tokenizer, "<image_soft_token>")
    burnish.save(decoder, more, tmp_path / "model")
    gguf.write(decoder, more, tmp_path / "model.gguf")
    text = "the <image_soft_token> dog"
    for path in (tmp_path / "model", tmp_path / "model.gguf"):
        loaded, tokenizer = burnish.load(path, compute_dtype=torch.float32, device="cpu")
        assert tokenizer.encode(text) == tiny_tokenizer.encode(text)
        assert max(tokenizer.encode(text)) < loaded.config.vocab_size
    kept = burnish.load(tmp_path / "model", compute_dtype=torch.float32, device="cpu")[1]
    assert kept.token(decoder.config.vocab_size) == "<image_soft_token>"


def test_a_padding_token_without_a_row(make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """transformers builds no embedding whose padding token it has no row for."""
    transformers = pytest.importorskip("transformers")
    decoder = make_decoder()
    burnish.save(decoder, replace(tiny_tokenizer, pad_id=None), tmp_path)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pad_token": "[PAD]"}))
    loaded, tokenizer = burnish.load(tmp_path, compute_dtype=torch.float32, device="cpu")
    assert tokenizer.pad_id == decoder.config.vocab_size
    assert padding_id(tokenizer, decoder.config.vocab_size) == tiny_tokenizer.bos_id
    burnish.save(loaded, tokenizer, tmp_path / "again")
    theirs: Any = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "again")
    assert theirs.config.pad_token_id is None
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "again").pad_token == "[PAD]"


@pytest.mark.parametrize("special", [True, False])
def test_a_token_that_needs_its_row(
    special: bool, make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    decoder, more = make_decoder(), with_token(tiny_tokenizer, "<more>", special=special)
    if special:
        more = replace(more, stop_ids=more.stop_ids | {decoder.config.vocab_size})
    with pytest.raises(CheckpointError, match="rows, none for '<more>'"):
        huggingface.write(decoder, more, tmp_path / "model")
