"""Our side of the rows that sample: Burnish's rollouts over prompts in a given order, of exactly so many tokens."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.row import Config

if TYPE_CHECKING:
    from burnish.nn.decoder import Decoder
    from burnish.rewards.functions import Sample
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.config import TrainingConfig
    from burnish.training.rollouts import Columns, Rollouts


def rollouts(
    config: Config,
    policy: "Decoder",
    tokenizer: "Tokenizer",
    prompts: Sequence[Sequence[int]],
    training: "TrainingConfig",
    columns: "Columns",
    folder: Path,
) -> "Rollouts":
    """Rollout r takes the prompts `r * config["prompts"]` and following, `config["samples"]` completions of each."""
    from burnish.datasets.examples import Prompt
    from burnish.datasets.rows import Task
    from burnish.generation.sampling import Sampling
    from burnish.rewards.functions import Reward
    from burnish.training.rollouts import RolloutConfig, Rollouts, chosen_tasks

    seed = 0
    tasks = [Prompt([], {})] * len(prompts)
    for place, task in enumerate(chosen_tasks(len(prompts), 0, len(prompts), seed)):
        tasks[task] = Prompt(list(prompts[place]), {})
    return Rollouts(
        policy,
        replace(tokenizer, stop_ids=frozenset()),
        [Task([], {})] * len(prompts),
        tasks,
        [Reward("distinct", _distinct)],
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


def _distinct(samples: "Sequence[Sample]") -> list[float]:
    """A reward that costs nothing and varies: the share of different characters."""
    return [len(set(sample.completion)) / max(1, len(sample.completion)) for sample in samples]
