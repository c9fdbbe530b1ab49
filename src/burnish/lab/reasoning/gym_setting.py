"""A published small model on tasks of reasoning-gym: short SFT, then GRPO, or more SFT for the same operations.

Notable choices:
- a question is once on one side: of SFT, of what follows it, or held out;
- what follows learns from the same questions in the same order, GRPO by its own answers, more SFT by the right ones;
- learning rates are constant, so that more SFT is the same SFT, gone on with.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from burnish.datasets.examples import Prompt, conversation_examples, task_prompts
from burnish.datasets.rows import Conversation, Task
from burnish.errors import BurnishError
from burnish.generation.answer import Answer
from burnish.generation.engine import generate
from burnish.generation.sampling import Sampling
from burnish.lab.reasoning.operations import Operations
from burnish.lab.reasoning.reading import n_parameters
from burnish.methods import grpo, sft
from burnish.nn.decoder import Decoder
from burnish.rewards.environment import Environment
from burnish.rewards.judgement import WeightedJudge
from burnish.rewards.reasoning_tasks import KEY, GymVerifier, floor_of, make
from burnish.rewards.scorer import Scorer
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer
from burnish.training.events import read_events
from burnish.training.loop import Progress

Row = dict[str, Any]

_SYSTEM = "Say the answer alone."
_MICRO_BATCH_TOKENS = 2048
_PROBED = 50
"""Tasks that say what answers earn that solve nothing."""


@dataclass(frozen=True, kw_only=True)
class GymScale:
    """How large the experiment is.

    tasks: names with their configurations. sft_steps, sft_batch: the short SFT; a batch has examples of all tasks.
    steps, prompts, samples: of GRPO. heldout: problems of each task, with `measured` samples each, at temperature 1.
    at_most: examples of more SFT for each prompt of GRPO; the operations are to pay for fewer.
    """

    tasks: Mapping[str, Mapping[str, Any]]
    sft_steps: int
    steps: int
    heldout: int
    measured: int
    sft_batch: int = 24
    sft_learning_rate: float = 3e-5
    prompts: int = 12
    samples: int = 8
    learning_rate: float = 1e-5
    max_new_tokens: int = 12
    at_most: int = 2

    def training(self, batch_size: int, learning_rate: float, *, epochs: float = 1.0) -> dict[str, Any]:
        """The loop's settings that all trainings here share."""
        return {
            "learning_rate": learning_rate,
            "schedule": "constant",
            "warmup_fraction": 0.1,
            "batch_size": batch_size,
            "micro_batch_tokens": _MICRO_BATCH_TOKENS,
            "epochs": epochs,
        }


@dataclass(frozen=True)
class GymRows:
    """Rows that no two sides share, tasks in turn: of SFT, of what follows, and by task those that are held out.

    floors: by task what answers earn that solve nothing: the best of an empty one, a constant one, another task's.
    """

    sft: list[Row]
    further: list[Row]
    heldout: Mapping[str, list[Row]]
    floors: Mapping[str, float]


def make_rows(scorer: Scorer, scale: GymScale, *, further: int, seed: int) -> GymRows:
    """Make the tasks; `further` of them follow SFT. Raises BurnishError where there are too few different questions."""
    n_sft, n_tasks = scale.sft_steps * scale.sft_batch, len(scale.tasks)
    of_sft, of_further = -(-n_sft // n_tasks), -(-further // n_tasks)
    wanted = scale.heldout + of_sft + of_further
    by_task, floors = {}, {}
    for name, config in scale.tasks.items():
        count = 2 * wanted  # some come up twice
        rows = make(scorer, name, {**config, "seed": 1_000_000 * seed, "size": count}, count)
        distinct = list({row["prompt"]: row for row in reversed(rows)}.values())[::-1]
        if len(distinct) < wanted:
            raise BurnishError(f"reasoning-gym: {name} has {len(distinct)} different tasks here, {wanted} are needed")
        by_task[name] = distinct
        floors[name] = max(vars(floor_of(GymVerifier(scorer, partial=False), distinct[:_PROBED])).values())
    start = scale.heldout + of_sft

    def in_turn(first: int, end: int) -> list[Row]:
        return [
            row for together in zip(*(rows[first:end] for rows in by_task.values()), strict=True) for row in together
        ]

    return GymRows(
        in_turn(scale.heldout, start)[:n_sft],
        in_turn(start, start + of_further)[:further],
        {name: rows[: scale.heldout] for name, rows in by_task.items()},
        floors,
    )


@dataclass(frozen=True)
class Graded:
    """What a policy answers to one task's held-out problems.

    right: of each problem, how many of its `samples`. greedy: whether its most probable answer is, token by token.
    tokens: of all samples together. examples: a question with an answer.
    """

    right: list[int]
    samples: int
    greedy: list[bool]
    tokens: int
    examples: list[str]

    @property
    def rates(self) -> list[float]:
        """Of each problem the share of samples that are right."""
        return [right / self.samples for right in self.right]


@dataclass(frozen=True)
class GymSetting:
    """The tokenizer and what scores answers; of a scale."""

    tokenizer: Tokenizer
    scorer: Scorer
    scale: GymScale

    def learn_sft(
        self, model: Decoder, rows: Sequence[Row], run: Run, on_progress: Callable[[Progress], None] = lambda _: None
    ) -> None:
        """Imitate the right answers, each once, in this order."""
        conversations = [
            Conversation([*_asked(row), {"role": "assistant", "content": str(row["answer"])}]) for row in rows
        ]
        examples, _ = conversation_examples(conversations, self.tokenizer, max_length=model.config.max_positions)
        training = self.scale.training(self.scale.sft_batch, self.scale.sft_learning_rate)
        settings = sft.Settings.model_validate({"training": training, "heldout": 0.0})
        sft.learn(model, examples, settings, run, on_progress=on_progress)

    def learn_grpo(
        self, model: Decoder, rows: Sequence[Row], run: Run, on_progress: Callable[[Progress], None] = lambda _: None
    ) -> None:
        """Sample, and learn from what is right: no KL, no division by the standard deviation."""
        scale = self.scale
        settings = grpo.Settings.model_validate(
            {
                "num_generations": scale.samples,
                "scale_rewards": "none",
                "rollouts": scale.steps,
                "max_new_tokens": scale.max_new_tokens,
                "training": scale.training(scale.prompts, scale.learning_rate),
            }
        )
        judges = [WeightedJudge("accuracy", GymVerifier(self.scorer, partial=False))]
        judges += [
            WeightedJudge(f"reward-{name}", GymVerifier(self.scorer, partial=False), 0.0, _of(name))
            for name in scale.tasks
        ]
        environment = Environment(self.tokenizer, _tasks(rows), self.prompts(model, rows), judges)
        grpo.learn(model, environment, settings, run, on_progress=on_progress)

    def prompts(self, model: Decoder, rows: Sequence[Row]) -> list[Prompt]:
        """The questions as the chat template writes them."""
        room = model.config.max_positions - self.scale.max_new_tokens
        found, _ = task_prompts(_tasks(rows), self.tokenizer, max_length=room)
        return found

    def graded(self, model: Decoder, heldout: Mapping[str, list[Row]], seed: int) -> dict[str, Any]:
        """`Graded` of each task, as JSON values."""
        return {name: asdict(self._graded(model, rows, seed)) for name, rows in heldout.items()}

    def _graded(self, model: Decoder, rows: Sequence[Row], seed: int) -> Graded:
        prompts, judge = self.prompts(model, rows), GymVerifier(self.scorer, partial=False)

        def said(n: int, temperature: float) -> Iterator[list[tuple[str, int, bool]]]:
            sampling = Sampling(
                max_new_tokens=self.scale.max_new_tokens, temperature=temperature, stop=self.tokenizer.stop_ids
            )
            groups = generate(model, [prompt.tokens for prompt in prompts], sampling, n=n, seed=seed)
            for prompt, group in zip(prompts, groups, strict=True):
                texts = [self.tokenizer.decode(completion.tokens) for completion in group]
                judged = judge([Answer([], text, prompt.row) for text in texts])
                yield [
                    (text, len(completion.drawn), bool(one.correct) and completion.stop is not None)
                    for text, completion, one in zip(texts, group, judged, strict=True)
                ]

        sampled, greedy = list(said(self.scale.measured, 1.0)), list(said(1, 0.0))
        return Graded(
            [sum(correct for _, _, correct in group) for group in sampled],
            self.scale.measured,
            [group[0][2] for group in greedy],
            sum(length for group in sampled for _, length, _ in group),
            [f"{row['prompt']} → {group[0][0]}" for row, group in zip(rows[:2], greedy, strict=False)],
        )


def _asked(row: Mapping[str, Any]) -> list[Any]:
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": row["prompt"]}]


def _tasks(rows: Sequence[Row]) -> list[Task]:
    return [Task(_asked(row), row) for row in rows]


def _of(name: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: row[KEY]["task"] == name


def spent_on_sft(model: Decoder, folder: Path) -> float:
    """Operations of an SFT, by what it has logged."""
    return Operations().training(n_parameters(model), sum(event["tokens"] for event in read_events(folder))).total


def spent_on_grpo(model: Decoder, scale: GymScale, prompts: Sequence[Prompt], folder: Path) -> float:
    """Operations of a GRPO: each prompt read once and its answers sampled, and then both learned from."""
    events, size = read_events(folder), n_parameters(model)
    sampled = sum(event["completions/mean_length"] for event in events) * scale.prompts * scale.samples
    read = sum(len(prompt.tokens) for prompt in prompts)
    return Operations().forward(size, read + sampled).training(size, sum(event["tokens"] for event in events)).total
