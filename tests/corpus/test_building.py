"""A corpus built by streaming is the one built in memory, and its memory does not grow with the documents."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_memory_corpus import built

from burnish.corpus import building
from burnish.corpus.arrangement import Arrangement
from burnish.corpus.building import REMOVED_FILE, build_corpus
from burnish.corpus.documents import Document, read_documents
from burnish.corpus.mixture import Mixture
from burnish.corpus.token_corpus import TokenCorpus
from burnish.corpus.windows import Windows
from burnish.errors import BurnishError, DataError
from burnish.text.tokenizer import Tokenizer

WORDS = st.sampled_from(["river", "Stone,", "bridge.", "x" * 60, "水の流れ", "\n\n", "a  b", "\ud800é"])
DOCUMENTS = st.lists(
    st.builds(
        lambda number, words, source, score: Document(f"{number}", " ".join(words), source, score=score),
        st.integers(0, 9),
        st.lists(WORDS, min_size=1, max_size=60),
        st.sampled_from(["wiki", "hand\udc80book"]),
        st.sampled_from([0.5, -1.0, 2.0]),
    ),
    max_size=12,
)
ARRANGEMENTS = [
    {"by": "chance"},
    {"by": "length"},
    {"by": "length", "descending": True},
    {"by": "score"},
    {"by": "score", "descending": True},
    {"by": "related"},
    {"by": "perplexity"},
]


def surprise(windows: Windows) -> list[float]:
    """Some figures with equal ones among them."""
    return [float(windows[number][0] % 3) for number in range(len(windows))]


def same(one: TokenCorpus, other: TokenCorpus) -> None:
    assert one.counts() == other.counts()
    assert one.digest() == other.digest()
    for mine, theirs in ((one.train, other.train), (one.heldout, other.heldout)):
        for group, windows in mine.items():
            assert windows.documents.tolist() == theirs[group].documents.tolist()
            assert windows.sources.tolist() == theirs[group].sources.tolist()
            assert windows.source_names == theirs[group].source_names


@given(
    DOCUMENTS,
    DOCUMENTS,
    st.sampled_from(ARRANGEMENTS),
    st.sampled_from([0.0, 0.05, 0.4]),
    st.booleans(),
    st.sampled_from([1, 100, 1 << 20]),
)
@settings(max_examples=12, deadline=None)
def test_a_corpus_is_the_one_made_in_memory(
    tokenizer: Tokenizer,
    domain: list[Document],
    general: list[Document],
    order: dict[str, object],
    fraction: float,
    mixed: bool,
    batch: int,
) -> None:
    long_enough = Document("own", "of the domain alone, and long enough to stay there " * 2, "wiki", score=0.0)
    other = Document("other", "general text that no other one is equal to here, at all", "web", score=1.0)
    groups = {
        "domain": [long_enough, *domain],
        "general": [*general, other] * 2,
    }
    arrangement = Arrangement.model_validate(order)
    expected, gone = built(
        groups,
        tokenizer,
        window=40,
        heldout_fraction=fraction,
        arrangement=arrangement,
        surprise=surprise,
        with_names=mixed,
    )
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "BATCH_CHARACTERS", batch)
        made, report = build_corpus(
            groups,
            tokenizer,
            Path(folder) / "corpus",
            window=40,
            heldout_fraction=fraction,
            mixture=Mixture.model_validate({}) if mixed else None,
            arrangement=arrangement,
            surprise=surprise,
        )
        same(TokenCorpus.load(Path(folder) / "corpus"), made)
        rows = [json.loads(line) for line in (Path(folder) / "corpus" / REMOVED_FILE).read_text("utf-8").splitlines()]
        same(
            TokenCorpus(40, made.vocab_size, made.train, made.heldout, made.vocabulary, ordered=made.ordered), expected
        )
    assert sorted((row["group"], row["id"], row["reason"]) for row in rows) == sorted(gone)
    assert sum(report.removed.values()) == len(gone)


def test_what_stays_does_not_depend_on_the_order_of_reading(tokenizer: Tokenizer, tmp_path: Path) -> None:
    texts = [
        "The same text, and enough of it that it stays in there.",
        "Another text, and enough of it that it stays in there, too.",
    ]
    rows = [Document(str(number), (texts[number % 2] + " " * (number % 3)).upper(), "s") for number in range(12)]
    found = []
    for name, order in (("one", rows), ("other", rows[::-1])):
        build_corpus({"domain": order}, tokenizer, tmp_path / name, window=32, heldout_fraction=0)
        lines = (tmp_path / name / REMOVED_FILE).read_text("utf-8").splitlines()
        found.append({json.loads(line)["id"] for line in lines})
    assert found[0] == found[1] == {str(number) for number in range(2, 12)}


def test_real_pages_by_words_that_they_share(shared_data: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    pages = read_documents(shared_data / "c4_demo.jsonl")[:25]
    arrangement = Arrangement.model_validate({"by": "related"})
    made, _ = build_corpus({"domain": pages}, tokenizer, tmp_path / "corpus", window=512, arrangement=arrangement)
    expected, _ = built(
        {"domain": pages},
        tokenizer,
        window=512,
        heldout_fraction=0.05,
        arrangement=arrangement,
        surprise=surprise,
        with_names=False,
    )
    assert made.digest() == expected.digest()


def test_an_order_by_length_score_or_surprise(tokenizer: Tokenizer, tmp_path: Path) -> None:
    sizes = {"c": 60, "a": 90, "b": 70}
    rows = [
        Document(name, name * size, "s", score=score)
        for (name, size), score in zip(sizes.items(), [0.5, 0.1, 0.9], strict=True)
    ]

    def first(by: str, descending: bool = False) -> str:
        corpus, _ = build_corpus(
            {"domain": rows},
            tokenizer,
            tmp_path / "corpus",
            window=80,
            heldout_fraction=0,
            arrangement=Arrangement.model_validate({"by": by, "descending": descending}),
            surprise=surprise,
        )
        return "".join(tokenizer.decode([one[0]]) for one in corpus.sequences("domain", "train"))

    letters = {name: tokenizer.encode(name)[0] % 3 for name in sizes}
    windows = "caab"
    assert first("chance") == windows
    assert first("length") == "cbaa"
    assert first("length", descending=True) == "aabc"
    assert first("score") == "aacb"
    assert first("perplexity")[:3] == "".join(sorted(windows, key=lambda name: letters[name]))[:3]
    rows[0] = Document("c", "c" * 60, "s")
    with pytest.raises(DataError, match="document c has no score, by which the corpus is to be ordered"):
        first("score")


def test_more_sources_than_can_be_weighed(tokenizer: Tokenizer, tmp_path: Path) -> None:
    rows = [Document(f"{number}", f"{number} is the number of this text, " * 3, f"s{number}") for number in range(1001)]
    with pytest.raises(DataError, match=r"more sources than the 1,000 that a mixture weighs"):
        build_corpus(
            {"domain": rows},
            tokenizer,
            tmp_path / "corpus",
            window=80,
            heldout_fraction=0,
            mixture=Mixture.model_validate({}),
        )
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_and_leaves_nothing(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from burnish.corpus import spool

    monkeypatch.setattr(spool, "_SCHEMA", "PRAGMA max_page_count = 40;" + spool._SCHEMA)
    rows = [Document(f"{number}", f"{number} " * 5000, "s") for number in range(200)]
    with pytest.raises(BurnishError, match=r"documents\.sqlite: .* cannot be kept .*: database or disk is full"):
        build_corpus({"domain": rows}, tokenizer, tmp_path / "corpus", window=80)
    assert not list(tmp_path.iterdir())


MEASURED = """
import resource, sys
from pathlib import Path
import numpy as np
from tokenizers import Tokenizer as Backend, models, pre_tokenizers
from burnish.corpus import building, spool
from burnish.corpus.documents import Document
from burnish.text.tokenizer import Tokenizer

n_documents, folder = int(sys.argv[1]), Path(sys.argv[2])
spool.CACHE_KIB, building.BATCH_CHARACTERS = 2048, 1 << 18  # constants of memory that small inputs would not fill
building.SHARD_TOKENS = 1 << 18

words = ["river", "stone", "bridge", "water", "of", "the", "over", "under", "town", "mill", "[UNK]"]
backend = Backend(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
backend.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = Tokenizer(backend=backend, source="words")

def documents():
    generator = np.random.default_rng(0)
    for number in range(n_documents):
        yield Document(str(number), " ".join(np.array(words)[generator.integers(0, 10, 2000)]), "source")

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

before = peak()
corpus, _ = building.build_corpus({"domain": documents()}, tokenizer, folder, window=512)
print(before, peak(), sum(corpus.counts()["domain"][split]["tokens"] for split in ("train", "heldout")))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_documents(tmp_path: Path) -> None:
    """5 and 25 MB of text: a corpus in memory would be 20 MB of text and 16 of tokens more."""
    pytest.importorskip("resource")
    found = []
    for n_documents in (450, 2250):
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, str(n_documents), str(tmp_path / str(n_documents))],
            capture_output=True,
            text=True,
            check=True,
        )
        before, peak, tokens = map(float, done.stdout.split())
        assert tokens == n_documents * 2000
        found.append(peak - before)
    assert found[1] < found[0] + 8
