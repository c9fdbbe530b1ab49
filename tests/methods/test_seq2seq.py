"""An encoder-decoder learns to write targets from sources, from Python alone, and an interrupted one goes on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import burnish
from burnish.datasets.text_pairs import TextPair
from burnish.errors import BurnishError, DataError
from burnish.methods import seq2seq
from burnish.nn.config import DecoderConfig, EncoderDecoderConfig
from burnish.nn.encoder_decoder import EncoderDecoder
from burnish.runs.run import Run
from burnish.training.config import TrainingConfig
from burnish.training.events import read_events
from workshop import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
SIDE = DecoderConfig(
    vocab_size=TOKENIZER.vocab_size, d_model=32, n_layers=1, n_heads=4, n_kv_heads=1, head_dim=8, d_ff=64,
    max_positions=16, positions="learned", norm="layer", gated=False, activation="gelu",
)  # fmt: skip
CONFIG = EncoderDecoderConfig.alike(SIDE, start_id=1, cross_kv_heads=2)
TRAINING: dict[str, Any] = {"batch_size": 32, "learning_rate": 5e-3, "weight_decay": 0.0, "checkpoint_seconds": 1e9}


def _model(seed: int = 0) -> EncoderDecoder:
    """Weights of a size at which so narrow a model attends to something from the first step on."""
    model = seq2seq.drawn(CONFIG, seed=seed)
    for parameter in model.parameters():
        if parameter.dim() == 2:
            parameter.data.mul_(6)
    return model


def _pairs(count: int) -> list[TextPair]:
    """Words of two to four letters, and the same words reversed."""
    draw = np.random.default_rng(0)
    words = ["".join(draw.choice(list("abcd"), size=draw.integers(2, 5)).tolist()) for _ in range(count)]
    return [TextPair(word, word[::-1]) for word in words]


def _settings(**changes: Any) -> seq2seq.Settings:
    own = {"max_source": 8, "max_target": 8, "heldout": 0.1, **changes}
    training = TrainingConfig(**{**TRAINING, **own.pop("training", {})})
    return seq2seq.Settings(training=training, **own)


def test_a_tiny_model_learns_to_reverse_words_it_has_not_seen(tmp_path: Path) -> None:
    model = _model()
    measured = seq2seq.train(model, TOKENIZER, _pairs(400), _settings(training={"epochs": 10}), Run(tmp_path))
    assert measured["heldout_loss"]["before"] > 4
    assert measured["heldout_loss"]["after"] < 0.3
    assert measured["heldout_exact"] > 0.8
    assert measured["steps"] == len(list(read_events(tmp_path)))
    again, _ = burnish.load_encoder_decoder(tmp_path / "model", compute_dtype=torch.float32, device="cpu")
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_the_same_seed_gives_the_same_bits(tmp_path: Path) -> None:
    states = []
    for folder in ("one", "two"):
        model = _model(3)
        seq2seq.train(model, TOKENIZER, _pairs(40), _settings(), Run(tmp_path / folder, seed=5))
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_sources_are_held_out_whole() -> None:
    pairs = [TextPair(f"{number // 2}", f"{number}") for number in range(20)]
    learned, heldout = seq2seq.hold_out(pairs, 0.3, seed=[0])
    assert len(learned) + len(heldout) == 20
    assert len(heldout) == 6
    assert {pair.source for pair in learned}.isdisjoint(pair.source for pair in heldout)
    assert seq2seq.hold_out(pairs[:1], 0.4, seed=[0]) == (pairs[:1], [])


def test_what_cannot_be_learned_from_is_said(tmp_path: Path) -> None:
    model = _model()
    with pytest.raises(BurnishError, match=r"max_target: got 16; .* learned 16 positions: expected at most 15"):
        seq2seq.train(model, TOKENIZER, _pairs(4), _settings(max_target=16), Run(tmp_path))
    with pytest.raises(DataError, match=r"memory: none of 4 pairs can be used; raise max_source \(1\)"):
        seq2seq.train(model, TOKENIZER, _pairs(4), _settings(max_source=1), Run(tmp_path))
    rotary = EncoderDecoderConfig.alike(replace(SIDE, positions="rotary"), start_id=1)
    seq2seq.check_lengths(rotary, _settings(max_target=99))
