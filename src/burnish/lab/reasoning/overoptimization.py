"""Reinforcement by a proxy, looked at with the gold reward: what a reward model says rises, and what is right?

Gao 2022 (arXiv:2210.10760) compares both by the distance d = √KL(π ∥ π_start): the gold reward rises with it, then
falls. Here the gold reward is the sum itself, and the proxy a reward model of few answers, of many, or of steps.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from burnish.lab.notebook import Notebook
from burnish.lab.reasoning.rivals import GROUP, PROMPTS
from burnish.lab.reasoning.written_out import (
    MICRO_BATCH_TOKENS,
    by_rule,
    chat_tokenizer,
    environment,
    problems,
    question,
    sampled,
)
from burnish.methods import grpo
from burnish.methods.sequences import answer_logps
from burnish.nn.actor_critic import sharing_copy
from burnish.nn.decoder import Decoder
from burnish.rewards.judgement import Judge, Judgement, WeightedJudge, as_judgement
from burnish.runs.progress import Reporter
from burnish.runs.run import Run
from burnish.training.loop import Progress


@dataclass(frozen=True, kw_only=True)
class Reinforcing:
    """GRPO by a judge alone: no KL, so that nothing holds the policy near the start.

    looks: how often the policy is looked at, with `samples` answers each to `problems` held-out problems.
    """

    rollouts: int
    learning_rate: float
    looks: int
    problems: int
    samples: int

    def settings(self, longest: int) -> grpo.Settings:
        """longest: tokens of an answer."""
        training = {
            "learning_rate": self.learning_rate,
            "schedule": "constant",
            "warmup_fraction": 0.05,
            "batch_size": PROMPTS,
            "micro_batch_tokens": MICRO_BATCH_TOKENS,
            "checkpoint_seconds": 20.0,
        }
        return grpo.Settings.model_validate(
            {
                "num_generations": GROUP,
                "scale_rewards": "none",
                "rollouts": self.rollouts,
                "max_new_tokens": longest,
                "training": training,
            }
        )

    def steps(self) -> list[int]:
        """After which the policy is looked at; 0 is the start."""
        return sorted({self.rollouts * part // self.looks for part in range(self.looks + 1)})


@dataclass(frozen=True)
class Look:
    """A policy in the middle of its training.

    proxy: what its reward says, the mean. right: of each problem, how many of the samples are. kl: KL(π ∥ π_start) of
    an answer, in nats. length: tokens. example: a question with an answer.
    """

    proxy: float
    right: list[int]
    samples: int
    kl: float
    length: float
    example: str

    @property
    def gold(self) -> float:
        """The share that is right."""
        return sum(self.right) / (self.samples * len(self.right))

    @property
    def rates(self) -> list[float]:
        return [one / self.samples for one in self.right]


def optimized(
    start: Decoder,
    judge: Judge,
    case: str,
    settings: Reinforcing,
    *,
    digits: int,
    longest: int,
    seed: int,
    notebook: Notebook,
    display: Reporter,
) -> list[Look]:
    """Reinforce a copy of the start by the judge; what it is like on the way. What was interrupted goes on."""
    name = f"{case.replace(' ', '-').replace(',', '')}-{seed}"
    policy = sharing_copy(start)
    run = Run(notebook.subfolder(name), seed, f"{notebook.identity}-{name}", display)

    def look(step: int) -> dict[str, Any]:
        return notebook.piece(f"{name}-{step}", lambda: asdict(_look(policy, start, judge, settings, digits, seed)))

    def on_progress(progress: Progress) -> None:
        if progress.step in settings.steps():
            look(progress.step)

    def learn() -> list[Mapping[str, Any]]:
        look(0)
        asked = problems(digits, settings.rollouts * PROMPTS, [seed, 6])
        rewards = [WeightedJudge("reward", judge), WeightedJudge("accuracy", by_rule, weight=0.0)]
        grpo.learn(
            policy,
            environment(chat_tokenizer(), asked, rewards),
            settings.settings(longest),
            run,
            on_progress=on_progress,
        )
        return [look(step) for step in settings.steps()]

    found = notebook.piece(name, learn)
    shutil.rmtree(run.folder)
    return [Look(**one) for one in found]


def _look(policy: Decoder, start: Decoder, judge: Judge, settings: Reinforcing, digits: int, seed: int) -> Look:
    tokenizer = chat_tokenizer()
    asked = problems(digits, settings.problems, [seed, 7], heldout=True)
    groups = sampled(policy, tokenizer, asked, settings.samples, seed=seed)
    answers = [one for group in groups for one in group]
    prompts = [question(tokenizer, problem) for problem, group in zip(asked, groups, strict=True) for _ in group]
    tokens = [list(one.tokens) for one in answers]
    of_start, of_policy = (
        [part.sum().item() for part in answer_logps(model, prompts, tokens, micro_batch_tokens=MICRO_BATCH_TOKENS)]
        for model in (start, policy)
    )
    return Look(
        proxy=sum(earned(one) for one in judge(answers)) / len(answers),
        right=[sum(bool(one.correct) for one in by_rule(group)) for group in groups],
        samples=settings.samples,
        kl=sum(own - other for own, other in zip(of_policy, of_start, strict=True)) / len(answers),
        length=sum(map(len, tokens)) / len(answers),
        example=asked[0].question + answers[0].text,
    )


def earned(judged: Judgement | float | None) -> float:
    """What reinforcement is to make more of: the sum of what single tokens score where they do, else the score."""
    if judged is None:
        return 0.0
    one = as_judgement(judged)
    scores: Sequence[float | None] = [one.score] if one.token_scores is None else one.token_scores
    return sum(score for score in scores if score is not None)
