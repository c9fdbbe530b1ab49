"""Pre-training from Python: architectures are decoders' configurations, and the same work gives the same bits."""

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

import burnish
from burnish.checkpoints.families import family_for, no_family
from burnish.corpus.building import build_corpus
from burnish.corpus.documents import Document
from burnish.corpus.token_corpus import TokenCorpus
from burnish.errors import BurnishError, DataError
from burnish.methods import pretrain
from burnish.methods.architecture import PRESETS, Architecture
from burnish.nn.config import DecoderConfig, NormKind, Placement
from burnish.nn.decoder import Decoder
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer
from burnish.text.tokenizer_training import train_tokenizer

TEXTS = [f"{i} and {j} is {i + j}. " * 4 for i in range(6) for j in range(6)]
SIZES = {"d_model": 16, "n_layers": 1, "n_heads": 2}
OMITTED = {
    "vocab_size": "the tokenizer's",
    "causal": "a token that sees the next one has nothing to predict",
    "logits_bias": "a constant that no training changes",
    "model_type": "a new model comes from no family",
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, vocab_size=290)


@pytest.fixture(scope="module")
def corpus(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> TokenCorpus:
    groups = {
        name: [Document(f"{name}{i}", name + text, name) for i, text in enumerate(TEXTS)]
        for name in ("domain", "general")
    }
    folder = tmp_path_factory.mktemp("corpus")
    return build_corpus(groups, tokenizer, folder, window=32, heldout_fraction=0.2)[0]


def settings(**architecture: Any) -> pretrain.Settings:
    training = {"batch_size": 8, "micro_batch_tokens": 512}
    return pretrain.Settings.model_validate({"architecture": {**SIZES, **architecture}, "training": training})


OF_PAIRS = ("encoder_layers", "cross_kv_heads")
"""Keys of encoder-decoders, which tests of pairs of texts follow."""


def test_an_architecture_has_every_key_of_a_decoder_with_its_default() -> None:
    keys = {field.name: field.default for field in fields(DecoderConfig)}
    assert Architecture.model_fields.keys() - {"preset", *OF_PAIRS} == keys.keys() - OMITTED.keys()
    made = Architecture.model_validate({}).config(7, window=DecoderConfig.max_positions)
    for name, default in keys.items():
        if default is not MISSING:
            assert getattr(made, name) == default, name


def test_every_key_reaches_the_decoder() -> None:
    written: dict[str, Any] = {
        "d_model": 24,
        "n_layers": 3,
        "n_heads": 4,
        "n_kv_heads": 2,
        "head_dim": 8,
        "d_ff": 40,
        "max_positions": 99,
        "tie_embeddings": False,
        "embedding_scale": 2.0,
        "embedding_norm": True,
        "logits_softcap": 30.0,
        "qkv_bias": True,
        "attention_bias": True,
        "qk_norm": "head",
        "attention_scale": 0.5,
        "attention_softcap": 20.0,
        "sliding_window": 9,
        "full_attention_layers": [0],
        "positions": "rotary",
        "rope_theta": 500.0,
        "rope_scaling": {"kind": "yarn", "factor": 2.0, "original_max_positions": 50},
        "local_rope_theta": 100.0,
        "rotary_dim": 4,
        "unrotated_layers": [1],
        "activation": "relu",
        "gated": False,
        "feed_forward_bias": True,
        "norm": "layer",
        "norm_placement": "pre",
        "norm_eps": 1e-3,
        "norm_bias": False,
        "residual": False,
        "parallel": True,
        "shared_norm": True,
    }
    assert written.keys() == Architecture.model_fields.keys() - {"preset", *OF_PAIRS}
    made = Architecture.model_validate(written).config(7, window=5)
    for name, value in written.items():
        found = getattr(made, name)
        if name == "rope_scaling":
            assert (found.kind, found.factor, found.original_max_positions) == ("yarn", 2.0, 50)
        else:
            assert found == (tuple(value) if isinstance(value, list) else value), name


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_written_counts_before_the_preset(preset: str) -> None:
    chosen = Architecture.model_validate({"preset": preset, **SIZES, "activation": "relu", "norm_eps": 0.5})
    made = chosen.config(7, window=5)
    assert (made.activation, made.norm_eps, made.max_positions) == ("relu", 0.5, 5)
    if preset in ("llama", "qwen3", "olmo2", "gpt2"):
        assert (
            family_for(Architecture.model_validate({"preset": preset, **SIZES}).config(7, window=5)).model_type
            == preset
        )
    else:
        assert no_family(made)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("placement", get_args(Placement))
@pytest.mark.parametrize("norm", get_args(NormKind))
def test_every_norm_in_every_placement_is_a_decoder_or_is_refused(
    norm: NormKind, placement: Placement, residual: bool
) -> None:
    chosen = Architecture.model_validate({**SIZES, "norm": norm, "norm_placement": placement, "residual": residual})
    problems = list(chosen.contradictions())
    if norm == "weight" and placement not in ("pre", "deepnorm"):
        assert [key for key, _ in problems] == ["norm"]
        return
    assert problems == []
    Decoder(chosen.config(7, window=5))


def same(one: Decoder, other: Decoder) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_same_work_gives_the_same_bits_and_leaves_the_model(
    corpus: TokenCorpus, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    chosen = settings(norm="batch", residual=False)
    found = [
        pretrain.train(corpus, tokenizer, chosen, Run(tmp_path / str(i)), device="cpu", compute_dtype="float32")
        for i in range(2)
    ]
    (model, measured), (again, measured_again) = found
    assert same(model, again)
    for numbers in (measured, measured_again):
        del numbers["tokens_per_second"]
    assert measured == measured_again
    kept, kept_tokenizer = burnish.load(tmp_path / "0" / "model", compute_dtype=torch.float32, device="cpu")
    assert same(model, kept)
    assert kept_tokenizer.context_length == 32
    assert measured["vocab_size"] == tokenizer.vocab_size
    assert {*measured["perplexity"]} == {"domain", "general"}
    assert measured["tokens_read"] == measured["tokens"] == sum(group.n_tokens for group in corpus.train.values())
    for before_and_after in measured["perplexity"].values():
        assert before_and_after["before"] == pytest.approx(tokenizer.vocab_size, rel=0.2)


def test_another_seed_is_another_model() -> None:
    config = settings().architecture.config(9, window=4)
    one, two = (pretrain.drawn(config, seed=seed) for seed in (1, 2))
    assert same(one, pretrain.drawn(config, seed=1))
    assert not same(one, two)


def test_what_does_not_fit_is_refused(corpus: TokenCorpus, tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match=r"architecture\.n_heads: n_heads \(3\) must divide d_model \(16\)"):
        pretrain.train(corpus, tokenizer, settings(n_heads=3), Run(tmp_path), device="cpu")
    with pytest.raises(DataError, match="the corpus was made for a vocabulary of"):
        pretrain.train(corpus, train_tokenizer([], vocab_size=260), settings(), Run(tmp_path), device="cpu")
    with pytest.raises(ValueError, match="positions that the model has learned"):
        pretrain.train(corpus, tokenizer, settings(preset="gpt2", max_positions=8), Run(tmp_path), device="cpu")
