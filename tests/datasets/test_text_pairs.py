"""Pairs of texts: rows are read or refused by name, and batches are the pairs they are made of."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.datasets.batches import Batch
from burnish.datasets.text_pairs import (
    PairExample,
    encode_source,
    read_text_pairs,
    text_pair_batches,
    text_pair_examples,
)
from burnish.errors import CheckpointError, DataError
from burnish.text.tokenizer import Tokenizer
from tiny_models import encoder_decoder
from workshop import tiny_tokenizer


def _file(folder: Path, *rows: object) -> Path:
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_rows_are_read_with_their_place_and_what_nothing_reads(tmp_path: Path) -> None:
    file = _file(tmp_path, {"source": "ab", "target": "ba", "id": 7}, {"source": "c", "target": ""})
    first, second = read_text_pairs(file)
    assert (first.source, first.target, first.unused) == ("ab", "ba", ("id",))
    assert str(second.place).endswith("pairs.jsonl:2")
    assert second.fault == "the target is empty"
    named = _file(tmp_path, {"document": "ab", "summary": "ba"})
    (pair,) = read_text_pairs(named, columns={"source": "document", "target": "summary"})
    assert (pair.source, pair.target, pair.unused) == ("ab", "ba", ())


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([{"source": "a"}], None, "pairs.jsonl:1: no \"target\"; the row has 'source'"),
        ([{"source": "a", "target": 3}], None, 'pairs.jsonl:1: "target" must be text, found int'),
        ([{"source": "a", "target": "b"}], {"prompt": "x"}, '"prompt" is not a key; expected one of source, target'),
        ([{"source": "a", "target": "b"}], {"source": "x"}, 'no column "x"'),
    ],
)
def test_bad_rows_are_named(
    rows: list[dict[str, object]], columns: dict[str, str] | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read_text_pairs(_file(tmp_path, *rows), columns=columns)
    assert message in str(caught.value)


def test_examples_end_where_a_text_ends_and_long_ones_are_dropped_by_name(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    file = _file(
        tmp_path,
        {"source": "ab", "target": "ba"},
        {"source": "abcdef", "target": "b"},
        {"source": "a", "target": "bcdef"},
        {"source": "", "target": "b"},
    )
    examples, report = text_pair_examples(read_text_pairs(file), tokenizer, max_source=4, max_target=5)
    end = tokenizer.eos_id
    assert end is not None
    assert examples == [PairExample([*tokenizer.encode("ab"), end], [*tokenizer.encode("ba"), end])]
    assert [(line, reason) for _, line, reason in report.dropped] == [
        (2, "the source has 7 tokens, more than max_source 4"),
        (3, "the target has 6 tokens, more than max_target 5"),
        (4, "the source is empty"),
    ]


def test_a_source_has_the_first_token_that_the_tokenizer_puts_before_a_text() -> None:
    tokenizer = replace(tiny_tokenizer(), add_bos=True)
    assert encode_source(tokenizer, "a") == [tokenizer.bos_id, *tokenizer.encode("a"), tokenizer.eos_id]


def test_a_tokenizer_without_an_end_is_refused() -> None:
    with pytest.raises(CheckpointError, match="names no eos_token"):
        text_pair_examples([], Tokenizer(backend=tiny_tokenizer().backend, source="tiny"), max_source=4, max_target=4)


text = st.lists(st.integers(2, 9), min_size=1, max_size=6)


@given(st.lists(st.builds(PairExample, text, text), min_size=1, max_size=8), st.integers(1, 40))
@settings(max_examples=40)
def test_every_pair_is_in_one_batch_with_its_source(examples: list[PairExample], limit: int) -> None:
    found = []
    for batch in text_pair_batches(examples, prefix=[0, 1], micro_batch_tokens=limit):
        assert batch.sources is not None
        assert len(batch.sources.roots) == len(batch.forest.roots)
        assert batch.n_rows == len(batch.row_lengths)
        sources = [batch.sources.tokens[batch.sources.path(root)].tolist() for root in batch.sources.roots]
        assert len(set(map(tuple, sources))) == len(sources), "a source is there once"
        for row in range(batch.n_rows):
            at = batch.scored[batch.entries[batch.rows == row]]
            tree = sum(batch.forest.offsets[root] <= int(at[0]) for root in batch.forest.roots) - 1
            found.append((sources[tree], batch.forest.tokens[at].tolist()))
    assert sorted(found) == sorted((example.source, example.target) for example in examples)


@given(st.lists(st.builds(PairExample, text, text), min_size=1, max_size=5))
@settings(max_examples=8)
def test_how_pairs_are_batched_changes_no_log_probability(examples: list[PairExample]) -> None:
    model = encoder_decoder(scale=5)

    def total(batches: list[Batch]) -> torch.Tensor:
        return torch.stack(
            [model.logps(b.forest, b.scored, b.sources)[b.entries].sum() for b in batches if b.sources is not None]
        ).sum()

    with torch.no_grad():
        whole = total(text_pair_batches(examples, prefix=[1], micro_batch_tokens=1000))
        alone = total([b for e in examples for b in text_pair_batches([e], prefix=[1], micro_batch_tokens=1)])
    torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-4)


def test_sequences_of_one_source_that_begin_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="have one source, but begin with different tokens"):
        Batch.from_rows([[1, 2], [3, 2]], [[False, True]] * 2, sources=[[5], [5]])
    with pytest.raises(ValueError, match="a target begins with at least one token"):
        text_pair_batches([PairExample([1], [2])], prefix=[], micro_batch_tokens=9)
