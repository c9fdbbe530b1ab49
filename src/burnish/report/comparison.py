"""What the report shows of a stage that compared models on held-out prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.errors import DataError
from burnish.report.bars import SERIES_COLOURS, ScoreBar
from burnish.report.charts import PointChart, Range, point_chart
from burnish.report.formatting import words
from burnish.rewards.judgement import JudgedAnswer
from burnish.runs.record import StageRecord

SHOWN_PROMPTS = 4
"""Prompts whose answers are shown, spread evenly over all."""


@dataclass(frozen=True)
class ModelRow:
    """One model's row: each value with its interval. rewards: by name. seconds, peak: of all stages that made it."""

    label: str
    colour: int
    rewards: Mapping[str, Range]
    kl: Mapping[str, Range]
    tokens: Range
    cut_off: float
    own_seconds: float | None
    seconds: float | None
    peak_rss_gib: float | None


@dataclass(frozen=True)
class Comparison:
    """Everything the report shows of a comparing stage.

    wins: by the reward that decides, a bar for each model but the baseline. ranked: share of held-out pairs that are
    ranked right. length_correlations: of each policy's implicit reward. charts: each reward against the divergence.
    examples: a prompt and every model's answer to it.
    """

    stage: str
    prompts: int
    pairs: int
    samples: int
    reference: str
    baseline: str
    models: Sequence[ModelRow]
    wins: Mapping[str, Sequence[ScoreBar]]
    ranked: Sequence[ScoreBar]
    length_correlations: Mapping[str, float]
    charts: Sequence[PointChart]
    examples: Sequence[tuple[str, Sequence[tuple[ModelRow, JudgedAnswer]]]]


def comparison(stage: StageRecord) -> Comparison:
    """Read back what the stage measured. Raises DataError where its record is not what the stage writes."""
    metrics = stage.record.get("metrics", {})
    try:
        return _comparison(stage, metrics)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"stage {stage.name}: its comparison is described wrongly: {error!r}; run it again") from error


def _comparison(stage: StageRecord, metrics: Mapping[str, Any]) -> Comparison:
    rows: Mapping[str, Mapping[str, Any]] = metrics["models"]
    colours = {label: index % SERIES_COLOURS for index, label in enumerate(rows)}
    models = [_compared(label, colours[label], row) for label, row in rows.items()]
    judges = dict.fromkeys(name for row in rows.values() for name in row["win_rate"])
    ranked = metrics.get("pairs_ranked_right", {})
    rewards = dict.fromkeys(name for model in models for name in model.rewards)
    return Comparison(
        stage=stage.name,
        prompts=int(metrics["prompts"]),
        pairs=int(metrics["pairs"]),
        samples=int(metrics["samples"]),
        reference=str(metrics["reference"]),
        baseline=str(metrics["baseline"]),
        models=models,
        wins={
            name: [
                _bar(label, colours[label], row["win_rate"][name])
                for label, row in rows.items()
                if name in row["win_rate"]
            ]
            for name in judges
        },
        ranked=[
            _bar(words(name) + label, colours.get(name, len(colours) % SERIES_COLOURS), one)
            for name, whole in ranked.items()
            for label, one in (("", whole), (", a token", whole.get("per_token")))
            if one
        ],
        length_correlations={
            name: float(one["length_correlation"]) for name, one in ranked.items() if "length_correlation" in one
        },
        charts=[
            point_chart(
                f"{words(name)} against KL",
                "KL from the reference, nats an answer",
                [(model.label, model.kl["k1"], model.rewards[name]) for model in models],
            )
            for name in rewards
        ],
        examples=_examples(stage, models),
    )


def _compared(label: str, colour: int, row: Mapping[str, Any]) -> ModelRow:
    training = row.get("training") or {}
    stages = training.get("stages", [])
    return ModelRow(
        label=label,
        colour=colour,
        rewards={name: _range(one) for name, one in row["reward"].items()},
        kl={name: _range(one) for name, one in row["kl"].items()},
        tokens=_range(row["tokens"]),
        cut_off=float(row["cut_off"]),
        own_seconds=float(stages[-1]["seconds"]) if stages else None,
        seconds=float(training["seconds"]) if stages else None,
        peak_rss_gib=float(training["peak_rss_gib"]) if stages else None,
    )


def _examples(stage: StageRecord, models: Sequence[ModelRow]) -> list[tuple[str, list[tuple[ModelRow, JudgedAnswer]]]]:
    """Prompts spread evenly over the set, each with every model's first answer to it."""
    by_model = [(model, stage.samples[model.label]) for model in models if model.label in stage.samples]
    if not by_model:
        return []
    prompts = list(dict.fromkeys(row.answer.question for row in by_model[0][1]))
    chosen = [prompts[place] for place in sorted({i * len(prompts) // SHOWN_PROMPTS for i in range(SHOWN_PROMPTS)})]
    answers = [(model, {row.answer.question: row for row in reversed(rows)}) for model, rows in by_model]
    return [(prompt, [(model, rows[prompt]) for model, rows in answers if prompt in rows]) for prompt in chosen]


def _bar(label: str, colour: int, measured: Mapping[str, Any]) -> ScoreBar:
    value, interval = _range(measured)
    return ScoreBar(label, colour, value, interval)


def _range(measured: Mapping[str, Any]) -> Range:
    low, high = measured["interval"]
    return float(measured["value"]), (float(low), float(high))
