"""Held-out loss on the way, the best weights, patience, snapshots, dropout, float16: and the same bits after a stop."""

import os
import signal
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from test_training import DOCUMENTS, _config, _steps, _weights

from burnish.datasets.batches import Steps, document_batches
from burnish.errors import BurnishError
from burnish.hardware import choose_compute_dtype
from burnish.nn.config import Dropout
from burnish.nn.decoder import Decoder
from burnish.objectives.language_model import language_model
from burnish.objectives.objective import measure
from burnish.training import loss_scale
from burnish.training.config import TrainingConfig
from burnish.training.events import read_events
from burnish.training.interrupt import Interrupted
from burnish.training.loop import Progress, TrainingReport, train
from burnish.training.names import BEST_FILE
from burnish.training.schedule import learning_rate
from burnish.training.state import discard_state
from tiny_models import tiny_decoder

HELD_OUT = [[(i * 11 + j * j * 3) % 50 for j in range(8)] for i in range(6)]
OVERFITS = {"learning_rate": 2e-2, "epochs": 4, "eval_steps": 2}
"""Sixteen steps, after some of which other documents are the less likely the more is learned."""


def heldout_loss(decoder: Decoder) -> dict[str, float]:
    with torch.no_grad():
        batches = document_batches(HELD_OUT, micro_batch_tokens=1000)
        return measure(language_model, [(batch, decoder.logps(batch.forest, batch.scored)) for batch in batches])


def run(folder: Path, *, dtype: torch.dtype = torch.float32, **settings: Any) -> tuple[TrainingReport, Decoder]:
    options = {key: settings.pop(key) for key in ("on_progress", "on_notice", "snapshot") if key in settings}
    decoder = tiny_decoder()
    decoder.set_compute_dtype(dtype)
    config = _config(**settings)
    evaluate = partial(heldout_loss, decoder) if config.eval_steps else None
    report = train(
        decoder, language_model, _steps(config), config, folder=folder, seed=3, identity="run", evaluate=evaluate,
        **options,
    )  # fmt: skip
    return report, decoder


def stopping_after(step: int) -> Callable[[Progress], None]:
    def stop(progress: Progress) -> None:
        if progress.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return stop


def test_the_best_weights_are_those_of_the_smallest_heldout_loss(tmp_path: Path) -> None:
    said: list[str] = []
    report, decoder = run(tmp_path, **OVERFITS, keep_best=True, on_notice=said.append)
    measured = {event["step"] + 1: event["eval_loss"] for event in read_events(tmp_path) if "eval_loss" in event}
    assert list(measured) == [2, 4, 6, 8, 10, 12, 14, 16]
    best = min(measured, key=measured.__getitem__)
    assert best < 16, "the case does not overfit"
    assert report.metrics["best_step"] == best
    assert heldout_loss(decoder)["loss"] == measured[best] == report.metrics["best_eval_loss"]
    assert f"the model is the one after step {best} of 16" in " ".join(said)
    assert (tmp_path / BEST_FILE).exists()
    discard_state(tmp_path)
    assert not (tmp_path / BEST_FILE).exists()


def test_out_of_patience_training_stops_and_says_so(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "whole", **OVERFITS)
    said: list[str] = []
    report, _ = run(tmp_path / "patient", **OVERFITS, patience=2, on_notice=said.append)
    assert report.steps == report.metrics["best_step"] + 4 < 16 == whole.steps
    assert f"stopped after step {report.steps} of 16, out of patience" in said[0]
    assert [event["step"] for event in read_events(tmp_path / "patient")] == list(range(report.steps))


EVERYTHING = OVERFITS | {
    "patience": 3, "keep_best": True, "attention_dropout": 0.2, "residual_dropout": 0.1, "embedding_dropout": 0.1,
    "schedule": "wsd",
}  # fmt: skip


@pytest.mark.parametrize("stop_after", [1, 4, 7])
def test_all_of_it_ends_with_the_same_bits_after_a_stop(tmp_path: Path, stop_after: int) -> None:
    expected, decoder = run(tmp_path / "whole", **EVERYTHING)
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", **EVERYTHING, checkpoint_seconds=1e9, on_progress=stopping_after(stop_after))
    found, resumed = run(tmp_path / "cut", **EVERYTHING)
    assert found.steps == expected.steps
    changing = ("tokens_per_second",)
    assert {k: v for k, v in found.metrics.items() if k not in changing} == {
        k: v for k, v in expected.metrics.items() if k not in changing
    }
    for name, weight in _weights(resumed).items():
        assert torch.equal(weight, _weights(decoder)[name]), name


def test_best_weights_newer_than_the_saved_state_are_made_again(tmp_path: Path) -> None:
    """Killed between the two: the state knows an older best than the file has."""
    expected, decoder = run(tmp_path / "whole", **OVERFITS, keep_best=True)
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", **OVERFITS, keep_best=True, checkpoint_seconds=1e9, on_progress=stopping_after(1))
    best = (tmp_path / "whole" / BEST_FILE).read_bytes()
    (tmp_path / "cut" / BEST_FILE).write_bytes(best)
    found, resumed = run(tmp_path / "cut", **OVERFITS, keep_best=True)
    assert found.metrics["best_step"] == expected.metrics["best_step"]
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters(), decoder.parameters(), strict=True))


def test_best_weights_that_are_gone_are_an_error(tmp_path: Path) -> None:
    def lose(progress: Progress) -> None:
        if progress.step == 15:
            (tmp_path / BEST_FILE).unlink()

    with pytest.raises(BurnishError, match=rf"{BEST_FILE}: the best weights, of step \d+, cannot be read"):
        run(tmp_path, **OVERFITS, keep_best=True, on_progress=lose)


def test_snapshots_are_written_after_their_steps(tmp_path: Path) -> None:
    seen: list[Path] = []
    run(tmp_path, epochs=2, snapshot_steps=3, snapshot=seen.append)
    assert seen == [tmp_path / "snapshots" / "3", tmp_path / "snapshots" / "6"]
    with pytest.raises(BurnishError, match="snapshot_steps: nothing here can write a model"):
        run(tmp_path, epochs=2, snapshot_steps=3)


def test_nothing_held_out_is_an_error(tmp_path: Path) -> None:
    config = _config(eval_steps=2)
    with pytest.raises(BurnishError, match=r"training\.eval_steps: got 2, but nothing is held out"):
        train(tiny_decoder(), language_model, _steps(config), config, folder=tmp_path, seed=3, identity="run")


@pytest.mark.parametrize("key", [{"patience": 2}, {"keep_best": True}])
def test_what_goes_by_the_heldout_loss_needs_eval_steps(key: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="goes by the held-out loss, which nothing measures: set eval_steps"):
        TrainingConfig(**key)


def test_dropout_is_of_the_training_alone(tmp_path: Path) -> None:
    _, plain = run(tmp_path / "plain", epochs=1)
    for kind in ("attention", "residual", "embedding"):
        _, dropped = run(tmp_path / kind, epochs=1, **{f"{kind}_dropout": 0.3})
        assert dropped.dropout == Dropout()
        assert any(not torch.equal(a, b) for a, b in zip(plain.parameters(), dropped.parameters(), strict=True)), kind
        again = heldout_loss(dropped.train()), heldout_loss(dropped.eval())
        assert again[0] == again[1], "a trained model drops nothing, in whatever mode"


@pytest.mark.parametrize("fraction", [0.0, 0.25])
def test_wsd_is_constant_and_decays_at_the_end(fraction: float) -> None:
    config = TrainingConfig(
        learning_rate=2.0, schedule="wsd", warmup_fraction=0.1, decay_fraction=0.2, min_lr_fraction=fraction
    )
    rates = [learning_rate(step, 100, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert set(rates[10:81]) == {2.0}
    assert rates[90] == pytest.approx(2.0 * (fraction + (1 - fraction) * 0.5))
    assert rates[99] == pytest.approx(2.0 * (fraction + (1 - fraction) * 0.05))


def test_float16_is_for_gpus() -> None:
    with pytest.raises(BurnishError, match="float16' was asked for, but a CPU"):
        choose_compute_dtype("float16", torch.device("cpu"))
    assert choose_compute_dtype("float16", torch.device("cuda")) == torch.float16


@pytest.mark.slow
def test_float16_training_scales_its_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scale that is too large changes no weight and is halved; then it learns what float32 learns."""
    monkeypatch.setattr(loss_scale, "INITIAL", 2.0**40)
    monkeypatch.setattr(loss_scale, "INTERVAL", 3)
    _, decoder = run(tmp_path / "half", dtype=torch.float16, epochs=12)
    events = read_events(tmp_path / "half")
    scales = [event["loss_scale"] for event in events]
    skipped = sum(b == a / 2 for a, b in zip([2.0**40, *scales], scales, strict=False))
    assert 5 < skipped < 40
    assert scales[0] == 2.0**39
    assert any(b == 2 * a for a, b in pairwise(scales)), "after good steps it doubles"
    assert events[-1]["loss"] < events[0]["loss"] - 0.3
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", dtype=torch.float16, epochs=12, on_progress=stopping_after(3), checkpoint_seconds=1e9)
    _, resumed = run(tmp_path / "cut", dtype=torch.float16, epochs=12)
    for name, weight in _weights(resumed).items():
        assert torch.equal(weight, _weights(decoder)[name]), name


def test_gradients_that_no_scale_helps_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_scale, "INITIAL", loss_scale.SMALLEST)
    decoder = tiny_decoder()
    decoder.set_compute_dtype(torch.float16)
    decoder.embedding.weight.register_hook(lambda gradient: gradient * torch.inf)
    config = _config()
    steps = Steps([[0]] * 4, lambda _: document_batches(DOCUMENTS[:1], micro_batch_tokens=100))
    with pytest.raises(BurnishError, match=r"step 2 of 4: .*gradient norm"):
        train(decoder, language_model, steps, config, folder=tmp_path, seed=3, identity="run")
