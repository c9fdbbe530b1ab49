"""Tokenizers trained on a corpus: the same bits again, any text and back, and loaded by others as they are."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import DataError
from burnish.text.chat import encode_conversation
from burnish.text.tokenizer import Tokenizer
from burnish.text.tokenizer_training import CONTROL_TOKENS, least_vocabulary, train_tokenizer

TEXTS = [f"Page {i}: the lazy fox, {i * 37} and {i % 5}, writes naïve prose.\n\n" * 3 for i in range(40)]
CHAT = [{"role": "user", "content": "the fox?"}, {"role": "assistant", "content": "lazy <|im_end|> prose"}]

TRAIN = f"""
import sys
from burnish.text.tokenizer_training import train_tokenizer
sys.stdout.write(train_tokenizer({TEXTS!r}, vocab_size=290).backend.to_str())
"""


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, vocab_size=400, special_tokens=["<|tool|>"])


def test_the_same_texts_give_the_same_tokenizer_in_every_process_and_order() -> None:
    here = train_tokenizer(reversed(TEXTS), vocab_size=290).backend.to_str()
    for threads in ("1", "4"):
        environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        done = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, check=True, env=environment)
        assert hashlib.sha256(done.stdout).hexdigest() == hashlib.sha256(here.encode()).hexdigest()


@given(st.text())
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not tokenizer.control_ids & {*ids}


def test_control_tokens_come_first_and_words_are_learned(tokenizer: Tokenizer) -> None:
    assert 280 < tokenizer.vocab_size < 400  # the text has no more pairs
    assert train_tokenizer(TEXTS, vocab_size=280).vocab_size == 280
    assert [tokenizer.token(i) for i in range(5)] == [*CONTROL_TOKENS, "<|tool|>"]
    assert tokenizer.control_ids == frozenset(range(5))
    assert len(tokenizer.encode(" lazy fox")) == 2
    assert len(tokenizer.encode("1234")) == 4


def test_fewer_tokens_where_the_text_has_no_more() -> None:
    assert train_tokenizer(["abab " * 3], vocab_size=10_000).vocab_size < 270
    assert train_tokenizer([], vocab_size=10_000).vocab_size == least_vocabulary()


def test_a_chat_is_learned_up_to_the_end_of_its_turn(tokenizer: Tokenizer) -> None:
    ids, mask = encode_conversation(tokenizer, CHAT)
    learned = [i for i, of_answer in zip(ids, mask, strict=True) if of_answer]
    assert tokenizer.decode(learned[:-1]) == "lazy <|im_end|> prose"
    assert learned[-1] in tokenizer.stop_ids
    assert tokenizer.decode(ids, skip_special=False).endswith("prose<|im_end|>\n")


def test_the_folder_is_the_same_here_and_in_transformers(tokenizer: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path)
    again = Tokenizer.from_folder(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in (TEXTS[3], "  \n\t naïve 😀 1234 <|im_end|>", ""):
        assert again.encode(text) == tokenizer.encode(text)
        assert theirs(text, add_special_tokens=False).input_ids == tokenizer.encode(text, special=True)
    assert again.stop_ids == tokenizer.stop_ids
    assert (again.bos_id, again.eos_id, again.pad_id) == (None, 0, 1)
    assert (theirs.eos_token, theirs.pad_token) == CONTROL_TOKENS[:2]
    rendered = theirs.apply_chat_template(CHAT[:1], add_generation_prompt=True, tokenize=False)
    assert rendered == "<|im_start|>user\nthe fox?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("vocab_size", "special_tokens", "said"),
    [
        (259, [], "vocab_size is 259; expected at least 260"),
        (260, ["<|tool|>"], "expected at least 261"),
        (290, [""], "'' is no name of a control token"),
        (290, [" <a>"], "' <a>' is no name of a control token"),
        (290, ["<|im_end|>"], "'<|im_end|>' is there already"),
        (290, ["<a>", "<a>"], "'<a>' is there already"),
    ],
)
def test_what_is_no_vocabulary_is_refused(vocab_size: int, special_tokens: list[str], said: str) -> None:
    with pytest.raises(DataError) as caught:
        train_tokenizer(TEXTS, vocab_size=vocab_size, special_tokens=special_tokens)
    assert said in str(caught.value)
