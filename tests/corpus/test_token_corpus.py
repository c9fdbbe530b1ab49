"""Packing loses nothing, and a corpus is read back as it was written."""

import json
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from tokenizers import Tokenizer as Backend
from tokenizers import models

from burnish.corpus.building import build_corpus, cleaning_steps
from burnish.corpus.documents import Document, read_documents
from burnish.corpus.text_tokens import tokenize
from burnish.corpus.token_corpus import TokenCorpus, WindowIndex, load_tokenizer
from burnish.corpus.windows import Windows, pack
from burnish.errors import DataError
from burnish.text.tokenizer import Tokenizer
from burnish.text.tokenizer_training import train_tokenizer


def documents(prefix: str, count: int, length: int = 80) -> list[Document]:
    return [Document(f"{prefix}{i}", f"{prefix} {i} ".ljust(length, "abcdefgh"[i % 8]), "test") for i in range(count)]


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=40), max_size=12), st.integers(2, 9))
def test_packing_loses_and_repeats_no_token_and_never_mixes_documents(tokens: list[list[int]], window: int) -> None:
    windows = pack(tokens, window)
    rebuilt: list[list[int]] = [[] for _ in tokens]
    for index, number in enumerate(windows.documents.tolist()):
        assert 1 <= len(windows[index]) <= window
        rebuilt[number] += windows[index]
    assert rebuilt == tokens
    assert windows.documents.tolist() == sorted(windows.documents.tolist())
    assert windows.lengths.tolist() == [len(windows[index]) for index in range(len(windows))]
    assert windows.n_documents == len(tokens)


@given(st.integers(2, 500), st.integers(2, 40))
def test_pieces_of_a_document_are_of_nearly_equal_length(length: int, window: int) -> None:
    lengths = pack([[0] * length], window).lengths.tolist()
    assert max(lengths) - min(lengths) <= 1
    assert len(lengths) == -(-length // window)


def test_a_window_has_room_for_a_prediction() -> None:
    with pytest.raises(DataError, match="window is 1; expected at least 2 tokens"):
        pack([[1, 2]], 1)


def test_documents_end_with_the_end_token_and_inject_none(tokenizer: Tokenizer) -> None:
    (tokens,) = tokenize([Document("1", "a<|end|>", "s")], tokenizer)
    assert tokens.count(tokenizer.eos_id or -1) == 1
    assert tokens[-1] == tokenizer.eos_id
    assert len(tokens) == len("a<|end|>") + 1


def test_a_corpus_is_cleaned_deduplicated_and_split(tokenizer: Tokenizer, tmp_path: Path) -> None:
    domain, general = documents("domain", 20), documents("general", 30, length=300)
    general.append(Document("copy", domain[0].text.upper(), "test"))
    domain += [Document("short", "short", "test"), Document("twin", domain[1].text + " \n", "test")]
    corpus, report = build_corpus(
        {"domain": domain, "general": general}, tokenizer, tmp_path / "corpus", window=64, heldout_fraction=0.45
    )
    counts = corpus.counts()
    assert counts["domain"]["train"]["documents"] + counts["domain"]["heldout"]["documents"] == 20
    assert counts["general"]["train"]["documents"] + counts["general"]["heldout"]["documents"] == 30
    assert counts["domain"]["heldout"]["documents"] >= 3
    assert sum(counts["domain"][split]["tokens"] for split in ("train", "heldout")) == 20 * 81
    assert report.removed == {"domain": 2, "general": 1}
    loaded = TokenCorpus.load(tmp_path / "corpus")
    assert (loaded.window, loaded.vocab_size) == (64, tokenizer.vocab_size)
    assert loaded.counts() == counts
    for group in ("domain", "general"):
        for split in ("train", "heldout"):
            assert loaded.sequences(group, split) == corpus.sequences(group, split)
    assert loaded[WindowIndex("general", 2)] == corpus.train["general"][2]
    described = json.loads((tmp_path / "corpus" / "corpus.json").read_text(encoding="utf-8"))
    assert described["counts"] == counts
    assert [step["step"] for step in described["steps"]["domain"]] == [
        "unicode",
        "whitespace",
        "too short",
        "exact duplicates",
    ]
    lines = [json.loads(line) for line in (tmp_path / "corpus" / "removed.jsonl").read_text("utf-8").splitlines()]
    assert [(line["group"], line["id"], line["step"]) for line in lines] == [
        ("domain", "short", "too short"),
        ("domain", "twin", "exact duplicates"),
        ("general", "copy", "exact duplicates"),
    ]
    assert [line["reason"] for line in lines[1:]] == [
        "equal to document domain1",
        "equal to a document of another group",
    ]
    assert {path.name for path in (tmp_path / "corpus").iterdir()} == {
        *("train", "heldout", "tokenizer", "corpus.json", "removed.jsonl", "skipped.jsonl")
    }
    assert lines[0] == {
        "group": "domain",
        "step": "too short",
        "reason": "5 characters, fewer than 50",
        "id": "short",
        "text": "short",
        "source": "test",
    }


def test_building_twice_gives_the_same_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for name in ("a", "b"):
        build_corpus({"domain": documents("d", 9)}, tokenizer, tmp_path / name, window=32)
    shard = Path("train") / "domain" / "00000.safetensors"
    first, second = ((tmp_path / name / shard).read_bytes() for name in ("a", "b"))
    assert first == second


def test_a_corpus_without_heldout_text(tokenizer: Tokenizer, tmp_path: Path) -> None:
    build_corpus({"domain": documents("d", 1)}, tokenizer, tmp_path / "corpus", window=32, heldout_fraction=0)
    assert TokenCorpus.load(tmp_path / "corpus").sequences("domain", "heldout") == []


def test_one_long_document_can_be_split_and_then_held_out_in_part(tokenizer: Tokenizer, tmp_path: Path) -> None:
    text = "".join(f"article {i} ".ljust(99, "abcdefgh"[i % 8]) + "\n" for i in range(10))
    corpus, _ = build_corpus(
        {"domain": [Document("dump", text, "s")]},
        tokenizer,
        tmp_path / "corpus",
        window=32,
        heldout_fraction=0.8,
        steps=cleaning_steps(max_characters=150),
    )
    counts = corpus.counts()["domain"]
    assert counts["train"]["documents"] + counts["heldout"]["documents"] >= 10
    assert counts["heldout"]["tokens"] == pytest.approx(800, abs=60)


def test_groups_with_nothing_left_or_nothing_to_split(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"domain: none of 1 documents is left after cleaning; the first was removed: 5"
    ):
        build_corpus({"domain": [Document("1", "short", "s")]}, tokenizer, tmp_path / "corpus", window=32)
    with pytest.raises(DataError, match="general: none of 0 documents is left"):
        build_corpus({"domain": documents("d", 9), "general": []}, tokenizer, tmp_path / "corpus", window=32)
    assert not list(tmp_path.iterdir())


def test_one_document_of_a_domain_is_learned_and_measured(tokenizer: Tokenizer, tmp_path: Path) -> None:
    text = "\n\n".join(f"Paragraph {i} of the only document there is." for i in range(60))
    corpus, report = build_corpus({"domain": [Document("1", text, "s")]}, tokenizer, tmp_path / "corpus", window=64)
    counts = corpus.counts()["domain"]
    total = counts["train"]["tokens"] + counts["heldout"]["tokens"]
    assert counts["heldout"]["tokens"] / total == pytest.approx(0.05, abs=0.01)
    assert report.cut == {"domain": 1}


def test_a_corpus_knows_whose_tokens_it_holds(tokenizer: Tokenizer, tmp_path: Path) -> None:
    build_corpus({"domain": documents("d", 9)}, tokenizer, tmp_path / "corpus", window=32)
    loaded = TokenCorpus.load(tmp_path / "corpus")
    loaded.check_tokenizer(tokenizer, "base")
    letters = sorted(tokenizer.backend.get_vocab(), reverse=True)
    other = Backend(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    assert other.get_vocab_size() == tokenizer.vocab_size
    with pytest.raises(DataError, match="other tokens than those of the model base, though there are equally many"):
        loaded.check_tokenizer(Tokenizer(backend=other, source="other"), "base")
    with pytest.raises(DataError, match=r"vocabulary of 257 tokens, the model base has 256; set the corpus stage's"):
        loaded.check_tokenizer(
            Tokenizer(
                backend=Backend(models.BPE(vocab=dict(zip(letters[:256], range(256), strict=True)), merges=[])),
                source="smaller",
            ),
            "base",
        )


def test_bad_corpus_folders(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"corpus\.json: cannot be read"):
        TokenCorpus.load(tmp_path)
    (tmp_path / "corpus.json").write_text("{}")
    with pytest.raises(DataError, match="not a corpus written by this version"):
        TokenCorpus.load(tmp_path)
    corpus, _ = build_corpus({"domain": documents("d", 9)}, tokenizer, tmp_path / "whole", window=32)
    corpus.save(tmp_path / "corpus", shard_tokens=64)
    shards = tmp_path / "corpus" / "train" / "domain"
    (shards / "00001.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(DataError, match=r"00001\.safetensors: cannot be read"):
        TokenCorpus.load(tmp_path / "corpus")
    save_file({"tokens": torch.zeros(1)}, shards / "00001.safetensors")
    with pytest.raises(DataError, match="not a corpus written by this version"):
        TokenCorpus.load(tmp_path / "corpus")
    (shards / "00001.safetensors").unlink()
    with pytest.raises(DataError, match="domain: one of its files is missing; run the corpus stage again"):
        TokenCorpus.load(tmp_path / "corpus")


@given(st.lists(st.lists(st.integers(0, 70_000), min_size=1, max_size=30), min_size=1, max_size=8), st.integers(1, 40))
@settings(max_examples=10)
def test_shards_of_any_size_hold_the_same_windows(tokens: list[list[int]], shard_tokens: int) -> None:
    windows = pack(tokens, 7)
    for vocab_size in (70_001, 1 << 16) if max(map(max, tokens)) < 1 << 16 else (70_001,):
        with tempfile.TemporaryDirectory() as folder:
            corpus = TokenCorpus(7, vocab_size, {"domain": windows}, {"domain": pack([], 7)})
            corpus.save(Path(folder) / "corpus", shard_tokens=shard_tokens)
            loaded = TokenCorpus.load(Path(folder) / "corpus")
            assert [loaded.train["domain"][i] for i in range(len(windows))] == [windows[i] for i in range(len(windows))]
            assert loaded.digest() == corpus.digest()
            assert loaded.train["domain"].tokens(0, len(windows)).tolist() == [t for one in tokens for t in one]
            assert len(loaded.heldout["domain"]) == 0


def test_a_corpus_that_is_read_is_mapped_and_not_copied(tmp_path: Path) -> None:
    windows = Windows([np.zeros(20_000_000, np.int32)], np.full(20_000, 1000, np.int32), np.zeros(20_000, np.int32), 1)
    TokenCorpus(1000, 10, {"domain": windows}, {"domain": pack([], 7)}).save(tmp_path / "corpus")
    before = psutil.Process().memory_info()
    loaded = TokenCorpus.load(tmp_path / "corpus")
    assert loaded[WindowIndex("domain", 15_000)] == [0] * 1000
    after = psutil.Process().memory_info()
    assert after.rss - before.rss < 8_000_000  # of 40 MB on the disk


def test_real_web_pages(shared_data: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    pages = read_documents(shared_data / "c4_demo.jsonl")[:100]
    corpus, report = build_corpus({"general": pages}, tokenizer, tmp_path / "corpus", window=512)
    counts = corpus.counts()["general"]
    # A document that was cut for the held-out text has parts on both sides.
    assert counts["train"]["documents"] + counts["heldout"]["documents"] >= 100 - report.removed["general"]
    assert counts["heldout"]["documents"] >= 4
    total = counts["train"]["tokens"] + counts["heldout"]["tokens"]
    assert counts["heldout"]["tokens"] / total == pytest.approx(0.05, abs=0.005)


def test_a_tokenizer_is_trained_on_what_the_model_will_be_trained_on(tmp_path: Path) -> None:
    seen: list[str] = []

    def train(texts: Iterable[str]) -> Tokenizer:
        seen.extend(texts)
        return train_tokenizer(seen, vocab_size=300)

    groups = {name: documents(name, 60) for name in ("domain", "general")}
    made, report = build_corpus(groups, train, tmp_path / "corpus", window=64, heldout_fraction=0.2)
    assert made.tokenizer is not None
    trained, held = (
        {made.tokenizer.decode(made.sequences(group, split)[0]) for group in groups} for split in ("train", "heldout")
    )
    assert {*seen} >= trained
    assert not {*seen} & held
    shares = [of_group["heldout"]["documents"] / 60 for of_group in made.counts().values()]
    assert shares == [pytest.approx(0.2)] * 2
    assert sum(report.cut.values()) == 0
    again, _ = build_corpus(groups, made.tokenizer, tmp_path / "again", window=64, heldout_fraction=0.2)
    assert again.vocabulary == made.vocabulary
    kept = load_tokenizer(tmp_path / "corpus")
    assert kept.backend.to_str() == made.tokenizer.backend.to_str()
    assert kept.stop_ids == made.tokenizer.stop_ids
    assert TokenCorpus.load(tmp_path / "corpus").digest() == made.digest()


def test_a_corpus_without_its_tokenizer_says_what_to_do(tokenizer: Tokenizer, tmp_path: Path) -> None:
    corpus, _ = build_corpus({"domain": documents("domain", 20)}, tokenizer, tmp_path / "whole", window=64)
    replace(corpus, tokenizer=None).save(tmp_path / "corpus")
    with pytest.raises(DataError, match="run the corpus stage again"):
        load_tokenizer(tmp_path / "corpus")
