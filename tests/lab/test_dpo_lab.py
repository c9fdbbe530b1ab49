"""`burnish lab dpo`: the theory written out answer by answer, and what follows from it."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.lab.dpo.derivation import equation_errors, ways
from burnish.lab.dpo.experiment import DpoExperiment, certain, problem
from burnish.lab.dpo.learner import AnswerSpace, draw_pairs, learned_exactly, reference_decoder
from burnish.lab.dpo.theory import PreferenceProblem, divergence
from conducting import conducted

BETA = 0.7
REWARDS = [[0.3, -1.2, 0.5], [2.0, 0.0, -0.4]]
REFERENCE = [[0.5, 0.2, 0.3], [0.1, 0.6, 0.3]]
SMALL = PreferenceProblem(
    torch.tensor(REWARDS, dtype=torch.float64), torch.tensor(REFERENCE, dtype=torch.float64).log(), beta=BETA
)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("dpo")
    files = conducted(
        DpoExperiment,
        folder,
        seed=1,
        seeds=1,
        pairs=(2048,),
        exact_steps=(30, 300),
        betas=(1.0,),
        certain_steps=(3, 10),
        length=1,
        threads=1,
    )
    assert [file.name for file in files] == ["dpo.md", "dpo.json", "dpo.svg"]
    return json.loads((folder / "dpo.json").read_text())


def test_the_optimal_policy_is_that_of_the_paper_answer_by_answer() -> None:
    for x, (rewards, reference) in enumerate(zip(REWARDS, REFERENCE, strict=True)):
        weights = [p * math.exp(r / BETA) for p, r in zip(reference, rewards, strict=True)]
        optimal = [weight / sum(weights) for weight in weights]
        assert SMALL.optimal_logps[x].exp().tolist() == pytest.approx(optimal)
        gain = sum(p * r for p, r in zip(optimal, rewards, strict=True))
        price = sum(p * math.log(p / q) for p, q in zip(optimal, reference, strict=True))
        assert SMALL.value(SMALL.optimal_logps)[x].item() == pytest.approx(gain - BETA * price)


def test_losses_are_sums_over_all_ordered_pairs() -> None:
    policy = torch.tensor([[0.2, 0.2, 0.6], [0.3, 0.3, 0.4]], dtype=torch.float64)
    dpo = reward_model = 0.0
    for x in range(2):
        for w in range(3):
            for l in range(3):  # noqa: E741 (the paper's name)
                share = REFERENCE[x][w] * REFERENCE[x][l] / (1 + math.exp(REWARDS[x][l] - REWARDS[x][w])) / 2
                ratios = [math.log(policy[x, y].item() / REFERENCE[x][y]) for y in (w, l)]
                dpo += share * math.log(1 + math.exp(-BETA * (ratios[0] - ratios[1])))
                reward_model += share * math.log(1 + math.exp(policy[x, l].item() - policy[x, w].item()))
    assert SMALL.dpo_loss(SMALL.preferences)(policy.log()).item() == pytest.approx(dpo)
    assert SMALL.reward_model_loss(SMALL.preferences)(policy).item() == pytest.approx(reward_model)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_every_line_of_the_derivation_holds(beta: float) -> None:
    assert max(equation_errors(problem(beta, seed=3, length=2), seed=0).values()) < 1e-12


def test_three_ways_lead_to_one_policy() -> None:
    one = problem(1.0, seed=0, length=1)
    found = ways(one)
    assert len(found) == 3
    for logps in found.values():
        assert divergence(one.optimal_logps, logps).max().item() < 1e-6


def test_pairs_are_drawn_from_the_reference_and_labelled_by_bradley_terry() -> None:
    answers = AnswerSpace(1)
    token_logps = answers.token_logps(reference_decoder(seed=0))
    one, count = problem(1.0, seed=0, length=1), 2000
    pairs = draw_pairs(one, answers, token_logps, count, seed=0)
    wins = torch.zeros_like(one.preferences)
    for pair, logps in zip(pairs.examples, pairs.reference_logps, strict=True):
        wins[pair.prompt[0], pair.chosen[0], pair.rejected[0]] += 1
        assert logps.tolist() == [token_logps[pair.prompt[0], y[0], 0] for y in (pair.chosen, pair.rejected)]
    assert wins.diagonal(dim1=1, dim2=2).sum() == 0
    drawn = one.drawn_pairs() * one.preferences
    drawn = drawn.masked_fill(torch.eye(len(answers.all), dtype=torch.bool), 0)
    expected = drawn / drawn.sum(dim=(1, 2), keepdim=True) / answers.prompts
    error = (wins / count - expected).abs() / (expected * (1 - expected) / count).sqrt().clamp_min(1e-12)
    assert error.masked_fill(expected == 0, 0).max() < 4.5


def test_certain_preferences_carry_dpo_away_whatever_beta_is_and_not_ipo() -> None:
    for beta in (0.5, 1.0):
        one = problem(beta, seed=0, length=1)
        dpo, ipo = (certain("", one, loss, (150, 300)) for loss in ("sigmoid", "ipo"))
        assert dpo.limit == pytest.approx(-one.reference_logps[range(4), one.rewards.argmax(1)].mean().item())
        assert 0.5 * dpo.limit < dpo.divergences[0] < dpo.divergences[1] < dpo.limit
        assert ipo.divergences[1] == pytest.approx(ipo.divergences[0], rel=0.05)
        assert ipo.divergences[1] < dpo.divergences[0]


def test_all_pairs_at_once_lead_a_decoder_to_the_optimal_policy() -> None:
    one, answers = problem(0.5, seed=2, length=1), AnswerSpace(1)
    logps = answers.logps(learned_exactly(one, answers, seed=2, steps=250)).log_softmax(-1)
    best, start = one.value(one.optimal_logps).mean(), one.value(one.reference_logps).mean()
    assert (one.value(logps).mean() - start) / (best - start) > 0.999
    assert (
        divergence(one.optimal_logps, logps).mean() < 1e-3 * divergence(one.optimal_logps, one.reference_logps).mean()
    )


def test_what_is_trained_on_is_what_is_measured() -> None:
    answers, decoder = AnswerSpace(2), reference_decoder(seed=0)
    torch.testing.assert_close(answers.trainable_logps(decoder).detach(), answers.logps(decoder), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_trained_decoder_comes_close_to_the_optimal_policy(document: dict[str, Any]) -> None:
    found, equations, three, exact, learned, certainly = document["tables"]
    assert len(found["rows"]) == 3
    assert max(row[2] for row in equations["rows"]) < 1e-12
    assert max(row[2] for row in three["rows"]) < 1e-6
    assert [row[1] for row in exact["rows"]] == [30, 300]
    assert exact["rows"][1][3] < exact["rows"][0][3] < exact["rows"][0][2]
    assert "the promise is kept by a decoder that learns from all pairs" in found["rows"][0][0]
    ((_, pairs, before, after, _, gained, *_),) = learned["rows"]
    assert pairs == 2048
    assert after < before / 2
    assert float(gained[:-2]) > 50
    assert [row[:2] for row in certainly["rows"]] == [["DPO", 1.0], ["IPO", 1.0]]
    assert document["settings"]["seeds"] == 1
    assert len(document["panels"]) == 2


def test_another_seed_count_keeps_what_is_measured(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "seed": 0,
        "pairs": (128,),
        "exact_steps": (2,),
        "betas": (1.0,),
        "certain_steps": (2,),
        "length": 1,
        "threads": 1,
    }
    conducted(DpoExperiment, tmp_path, seeds=1, **options)
    kept = (tmp_path / "dpo" / "learned-1-128-0.json").stat().st_mtime_ns
    conducted(DpoExperiment, tmp_path, seeds=2, **options)
    assert (tmp_path / "dpo" / "learned-1-128-0.json").stat().st_mtime_ns == kept
    assert (tmp_path / "dpo" / "learned-1-128-1.json").exists()
