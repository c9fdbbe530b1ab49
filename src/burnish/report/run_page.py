"""The report of a run: one HTML file that needs nothing else.

Notable choices:
- no script, no font, no request: the page forbids them to itself by its content security policy, so that it can be
  mailed, archived and opened where there is no network, and so that an answer of a model can do nothing in it;
- every text is escaped by the template engine, and shown with its control characters visible;
- it knows scores, perplexities, curves, stages and answers, not any recipe: what a run does not have is left out;
- numbers are text before they are pictures: each bar and curve has its figure beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from burnish.evaluation.limits import of_run
from burnish.files import atomic_write_text
from burnish.report import forgetting, formatting, learning, sampling
from burnish.report.bars import SERIES_COLOURS, ScoreBar
from burnish.report.charts import LineChart
from burnish.report.comparison import comparison
from burnish.report.evaluations import Evaluation, evaluation, scores_of
from burnish.report.metric_charts import charts
from burnish.report.perplexities import perplexities, perplexity_rows
from burnish.report.template import page_environment
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


@dataclass(frozen=True)
class BeforeAndAfter:
    """Prompts of one stage, answered before and after it. continued: whether they are beginnings of documents."""

    stage: str
    before: str
    answers: Sequence[ShownAnswer]
    continued: bool


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
        scores=[(key, bars, _questions(bars, evaluations)) for key, bars in scores(summary)],
        evaluations=evaluations,
        comparisons=comparisons,
        sampled=list(filter(None, (sampling.sampled(stage.name, scores_of(stage)) for stage in run.stages))),
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


def scores(summary: Mapping[str, Any]) -> Iterator[tuple[str, list[ScoreBar]]]:
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
                ScoreBar(formatting.words(label), index % SERIES_COLOURS, score, formatting.pair(intervals.get(label)))
                for index, (label, score) in enumerate(by_model.items())
                if score is not None
            ],
        )


def _questions(bars: Sequence[ScoreBar], evaluations: Sequence[Evaluation]) -> int | None:
    """How many questions the scores are of: those of the evaluation that gave them."""
    shown = {(bar.label, bar.score) for bar in bars}
    found = (one.count for one in evaluations if one.shares and {(bar.label, bar.score) for bar in one.models} <= shown)
    return next(found, None)


def _forgotten(stage: StageRecord) -> tuple[Sequence[str], Sequence[forgetting.ForgettingLine]]:
    """The labels of the models, and the rows of the table."""
    metrics = stage.record.get("metrics", {})
    return metrics["models"], forgetting.lines(metrics)


def metrics_by_stage(stages: Sequence[StageRecord]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Type and metrics of each stage by name."""
    return {stage.name: (stage.type, stage.record.get("metrics", {})) for stage in stages}


def asked(stages: Sequence[StageRecord]) -> list[BeforeAndAfter]:
    """What the trainings show of their answers, the last one first: it made the model."""
    return [
        BeforeAndAfter(
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


def _seed(summary: Mapping[str, Any]) -> int:
    seed = summary.get("seed", 0)
    return seed if isinstance(seed, int) and seed >= 0 else 0
