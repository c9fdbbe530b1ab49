"""Tokens for a domain's words: other text is cut as before, and new tokens are the pieces that they were."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models

from burnish.errors import DataError
from burnish.text.tokenizer import Tokenizer
from burnish.text.tokenizer_extension import Extension, extend_tokenizer
from burnish.text.tokenizer_training import train_tokenizer

WORDS = ["pyroxene", "olivine", "plagioclase", "feldspar", "and", "the", "rock"]
TEXTS = [" ".join(random.Random(number).choices(WORDS, k=30)) + ". " for number in range(20)]
OLD = train_tokenizer(["the rock and the other rock, and more of the same " * 4], vocab_size=300)
NEW = extend_tokenizer(OLD, TEXTS, n_tokens=60)


def expanded(extension: Extension, ids: list[int], first: int) -> list[int]:
    return [piece for i in ids for piece in (extension.pieces[i - first] if i >= first else [i])]


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz ,.é", max_size=60) | st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_new_tokens_are_the_old_pieces_of_any_text(text: str) -> None:
    ids = NEW.tokenizer.encode(text)
    assert expanded(NEW, ids, OLD.vocab_size) == OLD.encode(text)
    assert NEW.tokenizer.decode(ids) == OLD.decode(OLD.encode(text))


def test_the_words_of_the_domain_become_tokens() -> None:
    assert len(NEW.pieces) <= 60
    assert NEW.tokenizer.vocab_size == OLD.vocab_size + len(NEW.pieces)
    for word in ("pyroxene", "olivine"):
        assert len(OLD.encode(f" {word}")) > 3
        assert len(NEW.tokenizer.encode(f" {word}")) == 1
    before, after = (sum(map(len, one.encode_batch(TEXTS))) for one in (OLD, NEW.tokenizer))
    assert after < 0.5 * before
    # Control tokens stay what they are.
    assert NEW.tokenizer.stop_ids == OLD.stop_ids
    assert NEW.tokenizer.encode("<|im_end|>", special=True) == OLD.encode("<|im_end|>", special=True)


def test_the_same_texts_give_the_same_tokens_in_any_order_and_rare_pairs_none() -> None:
    again = extend_tokenizer(OLD, reversed(TEXTS), n_tokens=60)
    assert again.tokenizer.backend.to_str() == NEW.tokenizer.backend.to_str()
    assert not extend_tokenizer(OLD, TEXTS, n_tokens=60, min_count=10_000).pieces
    # The most frequent pair first, counted anew after each merge, as in the training of byte-pair encodings.
    one, two = (extend_tokenizer(OLD, TEXTS, n_tokens=n).pieces for n in (1, 2))
    assert list(two[:1]) == list(one)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    NEW.tokenizer.save(tmp_path)
    loaded = Tokenizer.from_folder(tmp_path)
    assert [loaded.encode(text) for text in TEXTS] == [*NEW.tokenizer.encode_batch(TEXTS)]


def test_a_tokenizer_without_merges_is_refused() -> None:
    words = Tokenizer(backend=Backend(models.WordLevel({"a": 0})), source="words")
    with pytest.raises(DataError, match="words: a tokenizer of the kind WordLevel has no merges to go on with"):
        extend_tokenizer(words, ["a"], n_tokens=1)


@pytest.mark.slow
def test_transformers_reads_it(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    NEW.tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert theirs(text, add_special_tokens=False)["input_ids"] == NEW.tokenizer.encode(text)


def test_a_gguf_file_holds_it() -> None:
    metadata = NEW.tokenizer.to_gguf(NEW.tokenizer.vocab_size) | {"general.architecture": "llama"}
    loaded = Tokenizer.from_gguf(metadata, "model.gguf")
    assert [loaded.encode(text) for text in TEXTS] == [*NEW.tokenizer.encode_batch(TEXTS)]
