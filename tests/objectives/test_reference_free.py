"""SimPO, ORPO and CPO equal their formulas over padded matrices, in value and gradient, and TRL's in value."""

from pathlib import Path
from typing import Any

import pytest
import torch
from naive import PAIRS, assert_close, gradients, padded_logps, pair_answers, step_of
from torch import Tensor
from trl_trainers import arguments, closed, pair_rows, words_tokenizer

from burnish.datasets.batches import preference_batches
from burnish.datasets.examples import PreferenceExample
from burnish.nn.decoder import Decoder
from burnish.objectives.cpo import CPO
from burnish.objectives.objective import Objective
from burnish.objectives.orpo import ORPO, log_odds
from burnish.objectives.simpo import SimPO
from in_transformers import in_transformers
from tiny_models import tiny_decoder

OBJECTIVES: dict[str, Objective[Tensor]] = {
    "simpo": SimPO(beta=2.0, gamma=0.8),
    "cpo": CPO(beta=0.3),
    "cpo, smoothed": CPO(beta=0.3, alpha=0.6, label_smoothing=0.2),
    "orpo": ORPO(beta=0.4),
}
# TRL's ORPO imitates the prompt too; of a prompt of one token there is nothing to imitate.
SHORT_PROMPTS = [PreferenceExample([5 + i], pair.chosen, pair.rejected) for i, pair in enumerate(PAIRS)]


def ours(
    decoder: Decoder, objective: Objective[Tensor], tokens: int = 1000, pairs: list[PreferenceExample] = PAIRS
) -> tuple[Tensor, dict[str, float]]:
    batches = preference_batches(pairs, micro_batch_tokens=tokens)
    assert (len(batches) > 1) == (tokens < 100)
    return step_of(decoder, objective, batches)


def textbook(decoder: Decoder, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, and the rewards of chosen and rejected answers, from padded matrices [pairs, longest answer]."""
    logps, mask = padded_logps(decoder, pair_answers(PAIRS, "chosen"))
    worse_logps, worse_mask = padded_logps(decoder, pair_answers(PAIRS, "rejected"))
    nll = -logps[mask].mean()
    chosen, rejected = logps.sum(1), worse_logps.sum(1)
    chosen_mean, rejected_mean = chosen / mask.sum(1), rejected / worse_mask.sum(1)
    if name == "simpo":
        margins = 2.0 * (chosen_mean - rejected_mean) - 0.8
        return -torch.log(1 / (1 + torch.exp(-margins))).mean(), 2.0 * chosen_mean, 2.0 * rejected_mean
    if name == "orpo":
        p, q = chosen_mean.exp(), rejected_mean.exp()
        odds_ratio = (p / (1 - p)) / (q / (1 - q))
        ratio_loss = -torch.log(odds_ratio / (1 + odds_ratio)).mean()
        return nll + 0.4 * ratio_loss, 0.4 * chosen_mean, 0.4 * rejected_mean
    preferred = 1 / (1 + torch.exp(-0.3 * (chosen - rejected)))
    if name == "cpo":
        return nll - torch.log(preferred).mean(), 0.3 * chosen, 0.3 * rejected
    smoothed = -0.8 * torch.log(preferred) - 0.2 * torch.log(1 - preferred)
    return 0.6 * nll + smoothed.mean(), 0.3 * chosen, 0.3 * rejected


@pytest.mark.parametrize("tokens", [1000, 30])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_loss_is_that_of_the_formula(name: str, tokens: int) -> None:
    decoder = tiny_decoder(0, 5)
    found, metrics = ours(decoder, OBJECTIVES[name], tokens)
    expected, chosen, rejected = textbook(decoder, name)
    torch.testing.assert_close(found, expected)
    assert_close(gradients(decoder, found), gradients(decoder, expected))
    assert metrics["rewards/chosen"] == pytest.approx(chosen.mean().item(), rel=1e-4)
    assert metrics["rewards/margins"] == pytest.approx((chosen - rejected).mean().item(), rel=1e-4)
    assert metrics["rewards/accuracies"] == pytest.approx((chosen > rejected).float().mean().item())


def test_the_odds_of_a_certain_answer_are_finite() -> None:
    logps = torch.tensor([0.0, -1e-9, -3.0, -200.0], requires_grad=True)
    odds = log_odds(logps)
    odds.sum().backward()
    assert torch.isfinite(odds).all()
    assert torch.isfinite(logps.grad).all()
    p = torch.tensor(-3.0).exp()
    assert odds[2].item() == pytest.approx(torch.log(p / (1 - p)).item())


@pytest.fixture(scope="module")
def cpo_trainer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    return pair_trainer(tmp_path_factory.mktemp("cpo"), CPOTrainer, CPOConfig, PAIRS)


@pytest.fixture(scope="module")
def orpo_trainer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    return pair_trainer(tmp_path_factory.mktemp("orpo"), ORPOTrainer, ORPOConfig, SHORT_PROMPTS, beta=0.4)


def pair_trainer(folder: Path, trainer: Any, config: Any, pairs: list[PreferenceExample], **options: Any) -> Any:
    from datasets import Dataset

    return trainer(
        in_transformers(tiny_decoder(0, 5)),
        args=config(**arguments(folder, 3), remove_unused_columns=False, **options),
        train_dataset=Dataset.from_list(pair_rows(pairs)),
        processing_class=words_tokenizer(),
    )


# TRL's loss_type, beta, cpo_alpha, label_smoothing and simpo_gamma.
IN_TRL = {
    "simpo": ("simpo", 2.0, 0.0, 0.0, 0.8),
    "cpo": ("sigmoid", 0.3, 1.0, 0.0, 0.0),
    "cpo, smoothed": ("sigmoid", 0.3, 0.6, 0.2, 0.0),
}


@pytest.mark.parametrize("name", IN_TRL)
def test_loss_and_metrics_are_those_of_trl_s_cpo_trainer(name: str, cpo_trainer: Any) -> None:
    trainer = cpo_trainer
    trainer.loss_type, trainer.beta, trainer.cpo_alpha, trainer.label_smoothing, trainer.simpo_gamma = IN_TRL[name]
    assert_trl_agrees(trainer, *ours(tiny_decoder(0, 5), OBJECTIVES[name], pairs=closed(PAIRS)))


def test_loss_and_metrics_are_those_of_trl_s_orpo_trainer(orpo_trainer: Any) -> None:
    assert_trl_agrees(orpo_trainer, *ours(tiny_decoder(0, 5), OBJECTIVES["orpo"], pairs=closed(SHORT_PROMPTS)))


def assert_trl_agrees(trainer: Any, loss: Tensor, metrics: dict[str, float]) -> None:
    theirs, their_metrics = trainer.get_batch_loss_metrics(trainer.model, next(iter(trainer.get_train_dataloader())))
    assert loss.item() == pytest.approx(theirs.item(), rel=1e-4)
    for key, value in metrics.items():
        assert value == pytest.approx(their_metrics[key], rel=1e-3), key
