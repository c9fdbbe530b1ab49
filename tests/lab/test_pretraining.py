"""Training in the lab: it learns, it goes on where it stopped with the same bits, and does nothing twice."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from burnish.lab.pretraining import (
    WEIGHTS,
    Pretraining,
    TextSteps,
    fit,
    heldout_loss,
    losses,
    mean_and_deviation,
    pretrain,
    seconds_per_step,
)
from burnish.lab.text import LabText
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.training.loop import Progress

CONFIG = DecoderConfig(vocab_size=256, d_model=16, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=8, d_ff=32)
SETTINGS = Pretraining(steps=12, tokens_per_step=128, sequence_length=32, learning_rate=1e-2, checkpoint_seconds=0.0)


def toy_text(seed: int = 0) -> LabText:
    """Bytes that are each the one before plus one, from random starts: soon learned."""
    starts = np.random.default_rng(seed).integers(0, 200, size=(60, 1))
    windows = (starts + np.arange(40)).astype(np.uint8)
    return LabText(windows[:50].flatten(), windows[50:].flatten(), "toy")


def test_it_learns(tmp_path: Path) -> None:
    decoder, found = pretrain(CONFIG, toy_text(), replace(SETTINGS, steps=60), seed=1, folder=tmp_path)
    assert len(found) == 60
    assert found == losses(tmp_path)
    assert abs(found[0] - math.log(256)) < 0.2
    assert heldout_loss(decoder, toy_text(), sequence_length=32) < found[0] - 1


def test_an_interrupted_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, expected = pretrain(CONFIG, toy_text(), SETTINGS, seed=1, folder=tmp_path / "whole")

    def stop(progress: Progress) -> None:
        if progress.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(CONFIG, toy_text(), SETTINGS, seed=1, folder=tmp_path / "parts", on_progress=stop)
    steps: list[int] = []
    parts, found = pretrain(
        CONFIG, toy_text(), SETTINGS, seed=1, folder=tmp_path / "parts", on_progress=lambda p: steps.append(p.step)
    )
    assert steps[0] > 1
    assert found == expected
    for name, tensor in whole.state_dict().items():
        assert torch.equal(parts.state_dict()[name], tensor), name


def test_a_finished_training_is_not_repeated_and_another_is_not_mistaken_for_it(tmp_path: Path) -> None:
    steps: list[int] = []

    def count(progress: Progress) -> None:
        steps.append(progress.step)

    def train(seed: int = 1, text: LabText | None = None, settings: Pretraining = SETTINGS) -> Decoder:
        steps.clear()
        return pretrain(CONFIG, text or toy_text(), settings, seed=seed, folder=tmp_path, on_progress=count)[0]

    first = train()
    again = train()
    assert steps == []
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in first.state_dict().items())
    for other in ({"seed": 2}, {"text": toy_text(9)}, {"settings": replace(SETTINGS, learning_rate=2e-2)}):
        train(**other)  # type: ignore[arg-type]
        assert len(steps) == SETTINGS.steps


def test_damaged_weights_are_trained_again(tmp_path: Path) -> None:
    pretrain(CONFIG, toy_text(), SETTINGS, seed=1, folder=tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"not safetensors")
    _, found = pretrain(CONFIG, toy_text(), SETTINGS, seed=1, folder=tmp_path)
    assert len(found) == SETTINGS.steps


def test_training_on_takes_the_data_that_comes_next(tmp_path: Path) -> None:
    all_steps = TextSteps(toy_text(), replace(SETTINGS, steps=20), seed=3)
    later = TextSteps(toy_text(), replace(SETTINGS, steps=8), seed=3, first=12)
    for step in range(8):
        assert torch.equal(later[step][0].forest.tokens, all_steps[12 + step][0].forest.tokens)
    fit(Decoder(CONFIG), toy_text(), replace(SETTINGS, steps=2), seed=3, first=12, folder=tmp_path)


def test_every_epoch_sees_every_window_once() -> None:
    text = toy_text()
    n_windows = len(text.windows(32))
    steps = TextSteps(text, replace(SETTINGS, tokens_per_step=32, steps=2 * n_windows), seed=0)
    seen = [tuple(steps[step][0].forest.tokens.tolist()) for step in range(2 * n_windows)]
    assert sorted(seen[:n_windows]) == sorted(map(tuple, text.windows(32).tolist())) == sorted(seen[n_windows:])
    assert seen[:n_windows] != seen[n_windows:]


def test_heldout_loss_is_that_of_the_logits() -> None:
    text, decoder = toy_text(), Decoder(CONFIG)
    windows = torch.from_numpy(text.windows(32, heldout=True))
    from burnish.forest import Forest

    total = 0.0
    for window in windows:
        forest = Forest.from_segments([(window.tolist(), -1)])
        with torch.no_grad():
            logps = decoder.logits(decoder(forest)).log_softmax(-1)
        total -= logps[:-1].gather(1, window[1:, None]).sum().item()
    assert heldout_loss(decoder, text, sequence_length=32) == pytest.approx(total / (len(windows) * 31), rel=1e-5)


def test_seconds_per_step_is_a_time() -> None:
    assert 0 < seconds_per_step(Decoder(CONFIG), toy_text(), SETTINGS) < 60


def test_mean_and_deviation() -> None:
    assert mean_and_deviation([1.0, 3.0]) == (2.0, pytest.approx(math.sqrt(2)))
    assert mean_and_deviation([5.0]) == (5.0, None)
