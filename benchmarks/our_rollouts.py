"""Our side of the rows that sample: Burnish's rollouts over prompts in a given order, of exactly so many tokens."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.row import Config

if TYPE_CHECKING:
    from burnish.generation.answer import Answer
    from burnish.methods.rollouts import Columns, Rollouts
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.config import TrainingConfig


def rollouts(
    config: Config,
    policy: "Decoder",
    tokenizer: "Tokenizer",
    prompts: Sequence[Sequence[int]],
    fixed: Sequence[Sequence[list[int]]],
    training: "TrainingConfig",
    columns: "Columns",
    folder: Path,
) -> "Rollouts":
    """Rollout r takes the prompts `r * config["prompts"]` and following, `config["samples"]` completions of each.

    fixed: the completions of each prompt where they are given instead of sampled.
    """
    import torch

    from burnish.datasets.examples import Prompt
    from burnish.datasets.rows import Task
    from burnish.generation.sampling import Sampling
    from burnish.methods.rollout import Rollout
    from burnish.methods.rollouts import RolloutConfig, Rollouts, chosen_tasks
    from burnish.rewards.judgement import WeightedJudge

    seed = 0
    order = chosen_tasks(len(prompts), 0, len(prompts), seed)
    tasks = [Prompt(list(prompts[order.index(task)]), {}) for task in range(len(prompts))]

    class Given(Rollouts):
        def _sample(self, tasks: Sequence[int], seeds: Sequence[int]) -> Rollout:
            if not fixed:
                return super()._sample(tasks, seeds)
            places = [order.index(task) for task in tasks]
            answers = [answer for place in places for answer in fixed[place]]
            return Rollout(
                list(tasks),
                [list(prompts[place]) for place in places],
                answers,
                torch.zeros(len(answers), dtype=torch.bool),
                torch.tensor([odd_share(answers)]),
                {"odd": 1.0},
                n_sampled=len(tasks),
            )

    return Given(
        policy,
        replace(tokenizer, stop_ids=frozenset()),
        [Task([], {})] * len(prompts),
        tasks,
        [WeightedJudge("distinct", _distinct_characters)],
        RolloutConfig(
            sampling=Sampling(temperature=1.0, max_new_tokens=config["new_tokens"]),
            prompts=config["prompts"],
            num_generations=config["samples"],
            micro_batch_tokens=training.micro_batch_tokens,
        ),
        columns=columns,
        folder=folder / "rollouts",
        store=folder / "store",
        seed=seed,
        identity="benchmark",
    )


def completions(
    decoder: "Decoder", prompts: Sequence[Sequence[int]], config: Config, *, ragged: bool
) -> list[list[list[int]]]:
    """Completions for both sides to learn from, sampled once; ragged: each a token shorter than the one before."""
    from burnish.generation.engine import generate
    from burnish.generation.sampling import Sampling

    sampling = Sampling(temperature=1.0, max_new_tokens=config["new_tokens"])
    groups = generate(decoder, prompts, sampling, n=config["samples"], seed=0)
    return [[one.tokens[: len(one.tokens) - ragged * i] for i, one in enumerate(group)] for group in groups]


def odd_share(completions: Sequence[Sequence[int]]) -> list[float]:
    """A reward that costs nothing and varies: the share of a completion's tokens whose number is odd."""
    return [sum(token % 2 for token in tokens) / len(tokens) for tokens in completions]


def _distinct_characters(answers: "Sequence[Answer]") -> list[float]:
    """Another one, of what a reward of Burnish sees: the share of different characters."""
    return [len(set(answer.text)) / max(1, len(answer.text)) for answer in answers]
