"""The report of a run: one HTML file that needs nothing else.

Notable choices:
- no script, no font, no request: the page forbids them to itself by its content security policy, so that it can be
  mailed, archived and opened where there is no network, and so that an answer of a model can do nothing in it;
- every text is escaped by the template engine, and shown with its control characters visible;
- it knows scores, perplexities, curves, stages and answers, not any recipe: what a run does not have is left out;
- numbers are text before they are pictures: each bar and curve has its figure beside it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from burnish.evaluation.limits import of_run
from burnish.evaluation.statistics import bootstrap_interval, paired_bootstrap_interval
from burnish.files import atomic_write_text
from burnish.report import forgetting, formatting, learning, sampling
from burnish.report.bars import SERIES_COLOURS, Bar
from burnish.report.charts import LineChart, line_chart
from burnish.report.comparison import comparison
from burnish.report.template import page_environment
from burnish.report.verdicts import verdict
from burnish.rewards.judgement import JudgedAnswer
from burnish.runs.names import REPORT_FILE
from burnish.runs.record import RunRecord, ShownAnswer, StageRecord, read_run

TEMPLATE = "report.html.jinja"
COMPARE = "compare"
"""The type of the stages that compare models on prompts without right answers."""

FORGETTING = "forgetting"
"""The type of the stages that measure what was forgotten."""

MAX_TEXT = 2_000
"""Characters of one answer that are shown."""
MAX_PROMPT = 600
"""Characters of a prompt that are shown, from its end: the question stands behind what is always the same."""
MAX_REASONS = 8
"""Reasons that are named; rarer ones are counted together."""

DRAWN_TOGETHER = (
    ("rewards", ("rewards/chosen", "rewards/rejected")),
    ("log-probabilities", ("logps/chosen", "logps/rejected")),
)
"""Metrics that only say something side by side, under the name of their common chart."""
DRAWN_FIRST = (
    "eval_pass@k",
    "eval_reward",
    "reward",
    "accuracy",
    "loss",
    "rewards",
    "rewards/margins",
    "rewards/accuracies",
    "kl",
    "log-probabilities",
)
DRAWN_LAST = ("grad_norm", "learning_rate", "tokens", "tokens_per_second")

# How the answers of the first and the last model compare: heading, (right before, right after), examples shown.
OUTCOMES = (
    ("Learned", (False, True), 4),
    ("Still wrong", (False, False), 4),
    ("Unlearned", (True, False), 3),
    ("Right before and after", (True, True), 2),
)


@dataclass(frozen=True)
class Gain:
    """What changed between two models on the same questions: in shares of 1, or in scores."""

    before: str
    after: str
    difference: float
    interval: tuple[float, float]
    p: float | None = None

    @property
    def verdict(self) -> str:
        return verdict(self.interval)


@dataclass(frozen=True)
class Group:
    """The scores of all models on one group of questions."""

    name: str
    count: int
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Change:
    """A perplexity before and after training; lower is better. interval: of the relative change, where it is known."""

    name: str
    before: float
    after: float
    interval: tuple[float, float] | None

    @property
    def relative(self) -> float:
        return self.after / self.before - 1

    @property
    def verdict(self) -> str:
        return verdict(self.interval, lower_is_better=True)


@dataclass(frozen=True)
class Example:
    """One question with every model's answer."""

    question: str
    gold: str | None
    answers: Sequence[tuple[Bar, JudgedAnswer]]


@dataclass(frozen=True)
class Outcome:
    """Questions on which the first and last model compare in one way, and a few of them."""

    heading: str
    count: int
    examples: Sequence[Example]


@dataclass(frozen=True)
class Asked:
    """Prompts of one stage, answered before and after it. continued: whether they are beginnings of documents."""

    stage: str
    before: str
    answers: Sequence[ShownAnswer]
    continued: bool


@dataclass(frozen=True)
class Measured:
    """One more thing that was measured of all models, as texts: value and interval of each."""

    name: str
    values: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Evaluation:
    """Everything the report shows of one stage's answers.

    shares: whether scores are shares of right answers; else they are mean scores, which have no scale of their own.
    measured: what each of several judges says, and how much the answers repeat themselves.
    """

    stage: str
    count: int
    shares: bool
    models: Sequence[Bar]
    measured: Sequence[Measured]
    gains: Sequence[Gain]
    groups: Sequence[Group]
    reasons: Sequence[tuple[str, Sequence[int]]]
    outcomes: Sequence[Outcome]


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run folder from what its stages left there; returns the file's path.

    Raises DataError when the folder is not a run's or a file in it is damaged, BurnishError when it cannot be written.
    """
    path = folder / REPORT_FILE
    atomic_write_text(path, render(read_run(folder)))
    return path


def render(run: RunRecord) -> str:
    """The report's HTML."""
    environment = page_environment(MAX_TEXT)
    environment.filters["tail"] = lambda text: formatting.tail(text, MAX_PROMPT)
    environment.filters |= {"yaml": as_yaml, "inputs": inputs}
    summary = run.summary
    evaluations = [evaluation(stage, seed=_seed(summary)) for stage in run.stages if stage.answers]
    comparisons = [comparison(stage) for stage in run.stages if stage.type == COMPARE]
    shown_already = any(evaluation.outcomes for evaluation in evaluations) or any(one.examples for one in comparisons)
    return environment.get_template(TEMPLATE).render(
        run=run,
        summary=summary,
        scores=list(scores(summary)),
        evaluations=evaluations,
        comparisons=comparisons,
        sampled=list(filter(None, (sampling.sampled(stage.name, _scores(stage)) for stage in run.stages))),
        learned=list(filter(None, map(learning.learning, run.stages))),
        limits=list(of_run(summary.get("n_parameters"), metrics_by_stage(run.stages))),
        asked=[] if shown_already else asked(run.stages),
        perplexities=list(perplexities(summary)),
        perplexity_by_model=list(perplexity_rows(summary)),
        models_by_perplexity=list(next(iter(summary.get("perplexity_by_model", {}).values()), {})),
        forgotten=[(stage.name, *_forgotten(stage)) for stage in run.stages if stage.type == FORGETTING],
        skipped=skipped_files(run.stages),
        colours={"better": "good", "worse": "bad"},
        curves=[(stage, *charts(stage)) for stage in run.stages if stage.curves],
        started=started(run.stages),
        versions=versions(run.stages),
        chart=LineChart,
    )


def scores(summary: Mapping[str, Any]) -> Iterator[tuple[str, list[Bar]]]:
    """Each summary entry that is or ends in `accuracy`, with the intervals that `<entry>_interval` gives.

    That of a judge which alone tells right from wrong is the whole's, and not given twice.
    """
    for key, by_model in summary.items():
        if not (key == "accuracy" or key.endswith("_accuracy")) or not isinstance(by_model, dict):
            continue
        if key != "accuracy" and by_model == summary.get("accuracy"):
            continue
        intervals = summary.get(f"{key}_interval", {})
        yield (
            key,
            [
                Bar(formatting.words(label), index % SERIES_COLOURS, score, _pair(intervals.get(label)))
                for index, (label, score) in enumerate(by_model.items())
                if score is not None
            ],
        )


def perplexities(summary: Mapping[str, Any]) -> Iterator[Change]:
    for name, values in summary.get("perplexity", {}).items():
        if isinstance(values, dict) and values.get("before") and values.get("after"):
            interval = _pair(summary.get("perplexity_interval", {}).get(name))
            yield Change(name, float(values["before"]), float(values["after"]), interval)


def perplexity_rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[float, Change | None]]]]:
    """Of each group of text, every model's perplexity and, but for the first model, its change from the first's."""
    intervals = summary.get("perplexity_by_model_interval", {})
    for name, by_model in summary.get("perplexity_by_model", {}).items():
        first = next(iter(by_model.values()))
        yield (
            name,
            [
                (value, Change(label, first, value, _pair(intervals.get(name, {}).get(label))) if index else None)
                for index, (label, value) in enumerate(by_model.items())
            ],
        )


def _forgotten(stage: StageRecord) -> tuple[Sequence[str], Sequence[forgetting.Line]]:
    """The labels of the models, and the rows of the table."""
    metrics = stage.record.get("metrics", {})
    return metrics["models"], forgetting.lines(metrics)


def metrics_by_stage(stages: Sequence[StageRecord]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Type and metrics of each stage by name."""
    return {stage.name: (stage.type, stage.record.get("metrics", {})) for stage in stages}


def asked(stages: Sequence[StageRecord]) -> list[Asked]:
    """What the trainings show of their answers, the last one first: it made the model."""
    return [
        Asked(
            stage.name,
            "random weights"
            if stage.type == "pretrain"
            else str(stage.record.get("configuration", {}).get("model") or "the model before"),
            stage.shown,
            stage.type in ("cpt", "pretrain"),
        )
        for stage in reversed(stages)
        if stage.shown
    ]


def skipped_files(stages: Sequence[StageRecord]) -> list[tuple[str, str, list[tuple[str, int, str, str]]]]:
    """Of each stage and group of documents, the files that were not read: reason, how many, the first of them, advice.

    A stage of an older run says nothing of them.
    """
    return [
        (
            stage.name,
            group,
            [
                (kind, of_kind["count"], _first_names(of_kind), of_kind.get("advice", ""))
                for kind, of_kind in by_kind.items()
            ],
        )
        for stage in stages
        for group, by_kind in stage.record.get("metrics", {}).get("skipped", {}).items()
    ]


def _first_names(of_kind: Mapping[str, Any]) -> str:
    files = list(of_kind["files"])
    return ", ".join(files) + (", …" if of_kind["count"] > len(files) else "")


def evaluation(stage: StageRecord, *, seed: int) -> Evaluation:
    """Compare the models that answered the same questions."""
    labels = list(stage.answers)
    shares = any(one.verdict.correct is not None for answers in stage.answers.values() for one in answers)
    answers = _judged_by_all(stage.answers) if shares else stage.answers
    right = {label: [_worth(one, shares) for one in of_model] for label, of_model in answers.items()}
    recorded = _scores(stage)
    models = _bars(right, recorded, seed)
    found = stage.record.get("metrics", {}).get("differences", [])
    tested = {(one["before"], one["after"]): float(one["p"]) for one in found}
    pairs = [*pairwise(labels), *((earlier, labels[-1]) for earlier in labels[:-2])]
    return Evaluation(
        stage=stage.name,
        count=len(right[labels[0]]),
        shares=shares,
        models=models,
        measured=[*_measured(recorded, labels), *_retrieval_costs(stage, labels)],
        gains=[_gain(right, before, after, seed, tested.get((before, after))) for before, after in pairs],
        groups=list(_groups(answers, right, recorded, seed)),
        reasons=_reasons(answers) if shares else [],
        outcomes=list(_outcomes(answers, models)) if shares and len(labels) > 1 else [],
    )


def _scores(stage: StageRecord) -> Mapping[str, Any]:
    """The scores by model that an evaluation recorded; nothing for other stages."""
    found: Mapping[str, Any] = stage.record.get("metrics", {}).get("scores", {}) if stage.type == "evaluate" else {}
    return found


def _judged_by_all(answers: Mapping[str, Sequence[JudgedAnswer]]) -> dict[str, list[JudgedAnswer]]:
    """The answers to the questions that every model's are right or wrong of; others have scores only."""
    told = [all(one.verdict.correct is not None for one in row) for row in zip(*answers.values(), strict=True)]
    return {label: [one for one, yes in zip(rows, told, strict=True) if yes] for label, rows in answers.items()}


def _measured(recorded: Mapping[str, Any], labels: Sequence[str]) -> Iterator[Measured]:
    """What each of several judges said, and the repetition, where the stage recorded them of all models."""
    of_models = [recorded.get(label, {}) for label in labels]
    judges = dict.fromkeys(name for one in of_models for name in one.get("judges", {}))
    for name, values in sampling.measured(of_models):
        yield Measured(name, [_texts(value) for value in values])
    for name in judges:
        yield Measured(name, [_texts(one.get("judges", {}).get(name)) for one in of_models])
    if all("repeated_ngrams" in one for one in of_models):
        yield Measured(
            "repeated 4-grams", [_texts({"kind": "accuracy", **one["repeated_ngrams"]}) for one in of_models]
        )


def _retrieval_costs(stage: StageRecord, labels: Sequence[str]) -> Iterator[Measured]:
    """What it costs to ask models with what was retrieved; nothing for those that were asked without."""
    found = stage.record.get("metrics", {}).get("retrieval", {})
    for key, name in (("milliseconds", "milliseconds of search a task"), ("tokens", "tokens added to a prompt")):
        if found:
            texts = [f"{found[label][key]:,.1f}" if label in found else "" for label in labels]
            yield Measured(name, [(text, "") for text in texts])


def _texts(score: Mapping[str, Any] | None) -> tuple[str, str]:
    """A score and its interval; nothing where it is missing."""
    if score is None or score["value"] is None:
        return "", ""
    shown = formatting.percent if score["kind"] == "accuracy" else formatting.number
    return shown(score["value"]), " to ".join(shown(end) for end in score["interval"])


def _bars(right: Mapping[str, Sequence[float]], recorded: Mapping[str, Any], seed: int) -> list[Bar]:
    """Scores of all models; an interval that the stage recorded is kept, so that one thing has one figure."""
    bars = []
    for index, (label, verdicts) in enumerate(right.items()):
        interval = _pair(recorded.get(label, {}).get("interval")) or bootstrap_interval(verdicts, seed=seed)
        bars.append(Bar(label, index % SERIES_COLOURS, sum(verdicts) / len(verdicts), interval))
    return bars


def _worth(one: JudgedAnswer, shares: bool) -> float:
    """What an answer counts; of one of several to a question the mean over them."""
    if one.mean is not None:
        return one.mean
    return float(one.verdict.correct or False) if shares else one.verdict.score


def _gain(right: Mapping[str, Sequence[float]], before: str, after: str, seed: int, p: float | None) -> Gain:
    difference = (sum(right[after]) - sum(right[before])) / len(right[after])
    return Gain(before, after, difference, paired_bootstrap_interval(right[before], right[after], seed=seed), p)


def _groups(
    answers: Mapping[str, Sequence[JudgedAnswer]],
    right: Mapping[str, Sequence[float]],
    recorded: Mapping[str, Any],
    seed: int,
) -> Iterator[Group]:
    """Scores by group, in the order in which groups first appear; nothing when there is only one."""
    members: dict[str, list[int]] = {}
    for question, answer in enumerate(next(iter(answers.values()))):
        if answer.answer.row["group"] is not None:
            members.setdefault(str(answer.answer.row["group"]), []).append(question)
    if len(members) > 1:
        for name, questions in members.items():
            of_group = {label: [verdicts[question] for question in questions] for label, verdicts in right.items()}
            scores_of_group = {label: score.get("groups", {}).get(name, {}) for label, score in recorded.items()}
            yield Group(name, len(questions), _bars(of_group, scores_of_group, seed))


def _reasons(answers: Mapping[str, Sequence[JudgedAnswer]]) -> list[tuple[str, Sequence[int]]]:
    """Why answers were wrong: each reason with its count by model, the most frequent first."""
    counts = {
        label: Counter(one.verdict.reason or "no reason given" for one in rows if not one.verdict.correct)
        for label, rows in answers.items()
    }
    total: Counter[str] = sum(counts.values(), Counter())
    named = [reason for reason, _ in total.most_common(MAX_REASONS)]
    table: list[tuple[str, Sequence[int]]] = [
        (reason, [count[reason] for count in counts.values()]) for reason in named
    ]
    rest = [count.total() - sum(count[reason] for reason in named) for count in counts.values()]
    return [*table, ("other reasons", rest)] if any(rest) else table


def _outcomes(answers: Mapping[str, Sequence[JudgedAnswer]], models: Sequence[Bar]) -> Iterator[Outcome]:
    rows_by_model = list(answers.values())
    first, last = rows_by_model[0], rows_by_model[-1]
    for heading, (before, after), shown in OUTCOMES:
        questions = [
            question
            for question in range(len(first))
            if (first[question].verdict.correct, last[question].verdict.correct) == (before, after)
        ]
        # Spread over the test set, which often lists questions of one kind together.
        spread = sorted({questions[index * len(questions) // shown] for index in range(shown)}) if questions else []
        examples = [
            Example(
                question=first[question].answer.question,
                gold=first[question].answer.row["gold"],
                answers=[(model, rows[question]) for model, rows in zip(models, rows_by_model, strict=True)],
            )
            for question in spread
        ]
        yield Outcome(heading, len(questions), examples)


def charts(stage: StageRecord) -> tuple[list[LineChart], list[tuple[str, float]]]:
    """One chart a metric, reward first, where those of DRAWN_TOGETHER share one; and the metrics that never changed."""
    curves = learning.curves(stage)
    constants = [(name, points[0][1]) for name, points in curves.items() if len({y for _, y in points}) == 1]
    curves = {name: points for name, points in curves.items() if name not in dict(constants)}
    panels: learning.Panels = {}
    for name, members in DRAWN_TOGETHER:
        if all(member in curves for member in members):
            panels[name] = [(member.rpartition("/")[2], curves.pop(member)) for member in members]
    panels |= learning.together(curves)

    def place(name: str) -> tuple[int, str]:
        if name in DRAWN_FIRST:
            return DRAWN_FIRST.index(name), ""
        return len(DRAWN_FIRST) + (name in DRAWN_LAST), name

    return [line_chart(name, panels[name]) for name in sorted(panels, key=place)], constants


def versions(stages: Sequence[StageRecord]) -> dict[str, str]:
    """Version of each package that any stage ran with; several when a cached stage ran with another."""
    seen: dict[str, list[str]] = {}
    for stage in stages:
        for package, version in stage.record.get("versions", {}).items():
            if str(version) not in seen.setdefault(package, []):
                seen[package].append(str(version))
    return {package: ", ".join(found) for package, found in sorted(seen.items())}


def started(stages: Sequence[StageRecord]) -> str | None:
    """When the oldest stage ran, to the minute, as its record says."""
    times = sorted(str(stage.record["started"]) for stage in stages if "started" in stage.record)
    return times[0][:16].replace("T", " ") if times else None


def inputs(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a stage read, as its recipe names it, with the hash of its content; then what else its cache key holds."""
    read = [(f"{entry['field']}: {entry['written']}", str(entry["key"])) for entry in record.get("inputs", [])]
    return read + [(name, str(value)) for name, value in record.get("fingerprints", {}).items()]


def as_yaml(value: Any) -> str:
    """A configuration in the notation of recipes."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return text.rstrip()


def _pair(interval: Any) -> tuple[float, float] | None:
    return None if interval is None else (float(interval[0]), float(interval[1]))


def _seed(summary: Mapping[str, Any]) -> int:
    seed = summary.get("seed", 0)
    return seed if isinstance(seed, int) and seed >= 0 else 0
