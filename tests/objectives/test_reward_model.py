"""The losses of reward models equal their formulas, in value and gradient, and TRL's trainer, step by step."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from naive import step_of
from torch import Tensor

import burnish
from burnish.datasets.batches import Batch, Steps
from burnish.datasets.rankings import RankedExample, ranked_batches
from burnish.forest import Forest
from burnish.nn.scalar import ScalarModel
from burnish.objectives.reward_model import RewardModelling, bradley_terry, off_centre, plackett_luce
from burnish.training.config import TrainingConfig
from burnish.training.events import read_events
from burnish.training.loop import train
from tiny_models import tiny_decoder

PROMPT = list(range(20))
PAIRS = [
    RankedExample(PROMPT, [[30, 31, 32, 48], [33, 34, 48]], margin=1.0),
    RankedExample(PROMPT, [[35, 48], [36, 37, 38, 39, 48]], margin=0.5),
    RankedExample([5, 6, 7], [[40, 41, 48], [40, 42, 43, 48]]),
    RankedExample([9, 8, 7, 6], [[44, 48], [45, 46, 48]], margin=-0.25),
]
LISTS = [*PAIRS, RankedExample(PROMPT, [[30, 48], [31, 32, 48], [33, 48], [34, 48]])]


def reward_model(seed: int = 0) -> ScalarModel:
    return ScalarModel(tiny_decoder(seed, 5), seed=seed)


def naive_reward(model: ScalarModel, prompt: list[int], answer: list[int]) -> Tensor:
    """The scalar at the last token of one sequence by itself."""
    sequence = torch.tensor(prompt + answer)
    hidden = model.decoder(Forest(sequence, (len(sequence),), (-1,)))
    return (hidden[-1] * model.score[0]).sum()


def ours(
    model: ScalarModel, examples: Sequence[RankedExample], objective: RewardModelling, tokens: int, weight: float = 0.0
) -> tuple[Tensor, dict[str, float]]:
    batches = ranked_batches(examples, micro_batch_tokens=tokens, margin_weight=weight)
    return step_of(model.decoder, objective, batches, lambda batch: model(batch.forest, batch.scored))


def assert_agree(model: ScalarModel, found: Tensor, expected: Tensor) -> None:
    """In value, and in the gradient of every parameter."""
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    parameters = list(model.parameters())
    for a, b in zip(torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters), strict=True):
        assert (a - b).norm() <= 2e-5 * b.norm() + 1e-6


@pytest.mark.parametrize("tokens", [1000, 30])
@pytest.mark.parametrize("centre", [0.0, 0.1])
@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_bradley_terry_over_all_pairs_of_each_list(weight: float, centre: float, tokens: int) -> None:
    model = reward_model()
    objective = RewardModelling(center_rewards_coefficient=centre)
    found, metrics = ours(model, LISTS, objective, tokens, weight)
    losses, right, margins, rewards = [], [], [], []
    for example in LISTS:
        values = [naive_reward(model, example.prompt, answer) for answer in example.answers]
        pairs = list(itertools.combinations(values, 2))
        terms = [
            -torch.log(torch.sigmoid(good - bad - weight * (example.margin or 0.0))) + centre * (good + bad) ** 2
            for good, bad in pairs
        ]
        losses.append(torch.stack(terms).mean())
        right.append(sum(float(good > bad) for good, bad in pairs) / len(pairs))
        margins.append(sum((good - bad).item() for good, bad in pairs) / len(pairs))
        rewards.append(torch.stack(values).mean().item())
    assert_agree(model, found, torch.stack(losses).mean())
    for name, values in {"accuracy": right, "margin": margins, "mean_reward": rewards}.items():
        assert metrics[name] == pytest.approx(sum(values) / len(values), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("tokens", [1000, 30])
def test_plackett_luce_is_the_product_of_choices(tokens: int) -> None:
    model = reward_model(1)
    found, _ = ours(model, LISTS, RewardModelling("plackett_luce"), tokens)
    losses = []
    for example in LISTS:
        left = [naive_reward(model, example.prompt, answer) for answer in example.answers]
        probability = torch.ones(())
        while left:
            exponentials = torch.stack(left).exp()
            probability = probability * exponentials[0] / exponentials.sum()
            left = left[1:]
        losses.append(-probability.log())
    assert_agree(model, found, torch.stack(losses).mean())


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=4))
def test_plackett_luce_is_a_distribution_over_rankings(values: list[float]) -> None:
    rewards = torch.tensor(list(itertools.permutations(values)), dtype=torch.float64)
    assert (-plackett_luce(rewards)).exp().sum().item() == pytest.approx(1.0)


@given(st.floats(-30, 30), st.floats(-30, 30))
def test_two_answers_are_a_pair(first: float, second: float) -> None:
    a, b = torch.tensor(first, dtype=torch.float64), torch.tensor(second, dtype=torch.float64)
    assert plackett_luce(torch.stack([a, b])).item() == pytest.approx(bradley_terry(a, b).item(), abs=1e-12)
    assert bradley_terry(a, b, 1.5).item() == pytest.approx(bradley_terry(a - 1.5, b).item())
    assert off_centre(a, -a).item() == 0


def test_losses_are_finite_where_the_naive_formula_overflows() -> None:
    extreme = torch.tensor([-3000.0, 0.0, 3000.0], requires_grad=True)
    loss = plackett_luce(extreme) + bradley_terry(extreme[0], extreme[2])
    assert loss.item() == pytest.approx(3000 + 6000 + 6000)
    (gradient,) = torch.autograd.grad(loss, extreme)
    assert gradient.isfinite().all()


CENTRE = 0.05
STEPS = 6
RATE = 1e-2


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[Any], Any]:
    """Steps of ours and of TRL's own trainer, from the model that was saved, with the same pairs and optimizer."""
    from tokenizers import AddedToken, models
    from tokenizers import Tokenizer as Backend
    from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast
    from trl import RewardConfig, RewardTrainer

    from burnish.text.tokenizer import Tokenizer
    from datasets import Dataset

    folder = tmp_path_factory.mktemp("trl")
    backend = Backend(models.WordLevel({f"w{i}": i for i in range(50)}, unk_token="w0"))
    backend.add_special_tokens([AddedToken("w49", special=True)])
    model = reward_model()
    burnish.save_reward_model(model, Tokenizer(backend=backend, source="words", pad_id=49), folder / "model")
    pairs = PAIRS[:2]
    config = TrainingConfig(learning_rate=RATE, batch_size=2, epochs=STEPS, warmup_fraction=0.0, schedule="constant")

    def build(numbers: Sequence[int]) -> list[Batch]:
        return ranked_batches([pairs[number] for number in numbers], micro_batch_tokens=1000, margin_weight=1.0)

    train(
        model,
        RewardModelling(center_rewards_coefficient=CENTRE),
        Steps([[0, 1]] * STEPS, build),
        config,
        folder=folder,
        seed=0,
        identity="rewards",
        outputs=lambda batch: model(batch.forest, batch.scored),
    )
    rows = [
        {
            "chosen_ids": pair.prompt + pair.answers[0],
            "rejected_ids": pair.prompt + pair.answers[1],
            "margin": pair.margin,
        }
        for pair in pairs
    ]
    theirs = AutoModelForSequenceClassification.from_pretrained(folder / "model", dtype=torch.float32)
    trainer = RewardTrainer(
        theirs,
        args=RewardConfig(
            str(folder / "theirs"),
            center_rewards_coefficient=CENTRE,
            per_device_train_batch_size=2,
            max_steps=STEPS,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            adam_beta1=config.betas[0],
            adam_beta2=config.betas[1],
            adam_epsilon=config.eps,
            weight_decay=0.0,
            max_grad_norm=config.max_grad_norm,
            logging_steps=1,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            dataloader_pin_memory=False,
            bf16=False,
            gradient_checkpointing=False,
            max_length=None,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=PreTrainedTokenizerFast.from_pretrained(folder / "model", eos_token="w48"),
    )
    trainer.train()
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    return read_events(folder), history, (model, theirs)


def test_the_curves_agree_step_by_step(curves: tuple[list[Any], list[Any], Any]) -> None:
    events, history, _ = curves
    assert len(events) == len(history) == STEPS
    assert events[-1]["loss"] < events[0]["loss"] - 0.1
    for event, entry in zip(events, history, strict=True):
        for name in ("loss", "accuracy", "margin", "mean_reward", "grad_norm"):
            assert event[name] == pytest.approx(entry[name], rel=1e-3, abs=1e-4), name


def test_the_trained_head_is_the_same(curves: tuple[list[Any], list[Any], Any]) -> None:
    model, theirs = curves[2]
    torch.testing.assert_close(model.score, theirs.score.weight, rtol=1e-3, atol=1e-4)
