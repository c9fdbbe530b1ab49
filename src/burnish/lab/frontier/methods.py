"""The methods that are compared, each from the same reference and by the training loop that recipes use.

Notable choices:
- only the last blocks train; what is frozen is stored once, for the reference, the critic and the reward model too;
- a training is done when its outcomes are in the notebook; one that was interrupted goes on from its saved state.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from burnish.datasets.examples import Example, PreferenceExample, Prompt
from burnish.datasets.rankings import RankedExample
from burnish.datasets.rows import Task
from burnish.lab.frontier.setting import FrontierOutcome, Setting
from burnish.lab.notebook import Notebook
from burnish.lab.weights import load_trained, save_trained
from burnish.methods import dpo, ppo, reward_model, sft
from burnish.methods.sequences import answer_rewards
from burnish.nn.actor_critic import sharing_copy
from burnish.nn.decoder import Decoder
from burnish.nn.scalar import ScalarModel
from burnish.rewards.environment import Environment
from burnish.rewards.judgement import Judge, WeightedJudge
from burnish.runs.run import Run
from burnish.training.config import TrainingConfig
from burnish.training.loop import Progress

Method = Literal["DPO", "IPO", "SFT on the preferred", "PPO, true reward", "PPO, learned reward"]
PPO_METHODS: tuple[Method, ...] = ("PPO, true reward", "PPO, learned reward")


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How the runs learn: pairs a step and the learning rate; for PPO the prompts of a rollout, with one continuation
    each, and what is made of it."""

    batch_size: int = 16
    learning_rate: float = 1e-4
    rollout_prompts: int = 64
    ppo_epochs: int = 2
    ppo_learning_rate: float = 2e-4
    micro_batch_tokens: int = 4096


@dataclass(frozen=True)
class Training:
    """One training: what `value` is depends on the method (β, β as τ, the price of a nat; nothing for SFT)."""

    method: Method
    value: float
    seed: int

    @property
    def setting(self) -> str:
        if self.method == "SFT on the preferred":
            return ""
        return f"KL coefficient {self.value:g}" if self.method in PPO_METHODS else f"β = {self.value:g}"

    @property
    def name(self) -> str:
        """A file name."""
        return f"{self.method.replace(', ', '-').replace(' ', '-')}-{self.value:g}-{self.seed}"


@dataclass(frozen=True)
class Trainer:
    """Trains what is asked for and evaluates it on the way.

    pairs: with the reference's log-probabilities of their answers' tokens, chosen first. steps: of what learns from
    them; rollouts: of PPO. evaluations: how many of a training, after equal parts, by method; of so many `answers`.
    """

    setting: Setting
    notebook: Notebook
    learning: Learning
    pairs: Sequence[PreferenceExample]
    reference_logps: Sequence[torch.Tensor]
    steps: int
    rollouts: int
    evaluations: Mapping[Method, int]
    answers: int

    def outcomes(self, training: Training) -> list[FrontierOutcome]:
        """What the policy was like at each evaluation, the last one after the training."""
        return [
            FrontierOutcome(**outcome)
            for outcome in self.notebook.piece(training.name, lambda: self._outcomes(training))
        ]

    def n_steps(self, method: Method) -> int:
        """Optimizer steps of a training."""
        return self.rollouts * self.learning.ppo_epochs if method in PPO_METHODS else self.steps

    def evaluated_steps(self, method: Method) -> list[int]:
        """After which of them the policy is evaluated."""
        count, total = self.evaluations[method], self.n_steps(method)
        return sorted({max(1, total * part // count) for part in range(1, count + 1)})

    def _outcomes(self, training: Training) -> list[dict[str, Any]]:
        policy = sharing_copy(self.setting.reference)
        steps = self.evaluated_steps(training.method)

        def outcome(step: int) -> dict[str, Any]:
            seed = training.seed * 1000 + steps.index(step)
            return self.notebook.piece(
                f"{training.name}-step-{step}",
                lambda: asdict(self.setting.evaluate(policy, answers=self.answers, seed=seed)),
            )

        def look(progress: Progress) -> None:
            if progress.step in steps:
                outcome(progress.step)

        self._learn(training, policy, look)
        shutil.rmtree(self.notebook.subfolder(training.name))
        return [outcome(step) for step in steps]

    def _learn(self, training: Training, policy: Decoder, look: Callable[[Progress], None]) -> None:
        if training.method in PPO_METHODS:
            self._learn_from_samples(training, policy, look)
            return
        run = self._run(training.name, training.seed)
        if training.method == "SFT on the preferred":
            answers = [Example(pair.sequences[0], pair.masks[0]) for pair in self.pairs]
            sft.learn(policy, answers, sft.Settings.model_validate({"training": self._on_pairs}), run, on_progress=look)
            return
        loss_type = "ipo" if training.method == "IPO" else "sigmoid"
        settings = dpo.Settings.model_validate(
            {"training": self._on_pairs, "loss_type": loss_type, "beta": training.value}
        )
        dpo.learn(policy, self.pairs, self.reference_logps, settings, run, on_progress=look)

    def _learn_from_samples(self, training: Training, policy: Decoder, look: Callable[[Progress], None]) -> None:
        setting, learning = self.setting, self.learning
        prompts = [Prompt(tokens, {"tokens": tokens}) for tokens in setting.openings.train]
        tasks = [Task([{"role": "user", "content": setting.text(p.tokens, [])}], p.row) for p in prompts]
        settings = ppo.Settings.model_validate(
            {
                "kl_coef": training.value,
                "num_ppo_epochs": learning.ppo_epochs,
                "use_score_scaling": True,
                "rollouts": self.rollouts,
                "max_new_tokens": setting.sampling.max_new_tokens,
                "training": self._settings(learning.ppo_learning_rate, batch_size=learning.rollout_prompts),
            }
        )
        rewards = [WeightedJudge("sentiment", self._reward(training))]
        run = self._run(training.name, training.seed)
        environment = Environment(setting.tokenizer, tasks, prompts, rewards)
        ppo.learn(policy, environment, settings, run, on_progress=look)

    def _reward(self, training: Training) -> Judge:
        setting = self.setting
        if training.method == "PPO, true reward":
            return lambda answers: setting.sentiment(setting.text(one.row["tokens"], one.tokens) for one in answers)
        model = self.reward_model(training.seed)
        return lambda answers: answer_rewards(
            model, [one.row["tokens"] for one in answers], [one.tokens for one in answers]
        )

    def reward_model(self, seed: int) -> ScalarModel:
        """Bradley-Terry on the pairs, from the reference's weights; its own are kept in the notebook."""
        model = ScalarModel(sharing_copy(self.setting.reference), seed=seed)
        name = f"reward-model-{seed}"
        file = self.notebook.subfolder("reward-models") / f"{name}.safetensors"
        if not load_trained(model, file, identity=self._key(name)):
            run = self._run(name, seed)
            rankings = [RankedExample(pair.prompt, [pair.chosen, pair.rejected]) for pair in self.pairs]
            reward_model.learn(model, rankings, reward_model.Settings.model_validate({"training": self._on_pairs}), run)
            save_trained(model, file, identity=run.key)
            shutil.rmtree(run.folder)
        return model.eval()

    @property
    def _on_pairs(self) -> TrainingConfig:
        size = self.learning.batch_size
        return self._settings(self.learning.learning_rate, batch_size=size, epochs=self.steps * size / len(self.pairs))

    def _settings(self, learning_rate: float, **others: float) -> TrainingConfig:
        return TrainingConfig.model_validate(
            {
                "learning_rate": learning_rate,
                "schedule": "constant",
                "warmup_fraction": 0.1,
                "micro_batch_tokens": self.learning.micro_batch_tokens,
                **others,
            }
        )

    def _run(self, name: str, seed: int) -> Run:
        """Where a training works: what an interrupted one left there is gone on from."""
        return Run(self.notebook.subfolder(name), seed, self._key(name))

    def _key(self, name: str) -> str:
        return f"{self.notebook.identity}-{name}"
