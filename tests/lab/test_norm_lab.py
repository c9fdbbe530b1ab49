"""`burnish lab norm` at toy scale: what it measures is what it says, and an interruption loses nothing."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from burnish.console.display import Display
from burnish.errors import BurnishError
from burnish.forest import Forest
from burnish.lab.norm import experiment as norm
from burnish.lab.norm import training as norm_training
from burnish.lab.norm.decoders import PLACEMENTS, architecture, drawn, kinds, placed
from burnish.lab.norm.experiment import Scale
from burnish.lab.norm.experiments import BatchExperiment
from burnish.lab.norm.gradients import exponent, feed_forward_gradients
from burnish.lab.norm.step_time import OperationwiseLayerNorm, OperationwiseRMSNorm, TimedStep, taking_turns
from burnish.lab.norm.training import Trainer, Training, TrainingOutcome, batch_statistics_loss, unigram_loss
from burnish.lab.notebook import Notebook
from burnish.lab.pretraining import Pretraining, TextSteps, heldout_loss
from burnish.lab.text import LabText
from burnish.nn.decoder import Decoder
from burnish.nn.norm import LayerNorm, RMSNorm
from burnish.training.interrupt import Interrupted
from conducting import conducted

MODEL = architecture(d_model=16, head_dim=8)
SETTINGS = Pretraining(steps=3, tokens_per_step=64, sequence_length=16, learning_rate=1e-2, warmup_fraction=0.5)
TOY = Scale(
    alone=(8,),
    alone_tokens=4,
    steps=(TimedStep(d_model=32, n_layers=1, batch_size=2, sequence_length=4),),
    model=MODEL,
    gradient_depths=(1, 2),
    gradient_seeds=2,
    gradient_sequences=2,
    pretraining=SETTINGS,
    depths=(1, 2),
    warmups=(0.0, 0.5),
    seeds=1,
    rates=(1e-3, 1e-2),
    rate_depth=1,
    kind_depth=1,
    batch_depth=1,
    batch_sizes=(1, 4),
    heldout_tokens=64,
)


@pytest.fixture
def text() -> LabText:
    rng = np.random.default_rng(0)
    train, heldout = (rng.choice(np.arange(97, 123, dtype=np.uint8), size) for size in (4096, 1024))
    return LabText(train, heldout, "random letters")


def run(folder: Path, **options: Any) -> dict[str, Any]:
    """The experiment at toy scale; what it wrote as JSON."""
    defaults: dict[str, Any] = {"minutes": 1e-6, "seed": 5, "threads": 1, "scale": TOY}
    files = conducted(norm.NormExperiment, folder, **(defaults | options))
    assert [file.name for file in files] == ["norm.md", "norm.json", "norm.svg"]
    return json.loads((folder / "norm.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("norm"))


def training(**changes: Any) -> Training:
    return Training(**({"config": placed(MODEL, "post", 2), "settings": SETTINGS, "seed": 0} | changes))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_gradient_norms_are_those_of_the_textbook_loss(placement: str) -> None:
    decoder = drawn(placed(MODEL, placement, 3), seed=1)
    forest = Forest.from_segments([([1, 2, 3, 4], -1), ([7, 8, 9], -1)])
    found = feed_forward_gradients(decoder, forest)
    logits = decoder.logits(decoder(forest))
    losses = F.cross_entropy(logits[[0, 1, 2, 4, 5]], torch.tensor([2, 3, 4, 8, 9]))
    losses.backward()
    expected = [block.feed_forward.down.weight.grad.square().sum().sqrt().item() for block in decoder.blocks]
    assert found == pytest.approx(expected, rel=1e-4)


def test_weights_are_drawn_by_xaviers_rule_and_scaled_by_deepnorms_beta() -> None:
    wide = replace(architecture(d_model=128, head_dim=32), n_layers=2)
    for placement, beta in (("pre", 1.0), ("deepnorm", (8 * 2) ** -0.25)):
        block = drawn(replace(wide, norm_placement=placement), seed=0).blocks[0]
        deviations = {name: block.attention.qkv.weight[rows].std() for name, rows in block.attention.qkv.parts.items()}
        xavier = math.sqrt(2 / 256)
        assert deviations["q"].item() == pytest.approx(xavier, rel=0.05)
        assert deviations["v"].item() == pytest.approx(beta * xavier, rel=0.05)
        assert block.feed_forward.down.weight.std().item() == pytest.approx(beta * math.sqrt(2 / 640), rel=0.05)


def test_the_same_seed_draws_the_same_weights_for_every_norm() -> None:
    decoders = [drawn(placed(MODEL, "pre", 2, kind), seed=3) for kind in ("layer", "weight")]
    products = [decoder.blocks[1].feed_forward.up(torch.eye(16)) for decoder in decoders]
    torch.testing.assert_close(*products)


def test_the_exponent_is_that_of_the_power_law() -> None:
    assert exponent([2, 8, 32], [3 * depth**-0.5 for depth in (2, 8, 32)]) == pytest.approx(-0.5)
    assert exponent([2, 8], [1.0, 0.0]) is None
    assert exponent([2], [1.0]) is None


@pytest.mark.parametrize(("slow", "fused"), [(OperationwiseLayerNorm, LayerNorm), (OperationwiseRMSNorm, RMSNorm)])
def test_norms_operation_by_operation_are_the_same_functions(
    slow: Callable[..., torch.nn.Module], fused: Callable[..., torch.nn.Module]
) -> None:
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    outs = [kind(8, eps=1e-3)(x) for kind in (slow, fused)]
    torch.testing.assert_close(*outs)
    grads = [torch.autograd.grad((out * torch.arange(8)).sum(), x)[0] for out in outs]
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


def test_all_variants_take_as_many_turns() -> None:
    calls: list[str] = []
    actions = {name: lambda name=name: calls.append(name) for name in "abc"}
    times = taking_turns(actions, seconds=0, least=4)
    assert {name: len(values) for name, values in times.items()} == dict.fromkeys("abc", 4)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab" + "abc"


def test_unigram_loss_is_the_cross_entropy_of_byte_frequencies() -> None:
    text = LabText(np.array([1, 1, 2], np.uint8), np.array([1, 3], np.uint8), "")
    total = 3 + 256
    assert unigram_loss(text) == pytest.approx(-(math.log(3 / total) + math.log(1 / total)) / 2)


@pytest.mark.parametrize(
    ("heldout", "diverged"),
    [(2.0, False), (2.9, False), (2.99, True), (3.5, True), (math.nan, True), (math.inf, True), (None, True)],
)
def test_what_counts_as_diverged(heldout: float | None, diverged: bool) -> None:
    assert TrainingOutcome([3.0], heldout).diverged(unigram=3.0) is diverged


def test_a_training_that_is_not_finite_is_an_outcome(tmp_path: Path, text: LabText) -> None:
    trainer = Trainer(text, Notebook(tmp_path, {}), 64, torch.device("cpu"))
    wild = training(config=placed(MODEL, "pre", 2, "none"), settings=replace(SETTINGS, learning_rate=1e25))
    with Display(quiet=True).bar("", 1, "") as bar:
        outcome = trainer.run([wild], bar)[wild.name]
    assert outcome.heldout is None
    assert len(outcome.losses) in (1, 2)
    assert outcome.diverged(unigram=100.0)
    assert not (tmp_path / wild.name).exists()


def test_any_other_error_is_not_a_divergence(tmp_path: Path, text: LabText, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise BurnishError("cannot write: No space left on device")

    monkeypatch.setattr(norm_training, "fit", full)
    trainer = Trainer(text, Notebook(tmp_path, {}), 64, torch.device("cpu"))
    with pytest.raises(BurnishError, match="No space left"), Display(quiet=True).bar("", 1, "") as bar:
        trainer.run([training()], bar)


def test_batch_statistics_change_only_batch_norm_and_leave_it_as_it_was(text: LabText) -> None:
    windows = text.windows(16, heldout=True).tolist()
    plain = drawn(placed(MODEL, "pre", 2), seed=0).eval()
    assert batch_statistics_loss(plain, [windows[:32], windows[32:]]) == pytest.approx(
        heldout_loss(plain, text, sequence_length=16), abs=1e-5
    )
    normed = drawn(placed(MODEL, "pre", 2, "batch"), seed=0).eval()
    before = {name: tensor.clone() for name, tensor in normed.state_dict().items()}
    by_batch = batch_statistics_loss(normed, [windows])
    assert by_batch != pytest.approx(heldout_loss(normed, text, sequence_length=16), abs=1e-3)
    assert not normed.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in normed.state_dict().items())


def test_micro_batches_hold_as_many_sequences_as_the_statistics_are_of(text: LabText) -> None:
    experiment = BatchExperiment(config=MODEL, settings=SETTINGS, sizes=(1, 2, 4), seeds=(0,))
    for size in experiment.sizes:
        batches = TextSteps(text, experiment.training("batch", size, 0).settings, seed=0)[0]
        assert [batch.n_rows for batch in batches] == [size] * (4 // size)


def test_names_of_different_trainings_differ() -> None:
    configs = [config for by_placement in kinds(MODEL).values() for config in by_placement.values()]
    names = {training(config=config).name for config in configs}
    names |= {training(settings=replace(SETTINGS, **{key: 1e-9}), seed=1).name for key in ("learning_rate",)}
    assert len(names) == len(configs) + 1


def test_everything_is_in_the_tables(whole: dict[str, Any]) -> None:
    tables = {table["title"]: table for table in whole["tables"]}
    alone, step, last, ratio, depth, rate, kind, batch = tables.values()
    norms = {"LayerNorm", "RMSNorm", "BatchNorm", "WeightNorm"}
    assert norms <= {row[0] for row in alone["rows"]}
    assert norms | {"no norm"} <= {row[0] for row in step["rows"]}
    for table in (last, ratio):
        assert set(PLACEMENTS) | {"no norm", "pre, no residual", "no norm, no residual"} <= {
            r[0] for r in table["rows"]
        }
    assert [row[:2] for row in depth["rows"]] == [
        [placement, warmup] for placement in PLACEMENTS for warmup in ("no warm-up", "warm-up 50%")
    ]
    assert depth["columns"][2:] == ["L = 1", "L = 2"]
    assert [row[0] for row in rate["rows"]] == ["pre", "post", "deepnorm"]
    assert {row[0] for row in kind["rows"]} == norms | {"no norm", "LayerNorm, no residual"}
    for row in kind["rows"]:
        missing = [cell is None for cell in row[1:]]
        assert sum(missing) == {"WeightNorm": 3, "no norm": 3, "LayerNorm, no residual": 3}.get(row[0], 0)
    assert [row[0] for row in batch["rows"]] == ["BatchNorm, 1 sequences", "BatchNorm, 4 sequences", "LayerNorm"]
    for _, _, by_batch, running, gap in batch["rows"][:2]:
        assert gap == pytest.approx(running - by_batch)
    assert len(whole["panels"]) == 3 + 2 + 1 + 1


@pytest.mark.slow
def test_an_interrupted_experiment_goes_on(
    tmp_path: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, calls = norm_training.fit, []

    def counted(decoder: Decoder, *args: Any, **options: Any) -> list[float]:
        calls.append(options["folder"].name)
        if len(calls) == 4:
            raise Interrupted
        return fit(decoder, *args, **options)

    monkeypatch.setattr(norm_training, "fit", counted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    found = run(tmp_path)
    assert len(calls) == len(set(calls)) + 1, "only the interrupted training begins twice"
    timed = 2
    assert found["tables"][timed:] == whole["tables"][timed:]
    calls.clear()
    assert run(tmp_path)["tables"] == found["tables"]
    assert calls == []
