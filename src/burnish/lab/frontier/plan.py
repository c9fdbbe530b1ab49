"""How much of everything fits into the minutes: measured first, a short while each."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch

from burnish.datasets.batches import preference_batches
from burnish.datasets.examples import PreferenceExample
from burnish.lab.frontier.methods import Learning
from burnish.lab.frontier.setting import Setting
from burnish.lab.notebook import affordable
from burnish.methods.sequences import answer_logps
from burnish.nn.actor_critic import sharing_copy
from burnish.objectives.dpo import DPO


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Of the minutes, what each part may take; the rest is for what is not planned. And the fewest of each."""

    sampling: float = 0.04
    best_of: float = 0.02
    evaluating: float = 0.11
    pairs: float = 0.3
    ppo: float = 0.43
    least_prompts: int = 64
    least_heldout: int = 16
    least_answers: int = 32
    least_steps: int = 4
    least_rollouts: int = 2


@dataclass(frozen=True)
class Costs:
    """Seconds for one continuation: drawn, scored by a policy, and learned from as one of a pair."""

    sample: float
    score: float
    learn: float


@dataclass(frozen=True)
class FrontierPlan:
    """Openings that are trained and evaluated on, continuations an evaluation, optimizer steps, rollouts of PPO."""

    prompts: int
    heldout: int
    answers: int
    steps: int
    rollouts: int

    @classmethod
    def of(
        cls,
        costs: Costs,
        shares: Shares,
        seconds: float,
        *,
        samples: int,
        best_of: int,
        evaluations: int,
        pair_runs: int,
        ppo_runs: int,
        learning: Learning,
        prompts: int,
        heldout: int,
    ) -> Self:
        """samples, best_of: continuations of each opening; evaluations, pair_runs, ppo_runs: how many there are.

        prompts, heldout: how many openings there are.
        """
        size = learning.rollout_prompts
        # A rollout is drawn, scored by policy and reference, and learned from in each epoch.
        rollout = size * (costs.sample + 2 * costs.score + learning.ppo_epochs * costs.learn)

        def fitting(share: float, unit: float, least: int, most: int) -> int:
            return affordable(share * seconds, unit, least=min(least, most), most=most)

        evaluation = evaluations * (costs.sample + costs.score)
        answers = fitting(shares.evaluating, evaluation, shares.least_answers, 1024)
        return cls(
            prompts=fitting(shares.sampling, samples * costs.sample, shares.least_prompts, min(prompts, 1024)),
            heldout=fitting(shares.best_of, best_of * costs.sample, shares.least_heldout, min(heldout, answers)),
            answers=answers,
            steps=fitting(shares.pairs, pair_runs * 2 * learning.batch_size * costs.learn, shares.least_steps, 1000),
            rollouts=fitting(shares.ppo, ppo_runs * rollout, shares.least_rollouts, 500),
        )


def measure_costs(setting: Setting, learning: Learning) -> Costs:
    """Over as many continuations as a step has, the second of two tries each."""
    prompts = (setting.openings.train * learning.batch_size)[: learning.batch_size]
    samples = setting.sample(setting.reference, prompts, n=2, seed=0)
    pairs = [
        PreferenceExample(prompt, first, second)
        for prompt, (first, second) in zip(prompts, samples.answers, strict=True)
    ]
    repeated = [prompt for prompt in prompts for _ in range(2)]
    answers = [answer for group in samples.answers for answer in group]
    logps = answer_logps(setting.reference, repeated, answers)
    policy = sharing_copy(setting.reference).train()
    parameters = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.0)

    def learn() -> None:
        batches = preference_batches(
            pairs,
            micro_batch_tokens=learning.micro_batch_tokens,
            reference_logps=[torch.cat(logps[2 * number : 2 * number + 2]) for number in range(len(pairs))],
        )
        for batch in (batch.to(policy.device) for batch in batches):
            (loss,), _ = DPO(0.1)(policy.logps(batch.forest, batch.scored), batch)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    actions = (
        lambda: setting.sample(setting.reference, prompts, n=2, seed=1),
        lambda: answer_logps(setting.reference, repeated, answers),
        learn,
    )
    return Costs(*(_second_try(action) / len(answers) for action in actions))


def _second_try(action: Callable[[], object]) -> float:
    action()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
