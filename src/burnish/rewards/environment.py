"""What a policy is asked, and what rewards its answers: the environment of reinforcement learning."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from burnish.datasets.examples import Prompt
from burnish.datasets.rows import Task
from burnish.generation.answer import Answer
from burnish.generation.sampling import Sampling
from burnish.nn.decoder import Decoder
from burnish.rewards.judgement import WeightedJudge
from burnish.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Acted:
    """What a policy did about a task, in turns between which tools answered.

    answer: its `tokens` are all behind the prompt, those of tools too. mask: which of them the policy has drawn.
    logps, sampling_logps: of the drawn ones, in nats, under the model itself and at the temperature of the sampling.
    """

    answer: Answer
    mask: list[bool]
    logps: list[float]
    sampling_logps: list[float]


Act = Callable[[Decoder, Sequence[Task], Sampling, int], Sequence[Acted]]
"""Acts on tasks side by side, from a seed."""


@dataclass(frozen=True)
class Environment:
    """Tasks, their prompts as tokens, and the judges of answers to them. act: calls tools; None: one turn without."""

    tokenizer: Tokenizer
    tasks: Sequence[Task]
    prompts: Sequence[Prompt]
    rewards: Sequence[WeightedJudge]
    act: Act | None = None
