"""Outcome and process reward models of additions written out: trained by the methods that recipes use, on exact labels.

Notable choices:
- a step is right where it is what stands at its place in the right answer: nobody has to guess;
- both learn from the same answers of the start, begin with its weights, and take as many steps.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from burnish.datasets.rows import Labelled, Stepwise
from burnish.generation.answer import Answer
from burnish.lab.notebook import Notebook
from burnish.lab.reasoning.arithmetic import Addition, written
from burnish.lab.reasoning.written_out import MICRO_BATCH_TOKENS, by_rule, chat_tokenizer
from burnish.lab.weights import load_trained, save_trained
from burnish.methods import outcome_reward_model, process_reward_model
from burnish.nn.actor_critic import sharing_copy
from burnish.nn.decoder import Decoder
from burnish.nn.process_reward import ProcessRewardModel
from burnish.nn.scalar import ScalarModel
from burnish.rewards.judgement import Judge
from burnish.rewards.learned import by_reward_model
from burnish.rewards.process import Aggregation, by_process_reward_model
from burnish.runs.progress import Reporter
from burnish.runs.run import Run
from burnish.text.steps import split_steps
from burnish.text.tokenizer import Tokenizer

SEPARATOR = ";"
"""Ends a column."""
Kind = Literal["ORM", "PRM"]


def step_labels(problem: Addition, steps: Sequence[str]) -> list[float]:
    """1 for each step that is what the right answer has at its place, else 0."""
    right = written(problem, "columns").split(SEPARATOR)
    return [float(place < len(right) and step == right[place]) for place, step in enumerate(steps)]


def labelled(answers: Sequence[Answer]) -> list[Labelled]:
    """Each answer as right or wrong as a whole."""
    return [
        Labelled(list(one.prompt), [{"role": "assistant", "content": one.text}], bool(judged.correct))  # type: ignore[arg-type]
        for one, judged in zip(answers, by_rule(answers), strict=True)
    ]


def stepwise(answers: Sequence[Answer]) -> list[Stepwise]:
    """Each answer with a label for each of its steps."""
    rows = []
    for one in answers:
        problem = Addition(one.row["a"], one.row["b"], one.row["digits"])
        steps = [step.text for step in split_steps(one.text, SEPARATOR)]
        if steps:
            rows.append(Stepwise(list(one.prompt), steps, list(step_labels(problem, steps))))  # type: ignore[arg-type]
    return rows


@dataclass(frozen=True, kw_only=True)
class RewardModelTraining:
    """How reward models learn from answers."""

    epochs: float = 4.0
    learning_rate: float = 2e-3
    batch_size: int = 32

    @property
    def settings(self) -> dict[str, Any]:
        """Those of either method."""
        training = {
            "learning_rate": self.learning_rate,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "micro_batch_tokens": MICRO_BATCH_TOKENS,
            "checkpoint_seconds": 20.0,
        }
        return {"training": training}


@dataclass(frozen=True)
class RewardModels:
    """Reward models that begin as `start` and learn from its answers; made once, kept in the notebook."""

    start: Decoder
    judging: RewardModelTraining
    answers: Sequence[Answer]
    seed: int
    notebook: Notebook
    display: Reporter

    def outcome(self, count: int) -> ScalarModel:
        """Trained on the first `count` answers."""
        model = ScalarModel(sharing_copy(self.start), seed=self.seed)
        settings = outcome_reward_model.Settings.model_validate(self.judging.settings)
        examples, _ = outcome_reward_model.encode(labelled(self.answers[:count]), chat_tokenizer(), settings)

        def learn(run: Run) -> None:
            outcome_reward_model.learn(model, examples, settings, run)

        self._made(model, f"orm-{count}", learn)
        return model.eval()

    def process(self, count: int) -> ProcessRewardModel:
        """Trained on the first `count` answers."""
        model = ProcessRewardModel(sharing_copy(self.start), step_separator=SEPARATOR, seed=self.seed)
        settings = process_reward_model.Settings.model_validate({**self.judging.settings, "step_separator": SEPARATOR})
        examples, _ = process_reward_model.encode(stepwise(self.answers[:count]), chat_tokenizer(), settings)

        def learn(run: Run) -> None:
            process_reward_model.learn(model, examples, settings, run)

        self._made(model, f"prm-{count}", learn)
        return model.eval()

    def judge(self, kind: Kind, count: int, *, aggregation: Aggregation = "product", per_step: bool = False) -> Judge:
        """One of them as a judge: the probability of an answer, or of its steps together.

        per_step: also of each step, at the token that ends it, which reinforcement then adds up.
        """
        tokenizer: Tokenizer = chat_tokenizer()
        if kind == "ORM":
            return by_reward_model(self.outcome(count), tokenizer, probability=True)
        return by_process_reward_model(self.process(count), tokenizer, aggregation=aggregation, per_step=per_step)

    def _made(self, model: ScalarModel | ProcessRewardModel, name: str, learn: Any) -> None:
        name = f"{name}-{self.seed}"
        file = self.notebook.subfolder("reward-models") / f"{name}.safetensors"
        run = Run(self.notebook.subfolder(name), self.seed, f"{self.notebook.identity}-{name}", self.display)
        if not load_trained(model, file, identity=run.key):
            learn(run)
            save_trained(model, file, identity=run.key)
        shutil.rmtree(run.folder)
