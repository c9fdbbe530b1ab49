"""Measuring models on tasks: each answers all of them, judges say what the answers are worth, with intervals.

One answer to a task is written greedily or elected by votes; of several that are drawn also pass@k and cons@k are
measured (`sampled.py`), and the accuracy is the mean over them. A grid measures the same at other ways of decoding.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field

from burnish.files import atomic_write_text
from burnish.generation.answer import Answer
from burnish.methods.acted import ToolsAtHand, act_all, told, tool_costs, traces
from burnish.methods.answering import Form, Judging, Load, choose, judge, sample
from burnish.methods.decoding import Decoding, Grid
from burnish.methods.retrieved import Retrieval
from burnish.methods.sampled import AnsweredTask, judge_samples, mean, measures, worth
from burnish.methods.scores import described, differences, scores_of
from burnish.methods.settings import StopString
from burnish.methods.ways_of_asking import Way, ways_of_asking
from burnish.rewards.votes import Choose
from burnish.runs.names import ANSWERS_PREFIX, SAMPLED_PREFIX, TRACES_PREFIX
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.rewards.choice import MultipleChoice


class Settings(Decoding):
    """How answers are got, and how many."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_new_tokens: int = Field(128, ge=1, description="longest answer, in tokens")
    stop: list[StopString] = Field([], description="strings that end an answer, which is cut before them")
    samples: int = Field(
        1,
        ge=1,
        le=100_000,
        description="answers to each task, drawn at `temperature`, for pass@k and cons@k; 1 answers greedily",
    )
    k: list[Annotated[int, Field(ge=1)]] = Field([], description="of pass@k and cons@k; 1 and `samples` if left out")
    votes: int = Field(
        1,
        ge=1,
        le=100_000,
        description="sampled answers a task, of which one is the answer (`choose`); 1 answers greedily",
    )
    choose: Choose = Field(
        "votes",
        description="which of several sampled answers is the answer: `votes`, what most come to; `best`, what scores "
        "highest with the judges that do not tell right from wrong; `weighted_votes`, votes that count what they score",
    )
    grid: Grid | None = Field(None, description="ways of decoding that are measured beside this one")

    @property
    def ks(self) -> list[int]:
        """The k that are measured, in order; none where each task is answered once."""
        return sorted({*self.k} or {1, self.samples}) if self.samples > 1 else []

    @property
    def decodings(self) -> list[Decoding]:
        """The further ways of decoding to be measured, each once."""
        return [] if self.grid is None else self.grid.around(self.decoding)

    @property
    def decoding(self) -> Decoding:
        """How tokens are chosen: greedily where a task is answered once."""
        greedy = self.samples == 1 and self.votes == 1
        own = {key: getattr(self, key) for key in Decoding.model_fields}
        return Decoding.model_validate(own | ({"temperature": 0.0} if greedy else {}))

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong: the key at fault, and why."""
        if self.votes > 1 and self.samples > 1:
            yield "votes", f"got {self.votes}; the {self.samples} samples of a task vote as well: leave it out"
        if self.k and self.samples == 1:
            yield "k", f"got {self.k}, and each task is answered once; expected `samples` above 1"
        elif self.k and max(self.k) > self.samples:
            yield "k", f"got {max(self.k)}, and there are samples: {self.samples}; expected at most as many"
        if self.samples > 1 and self.temperature == 0:
            yield "temperature", f"got 0, at which all {self.samples} samples of a task are the same: expected above 0"
        if self.samples == 1 and self.votes == 1 and (key := self.truncation) is not None:
            yield key, f"got {getattr(self, key)}; a task that is answered once is answered greedily: remove it"


@dataclass(frozen=True, eq=False)
class ChoiceTasks:
    """Tasks that are answered by choosing the most probable option.

    judge: reads the options of a row. applies: which rows those are. The rest is as for `choose`.
    """

    judge: "MultipleChoice"
    applies: Callable[[Mapping[str, Any]], bool]
    by_label: bool = False
    length_normalized: bool = True


def evaluate(
    run: Run,
    models: Mapping[str, Load],
    tasks: "Sequence[Task]",
    judging: Judging,
    settings: Settings,
    *,
    choices: Sequence[ChoiceTasks] = (),
    groups: "Callable[[Task], str | None]" = lambda _: None,
    reported: Mapping[str, tuple[str, Sequence[str]]] | None = None,
    retrieval: Retrieval | None = None,
    form: Form | None = None,
    tools: ToolsAtHand | None = None,
) -> dict[str, Any]:
    """Scores of each model over all tasks and by group; all answers are kept in `answers-LABEL.jsonl`.

    judging: opens the judges. groups: tells a task's group, if it has one. reported: further scores by name: of which
    model, and of which groups together. retrieval: what each model is asked with as well, as `LABEL+retrieval`. A score
    is the share of right answers where judges tell right from wrong, else a mean; of several answers to a task it is
    the mean over them. form: what each model answers in as well, as `LABEL+grammar`. tools: what each model is asked
    with as well, as `LABEL+tools`; these conversations are kept in `traces-LABEL.jsonl`.
    """
    scores: dict[str, Any] = {}
    worths: dict[str, list[float]] = {}
    names = [groups(task) for task in tasks]
    costs: dict[str, Any] = {}
    of_tools: dict[str, Any] = {}
    for way in ways_of_asking(run, models, tasks, settings.max_new_tokens, retrieval, form, tools, costs):
        label = way.label
        answered = answer_all(run, way, tasks, judging, settings, choices)
        _write(run, way, answered, names)
        taken = {name: members for name, (model, members) in (reported or {}).items() if model == label}
        scores[label] = scores_of(answered, names, taken, run.seed)
        scores[label] |= _measures(answered, settings, run.seed)
        worths[label] = [mean(map(worth, task.answers)) for task in answered]
        run.display.say(f"  {label}: {described(scores[label], len(tasks))}")
        if way.tools is not None:
            answers = [one.answer for task in answered for one in task.answers]
            of_tools[label] = tool_costs(answers)
            run.display.say(f"  {told(label, of_tools[label], len(answers))}")
        if settings.grid is None:
            continue
        scores[label]["grid"] = [_point(settings.decoding, settings.grid, scores[label])]
        for decoding in settings.decodings:
            named = f"{label}@{decoding.named(settings.grid.keys)}"
            further = answer_all(run, replace(way, label=named), tasks, judging, settings, choices, decoding)
            score = scores_of(further, names, {}, run.seed) | _measures(further, settings, run.seed)
            scores[label]["grid"].append(_point(decoding, settings.grid, score))
            run.display.say(f"  {named}: {described(score, len(tasks))}")
    measured = {"tasks": len(tasks), "scores": scores, "differences": list(differences(worths, run.seed))}
    return measured | ({"retrieval": costs} if costs else {}) | ({"tools": of_tools} if of_tools else {})


def answer_all(
    run: Run,
    way: Way,
    tasks: "Sequence[Task]",
    judging: Judging,
    settings: Settings,
    choices: Sequence[ChoiceTasks] = (),
    decoding: Decoding | None = None,
) -> list[AnsweredTask]:
    """The judged answers to each task: written greedily, drawn, one of several, or chosen among the task's options.

    Judges see the prompts of `tasks`, the model those of its way.
    """
    label, load, asked = way.label, way.load, way.tasks
    kinds = [next((one for one in choices if one.applies(task.row)), None) for task in tasks]
    sampling = (decoding or settings.decoding).sampling(settings.max_new_tokens, settings.stop)
    written = [task for task, kind in zip(asked, kinds, strict=True) if kind is None]
    n = max(settings.samples, settings.votes)
    if way.tools is None:
        answers_to = sample(run, label, load, written, sampling, n=n, form=way.form)
    else:
        answers_to = act_all(run, label, load, written, sampling, way.tools, n=n)
    groups: dict[ChoiceTasks | None, Iterator[list[Answer]]] = {None: iter(answers_to)}
    for number, one in enumerate(choices):
        these = [task for task, kind in zip(asked, kinds, strict=True) if kind is one]
        options = [one.judge.options(task.row) for task in these]
        name = f"{label}-chosen-{number}"
        taken = choose(run, name, load, these, options, by_label=one.by_label, length_normalized=one.length_normalized)
        groups[one] = iter([[answer] for answer in taken])
    answers = [
        [replace(one, prompt=task.prompt) for one in next(groups[kind])]
        for task, kind in zip(tasks, kinds, strict=True)
    ]
    if settings.samples > 1:
        return judge_samples(run, label, judging, answers, settings.ks)
    chosen = settings.choose if settings.votes > 1 else None
    return [AnsweredTask(judged) for judged in judge(run, label, judging, answers, choose=chosen)]


def _write(run: Run, way: Way, answered: Sequence[AnsweredTask], names: Sequence[str | None]) -> None:
    """Keep one answer to each task, with what was asked, and beside it all that were drawn where they are several.

    Of answers with tools also the conversations, with whether they came to something right.
    """
    rows = [
        task.shown.row()
        | {"group": group, "gold": _gold(task.shown.answer.row)}
        | ({} if as_asked.prompt == task.shown.answer.prompt else {"asked": as_asked.prompt})
        for task, group, as_asked in zip(answered, names, way.tasks, strict=True)
    ]
    files = {ANSWERS_PREFIX: rows}
    if any(len(task.answers) > 1 for task in answered):
        files[SAMPLED_PREFIX] = [one.row() | {"task": i} for i, task in enumerate(answered) for one in task.answers]
    if way.tools is not None:
        files[TRACES_PREFIX] = list(traces(way.tools, way.tasks, answered))
    for prefix, of_file in files.items():
        lines = "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in of_file)
        atomic_write_text(run.folder / f"{prefix}{way.label}.jsonl", lines)


def _measures(answered: Sequence[AnsweredTask], settings: Settings, seed: int) -> dict[str, Any]:
    """What several answers to each task tell; nothing where there is one."""
    if settings.samples == 1:
        return {}
    return {"samples": settings.samples, "measures": measures(answered, settings.ks, seed)}


def _point(decoding: Decoding, grid: Grid, score: Mapping[str, Any]) -> dict[str, Any]:
    """A way of decoding and what it came to."""
    kept = {key: score[key] for key in ("kind", "value", "interval", "count", "measures") if key in score}
    return {"decoding": {key: getattr(decoding, key) for key in grid.keys}, **kept}


def summarized(
    metrics: Mapping[str, Any], metric: str | None, judges: Sequence[str], reported: Mapping[str, str]
) -> dict[str, Any]:
    """What `summary.json` says of the measurements: by model, what is reported apart, by each of several judges.

    metric: name of the score; accuracy or score if None. reported: the model of each score that is reported apart.
    """
    scores: Mapping[str, Any] = metrics["scores"]
    named = dict(scores) | {name: scores[model]["reported"][name] for name, model in reported.items()}
    result = _entry(metric or next(iter(scores.values()))["kind"], named)
    for name in judges:
        there = {label: score["judges"][name] for label, score in scores.items() if name in score["judges"]}
        if there:
            result |= _entry(f"{name}_{next(iter(there.values()))['kind']}", there)
    for name in next(iter(scores.values())).get("measures", {}):
        result |= _entry(name, {label: score["measures"][name] for label, score in scores.items()})
    if "retrieval" in metrics:
        result["retrieval_milliseconds"] = {label: one["milliseconds"] for label, one in metrics["retrieval"].items()}
        result["retrieval_tokens"] = {label: one["tokens"] for label, one in metrics["retrieval"].items()}
    result |= _entry("repeated_ngrams", {label: one["repeated_ngrams"] for label, one in scores.items()})
    if "perplexity_by_model" in metrics:
        result["perplexity_by_model"] = metrics["perplexity_by_model"]
        result["perplexity_by_model_interval"] = metrics["perplexity_change"]
    return result


def _entry(name: str, scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        name: {label: score["value"] for label, score in scores.items()},
        f"{name}_interval": {label: score["interval"] for label, score in scores.items()},
    }


def _gold(row: Mapping[str, Any]) -> str | None:
    """The right answer that a task's row shows, if it shows one: the assistant's last message, or its `answer`."""
    messages = row.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if isinstance(last, dict) and last.get("role") == "assistant":
        return str(last.get("content"))
    answer = row.get("answer")
    return str(answer) if isinstance(answer, str | int | float) else None
