"""Intents: learned from a few questions, decided, and the ways to which they lead."""

import json
from pathlib import Path

import numpy as np
import pytest

from burnish.corpus.embeddings import Encoder
from burnish.errors import BurnishError, DataError
from burnish.retrieval import intents
from burnish.retrieval.intents import Intent, Intents, LabelledQuestion, read_labelled
from burnish.retrieval.routing import Router, ranking_of, told
from tiny_encoder import save_encoder

GROUPS = {
    "figures": ("how many flights", "count the flights", "number of flights", "how many planes", "mean of flights"),
    "talk": ("hello there", "thank you", "hello you", "thanks", "good morning to you"),
}
QUESTIONS = [LabelledQuestion(text, name) for name, texts in GROUPS.items() for text in texts]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(folder)
    return Encoder(str(folder), compute_dtype="float32", device="cpu")


def test_the_classifier_is_the_minimum_of_its_loss(encoder: Encoder) -> None:
    found = intents.train(QUESTIONS, {"figures": ("database",)}, encoder)
    assert found.names == ("figures", "talk")
    assert found.ways == (("database",), ())
    vectors = encoder.embedder.embed([one.text for one in QUESTIONS], "query").astype(np.float64)
    labels = np.array([found.names.index(one.intent) for one in QUESTIONS])

    def loss(weights: np.ndarray, bias: np.ndarray) -> float:
        logits = vectors @ weights.T + bias
        logps = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return float(-logps[np.arange(len(labels)), labels].mean() + 0.01 / len(labels) * (weights**2).sum())

    least = loss(found.weights, found.bias)
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert loss(found.weights + rng.normal(0, 0.05, found.weights.shape), found.bias) > least
    again = intents.train(QUESTIONS, {"figures": ("database",)}, encoder)
    assert np.array_equal(found.weights, again.weights)


def test_what_is_saved_decides_the_same(encoder: Encoder, tmp_path: Path) -> None:
    found = intents.train(QUESTIONS, {"figures": ("database", "examples")}, encoder, threshold=0.4)
    found.save(tmp_path / "i.safetensors")
    loaded = Intents.load(tmp_path / "i.safetensors")
    vectors = encoder.embedder.embed([one.text for one in QUESTIONS], "query")
    assert loaded.decided(vectors) == found.decided(vectors)
    right = [one.name == question.intent for one, question in zip(found.decided(vectors), QUESTIONS, strict=True)]
    assert sum(right) >= 8
    (tmp_path / "other.safetensors").write_bytes(b"nothing of it")
    with pytest.raises(DataError, match="cannot be read as a classifier of intents"):
        Intents.load(tmp_path / "other.safetensors")


def test_a_question_of_little_probability_is_none_of_them() -> None:
    one = Intents(("a", "b"), (("documents",), ()), np.eye(2, dtype=np.float32), np.zeros(2, np.float32), "e", 0.7)
    sure, unsure = one.decided(np.array([[5.0, 0.0], [0.1, 0.0]], dtype=np.float32))
    assert sure.name == "a"
    assert sure.ways == ("documents",)
    assert unsure == Intent("", pytest.approx(0.525, abs=1e-3), ())
    assert told(sure) == "intent: a (0.99) → documents"


def test_ways_lead_to_rankings() -> None:
    assert ranking_of(Intent("a", 1, ("graph",)), "bm25") == (True, "graph")
    assert ranking_of(Intent("a", 1, ("documents",)), "bm25") == (True, "bm25")
    assert ranking_of(Intent("a", 1, ("database",)), None) == (False, None)


def test_a_way_with_nothing_to_look_into_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    file = tmp_path / "i.safetensors"
    intents.train(QUESTIONS, {"figures": ("documents",)}, encoder).save(file)
    with pytest.raises(BurnishError, match="the intent figures is answered from documents, which needs an index"):
        Router.open(file, ["database"])
    router = Router.open(file, ["documents", "graph"], device="cpu")
    assert router.of("how many flights").ways in (("documents",), ())


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "0 intents; expected questions of two"),
        ([("a", "x")] * 3 + [("b", "y")], "intent y: 1 examples; expected 3"),
        ([("a", "x"), ("A ", "y")], "i.jsonl:2: is y, but the same question is x"),
    ],
)
def test_questions_that_teach_nothing_are_named(
    rows: list[tuple[str, str]], said: str, encoder: Encoder, tmp_path: Path
) -> None:
    file = tmp_path / "i.jsonl"
    file.write_text("".join(json.dumps({"question": text, "intent": name}) + "\n" for text, name in rows))
    with pytest.raises(DataError, match=said):
        intents.train(read_labelled(file), {}, encoder)


def test_a_line_ends_with_its_line_feed_and_with_no_other_separator(tmp_path: Path) -> None:
    file = tmp_path / "i.jsonl"
    file.write_text('{"question": "a\u2028b\x85c", "intent": "x"}\n\n{"question": "d", "intent": "y"}\n', "utf-8")
    assert [(one.text, one.place) for one in read_labelled(file)] == [
        ("a\u2028b\x85c", f"{file}:1"),
        ("d", f"{file}:3"),
    ]


def test_lines_at_fault_are_named(tmp_path: Path) -> None:
    file = tmp_path / "i.jsonl"
    for line, said in (
        ('{"question": "a"}', "i.jsonl:1: expected"),
        ('{"question": 1, "intent": "a"}', "must be texts"),
    ):
        file.write_text(line)
        with pytest.raises(DataError, match=said):
            read_labelled(file)
    with pytest.raises(DataError, match="no way 'web'; expected of documents"):
        intents._check(QUESTIONS, ("figures", "talk"), {"talk": ("web",)})
