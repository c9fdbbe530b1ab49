"""Every kind of vocabulary gives llama.cpp's token ids."""

import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import gguf as gguf_package
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vocabularies import TRICKY, byte_level_metadata, corpus, sentencepiece_metadata

from burnish.text.gguf_vocabulary import PRE_TOKENIZERS
from burnish.text.tokenizer import Tokenizer

pytestmark = pytest.mark.slow
llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: it must be compiled")

SENTENCEPIECE = {"sentencepiece": True, "sentencepiece without a prefix": False}
NAMES = [*PRE_TOKENIZERS, *SENTENCEPIECE]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vocabularies")


def write(path: Path, metadata: dict[str, Any]) -> Path:
    """A file with a vocabulary alone."""
    writer = gguf_package.GGUFWriter(path, "llama")
    sizes = {"context_length": 128, "embedding_length": 32, "block_count": 1, "feed_forward_length": 64}
    for key, value in {**sizes, "attention.head_count": 4}.items():
        writer.add_uint32(f"llama.{key}", value)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    for key, value in metadata.items():
        if isinstance(value, bool | str | list):
            kind = gguf_package.GGUFValueType.get_type(value)
            inner = gguf_package.GGUFValueType.get_type(value[0]) if isinstance(value, list) else None
            writer.add_key_value(key, value, kind, sub_type=inner)
        else:
            writer.add_uint32(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@cache
def both(name: str, folder: Path) -> tuple[Tokenizer, Any]:
    """Our tokenizer, and llama.cpp's of the file that ours is written to."""
    prefix = SENTENCEPIECE.get(name)
    metadata = byte_level_metadata(name) if prefix is None else sentencepiece_metadata(prefix=prefix)
    tokenizer = Tokenizer.from_gguf(metadata, name)
    path = write(folder / f"{name}.gguf", tokenizer.to_gguf(tokenizer.vocab_size))
    return tokenizer, llama_cpp.Llama(model_path=str(path), vocab_only=True, verbose=False)


def ids_in_llama_cpp(model: Any, text: str, *, special: bool) -> list[int]:
    ids: list[int] = model.tokenize(text.encode("utf-8"), add_bos=False, special=special)
    return ids


def same_in_llama_cpp(name: str, text: str) -> bool:
    """llama.cpp brings no text into normal form, as Qwen's and GPT-NeoX's tokenizers do, nor does its expression for
    Mistral NeMo's know the marks that combine with letters."""
    marked = any(unicodedata.category(letter).startswith("M") for letter in text)
    return not (marked and name in PRE_TOKENIZERS and (PRE_TOKENIZERS[name].nfc or name == "tekken"))


@pytest.mark.parametrize("name", NAMES)
def test_real_texts(name: str, folder: Path) -> None:
    tokenizer, model = both(name, folder)
    for text in [*TRICKY, *corpus(), "<|im_start|>a <|im_end|> b", "<tool>"]:
        if same_in_llama_cpp(name, text):
            for special in (True, False):
                expected = ids_in_llama_cpp(model, text, special=special)
                assert tokenizer.encode(text, special=special) == expected, (text, special)


# Letters and numerals that all versions of Unicode's tables agree about.
WORDS = ["a", "the", "THE", "Don't", "'ll", "12", "3", "1234", "x²", "é", "ß", "İ", "Ω", "日本", "語", "🙂", "_"]
SIGNS = [".", ",", "...", "!?", "-", "—", "“", "$", "<", ">", "=", "`", "|", "/", "\\"]
SPACES = [" ", "  ", "\n", "\r\n", "\t", "\u00a0"]
pieces = st.sampled_from([*WORDS, *SIGNS, *SPACES])


@pytest.mark.parametrize("name", NAMES)
def test_mixtures(name: str, folder: Path) -> None:
    tokenizer, model = both(name, folder)

    @given(st.lists(pieces, max_size=12).map("".join))
    def check(text: str) -> None:
        assert tokenizer.encode(text) == ids_in_llama_cpp(model, text, special=False)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_the_beginning_of_a_text(name: str, folder: Path) -> None:
    tokenizer, model = both(name, folder)
    theirs = model.tokenize(b"some text", add_bos=True)
    assert (theirs[0] == tokenizer.bos_id) == tokenizer.add_bos
    assert tokenizer.backend.encode("some text").ids == theirs
