"""DPO's losses equal their formulas over padded matrices, in value and gradient, and TRL's in value, step by step."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from naive import PAIRS, assert_close, gradients, padded_logps, pair_answers, pair_reference_logps, step_of
from torch import Tensor
from trl_trainers import arguments, closed, pair_rows, words_tokenizer

from burnish.datasets.batches import Steps, preference_batches
from burnish.datasets.examples import PreferenceExample
from burnish.nn.decoder import Decoder
from burnish.objectives.dpo import DPO, dpo_loss
from burnish.training.config import TrainingConfig
from burnish.training.loop import train
from in_transformers import in_transformers
from tiny_models import tiny_decoder

BETA = 0.3
OPTIONS: dict[str, dict[str, Any]] = {
    "sigmoid": {},
    "conservative": {"label_smoothing": 0.2},
    "hinge": {"loss_type": "hinge"},
    "ipo": {"loss_type": "ipo"},
    "robust": {"loss_type": "robust", "label_smoothing": 0.2},
    "length normalized": {"length_normalized": True},
    "rpo": {"rpo_alpha": 0.7},
    "hinge, rpo": {"loss_type": "hinge", "rpo_alpha": 0.7},
}


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


TEXTBOOK: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda h: -torch.log(sigmoid(BETA * h)),
    "conservative": lambda h: -0.8 * torch.log(sigmoid(BETA * h)) - 0.2 * torch.log(1 - sigmoid(BETA * h)),
    "hinge": lambda h: (1 - BETA * h).clamp(min=0),
    "ipo": lambda h: (h - 0.5 / BETA) ** 2,
    "robust": lambda h: (-0.8 * torch.log(sigmoid(BETA * h)) + 0.2 * torch.log(1 - sigmoid(BETA * h))) / 0.6,
}


def ours(
    decoder: Decoder, reference: Decoder, objective: DPO, tokens: int = 1000, pairs: list[PreferenceExample] = PAIRS
) -> tuple[Tensor, dict[str, float]]:
    reference_logps = pair_reference_logps(reference, pairs)
    batches = preference_batches(pairs, micro_batch_tokens=tokens, reference_logps=reference_logps)
    assert (len(batches) > 1) == (tokens < 100)
    return step_of(decoder, objective, batches)


def textbook(decoder: Decoder, reference: Decoder, name: str) -> tuple[Tensor, dict[str, float]]:
    """Loss and metrics from padded matrices [pairs, longest answer]."""
    sums, means, nll = {}, {}, None
    for which in ("chosen", "rejected"):
        logps, mask = padded_logps(decoder, pair_answers(PAIRS, which))
        reference_logps, _ = padded_logps(reference, pair_answers(PAIRS, which))
        ratios = (logps - reference_logps.detach()) * mask
        sums[which], means[which] = ratios.sum(1), ratios.sum(1) / mask.sum(1)
        if which == "chosen":
            nll = -logps[mask].mean()
    averaged = means if name in ("ipo", "length normalized") else sums
    loss_of = TEXTBOOK.get(name.partition(",")[0], TEXTBOOK["sigmoid"])
    loss = loss_of(averaged["chosen"] - averaged["rejected"]).mean()
    if "rpo" in name:
        loss = loss + 0.7 * nll
    rewards = {which: BETA * values for which, values in sums.items()}
    margins = rewards["chosen"] - rewards["rejected"]
    return loss, {
        "rewards/chosen": rewards["chosen"].mean().item(),
        "rewards/rejected": rewards["rejected"].mean().item(),
        "rewards/margins": margins.mean().item(),
        "rewards/accuracies": (margins > 0).float().mean().item(),
    }


@pytest.mark.parametrize("tokens", [1000, 30])
@pytest.mark.parametrize("name", OPTIONS)
def test_the_loss_is_that_of_the_formula(name: str, tokens: int) -> None:
    decoder, reference = tiny_decoder(0, 5), tiny_decoder(1, 5)
    found, metrics = ours(decoder, reference, DPO(BETA, **OPTIONS[name]), tokens)
    expected, expected_metrics = textbook(decoder, reference, name)
    torch.testing.assert_close(found, expected)
    assert_close(gradients(decoder, found), gradients(decoder, expected))
    for key, value in expected_metrics.items():
        assert metrics[key] == pytest.approx(value, rel=1e-4), key
    assert metrics["kl"] > 0


def test_at_the_reference_the_loss_is_log_two_and_the_kl_zero() -> None:
    decoder = tiny_decoder(0, 5)
    loss, metrics = ours(decoder, decoder, DPO(0.1))
    assert loss.item() == pytest.approx(torch.log(torch.tensor(2.0)).item(), rel=1e-5)
    assert metrics["kl"] == pytest.approx(0, abs=1e-5)


def test_the_loss_is_finite_where_the_naive_formula_overflows() -> None:
    for loss_type in ("sigmoid", "robust"):
        assert dpo_loss(torch.tensor([-2000.0]), beta=1.0, loss_type=loss_type).item() == pytest.approx(2000.0)


def test_an_unknown_loss_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown loss_type 'logistic'; expected one of sigmoid, hinge, ipo, robust"):
        dpo_loss(torch.zeros(1), beta=1.0, loss_type="logistic")


def dpo_trainer(
    folder: Path, policy: Decoder, reference: Decoder, pairs: list[PreferenceExample], **options: Any
) -> Any:
    from trl import DPOConfig, DPOTrainer

    from datasets import Dataset

    class Recorder(DPOTrainer):
        """Keeps the loss of every step unrounded."""

        losses: list[float]

        def compute_loss(self, *args: Any, **kwargs: Any) -> Tensor:
            loss = super().compute_loss(*args, **kwargs)
            self.losses = [*getattr(self, "losses", []), loss.item()]
            return loss

    return Recorder(
        in_transformers(policy),
        in_transformers(reference),
        args=DPOConfig(**arguments(folder, 3), beta=BETA, **options),
        train_dataset=Dataset.from_list(pair_rows(pairs)),
        processing_class=words_tokenizer(),
    )


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return dpo_trainer(tmp_path_factory.mktemp("trl"), tiny_decoder(0, 5), tiny_decoder(1, 5), PAIRS)


# TRL's names for our options: types with weights, and the smoothing.
IN_TRL = {
    "sigmoid": (["sigmoid"], [1.0], 0.0),
    "hinge": (["hinge"], [1.0], 0.0),
    "ipo": (["ipo"], [1.0], 0.0),
    "robust": (["robust"], [1.0], 0.2),
    "length normalized": (["sigmoid_norm"], [1.0], 0.0),
    "rpo": (["sigmoid", "sft"], [1.0, 0.7], 0.0),
    "hinge, rpo": (["hinge", "sft"], [1.0, 0.7], 0.0),
}


@pytest.mark.parametrize("name", IN_TRL)
def test_loss_and_metrics_are_those_of_trl(name: str, trainer: Any) -> None:
    trainer.loss_types, trainer.loss_weights, trainer.label_smoothing = IN_TRL[name]
    trainer._metrics["train"].clear()
    batch = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(trainer.model.train(), batch).item()
    found, metrics = ours(tiny_decoder(0, 5), tiny_decoder(1, 5), DPO(BETA, **OPTIONS[name]), pairs=closed(PAIRS))
    assert found.item() == pytest.approx(theirs, rel=1e-4)
    for key in set(metrics) - {"kl", "nll_loss"}:
        assert metrics[key] == pytest.approx(trainer._metrics["train"][key][0], rel=1e-3), key


def test_conservative_dpo_is_trl_s_aot_of_one_pair(trainer: Any) -> None:
    """TRL smooths labels in `aot`, which sorts the ratios of a batch; with one pair there is nothing to sort."""
    trainer.loss_types, trainer.loss_weights, trainer.label_smoothing = ["aot"], [1.0], 0.2
    batch = trainer.data_collator([trainer.train_dataset[1]])
    theirs = trainer.compute_loss(trainer.model, batch).item()
    pair = closed(PAIRS)[1:2]
    found, _ = ours(tiny_decoder(0, 5), tiny_decoder(1, 5), DPO(BETA, label_smoothing=0.2), pairs=pair)
    assert found.item() == pytest.approx(theirs, rel=1e-4)


def test_the_loss_of_every_step_is_trl_s(tmp_path: Path) -> None:
    """Six steps of AdamW from the same float32 weights over the same pairs, in order."""
    draw = torch.Generator().manual_seed(0)

    def tokens(low: int, high: int) -> list[int]:
        length = int(torch.randint(low, high, (), generator=draw))
        return torch.randint(0, 48, (length,), generator=draw).tolist()

    pairs = [PreferenceExample(tokens(2, 9), tokens(2, 7), tokens(2, 7)) for _ in range(18)]
    trainer = dpo_trainer(
        tmp_path / "trl", tiny_decoder(0, 5), tiny_decoder(0, 5), pairs,
        learning_rate=5e-3, lr_scheduler_type="constant", warmup_steps=0, weight_decay=0.0, max_grad_norm=1.0,
        adam_beta1=0.9, adam_beta2=0.95, max_steps=6, train_sampling_strategy="sequential", save_strategy="no",
        disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    trainer.train()
    decoder = tiny_decoder(0, 5)
    reference_logps = pair_reference_logps(decoder, closed(pairs))
    steps = Steps(
        [range(start, start + 3) for start in range(0, 18, 3)],
        lambda numbers: preference_batches(
            [closed(pairs)[n] for n in numbers],
            micro_batch_tokens=40,
            reference_logps=[reference_logps[n] for n in numbers],
        ),
    )
    config = TrainingConfig(learning_rate=5e-3, schedule="constant", warmup_fraction=0, betas=(0.9, 0.95))
    train(decoder, DPO(BETA), steps, config, folder=tmp_path, seed=0, identity="run")
    found = [json.loads(line)["loss"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert len(set(found)) == 6
    assert found == pytest.approx(trainer.losses, rel=1e-3)
