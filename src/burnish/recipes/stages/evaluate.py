"""evaluate: several models answer the same tasks, greedily or by the vote of several samples, and are judged."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.evaluation.heldout_text import NOTHING_HELD_OUT, by_model, measure_heldout
from burnish.files import atomic_write_text
from burnish.methods.answering import Judged, answer, answer_by_votes
from burnish.recipes.language.places import KeyPath, did_you_mean
from burnish.recipes.schema.asking import decoding_work, probe_prompts, read_judged_tasks
from burnish.recipes.schema.gold import check_gold
from burnish.recipes.schema.heldout_text import nothing_held_out
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.stage import (
    CorpusReference,
    FileReference,
    Metrics,
    ModelReference,
    Name,
    ReferenceKind,
    StageConfig,
    StageContext,
    StrictModel,
)
from burnish.recipes.schema.verifiers import VerifierConfig
from burnish.rewards.sql_votes import VOTE_TEMPERATURE
from burnish.runs.names import ANSWERS_PREFIX, RESULTS_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from burnish.datasets.rows import Task
    from burnish.recipes.plan.work import Work

SCORED_TOKENS = 4096
"""Tokens of held-out text in one forward pass."""


class ReportedScore(StrictModel):
    """A score that the summary names: that of one model on one group of tasks, or on several together."""

    model: str = Field(description="label of the model")
    group: str | Annotated[list[str], Field(min_length=1)] = Field(
        description="value of the `groups` key, or several whose tasks are taken together"
    )

    @property
    def members(self) -> list[str]:
        """The groups whose tasks count."""
        return [self.group] if isinstance(self.group, str) else self.group


class EvaluateStage(Prompted, StageConfig):
    """Accuracy of each model with a bootstrap interval, over all tasks and by group; all answers are kept.

    Writes `answers-LABEL.jsonl` for each model and `results.json`.
    """

    type: Literal["evaluate"] = Field("evaluate", description="evaluate")
    tasks: FileReference = Field(description="tasks: prompts with all that the verifier reads")
    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")
    verifier: VerifierConfig = Field(description="what judges the answers")
    models: dict[Name, ModelReference] = Field(min_length=1, description="label: model, for example {final: '@dpo'}")
    metric: Name = Field("accuracy", description="name of the score in summary.json; ends best in _accuracy")
    groups: str | None = Field(None, description="key of the tasks by whose values scores are also given apart")
    report: dict[Name, ReportedScore] = Field({}, description="further scores in summary.json: name: {model, group}")
    max_new_tokens: int = Field(128, ge=1, description="longest answer, in tokens")
    votes: int = Field(
        1,
        ge=1,
        description="sampled answers a task, of which the result that most have is the answer; 1 answers greedily",
    )
    temperature: float = Field(VOTE_TEMPERATURE, gt=0, description="of the sampled answers, with votes above 1")
    corpus: CorpusReference | None = Field(None, description="corpus on whose held-out text perplexity is measured")

    produces: ClassVar[dict[ReferenceKind, str]] = {"evaluation": RESULTS_FILE}
    resumable: ClassVar[bool] = True

    def problems(self, folder: "Path") -> "Iterator[tuple[KeyPath, str]]":
        for name, score in self.report.items():
            if score.model not in self.models:
                hint = did_you_mean(score.model, self.models) or "."
                yield (
                    ("report", name, "model"),
                    f"got '{score.model}'; not a label of `models`{hint} Expected one of: {', '.join(self.models)}",
                )
            if name in self.models:
                yield ("report", name), "is also a label of `models`; choose another name"
            if self.groups is None:
                yield (
                    ("report", name, "group"),
                    f"got '{', '.join(score.members)}'; needs `groups`, the key that tells the groups",
                )

    def problems_among(self, producers: "Mapping[str, StageConfig]") -> "Iterator[tuple[KeyPath, str]]":
        text = nothing_held_out(self.corpus, producers)
        if text is not None:
            yield ("corpus",), text

    def check(self, context: StageContext) -> None:
        tasks = self._tasks(context)
        check_gold(context, self.verifier, tasks)
        probe_prompts(context, tasks, *self.models.values())

    def work(self, context: StageContext) -> "Work | None":
        tasks, models, new = self._tasks(context), list(self.models.values()), self.max_new_tokens
        return decoding_work(context, tasks, models, n=self.votes, max_new_tokens=new)

    def run(self, context: StageContext) -> Metrics:
        from burnish.generation.sampling import Sampling

        tasks = self._tasks(context)
        sampling = Sampling(
            temperature=0.0 if self.votes == 1 else self.temperature, max_new_tokens=self.max_new_tokens
        )
        scores: dict[str, Any] = {}
        heldout: dict[str, Any] = {}
        for label, model in self.models.items():
            load = partial(context.load, model)
            judging = self.verifier.open(context.path, context.warn, context.cache)
            if self.votes == 1:
                answers = [judged for (judged,) in answer(context, label, load, tasks, sampling, judging)]
            else:
                answers = answer_by_votes(context, label, load, tasks, sampling, judging, n=self.votes)
            lines = [json.dumps(self._row(*pair), ensure_ascii=False) for pair in zip(tasks, answers, strict=True)]
            atomic_write_text(context.folder / f"{ANSWERS_PREFIX}{label}.jsonl", "\n".join(lines) + "\n")
            scores[label] = self._scores(label, tasks, answers, context.seed)
            context.display.say(f"  {label}: {scores[label]['value']:.1%} of {len(tasks)} right")
            if self.corpus is not None:
                heldout[label] = context.remembered(f"heldout-{label}", partial(self._heldout, context, model))
        metrics: Metrics = {"tasks": len(tasks), "scores": scores, **by_model(heldout, context.seed)}
        if heldout and "perplexity_by_model" not in metrics:
            context.display.say(f"  {NOTHING_HELD_OUT}")
        atomic_write_text(context.folder / RESULTS_FILE, json.dumps(metrics, indent=2) + "\n")
        return metrics

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        scores = metrics["scores"]
        named = scores | {name: scores[wanted.model]["reported"][name] for name, wanted in self.report.items()}
        result = {
            self.metric: {name: score["value"] for name, score in named.items()},
            f"{self.metric}_interval": {name: score["interval"] for name, score in named.items()},
        }
        if "perplexity_by_model" in metrics:
            result["perplexity_by_model"] = metrics["perplexity_by_model"]
            result["perplexity_by_model_interval"] = metrics["perplexity_change"]
        return result

    def _tasks(self, context: StageContext) -> "list[Task]":
        """The tasks, each with its group. Raises DataError where a group or one that is to be reported is missing."""
        tasks = self.with_system(context, read_judged_tasks(context, self.tasks, self.verifier, columns=self.columns))
        if self.groups is None:
            return tasks
        for task in tasks:
            if task.row.get(self.groups) is None:
                raise DataError(f"{task.place}: the key '{self.groups}', which tells the groups apart, is missing")
        there = sorted({self._group(task) for task in tasks})
        for name, score in self.report.items():
            for group in score.members:
                if group not in there:
                    hint = did_you_mean(group, there) or "."
                    raise DataError(
                        f"report.{name}.group: no task has '{self.groups}: {group}'{hint} It has: {', '.join(there)}"
                    )
        return tasks

    def _group(self, task: "Task") -> str:
        return str(task.row[str(self.groups)])

    def _row(self, task: "Task", judged: Judged) -> dict[str, Any]:
        return {
            **judged.row(task),
            "group": None if self.groups is None else self._group(task),
            "gold": _gold(task.row),
        }

    def _scores(self, label: str, tasks: "Sequence[Task]", answers: Sequence[Judged], seed: int) -> dict[str, Any]:
        """Accuracy and interval over all tasks, in each group, and in what `report` takes of this model."""
        members: dict[str, list[bool]] = {}
        if self.groups is not None:
            for task, judged in zip(tasks, answers, strict=True):
                members.setdefault(self._group(task), []).append(judged.correct)
        return {
            **_score([judged.correct for judged in answers], seed),
            "groups": {group: _score(correct, seed) for group, correct in members.items()},
            "reported": {
                name: _score([correct for group in wanted.members for correct in members[group]], seed)
                for name, wanted in self.report.items()
                if wanted.model == label
            },
        }

    def _heldout(self, context: StageContext, model: str) -> dict[str, Any]:
        from burnish.corpus.token_corpus import TokenCorpus

        decoder, tokenizer = context.load(model)
        corpus = TokenCorpus.load(context.path(self.corpus))
        return dict(measure_heldout(decoder, tokenizer, corpus, SCORED_TOKENS, model))


def _score(correct: list[bool], seed: int) -> dict[str, Any]:
    from burnish.evaluation.statistics import bootstrap_interval

    return {
        "value": sum(correct) / len(correct),
        "interval": list(bootstrap_interval(correct, seed=seed)),
        "count": len(correct),
    }


def _gold(row: Mapping[str, Any]) -> str | None:
    """The right answer that a task's row shows, if it shows one: the assistant's last message."""
    messages = row.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if isinstance(last, dict) and last.get("role") == "assistant":
        return str(last.get("content"))
    return None
