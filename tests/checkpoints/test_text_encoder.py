"""Encoders: states equal to transformers', pooling as sentence-transformers' files say, and bad folders named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from burnish.checkpoints.text_encoder import load_text_encoder
from burnish.corpus.embeddings import Embedder
from burnish.errors import BurnishError, CheckpointError
from burnish.forest import Forest
from tiny_encoder import SIZES, save_encoder, save_tokenizer


def save_reference(folder: Path, kind: str = "Bert", **settings: Any) -> Any:
    """A random model of transformers', saved; returns it."""
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **settings})
    model = getattr(transformers, f"{kind}Model")(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return model


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("encoder")
    return folder, save_reference(folder)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Bert", {"hidden_act": "relu"}),
        ("Bert", {"type_vocab_size": 3, "layer_norm_eps": 1e-6}),
        ("Roberta", {"pad_token_id": 1, "type_vocab_size": 1}),
        ("XLMRoberta", {"pad_token_id": 1, "hidden_act": "gelu_new"}),
    ],
)
def test_states_are_those_of_transformers(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    reference = save_reference(tmp_path, kind, **settings)
    ours = load_text_encoder(tmp_path, compute_dtype="float32", device="cpu")
    texts = [[2, 5, 6, 3], [2, 7, 8, 9, 10, 14, 3], [2, 9, 8, 7, 3], [2, 3]]
    with torch.inference_mode():
        states = ours.network(Forest.from_segments((text, -1) for text in texts))
        for text, found in zip(texts, states.split([len(text) for text in texts]), strict=True):
            expected = reference(torch.tensor([text])).last_hidden_state[0]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert ours.max_length == ours.network.config.max_positions == (34 if kind == "Bert" else 32)


def test_vectors_are_means_of_states_of_unit_length(encoder: tuple[Path, Any]) -> None:
    folder, reference = encoder
    embedder = Embedder(load_text_encoder(folder, compute_dtype="float32", device="cpu"))
    texts = ["cancel tasks", "A queue, a task.", "", "x[SEP]"]
    vectors = embedder.embed(texts, "document")
    ids = [[2, 17, 14, 15, 3], [2, 4, 16, 18, 4, 14, 19, 3], None, [2, 1, 1, 1, 1, 3]]
    for vector, expected_ids in zip(vectors, ids, strict=True):
        if expected_ids is None:
            assert not vector.any()
            continue
        with torch.inference_mode():
            mean = reference(torch.tensor([expected_ids])).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=1e-5)
    assert embedder.token_starts("cancel tasks") == [0, 7, 11]


def test_longer_texts_are_means_of_their_pieces(encoder: tuple[Path, Any]) -> None:
    folder, _ = encoder
    embedder = Embedder(load_text_encoder(folder, compute_dtype="float32", device="cpu"))
    words = ["task", "queue", "a", "b", "cancel"] * 9
    first, second, whole = embedder.embed([" ".join(words[:32]), " ".join(words[32:]), " ".join(words)], "document")
    mean = (32 * first + 13 * second) / 45
    np.testing.assert_allclose(whole, mean / np.linalg.norm(mean), atol=1e-5)


def test_pooling_and_prompts_are_read(tmp_path: Path) -> None:
    reference = save_reference(tmp_path)
    write = {
        "modules.json": [{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "1_P"}],
        "1_P/config.json": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
        "sentence_bert_config.json": {"max_seq_length": 16, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": {"query": "a b ", "passage": ""}},
    }
    (tmp_path / "1_P").mkdir()
    for name, value in write.items():
        (tmp_path / name).write_text(json.dumps(value))
    loaded = load_text_encoder(tmp_path, compute_dtype="float32", device="cpu")
    assert (loaded.pooling, loaded.max_length) == ("cls", 16)
    embedder = Embedder(loaded)
    with torch.inference_mode():
        first = reference(torch.tensor([[2, 4, 5, 14, 3]])).last_hidden_state[0, 0]
    np.testing.assert_allclose(embedder.embed(["task"], "query")[0], (first / first.norm()).numpy(), atol=1e-5)
    np.testing.assert_array_equal(embedder.embed(["a b task"], "document"), embedder.embed(["task"], "query"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("config.json", {"model_type": "gpt2"}, "model_type is 'gpt2'; the supported encoders are bert, roberta"),
        ("config.json", {"is_decoder": True}, "is_decoder is True, which is not supported"),
        ("config.json", {"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ("config.json", {"type_vocab_size": -1}, "type_vocab_size is -1; expected a number above 0"),
        ("config.json", {"num_hidden_layers": 3}, "is missing"),
        ("modules.json", [{"type": "x.Dense"}], "a module 'x.Dense', which is not supported yet"),
        ("modules.json", [{"type": "x.Pooling", "path": "../1"}], "the module's folder .* is not beside it"),
        ("modules.json", {}, "must hold a list of objects"),
        ("sentence_bert_config.json", {"max_seq_length": "9"}, "max_seq_length is '9'"),
        ("sentence_bert_config.json", {"do_lower_case": True}, "do_lower_case is true"),
        ("config_sentence_transformers.json", {"prompts": [1]}, r"prompts is \[1\]; expected an object of texts"),
        ("tokenizer.json", {}, "is not a tokenizer that can be read"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, value: Any, message: str, tmp_path: Path) -> None:
    save_encoder(tmp_path)
    file = tmp_path / name
    if name == "config.json":
        value = {**json.loads(file.read_text()), **value}
    file.write_text(json.dumps(value))
    with pytest.raises(BurnishError, match=message) as caught:
        load_text_encoder(tmp_path, compute_dtype="float32", device="cpu")
    assert str(tmp_path) in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such folder; an encoder is one"):
        load_text_encoder(tmp_path / "none")


@pytest.mark.slow
def test_the_real_encoder(minilm_path: Path) -> None:
    """Vectors equal to transformers' with sentence-transformers' pooling, padded as there."""
    import transformers

    model = transformers.BertModel.from_pretrained(minilm_path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_path)
    texts = ["How do I cancel a task?", "Tasks are cancelled by cancel().", "größer — 日本語", "word " * 150]
    batch = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    expected = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1)).numpy()
    found = Embedder(load_text_encoder(minilm_path, compute_dtype="float32", device="cpu")).embed(texts, "document")
    np.testing.assert_allclose(found, expected, atol=2e-6)
