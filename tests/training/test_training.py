"""The loop: same gradient however a step is split, same bits after a stop, clear errors."""

import json
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from burnish.datasets.batches import Batch, Steps, document_batches, grouped_steps, micro_batches, shuffled_steps
from burnish.errors import BurnishError
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, add_lora
from burnish.nn.scalar import ScalarModel
from burnish.objectives.language_model import LanguageModel, language_model
from burnish.objectives.objective import Mean, Measured
from burnish.training.config import TrainingConfig
from burnish.training.events import EventLog, read_events
from burnish.training.interrupt import Interrupted
from burnish.training.loop import Progress, train
from burnish.training.names import STATE_FILE
from burnish.training.schedule import learning_rate
from tiny_models import TINY, tiny_decoder

DOCUMENTS = [[(i * 7 + j * j) % 50 for j in range(5 + i % 6)] for i in range(24)]


def _steps(config: TrainingConfig, seed: int = 3) -> Steps:
    plan = shuffled_steps(len(DOCUMENTS), batch_size=config.batch_size, epochs=config.epochs, seed=seed)
    return Steps(
        plan,
        lambda group: document_batches([DOCUMENTS[i] for i in group], micro_batch_tokens=config.micro_batch_tokens),
    )


def _config(**changes: object) -> TrainingConfig:
    return TrainingConfig(
        **{"learning_rate": 1e-2, "batch_size": 6, "epochs": 2, "checkpoint_seconds": 0, "warmup_fraction": 0.2}
        | changes
    )


def _weights(decoder: Decoder) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in decoder.named_parameters()}


def _train(folder: Path, config: TrainingConfig, **options: object) -> Decoder:
    decoder = tiny_decoder()
    if "lora" in options:
        add_lora(decoder, options.pop("lora"), seed=0)
    train(decoder, language_model, _steps(config), config, folder=folder, seed=3, identity="run", **options)
    return decoder


def test_bfloat16_training_sees_the_weights_that_it_changes(tmp_path: Path) -> None:
    decoder = tiny_decoder()
    decoder.set_compute_dtype(torch.bfloat16)
    config = _config(epochs=8)
    train(decoder, language_model, _steps(config), config, folder=tmp_path, seed=3, identity="run")
    fresh = Decoder(TINY, compute_dtype=torch.bfloat16)
    fresh.load_state_dict(decoder.state_dict())
    (batch, *_) = _steps(config)[0]
    with torch.no_grad():
        kept, new = (model.logps(batch.forest, batch.scored).mean() for model in (decoder, fresh.eval()))
        before = tiny_decoder().logps(batch.forest, batch.scored).mean()
    assert kept == new, "a cast that the loop keeps is of an earlier weight"
    assert new > before + 0.5


def test_the_objective_reads_the_outputs_that_the_loop_is_given(tmp_path: Path) -> None:
    """A critic regresses its scalars on the number of tokens; sampling a step leaves the model in evaluation mode."""
    model = ScalarModel(tiny_decoder())

    class Sampled(Steps):
        def __getitem__(self, step: int) -> list[Batch]:
            model.eval()
            return super().__getitem__(step)

    class SquaredError:
        reads = ()

        def counts(self, batch: Batch) -> tuple[int]:
            return (batch.n_entries,)

        def __call__(self, values: torch.Tensor, batch: Batch) -> Measured:
            assert model.training
            assert model.decoder.training
            error = (values - batch.forest.positions[batch.scored] / 5).square().sum()
            return (error,), {"error": Mean(error, batch.n_entries)}

    config = _config(epochs=10)
    steps = _steps(config)
    train(
        model,
        SquaredError(),
        Sampled(steps.plan, steps.build),
        config,
        folder=tmp_path,
        seed=3,
        identity="run",
        outputs=lambda batch: model(batch.forest, batch.scored),
        step_metrics=lambda step: {"reward": 2.0 * step},
    )
    events = read_events(tmp_path)
    assert [event["reward"] for event in events] == [2.0 * step for step in range(len(steps))]
    assert events[-1]["error"] == events[-1]["loss"] < 0.2 * events[0]["loss"]


def test_the_loss_falls_and_every_step_is_logged(tmp_path: Path) -> None:
    seen: list[Progress] = []
    _train(tmp_path, _config(epochs=15), on_progress=seen.append)
    events = read_events(tmp_path)
    assert [event["step"] for event in events] == list(range(60))
    assert events[-1]["loss"] < 0.8 * events[0]["loss"]
    assert {"loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "time"} <= events[0].keys()
    assert (seen[-1].step, seen[-1].n_steps) == (60, 60)
    assert any((tmp_path / "tensorboard").iterdir())


def test_splitting_a_step_changes_only_memory(tmp_path: Path) -> None:
    whole = _weights(_train(tmp_path / "whole", _config(max_grad_norm=1e9, eps=1e-2)))
    split_config = _config(max_grad_norm=1e9, eps=1e-2, micro_batch_tokens=12)
    assert len(_steps(split_config)[0]) > 2
    for name, weight in _weights(_train(tmp_path / "split", split_config)).items():
        torch.testing.assert_close(weight, whole[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2, dropout=0.3)])
@pytest.mark.parametrize("stop_after", [1, 5])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path: Path, lora: LoraConfig | None, stop_after: int) -> None:
    options = {} if lora is None else {"lora": lora}
    expected = _weights(_train(tmp_path / "whole", _config(), **options))

    def stop(progress: Progress) -> None:
        if progress.step == stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="run the same command"):
        # The state is saved at the end of the step that is under way.
        _train(tmp_path / "cut", _config(checkpoint_seconds=1e9), on_progress=stop, **options)
    resumed: list[Progress] = []
    found = _weights(_train(tmp_path / "cut", _config(), on_progress=resumed.append, **options))
    assert resumed[0].step == stop_after + 1
    for name, weight in found.items():
        assert torch.equal(weight, expected[name]), name
    assert [event["step"] for event in read_events(tmp_path / "cut")] == list(range(8))


def test_running_statistics_are_part_of_the_state(tmp_path: Path) -> None:
    def batch_normed(folder: Path, stop_after: int | None = None) -> dict[str, torch.Tensor]:
        def stop(progress: Progress) -> None:
            if progress.step == stop_after:
                os.kill(os.getpid(), signal.SIGINT)

        decoder = Decoder(replace(TINY, norm="batch"))
        config = _config(checkpoint_seconds=1e9)
        train(
            decoder, language_model, _steps(config), config, folder=folder, seed=3, identity="run", on_progress=stop
        )  # fmt: skip
        return decoder.state_dict()

    expected = batch_normed(tmp_path / "whole")
    assert any("running_mean" in name and buffer.any() for name, buffer in expected.items())
    with pytest.raises(Interrupted):
        batch_normed(tmp_path / "cut", stop_after=5)
    for name, tensor in batch_normed(tmp_path / "cut").items():
        assert torch.equal(tensor, expected[name]), name


def test_a_state_of_another_run_is_not_gone_on_from(tmp_path: Path) -> None:
    config = _config()
    _train(tmp_path, config)
    assert (tmp_path / STATE_FILE).exists()
    decoder, resumed = tiny_decoder(), []
    train(
        decoder, language_model, _steps(config), config, folder=tmp_path, seed=3, identity="other",
        on_progress=resumed.append,
    )  # fmt: skip
    assert resumed[0].step == 1


@pytest.mark.parametrize("damage", ["truncate", "other tensors", "not safetensors", "a flipped bit"])
def test_a_damaged_state_is_a_clear_error(tmp_path: Path, damage: str) -> None:
    _train(tmp_path, _config())
    state = tmp_path / STATE_FILE
    if damage == "truncate":
        state.write_bytes(state.read_bytes()[:-100])
    elif damage == "a flipped bit":
        data = bytearray(state.read_bytes())
        data[-1000] ^= 4
        state.write_bytes(bytes(data))
    elif damage == "not safetensors":
        state.write_bytes(b"hello")
    else:
        metadata = {"state": json.dumps({"step": 2, "identity": "run"})}
        first = next(iter(load_file(state).items()))
        save_file({first[0]: first[1]}, state, metadata=metadata)
    with pytest.raises(BurnishError, match=rf"{STATE_FILE}: the saved training state cannot be read .*delete it"):
        _train(tmp_path, _config())


def test_a_diverging_loss_stops_with_the_step_and_the_cure(tmp_path: Path) -> None:
    class Explode(LanguageModel):
        def __call__(self, logps: torch.Tensor, batch: Batch) -> Measured:
            return (logps.sum() * torch.inf,), {}

    config = _config()
    with pytest.raises(BurnishError, match=r"step 1 of 8: the loss is .*lower the learning rate"):
        train(tiny_decoder(), Explode(), _steps(config), config, folder=tmp_path, seed=0, identity="run")


def test_events_of_steps_that_run_again_are_dropped(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        for step in range(5):
            log.write(step=step, loss=float(step))
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')  # killed in the middle of a line
    with EventLog(tmp_path, first_step=3) as log:
        log.write(step=3, loss=30.0)
    assert [event["loss"] for event in read_events(tmp_path)] == [0.0, 1.0, 2.0, 30.0]


def test_events_are_only_appended_to(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        for step in range(5):
            log.write(step=step, loss=float(step))
    before = (tmp_path / "events.jsonl").read_bytes()
    with EventLog(tmp_path, first_step=3) as log:
        log.write(step=3, loss=30.0)
    assert (tmp_path / "events.jsonl").read_bytes().startswith(before)
    with EventLog(tmp_path) as log:
        log.write(step=0, loss=40.0)
    assert [event["loss"] for event in read_events(tmp_path)] == [40.0], "a training from its start has no past"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[: len(data) // 2], r"last line was cut short.*events of 3 of the 5 finished steps are gone"),
        (lambda _: b"", "events of 5 of the 5 finished steps are gone, the first of step 0"),
        (
            lambda data: data[data.index(b"\n") + 1 :],
            "events of 1 of the 5 finished steps are gone, the first of step 0",
        ),
        (lambda data: data.replace(b'"step"', b'"\xffte\xfe"', 1), "1 of 5 lines cannot be read.*events of 1 of the 5"),
        (lambda data: data.replace(b"0", b"[" * 5000, 1), "1 of 5 lines cannot be read.*events of 1 of the 5"),
        (
            lambda data: data.replace(b'"step": 1', b'"step": "1"', 1),
            "1 of 5 lines cannot be read.*events of 1 of the 5",
        ),
        (lambda data: data, ""),
    ],
)
def test_lost_events_are_said(tmp_path: Path, damage: Callable[[bytes], bytes], said: str) -> None:
    with EventLog(tmp_path) as log:
        for step in range(5):
            log.write(step=step, loss=float(step))
    file = tmp_path / "events.jsonl"
    file.write_bytes(damage(file.read_bytes()))
    notices: list[str] = []
    with EventLog(tmp_path, first_step=5, on_notice=notices.append) as log:
        log.write(step=5, loss=5.0)
    assert re.search(said, " ".join(notices), re.DOTALL)
    assert bool(said) == bool(notices)
    assert all(str(file) in notice for notice in notices)
    assert read_events(tmp_path)[-1]["loss"] == 5.0


def test_a_second_ctrl_c_says_which_steps_are_lost(tmp_path: Path) -> None:
    asked: list[int] = []

    def stop_twice(progress: Progress) -> None:
        if progress.step == 5:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    options = {"on_progress": stop_twice, "on_stop": lambda: asked.append(1)}
    with pytest.raises(Interrupted, match=r"stopped at once, after 5 of 8 steps; the last 5 of them are lost"):
        _train(tmp_path, _config(checkpoint_seconds=1e9), **options)
    assert asked == [1], "the first one is answered"
    assert not (tmp_path / STATE_FILE).exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_that_end_a_program_save_as_ctrl_c_does(tmp_path: Path, number: signal.Signals) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 3:
            os.kill(os.getpid(), number)

    with pytest.raises(Interrupted, match="stopped after step 3 of 8"):
        _train(tmp_path, _config(checkpoint_seconds=1e9), on_progress=stop)
    assert (tmp_path / STATE_FILE).exists()


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """What `nohup` starts outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        _train(tmp_path, _config(), on_progress=lambda _: os.kill(os.getpid(), signal.SIGHUP))
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_no_step_at_all_is_an_error(tmp_path: Path) -> None:
    config = _config()
    with pytest.raises(BurnishError, match="there is no step to do, so nothing would be learned"):
        train(tiny_decoder(), language_model, Steps([], lambda _: []), config, folder=tmp_path, seed=3, identity="run")


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_the_schedule_warms_up_and_decays(schedule: str) -> None:
    config = TrainingConfig(learning_rate=2.0, schedule=schedule, warmup_fraction=0.1, min_lr_fraction=0.25)
    rates = [learning_rate(step, 100, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[10] == 2.0
    assert rates[9] == 2.0
    if schedule == "constant":
        assert set(rates[10:]) == {2.0}
    else:
        assert rates[10:] == sorted(rates[10:], reverse=True)
        assert 0.5 < rates[-1] < 0.52
        middle = {"linear": 1.25, "cosine": 1.25}[schedule]
        assert rates[55] == pytest.approx(middle)


def test_shuffled_steps_visit_every_example_once_an_epoch() -> None:
    plan = shuffled_steps(10, batch_size=4, epochs=2.5, seed=1)
    assert [len(step) for step in plan] == [4, 4, 4, 4, 4, 4, 1]
    order = [i for step in plan for i in step]
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))
    assert order[:10] != order[10:20]
    assert plan == shuffled_steps(10, batch_size=4, epochs=2.5, seed=1)


def test_grouped_steps_keep_groups_together() -> None:
    groups = ["a", "b", "a", "c", "b", "a", "d"]
    plan = grouped_steps(groups, batch_size=3, epochs=2, seed=1)
    order = [i for step in plan for i in step]
    assert [len(step) for step in plan] == [3, 3, 3, 3, 2]
    for epoch in (order[:7], order[7:]):
        assert sorted(epoch) == list(range(7))
        seen = [groups[i] for i in epoch]
        assert [one for one, before in zip(seen, [None, *seen], strict=False) if one != before] == list(
            dict.fromkeys(seen)
        )
    assert order[:7] != order[7:]


def test_micro_batches_count_a_shared_prompt_once() -> None:
    prompt = list(range(100))
    units = [[[*prompt, 200 + i] + [i] * 9] for i in range(10)]
    assert [len(group) for group in micro_batches(units, 200)] == [10]
    assert sorted(i for group in micro_batches(units, 150) for i in group) == list(range(10))
    assert [len(group) for group in micro_batches(units, 150)] == [5, 5]
    assert [len(group) for group in micro_batches(units, 1)] == [1] * 10
