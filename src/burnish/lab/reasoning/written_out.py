"""Additions written out in columns, and a small decoder that imitates them: the π_sft that post-training begins with.

Notable choices:
- the tokenizer has a chat template, so that methods and judges read these conversations as they read any other's;
- the imitation ends once enough is right, and before all is: there is something to reward, and to learn.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from burnish.datasets.examples import Example, Prompt
from burnish.generation.answer import Answer
from burnish.generation.engine import generate
from burnish.generation.sampling import Sampling
from burnish.lab.notebook import Notebook
from burnish.lab.reasoning.arithmetic import (
    ALPHABET,
    END,
    Addition,
    character_tokenizer,
    draw,
    is_right,
    longest_answer,
    tasks,
    written,
)
from burnish.lab.reasoning.reading import Shape
from burnish.lab.weights import load_trained, save_trained
from burnish.methods import sft
from burnish.methods.pretrain import drawn
from burnish.nn.decoder import Decoder
from burnish.rewards.environment import Environment
from burnish.rewards.judgement import Judgement, WeightedJudge, verdict
from burnish.runs.progress import Reporter
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer
from burnish.training.config import TrainingConfig

MICRO_BATCH_TOKENS = 8192
_MAX_POSITIONS = 256
_LOOKED_AT, _SAMPLES = 64, 4
"""Problems and samples by which it is told whether enough is right."""
_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'user' %}{{ '\\n' + message.content }}"
    "{% else %}{{ message.content + '\\n' }}{% endif %}{% endfor %}"
)


def chat_tokenizer() -> Tokenizer:
    """A token for each character; a question begins with the end of what came before, an answer closes with its own."""
    return replace(character_tokenizer(), chat_template=_TEMPLATE)


def problems(digits: int, count: int, seed: Sequence[int], *, heldout: bool = False) -> list[Addition]:
    """So many additions of one side."""
    rng = np.random.default_rng(seed)
    return [draw(rng, digits, heldout=heldout) for _ in range(count)]


def question(tokenizer: Tokenizer, problem: Addition) -> list[int]:
    """What stands before an answer, as the chat template writes it."""
    return tokenizer.encode(END + problem.question)


def demonstration(tokenizer: Tokenizer, problem: Addition) -> Example:
    """A right answer written out, of which the answer is learned."""
    asked, answer = question(tokenizer, problem), tokenizer.encode(written(problem, "columns") + END)
    return Example([*asked, *answer], [False] * len(asked) + [True] * len(answer))


def environment(tokenizer: Tokenizer, asked: Sequence[Addition], judges: Sequence[WeightedJudge]) -> Environment:
    """The problems as what a policy is asked and rewarded for."""
    prompts = [Prompt(question(tokenizer, problem), {}) for problem in asked]
    return Environment(tokenizer, tasks(asked), prompts, judges)


def by_rule(answers: Sequence[Answer], /) -> list[Judgement]:
    """Whether each answer ends with the sum, and ends at all."""
    return [
        verdict(one.finished and is_right(Addition(one.row["a"], one.row["b"], one.row["digits"]), one.text))
        for one in answers
    ]


def sampled(
    decoder: Decoder, tokenizer: Tokenizer, asked: Sequence[Addition], samples: int, *, seed: int
) -> list[list[Answer]]:
    """So many answers to each problem, at temperature 1."""
    longest = max(longest_answer(problem.digits) for problem in asked) + 2
    sampling = Sampling(max_new_tokens=longest, stop=tokenizer.stop_ids)
    groups = generate(
        decoder.eval(), [question(tokenizer, one) for one in asked], sampling, n=samples, seed=seed, batch_size=512
    )
    return [
        [
            Answer(
                task.prompt,
                tokenizer.decode(one.tokens),
                task.row,
                tokens=[*one.tokens, *([] if one.stop is None else [one.stop])],
                logp=sum(one.logps),
                finished=one.stop is not None,
            )
            for one in group
        ]
        for task, group in zip(tasks(asked), groups, strict=True)
    ]


def right_counts(groups: Sequence[Sequence[Answer]]) -> list[int]:
    """Of each problem, how many of its answers are right."""
    return [sum(bool(one.correct) for one in by_rule(group)) for group in groups]


@dataclass(frozen=True, kw_only=True)
class Demonstrations:
    """What the decoder imitates: additions of 1 to `digits` digits, each once, until enough answers are right.

    enough: share of right answers to `digits` digits; looked at after every `portion`, of at most `portions`.
    """

    shape: Shape
    digits: int
    enough: float = 0.3
    portion: int = 3_000
    portions: int = 20
    learning_rate: float = 4e-3
    batch_size: int = 32

    def start(self, seed: int, notebook: Notebook, display: Reporter) -> Decoder:
        """The decoder after its imitation: trained once, kept in the notebook."""
        name = f"start-{seed}"
        config = self.shape.config(vocab_size=len(ALPHABET), max_positions=_MAX_POSITIONS)
        decoder, file = drawn(config, seed=seed), notebook.subfolder("starts") / f"{name}.safetensors"
        identity = f"{notebook.identity}-{name}"
        if load_trained(decoder, file, identity=identity):
            return decoder.eval()
        for portion in range(self.portions):
            shutil.rmtree(notebook.subfolder(name))
            run = Run(notebook.subfolder(name), seed, f"{identity}-{portion}", display)
            settings = sft.Settings.model_validate({"training": self._training})
            sft.learn(decoder, self._examples([seed, 1, portion]), settings, run)
            if self._right(decoder, seed) >= self.enough:
                break
        shutil.rmtree(notebook.subfolder(name))
        save_trained(decoder, file, identity=identity)
        return decoder.eval()

    def _examples(self, seed: Sequence[int]) -> list[Example]:
        tokenizer, rng = chat_tokenizer(), np.random.default_rng(seed)
        sizes = rng.integers(1, self.digits + 1, size=self.portion)
        return [demonstration(tokenizer, draw(rng, int(size), heldout=False)) for size in sizes]

    def _right(self, decoder: Decoder, seed: int) -> float:
        asked = problems(self.digits, _LOOKED_AT, [seed, 9])
        counts = right_counts(sampled(decoder, chat_tokenizer(), asked, _SAMPLES, seed=seed))
        return sum(counts) / (_LOOKED_AT * _SAMPLES)

    @property
    def _training(self) -> TrainingConfig:
        return TrainingConfig.model_validate(
            {
                "learning_rate": self.learning_rate,
                "schedule": "constant",
                "batch_size": self.batch_size,
                "micro_batch_tokens": MICRO_BATCH_TOKENS,
            }
        )
