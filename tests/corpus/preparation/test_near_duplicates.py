"""Near duplicates, against datasketch and against the theory."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from burnish.corpus.preparation.steps import clusters
from burnish.corpus.preparation.steps.basic import ExactDuplicates
from burnish.corpus.preparation.steps.clusters import components
from burnish.corpus.preparation.steps.near_duplicates import MinHash, best_banding, signatures
from burnish.corpus.preparation.steps.units import UnitDuplicates
from burnish.corpus.preparation.table import SCHEMA

VOCABULARY = [f"w{number}" for number in range(500)]


def batch(texts: Sequence[str]) -> pl.DataFrame:
    rows = [dict.fromkeys(SCHEMA, f"{number:04d}") | {"text": text} for number, text in enumerate(texts)]
    return pl.DataFrame(rows, schema=SCHEMA)


def applied(step: UnitDuplicates, texts: Sequence[str], shards: int = 1) -> tuple[list[str], pl.DataFrame]:
    """The texts that stay, and the decisions; texts may be spread over several shards."""
    table = batch(texts)
    parts = [table[number::shards] for number in range(shards)]
    signed = [
        step.sign(part).with_columns(
            part["id"],
            part["origin"],
            source_number=pl.lit(0, pl.UInt32),
            shard=pl.lit(number, pl.UInt32),
            row=pl.int_range(part.height, dtype=pl.UInt32),
        )
        for number, part in enumerate(parts)
    ]
    decisions = step.decide(pl.concat(reversed(signed)).lazy())
    kept = []
    for number, part in enumerate(parts):
        rows = part.with_columns(row=pl.int_range(part.height, dtype=pl.UInt32))
        kept.append(step.carry_out(rows, decisions.filter(pl.col("shard") == number).drop("shard")).kept)
    return pl.concat(kept).sort("id")["text"].to_list(), decisions


def edited(text: str, share: float, generator: np.random.Generator) -> str:
    words = np.array(text.split())
    places = generator.random(len(words)) < share
    words[places] = generator.choice(VOCABULARY, places.sum())
    return " ".join(words)


def some_texts(seed: int = 0) -> list[str]:
    """Sixty texts, each with four versions of which more and more words are others."""
    generator = np.random.default_rng(seed)
    originals = [" ".join(generator.choice(VOCABULARY, 120)) for _ in range(60)]
    return [edited(text, share, generator) for text in originals for share in (0.0, 0.0, 0.01, 0.03, 0.1)]


@pytest.mark.parametrize(("threshold", "ngram"), [(0.9, 5), (0.7, 3), (0.5, 1)])
def test_clusters_equal_those_of_datasketch(threshold: float, ngram: int) -> None:
    datasketch = pytest.importorskip("datasketch")
    texts = some_texts()
    step = MinHash(threshold=threshold, ngram=ngram)
    digests, _ = signatures(pl.Series(texts), ngram, step.permutations, step.seed)
    index = datasketch.MinHashLSH(params=step.banding, num_perm=step.permutations)
    sketches = [
        datasketch.MinHash(num_perm=step.permutations, hashvalues=digest, scheme="legacy") for digest in digests
    ]
    for number, sketch in enumerate(sketches):
        index.insert(number, sketch)
    pairs = [(number, other) for number, sketch in enumerate(sketches) for other in index.query(sketch)]
    root = components(len(texts), *np.array(pairs).T)
    kept, _ = applied(step, texts)
    assert kept == [texts[number] for number in sorted(set(root.tolist()))]
    assert 50 < len(kept) < len(texts)


def test_the_share_found_is_that_of_the_theory() -> None:
    """Pairs of known similarity s are found with probability 1 − (1 − s^r)^b."""
    generator = np.random.default_rng(3)
    step = MinHash(ngram=1, bands=8, rows=4, permutations=32)
    for shared in (20, 50, 80, 95):
        found = []
        for _ in range(150):
            words = [f"x{number}" for number in generator.choice(10**9, 200 - shared, replace=False)]
            common, rest = words[:shared], words[shared:]
            texts = [" ".join(common + rest[: len(rest) // 2]), " ".join(common + rest[len(rest) // 2 :])]
            one, other = step.keys(pl.Series(texts)).to_list()
            found.append(bool(set(one) & set(other)))
        s = shared / (200 - shared)
        expected = 1 - (1 - s**4) ** 8
        assert np.mean(found) == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 150) ** 0.5 + 0.01)


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.95])
def test_bands_and_rows_are_those_of_datasketch(threshold: float) -> None:
    lsh = pytest.importorskip("datasketch.lsh")
    assert best_banding(threshold, 64) == lsh._optimal_param(threshold, 64, 0.5, 0.5)


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_what_stays_does_not_depend_on_shards(shards: int) -> None:
    texts = some_texts(1)[:60]
    assert applied(MinHash(), texts, shards)[0] == applied(MinHash(), texts)[0]


def test_texts_without_words_are_not_alike() -> None:
    assert applied(MinHash(), ["", " ", "one word", "one  WORD", "other words"])[0] == [
        "",
        " ",
        "one word",
        "other words",
    ]


LONG = "This is a sentence of more than ten words, as anybody can count."
OTHER = "Here is another one of more than ten words, different from the first."


@pytest.mark.parametrize(
    ("unit", "texts", "kept"),
    [
        ("paragraph", [f"{LONG}\n\nOne.", f"Two.\n\n{LONG}\n\nThree."], [f"{LONG}\n\nOne.", "Two.\n\nThree."]),
        ("paragraph", [f"{LONG}\n\n{OTHER}", f"{OTHER}\n\n{LONG}"], [f"{LONG}\n\n{OTHER}"]),
        ("sentence", [f"{LONG} {OTHER}", f"New. {LONG} End."], [f"{LONG} {OTHER}", "New. End."]),
        ("sentence", ["Thank you.", "Thank you."], ["Thank you.", "Thank you."]),
        (
            "document",
            [f"{LONG}\n\nOne.", f"Two.\n\n{LONG}\n\nThree."],
            [f"{LONG}\n\nOne.", f"Two.\n\n{LONG}\n\nThree."],
        ),
    ],
)
def test_units(unit: str, texts: list[str], kept: list[str]) -> None:
    assert applied(MinHash.model_validate({"unit": unit}), texts)[0] == kept


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=20))
def test_components_are_those_of_a_plain_search(edges: list[tuple[int, int]]) -> None:
    root = list(range(16))
    for _ in range(16):
        for one, other in edges:
            root[one] = root[other] = min(root[one], root[other])
    first, second = (np.array([edge[side] for edge in edges], dtype=np.int64) for side in (0, 1))
    assert components(16, first, second).tolist() == root


@pytest.mark.parametrize(
    "wrong", [{"bands": 4}, {"rows": 4}, {"bands": 20, "rows": 10}, {"threshold": 0.0}, {"unit": "line"}]
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MinHash.model_validate(wrong)


def test_exact_duplicates_of_paragraphs_and_sentences_too() -> None:
    texts = [f"{LONG}\n\nOne.", f"Two.\n\n{LONG.upper()}\n\nThree."]
    assert applied(ExactDuplicates(unit="paragraph"), texts)[0] == [f"{LONG}\n\nOne.", "Two.\n\nThree."]
    assert applied(ExactDuplicates(unit="sentence"), [f"{LONG} {OTHER}", f"New. {LONG} End."])[0] == [
        f"{LONG} {OTHER}",
        "New. End.",
    ]
    assert applied(ExactDuplicates(), texts)[0] == texts


@pytest.mark.parametrize("max_keys", [1, 3, 1000])
def test_clusters_do_not_depend_on_how_many_keys_are_compared_at_once(
    monkeypatch: pytest.MonkeyPatch, max_keys: int
) -> None:
    texts = some_texts(2)[:40]
    expected = applied(MinHash(), texts)[0]
    monkeypatch.setattr(clusters, "MAX_KEYS", max_keys)
    assert applied(MinHash(), texts)[0] == expected
