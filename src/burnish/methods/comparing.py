"""Held-out prompts and pairs as tokens, and what models say of answers to them; kept, so that a kill loses little."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.runs.names import PAIRS_REPORT_FILE
from burnish.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.datasets.rows import Preference, Task
    from burnish.nn.decoder import Decoder
    from burnish.nn.scalar import ScalarModel
    from burnish.rewards.pairwise import AnswerPair, PairVerdict
    from burnish.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Given:
    """Answers as tokens, each with its prompt."""

    prompts: list[list[int]]
    answers: list[list[int]]


@dataclass(frozen=True)
class Questions:
    """Held-out prompts that fit the model, and the pairs that they came with, if they did.

    prompts: the tokens of each task. pairs: the chosen and the rejected answers, as policies write them. ranked: the
    same as reward models read them, to the end of the chat template.
    """

    tasks: "list[Task]"
    prompts: list[list[int]]
    pairs: Mapping[str, Given]
    ranked: Mapping[str, Given]

    def answered(self, sampled: Sequence[Answer], n: int) -> Given:
        """What was sampled, `n` answers to each prompt in a row."""
        return Given([prompt for prompt in self.prompts for _ in range(n)], [list(one.tokens) for one in sampled])


def read_held_out(paths: Sequence[Path], columns: Mapping[str, str]) -> "tuple[list[Task], list[Preference]]":
    """The tasks of a file; of preferences their prompts as tasks, and the preferences themselves.

    A task's row is the row as it stands in the file. Raises DataError naming file and line.
    """
    from burnish.datasets.fields import present
    from burnish.datasets.formats import PAIR_KEYS
    from burnish.datasets.rows import Task, read_preferences, read_rows, read_tasks

    rows = [row for path in paths for row in read_rows(path)]
    if not rows:
        raise DataError(f"{', '.join(map(str, paths))}: has no row")
    if not all(present(rows[0].value, columns.get(key, key)) for key in PAIR_KEYS):
        return read_tasks(paths, columns=columns), []
    pairs = read_preferences(paths, columns=columns)
    tasks = [
        Task(pair.prompt, row.value, pair.tools, pair.place, pair.fault, pair.template_kwargs, pair.unused)
        for pair, row in zip(pairs, rows, strict=True)
    ]
    return tasks, pairs


def encode_held_out(
    run: Run,
    tokenizer: "Tokenizer",
    tasks: "Sequence[Task]",
    pairs: "Sequence[Preference]",
    *,
    max_length: int,
    max_new_tokens: int,
) -> Questions:
    """Prompts with room for an answer, and pairs with their answers cut where they are too long.

    What became of the rows is shown and written. Raises DataError where no prompt is left.
    """
    from burnish.datasets.examples import preference_examples, task_prompts
    from burnish.datasets.rankings import ranked_examples
    from burnish.datasets.rows import Ranking

    prompts, report = task_prompts(tasks, tokenizer, max_length=max_length - max_new_tokens)
    run.report(report)
    if not prompts:
        raise DataError(
            f"no prompt leaves room for an answer of {max_new_tokens} tokens; raise max_length ({max_length})"
        )
    dropped = {(file, line) for file, line, _ in report.dropped}
    kept = [task for task in tasks if (task.place.file, task.place.line) not in dropped]
    tokens = [prompt.tokens for prompt in prompts]
    if not pairs:
        return Questions(kept, tokens, {}, {})
    examples, of_pairs = preference_examples(pairs, tokenizer, max_length=max_length, on_long="cut")
    run.report(of_pairs, PAIRS_REPORT_FILE)
    rankings = [
        Ranking(p.prompt, [p.chosen, p.rejected], None, p.tools, p.place, p.fault, None, p.template_kwargs, p.unused)
        for p in pairs
    ]
    ranked, _ = ranked_examples(rankings, tokenizer, max_length=max_length, on_long="cut")
    return Questions(
        kept,
        tokens,
        _both([one.prompt for one in examples], [(one.chosen, one.rejected) for one in examples]),
        _both([one.prompt for one in ranked], [(one.answers[0], one.answers[1]) for one in ranked]),
    )


def _both(prompts: list[list[int]], answers: Sequence[tuple[list[int], list[int]]]) -> dict[str, Given]:
    chosen, rejected = ([pair[side] for pair in answers] for side in (0, 1))
    return {"chosen": Given(prompts, chosen), "rejected": Given(prompts, rejected)} if prompts else {}


def judged_wins(
    compare: "Callable[[Sequence[AnswerPair]], Sequence[PairVerdict]]",
    answers: Sequence[Answer],
    baseline: Sequence[Answer],
) -> list[float]:
    """For each answer how it fares against the baseline's by a judge model: 1 where it wins, a half for a tie."""
    from burnish.rewards.pairwise import AnswerPair

    comparisons = [AnswerPair(one.prompt, one.text, other.text) for one, other in zip(answers, baseline, strict=True)]
    return [verdict.share for verdict in compare(comparisons)]


class AnswerScorer:
    """What models say of given answers. Each result is kept under a name until the stage is done."""

    def __init__(
        self,
        run: Run,
        tokenizer: "Tokenizer",
        micro_batch_tokens: int,
        *,
        load: "Callable[[str], tuple[Decoder, Tokenizer]]",
        load_reward_model: "Callable[[str], tuple[ScalarModel, Tokenizer]]",
    ) -> None:
        self._run, self._vocab_size, self._micro_batch_tokens = run, tokenizer.vocab_size, micro_batch_tokens
        self._open, self._open_reward_model = load, load_reward_model
        # One model at a time: the next answers are often scored by the same.
        self._policy = lru_cache(1)(self._load)
        self._reward_model = lru_cache(1)(self._load_reward_model)

    def logps(self, name: str, model: str, given: Given) -> "list[Tensor]":
        """log p of every answer's tokens under a policy, in nats."""
        import torch

        from burnish.methods.sequences import answer_logps

        def compute() -> list[list[float]]:
            found = answer_logps(
                self._policy(model), given.prompts, given.answers, micro_batch_tokens=self._micro_batch_tokens
            )
            return [values.tolist() for values in found]

        return [torch.tensor(values) for values in self._run.remembered(f"logps-{name}", compute)]

    def rewards(self, name: str, model: str, given: Given) -> list[float]:
        """The reward of every answer under a reward model."""
        from burnish.methods.sequences import answer_rewards

        def compute() -> list[float]:
            return answer_rewards(
                self._reward_model(model), given.prompts, given.answers, micro_batch_tokens=self._micro_batch_tokens
            )

        rewards: list[float] = self._run.remembered(f"rewards-{name}", compute)
        return rewards

    def _load(self, model: str) -> "Decoder":
        decoder, tokenizer = self._open(model)
        self._check(model, tokenizer)
        return decoder

    def _load_reward_model(self, model: str) -> "ScalarModel":
        reward_model, tokenizer = self._open_reward_model(model)
        self._check(model, tokenizer)
        return reward_model

    def _check(self, model: str, tokenizer: "Tokenizer") -> None:
        """Answers are compared as tokens, so all models must mean the same by them."""
        if tokenizer.vocab_size != self._vocab_size:
            raise DataError(
                f"{model} has a vocabulary of {tokenizer.vocab_size} tokens, the reference one of {self._vocab_size}; "
                "compare models with one tokenizer"
            )
