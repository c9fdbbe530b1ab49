"""The loss of labelled tokens equals its formula and TRL's PRMTrainer, in value, gradient and trained weights."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from naive import step_of

from burnish.datasets.batches import Batch, Steps
from burnish.datasets.token_labels import LabelledSequence, label_batches, with_all_tokens
from burnish.forest import Forest
from burnish.nn.process_reward import ProcessRewardModel
from burnish.nn.scalar import ScalarModel
from burnish.objectives.process_reward import LabelledTokens, label_losses
from burnish.objectives.verifier import JointVerifier, Verified
from burnish.text.steps import encode_steps
from burnish.training.config import TrainingConfig
from burnish.training.events import read_events
from burnish.training.loop import train
from tiny_models import tiny_decoder

TRL: dict[str, Any] = json.loads(Path(__file__).with_name("trl_prm.json").read_text(encoding="utf-8"))
EXAMPLES = [
    LabelledSequence(tokens, [label >= 0 for label in labels], [float(label) for label in labels if label >= 0])
    for tokens, labels in zip(TRL["input_ids"], TRL["labels"], strict=True)
]
SOFT = [LabelledSequence(one.tokens, one.mask, [0.1 + 0.2 * i for i in range(len(one.labels))]) for one in EXAMPLES]


def reward_model() -> ProcessRewardModel:
    return ProcessRewardModel(tiny_decoder(0, 5), seed=3)


@pytest.mark.parametrize("examples", [EXAMPLES, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize("mean_over", ["labels", "examples"])
@pytest.mark.parametrize("tokens", [1000, 30])
def test_it_is_the_cross_entropy_of_single_sequences(
    tokens: int, mean_over: Literal["labels", "examples"], examples: list[LabelledSequence]
) -> None:
    model = reward_model()
    torch.nn.init.normal_(model.bias)
    batches = label_batches(examples, micro_batch_tokens=tokens)
    found, metrics = step_of(
        model.decoder, LabelledTokens(mean_over), batches, lambda batch: model.log_odds(batch.forest, batch.scored)
    )
    losses, right, rewards = [], [], []
    for example in examples:
        sequence = torch.tensor(example.tokens)
        hidden = model.decoder(Forest(sequence, (len(sequence),), (-1,)))
        labels = torch.tensor(example.labels)
        logits = (hidden @ model.score.T + model.bias)[torch.tensor(example.mask)]
        losses.append(F.cross_entropy(logits, torch.stack([1 - labels, labels], dim=1), reduction="none"))
        right.append((logits.argmax(1) == (labels > 0.5)).float())
        rewards.append(logits.softmax(1)[:, 1])
    expected = torch.cat(losses).mean() if mean_over == "labels" else torch.stack([one.mean() for one in losses]).mean()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    parameters = list(model.parameters())
    for a, b in zip(torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters), strict=True):
        assert (a - b).norm() <= 2e-5 * b.norm() + 1e-6
    assert metrics["accuracy"] == pytest.approx(torch.cat(right).mean().item())
    assert metrics["mean_reward"] == pytest.approx(torch.cat(rewards).mean().item(), rel=1e-4)


@given(st.floats(-2000, 2000), st.floats(0, 1))
def test_it_is_finite_and_smallest_where_the_probability_is_the_label(z: float, label: float) -> None:
    odds = torch.tensor([z, 0.0], dtype=torch.float64).requires_grad_()
    losses = label_losses(odds, torch.tensor([label, label], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(losses.sum(), odds)
    assert losses.isfinite().all()
    torch.testing.assert_close(gradient, odds.detach().sigmoid() - label)


def test_steps_are_the_tokens_of_trl() -> None:
    class Words:
        def encode(self, text: str) -> list[int]:
            return [int(word) for word in text.split()]

    separator = " ".join(map(str, TRL["separator"]))
    for row, tokens, labels in zip(TRL["rows"], TRL["input_ids"], TRL["labels"], strict=True):
        steps = [" ".join(map(str, step)) for step in row["steps"]]
        found, ends = encode_steps(Words(), steps, separator)  # type: ignore[arg-type]
        assert row["prompt"] + found == tokens
        at_ends = dict(zip([len(row["prompt"]) + end for end in ends], map(int, row["labels"]), strict=True))
        assert [at_ends.get(place, -100) for place in range(len(tokens))] == labels


def test_the_curve_and_the_trained_head_are_those_of_trl(tmp_path: Path) -> None:
    theirs, n_steps = TRL["settings"], len(TRL["steps"])
    config = TrainingConfig(
        learning_rate=theirs["learning_rate"],
        betas=(theirs["adam_beta1"], theirs["adam_beta2"]),
        max_grad_norm=theirs["max_grad_norm"],
        batch_size=len(EXAMPLES),
        warmup_fraction=0.0,
        schedule="constant",
    )
    model = reward_model()
    batches = label_batches(EXAMPLES, micro_batch_tokens=40)
    loss, metrics = step_of(
        model.decoder, LabelledTokens(), batches, lambda batch: model.log_odds(batch.forest, batch.scored)
    )
    assert loss.item() == pytest.approx(TRL["loss_before"], rel=1e-4)
    assert metrics["accuracy"] == pytest.approx(TRL["accuracy_before"])
    train(
        model,
        LabelledTokens(),
        Steps([range(len(EXAMPLES))] * n_steps, lambda _: batches),
        config,
        folder=tmp_path,
        seed=0,
        identity="prm",
        outputs=lambda batch: model.log_odds(batch.forest, batch.scored),
    )
    for event, entry in zip(read_events(tmp_path), TRL["steps"], strict=True):
        assert event["loss"] == pytest.approx(entry["loss"], rel=1e-3, abs=1e-4)
        assert event["grad_norm"] == pytest.approx(entry["grad_norm"], rel=1e-3, abs=1e-3)
    torch.testing.assert_close(model.score, torch.tensor(TRL["score_after"]), rtol=1e-3, atol=2e-4)
    torch.testing.assert_close(model.bias, torch.tensor(TRL["bias_after"]), rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("mean_over", ["labels", "examples"])
@pytest.mark.parametrize("label_at", ["answer", "tokens"])
def test_a_joint_verifier_imitates_right_answers_alone(label_at: str, mean_over: Literal["labels", "examples"]) -> None:
    model, coefficient = ScalarModel(tiny_decoder(0, 5), seed=3), 0.3
    examples = []
    for number, (prompt, answer) in enumerate(
        [([5, 6, 7], [8, 9]), ([5, 6, 7], [8, 10, 11]), ([12], [13, 14, 15, 16])]
    ):
        size = len(answer) if label_at == "tokens" else 1
        mask = [False] * (len(prompt) + len(answer) - size) + [True] * size
        examples.append(LabelledSequence(prompt + answer, mask, [float(number != 1)] * size, len(prompt)))
    batches = label_batches([with_all_tokens(one) for one in examples], micro_batch_tokens=8)
    assert len(batches) > 1

    def outputs(batch: Batch) -> Verified:
        return Verified(*model.with_logps(batch.forest, batch.scored))

    found, metrics = step_of(model.decoder, JointVerifier(coefficient, mean_over), batches, outputs)
    losses, nll = [], torch.zeros(())
    for example in examples:
        sequence = torch.tensor(example.tokens)
        forest = Forest(sequence, (len(sequence),), (-1,))
        odds = (model.decoder(forest) @ model.score.T)[torch.tensor(example.mask), 0]
        probabilities = odds.sigmoid() if example.labels[-1] else 1 - odds.sigmoid()
        losses.append(-probabilities.log())
        if example.labels[-1]:
            nll = nll - model.decoder.logps(forest, torch.arange(example.n_prompt, len(sequence))).sum()
    of_labels = torch.cat(losses).mean() if mean_over == "labels" else torch.stack([a.mean() for a in losses]).mean()
    expected = of_labels + coefficient * nll / 9  # tokens of all answers
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    parameters = [model.score, *model.decoder.parameters()]
    for a, b in zip(torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters), strict=True):
        assert (a - b).norm() <= 2e-5 * b.norm() + 1e-6
    assert metrics["nll_loss"] == pytest.approx(nll.item() / 6, rel=1e-5)
    assert metrics["right"] == pytest.approx(2 / 3 if label_at == "answer" else 6 / 9)
