"""The real tokenizer, read once."""

from pathlib import Path

import pytest

from burnish.checkpoints.gguf_file import open_gguf
from burnish.text.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def smollm2_tokenizer(smollm2_path: Path) -> Tokenizer:
    return Tokenizer.from_gguf(open_gguf(smollm2_path).metadata, smollm2_path)
