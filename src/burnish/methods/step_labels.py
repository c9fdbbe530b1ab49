"""Labels of steps by rollouts (Math-Shepherd, arXiv:2312.08935, section 3.3): how often what begins so ends right.

Notable choices:
- a prefix is continued token by token as it was sampled, never encoded again, and its keys and values are shared by all
  its completions;
- equal prefixes of a prompt's answers are continued once, equal answers count once;
- the label of the last step needs no rollout: whether the answer is right.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from burnish.errors import DataError
from burnish.files import atomic_write_text
from burnish.generation.answer import Answer
from burnish.methods.answering import CHUNK_COMPLETIONS, Judging, Load
from burnish.methods.settings import StopString
from burnish.rewards.judgement import WeightedJudge, judge_answers, together
from burnish.runs.names import OUTCOMES_FILE, STEPS_FILE
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.generation.request import Completion
    from burnish.generation.sampling import Sampling
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer

USUAL_STEPS = 4
"""Steps that an answer is taken to have where work is divided or estimated before there is one."""


class Settings(BaseModel):
    """How answers are sampled, and how often each step is continued."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: int = Field(4, ge=1, le=100_000, description="answers to each prompt")
    rollouts: int = Field(8, ge=1, le=100_000, description="completions from the end of each step but the last")
    labels: Literal["hard", "soft"] = Field(
        "hard", description="hard: 1 where any completion is right, else 0; soft: the share of them that is"
    )
    step_separator: str = Field("\n", min_length=1, description="what answers are split into steps at")
    max_steps: int = Field(32, ge=1, description="answers of more steps are left out")
    temperature: float = Field(1.0, gt=0, description="1 samples from the model itself; less is more cautious")
    top_k: int = Field(0, ge=0, description="choose among so many tokens; 0: all")
    top_p: float = Field(1.0, gt=0, le=1, description="choose among the tokens that hold this share of probability")
    max_new_tokens: int = Field(128, ge=1, description="longest answer, and longest completion of one, in tokens")
    stop: list[StopString] = Field([], description="strings that end an answer, which is cut before them")


def label_steps(run: Run, load: Load, tasks: "Sequence[Task]", judging: Judging, settings: Settings) -> dict[str, Any]:
    """Write `steps.jsonl`, answers with a label for each step, and `outcomes.jsonl`, the same with one for all of it.

    The model that `load` gives answers, and continues its answers; the judges say which are right. Each chunk of tasks
    draws from (seed, chunk) alone and is kept as soon as it is done: the result does not depend on where a run was
    interrupted. Raises DataError where a judge does not tell right from wrong, or no prompt leaves room for an answer
    and for a completion of it.
    """
    per_chunk = max(1, CHUNK_COMPLETIONS // (settings.samples * (1 + USUAL_STEPS * settings.rollouts)))
    found: list[dict[str, Any]] = []
    with ExitStack() as stack, run.display.bar("steps", len(tasks), "prompts") as bar:
        labeller: _Labeller | None = None
        prompts: list[list[int]] = []
        for start in range(0, len(tasks), per_chunk):

            def compute(start: int = start) -> list[dict[str, Any]]:
                nonlocal labeller, prompts
                if labeller is None:
                    labeller = _Labeller(*load(), stack.enter_context(judging()), settings, run.seed)
                    prompts = labeller.prompts(tasks)
                part = slice(start, start + per_chunk)
                return labeller.label(start, tasks[part], prompts[part])

            found += run.remembered(f"steps-{start:07}", compute)
            bar.update(min(start + per_chunk, len(tasks)))
    answers = [one for of_task in found for one in of_task["answers"]]
    shared = [of_task["shared"] for of_task in found for _ in of_task["answers"]]
    steps = [
        row | {"completions": one["steps"], "labels": one["labels"]} for row, one in zip(shared, answers, strict=True)
    ]
    outcomes = [
        row | {"completion": one["text"], "label": one["correct"]} for row, one in zip(shared, answers, strict=True)
    ]
    for name, rows in ((STEPS_FILE, steps), (OUTCOMES_FILE, outcomes)):
        lines = (json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
        atomic_write_text(run.folder / name, "".join(lines))
    labels = [label for one in answers for label in one["labels"]]
    left_out = sum(of_task["left_out"] for of_task in found)
    if left_out:
        run.notice(
            f"{left_out} of {left_out + len(answers)} different answers have no step, or more than max_steps "
            f"({settings.max_steps}), and were left out"
        )
    if not answers:
        raise DataError("no answer has steps that could be labelled; raise max_new_tokens or max_steps")
    return {
        "prompts": len(tasks),
        "answers": len(answers),
        "left_out": left_out,
        "steps": len(labels),
        "right_steps": sum(labels) / len(labels),
        "accuracy": sum(one["correct"] for one in answers) / len(answers),
        "completions": sum(of_task["completions"] for of_task in found),
    }


@dataclass(frozen=True)
class _SampledAnswer:
    """An answer as it was sampled. ends: how many of its tokens there are up to the end of each step but the last."""

    text: str
    tokens: list[int]
    finished: bool
    steps: list[str]
    ends: list[int]


@dataclass(frozen=True)
class _Labeller:
    decoder: "Decoder"
    tokenizer: "Tokenizer"
    judges: Sequence[WeightedJudge]
    settings: Settings
    seed: int

    def label(self, start: int, chunk: "Sequence[Task]", prompts: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
        """What is kept of a chunk, the tasks from number `start` on: of each task its answers with their labels."""
        drawn = self._generate(prompts, self.settings.samples, [start, 0])
        sampled = [self._distinct(group) for group in drawn]
        kept = [[one for one in group if 0 < len(one.steps) <= self.settings.max_steps] for group in sampled]
        prefixes = {
            (place, tuple(one.tokens[:end])): None
            for place, group in enumerate(kept)
            for one in group
            for end in one.ends
        }
        continued = [[*prompts[place], *prefix] for place, prefix in prefixes]
        groups = self._generate(continued, self.settings.rollouts, [start, 1]) if continued else []
        rollouts = [
            self._continued(chunk[place], prefix, one)
            for (place, prefix), group in zip(prefixes, groups, strict=True)
            for one in group
        ]
        own = [
            Answer(task.prompt, one.text, task.row, one.tokens, finished=one.finished)
            for task, group in zip(chunk, kept, strict=True)
            for one in group
        ]
        right = self._right([*own, *rollouts])
        n = self.settings.rollouts
        of_rollouts = right[len(own) :]
        shares = {
            prefix: self._share(of_rollouts[number * n : (number + 1) * n]) for number, prefix in enumerate(prefixes)
        }
        verdicts = iter(right)
        return [
            {
                "shared": {"prompt": task.prompt} | {key: task.row[key] for key in ("tools",) if key in task.row},
                "answers": [
                    self._row(one, [shares[place, tuple(one.tokens[:end])] for end in one.ends], next(verdicts))
                    for one in group
                ],
                "left_out": len(sampled[place]) - len(group),
                "completions": n * sum(where == place for where, _ in prefixes),
            }
            for place, (task, group) in enumerate(zip(chunk, kept, strict=True))
        ]

    def _row(self, one: _SampledAnswer, labels: list[float], correct: bool) -> dict[str, Any]:
        return {"text": one.text, "steps": one.steps, "labels": [*labels, float(correct)], "correct": correct}

    def _share(self, right: Sequence[bool]) -> float:
        """Equations 3 (hard) and 4 (soft) of Math-Shepherd."""
        return float(any(right)) if self.settings.labels == "hard" else sum(right) / len(right)

    def _distinct(self, group: "Sequence[Completion]") -> list[_SampledAnswer]:
        """The different answers to a prompt, in the order they were drawn."""
        from burnish.generation.texts import completion_text
        from burnish.text.steps import split_steps, token_places

        found: dict[str, _SampledAnswer] = {}
        for one in group:
            text = completion_text(one, self.tokenizer)
            if text in found:
                continue
            steps = split_steps(text, self.settings.step_separator)
            places = token_places(self.tokenizer, one.tokens, [step.end for step in steps[:-1]])
            tokens = one.tokens if one.stop is None else [*one.tokens, one.stop]
            finished = one.finish_reason == "stop"
            found[text] = _SampledAnswer(
                text, tokens, finished, [step.text for step in steps], [end + 1 for end in places]
            )
        return list(found.values())

    def _continued(self, task: "Task", prefix: Sequence[int], one: "Completion") -> Answer:
        """A prefix with its completion."""
        text = self.tokenizer.decode([*prefix, *one.tokens])
        if one.text is not None:  # without the stop string that ended it
            text = text[: len(text) - len(self.tokenizer.decode(one.tokens)) + len(one.text)]
        tokens = [*prefix, *one.tokens, *([] if one.stop is None else [one.stop])]
        return Answer(task.prompt, text, task.row, tokens, finished=one.finish_reason == "stop")

    def _right(self, answers: Sequence[Answer]) -> list[bool]:
        judged = judge_answers(self.judges, answers)
        verdicts = [together(self.judges, of_answer).correct for of_answer in zip(*judged, strict=True)]
        for answer, correct in zip(answers, verdicts, strict=True):
            if correct is None:
                raise DataError(
                    f"no judge says whether the answer {answer.text[:80]!r} is right or wrong, which is what steps are "
                    "labelled by; add a judge that tells right from wrong for rows of its kind"
                )
        return [bool(correct) for correct in verdicts]

    def _generate(self, prompts: Sequence[Sequence[int]], n: int, numbers: Sequence[int]) -> "list[list[Completion]]":
        from burnish.generation.engine import generate

        return generate(
            self.decoder,
            [list(prompt) for prompt in prompts],
            self._sampling,
            n=n,
            seed=int(np.random.SeedSequence([self.seed, *numbers]).generate_state(1)[0]),
            batch_size=CHUNK_COMPLETIONS,
            tokenizer=self.tokenizer,
        )

    @property
    def _sampling(self) -> "Sampling":
        from burnish.generation.sampling import Sampling

        return Sampling(
            temperature=self.settings.temperature,
            top_k=self.settings.top_k,
            top_p=self.settings.top_p,
            max_new_tokens=self.settings.max_new_tokens,
            stop=self.tokenizer.stop_ids,
            stop_strings=tuple(self.settings.stop),
        )

    def prompts(self, tasks: "Sequence[Task]") -> list[list[int]]:
        """The prompts as tokens. Raises DataError where one leaves no room for an answer and its completion."""
        from burnish.datasets.examples import task_prompts

        context = self.tokenizer.context_length or self.decoder.config.max_positions
        prompts, report = task_prompts(tasks, self.tokenizer, max_length=context - 2 * self.settings.max_new_tokens)
        if report.dropped:
            raise DataError(
                f"prompts that leave no room in the context of {context} tokens for an answer and a completion of it, "
                f"of {self.settings.max_new_tokens} each: {report.summary()}"
            )
        return [prompt.tokens for prompt in prompts]
