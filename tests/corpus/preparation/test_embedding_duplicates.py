"""Near duplicates by vectors: against all pairs, and by the real small encoder."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.corpus.embeddings import default_encoder
from burnish.corpus.preparation.pipeline import prepare
from burnish.corpus.preparation.sources import DocumentSource
from burnish.corpus.preparation.steps import embedding_duplicates
from burnish.corpus.preparation.steps.clusters import components
from burnish.corpus.preparation.steps.embedding_duplicates import EmbeddingDuplicates, near_pairs


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 60), centres=st.integers(1, 10), seed=st.integers(0, 1000), cosine=st.floats(0.5, 1))
def test_joins_what_all_pairs_join(n: int, centres: int, seed: int, cosine: float) -> None:
    generator = np.random.default_rng(seed)
    around = generator.normal(size=(centres, 8))[generator.integers(centres, size=n)]
    vectors = around + 0.3 * generator.normal(size=(n, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding_duplicates, "_ROWS", 7)
        patch.setattr(embedding_duplicates, "_COLUMNS", 11)
        found = near_pairs(vectors, cosine)
    # Products of blocks and of single vectors round differently: pairs at the very limit are left out of account.
    exact = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    if (np.abs(exact - cosine) < 1e-6).any():
        return
    pairs = np.nonzero(exact >= cosine)
    assert components(n, *found).tolist() == components(n, *pairs).tolist()


class Lengths:
    """Vectors by the first letter of a text."""

    def embed(self, texts: list[str], kind: str) -> np.ndarray:
        angles = np.array([ord(text[0]) for text in texts]) / 10
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_of_documents_that_are_alike_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_duplicates, "_embedder", lambda reference: Lengths())
    (tmp_path / "docs").mkdir()
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.json").write_text("{}")
    for name, text in {"1": "apple", "2": "almond", "3": "banana", "4": "zebra"}.items():
        (tmp_path / "docs" / f"{name}.txt").write_text(text)
    step = EmbeddingDuplicates(encoder=str(tmp_path / "encoder"), min_cosine=0.999)
    source = DocumentSource(paths=[str(tmp_path / "docs")])
    record = prepare([source], [step], tmp_path / "out")
    assert (record.documents, record.steps[1].reasons) == (3, {"near duplicate": 1})
    (clusters,) = (tmp_path / "out" / "clusters").iterdir()
    assert pl.read_parquet(clusters)["n_removed"].to_list() == [1]


@pytest.mark.slow
def test_a_text_in_other_words_is_found_by_the_encoder(tmp_path: Path) -> None:
    if default_encoder() is None:
        pytest.skip("no package with an encoder is installed")
    (tmp_path / "docs").mkdir()
    texts = (
        "The pump must be switched off before its housing is opened.",
        "Before you open the housing of the pump, it has to be switched off.",
        "The library is closed on Mondays and on public holidays.",
    )
    for number, text in enumerate(texts):
        (tmp_path / "docs" / f"{number}.txt").write_text(text)
    source = DocumentSource(paths=[str(tmp_path / "docs")])
    assert prepare([source], [EmbeddingDuplicates(min_cosine=0.85)], tmp_path / "out").documents == 2
