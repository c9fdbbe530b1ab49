"""KTO equals its formula over padded matrices, in value and gradient, and TRL's in value."""

from pathlib import Path
from typing import Any

import pytest
import torch
from naive import assert_close, gradients, naive_logps, padded_logps, step_of
from torch import Tensor
from trl_trainers import EOS, arguments, text, words_tokenizer

from burnish.datasets.batches import labelled_batches
from burnish.datasets.examples import LabelledExample
from burnish.nn.decoder import Decoder
from burnish.objectives.kto import KTO, kl_baseline, kto_loss
from in_transformers import in_transformers
from tiny_models import tiny_decoder

EXAMPLES = [
    LabelledExample(list(range(20)), [30, 31, 32], True),
    LabelledExample(list(range(20)), [33, 34], False),
    LabelledExample([5, 6, 7], [36, 37, 38, 39], True),
    LabelledExample([8, 9], [40], True),
]
WEIGHTS = {"desirable_weight": 0.8, "undesirable_weight": 1.7}


def with_answers(examples: list[LabelledExample], answers: list[list[int]]) -> list[tuple[list[int], list[int]]]:
    return [(example.prompt, answer) for example, answer in zip(examples, answers, strict=True)]


def baseline(decoder: Decoder, reference: Decoder, examples: list[LabelledExample]) -> Tensor:
    """From each prompt with the answer of the row before it, as TRL pairs them."""
    answers = [example.answer for example in examples]
    mismatched = with_answers(examples, [answers[-1], *answers[:-1]])
    sums = [padded_logps(model, mismatched)[0].sum(1).detach() for model in (decoder, reference)]
    return kl_baseline(*sums)


def ours(
    decoder: Decoder, reference: Decoder, examples: list[LabelledExample], *, tokens: int = 1000, kl: Tensor
) -> tuple[Tensor, dict[str, float]]:
    reference_logps = [naive_logps(reference, one.prompt, one.answer).detach() for one in examples]
    batches = labelled_batches(examples, micro_batch_tokens=tokens, reference_logps=reference_logps, kl=kl)
    assert (len(batches) > 1) == (tokens < 100)
    return step_of(decoder, KTO(0.3, **WEIGHTS), batches)


@pytest.mark.parametrize("tokens", [1000, 30])
@pytest.mark.parametrize("kl", [0.0, 1.3])
def test_the_loss_is_that_of_the_formula(tokens: int, kl: float) -> None:
    decoder, reference = tiny_decoder(0, 5), tiny_decoder(1, 5)
    found, metrics = ours(decoder, reference, EXAMPLES, tokens=tokens, kl=torch.tensor(kl))
    answers = with_answers(EXAMPLES, [example.answer for example in EXAMPLES])
    logps, mask = padded_logps(decoder, answers)
    ratios = ((logps - padded_logps(reference, answers)[0].detach()) * mask).sum(1)
    losses = []
    for ratio, example in zip(ratios, EXAMPLES, strict=True):
        # λ_y - v(x, y) of equation 7.
        value = 1 / (1 + torch.exp(-0.3 * ((ratio - kl) if example.desired else (kl - ratio))))
        weight = 0.8 if example.desired else 1.7
        losses.append(weight - weight * value)
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(found, expected)
    assert_close(gradients(decoder, found), gradients(decoder, expected))
    desired = torch.tensor([example.desired for example in EXAMPLES])
    assert metrics["rewards/chosen"] == pytest.approx(0.3 * ratios[desired].mean().item(), rel=1e-4)
    assert metrics["rewards/rejected"] == pytest.approx(0.3 * ratios[~desired].mean().item(), rel=1e-4)
    assert metrics["logps/chosen"] == pytest.approx(logps.sum(1)[desired].mean().item(), rel=1e-4)
    assert metrics["kl"] == pytest.approx(kl)


def test_a_step_of_one_kind_has_no_metrics_of_the_other() -> None:
    decoder = tiny_decoder(0, 5)
    _, metrics = ours(decoder, decoder, [EXAMPLES[0], EXAMPLES[2]], kl=torch.tensor(0.0))
    assert set(metrics) == {"kl", "rewards/chosen", "logps/chosen"}


def test_the_baseline_is_a_mean_that_is_not_negative() -> None:
    assert kl_baseline(torch.tensor([-1.0, -2.0]), torch.tensor([-3.0, -1.0])).item() == pytest.approx(0.5)
    assert kl_baseline(torch.tensor([-9.0, -2.0]), torch.tensor([-3.0, -1.0])).item() == 0


def test_the_loss_is_finite_for_extreme_ratios() -> None:
    ratios = torch.tensor([-3000.0, 3000.0], requires_grad=True)
    losses = kto_loss(ratios, torch.tensor([True, False]), torch.tensor(0.0), beta=1.0)
    losses.sum().backward()
    assert losses.tolist() == [1.0, 1.0]
    assert torch.isfinite(ratios.grad).all()


@pytest.mark.parametrize("swapped", [False, True])
def test_loss_and_metrics_are_those_of_trl(swapped: bool, tmp_path: Path) -> None:
    """Of the models and the models swapped, one baseline is above zero and one is cut off at it."""
    from trl import KTOConfig, KTOTrainer

    from datasets import Dataset

    decoder, reference = tiny_decoder(int(swapped), 5), tiny_decoder(int(not swapped), 5)
    rows = [{"prompt": text(e.prompt), "completion": text(e.answer), "label": e.desired} for e in EXAMPLES]
    trainer: Any = KTOTrainer(
        in_transformers(decoder),
        in_transformers(reference),
        args=KTOConfig(**arguments(tmp_path, 4), beta=0.3, **WEIGHTS),
        train_dataset=Dataset.from_list(rows),
        processing_class=words_tokenizer(),
    )
    theirs = trainer.compute_loss(trainer.model.train(), next(iter(trainer.get_train_dataloader()))).item()
    closed = [LabelledExample(one.prompt, [*one.answer, EOS], one.desired) for one in EXAMPLES]
    kl = baseline(decoder, reference, closed)
    found, metrics = ours(decoder, reference, closed, kl=kl)
    assert found.item() == pytest.approx(theirs, rel=1e-4)
    for key, value in metrics.items():
        assert value == pytest.approx(trainer._metrics["train"][key][0], rel=1e-3), key
    assert (kl > 0) == (not swapped)
