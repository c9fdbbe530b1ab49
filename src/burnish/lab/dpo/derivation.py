"""Equations 1 to 8 line by line, and three ways to the policy that they promise, each without sampling."""

from collections.abc import Sequence

import torch
from torch import Tensor

from burnish.lab.dpo.theory import PreferenceProblem, differences, divergence, minimized
from burnish.lab.report import Cell, Table


def equations_table(problems: Sequence[PreferenceProblem], *, seed: int) -> Table:
    """Each step of the derivation: the largest error over prompts, answers, pairs and β."""
    errors: dict[tuple[str, str], list[float]] = {}
    for one in problems:
        for line, error in equation_errors(one, seed=seed).items():
            errors.setdefault(line, []).append(error)
    shape = " prompts with ".join(f"{size}" for size in problems[0].rewards.shape)
    return Table(
        "The derivation, line by line",
        ["equation", "what is compared", "largest difference"],
        [[*line, max(values)] for line, values in errors.items()],
        f"{shape} answers each; rewards ~ N(0, 1); β of {', '.join(f'{one.beta:g}' for one in problems)}; float64.",
    )


def equation_errors(one: PreferenceProblem, *, seed: int) -> dict[tuple[str, str], float]:
    """What is compared in each line, and by how much its two sides differ at most."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    optimal, other = one.optimal_logps, random(*one.rewards.shape).log_softmax(-1)
    shifted = one.shifted(10 * random(len(one.rewards), 1))
    logits = random(*one.rewards.shape).requires_grad_()
    (gradient,) = torch.autograd.grad(one.dpo_loss(one.preferences)(logits), logits)
    implicit = one.implicit_rewards(optimal)
    return {
        ("1", "p*(y₁ ≻ y₂) + p*(y₂ ≻ y₁), and 1"): _distance(
            one.preferences + one.preferences.transpose(1, 2), torch.ones(())
        ),
        ("3 and 4", "value of π* in equation 3, and β log Z(x)"): _distance(
            one.value(optimal)[:, None], one.beta * one.log_partition
        ),
        ("3 and 4", "value of π* less that of any π, and β KL(π ∥ π*)"): _distance(
            one.value(optimal) - one.value(other), one.beta * divergence(other, optimal)
        ),
        ("4", "sum of π* over the answers, and 1"): _distance(optimal.exp().sum(-1), torch.ones(())),
        ("5", "β log π*/π_ref + β log Z(x), and the reward"): _distance(
            implicit + one.beta * one.log_partition, one.rewards
        ),
        ("6", "σ(difference of β log π*/π_ref), where Z(x) cancels, and p*"): _distance(
            differences(implicit).sigmoid(), one.preferences
        ),
        ("7", "gradient of the loss by autograd, and as the paper writes it"): _distance(
            gradient, written_gradient(one, logits.detach())
        ),
        ("7", "gradient of the loss at π*, and 0"): _gradient_at(one, optimal),
        ("8", "preferences of r(x, y) + f(x), and of r(x, y)"): _distance(shifted.preferences, one.preferences),
        ("8", "π* of r(x, y) + f(x), and of r(x, y)"): _distance(shifted.optimal_logps.exp(), optimal.exp()),
        ("8", "r(x, y) + f(x) projected, and β log π*/π_ref"): _distance(shifted.projected_rewards, implicit),
    }


def written_gradient(one: PreferenceProblem, logits: Tensor) -> Tensor:
    """`-β E[σ(r̂(y_l) - r̂(y_w)) (∇ log π(y_w) - ∇ log π(y_l))]` (section 4) over all pairs, by a softmax's logits."""
    logps = logits.log_softmax(-1)
    implicit = one.implicit_rewards(logps)
    # [prompts, y_w, y_l]; the normalizer's gradient is the same for both answers and cancels.
    pull = one.drawn_pairs() * one.preferences * (-differences(implicit)).sigmoid()
    return -one.beta * (pull.sum(2) - pull.sum(1)) / len(logits)


def _distance(one: Tensor, other: Tensor) -> float:
    return (one - other).abs().max().item()


def _gradient_at(one: PreferenceProblem, logps: Tensor) -> float:
    logits = logps.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(one.dpo_loss(one.preferences)(logits), logits)
    return gradient.abs().max().item()


def ways_table(problems: Sequence[PreferenceProblem]) -> Table:
    """Three losses, each minimized over all its parameters, and how far their policies are from equation 4's."""
    rows: list[list[Cell]] = []
    for one in problems:
        for way, logps in ways(one).items():
            distance = (logps.exp() - one.optimal_logps.exp()).abs().sum(-1).max().item() / 2
            rows.append([one.beta, way, divergence(one.optimal_logps, logps).max().item(), distance])
    return Table(
        "Three ways to π*",
        ["β", "way", "KL(π* ∥ π), nats", "total variation"],
        rows,
        "The largest of the prompts. Each loss is taken over all pairs, weighted by how often the reference draws them "
        "and Bradley-Terry labels them, and minimized over a table of parameters by L-BFGS.",
    )


def ways(one: PreferenceProblem) -> dict[str, Tensor]:
    """The log-probabilities that each way leads to: `[prompts, answers]`."""
    start = torch.zeros_like(one.rewards)
    reward = minimized(one.reward_model_loss(one.preferences), start)
    modelled = PreferenceProblem(reward, one.reference_logps, one.beta)
    return {
        "reinforcement learning on r (equation 3)": minimized(one.rl_loss(), one.reference_logps).log_softmax(-1),
        "a reward model of the pairs (2), then equation 4": modelled.optimal_logps,
        "DPO on the pairs (7)": minimized(one.dpo_loss(one.preferences), one.reference_logps).log_softmax(-1),
    }
