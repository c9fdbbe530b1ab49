"""What a policy is asked, and what rewards its answers: the environment of reinforcement learning."""

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.datasets.examples import Prompt
from burnish.datasets.rows import Task
from burnish.rewards.judgement import WeightedJudge
from burnish.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Environment:
    """Tasks, their prompts as tokens, and the judges of answers to them."""

    tokenizer: Tokenizer
    tasks: Sequence[Task]
    prompts: Sequence[Prompt]
    rewards: Sequence[WeightedJudge]
