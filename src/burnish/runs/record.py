"""What a run folder says about itself, read back into typed values for the report.

A run folder holds `summary.json` and a folder a stage with `stage.json`, perhaps `events.jsonl`, perhaps
`answers-<model>.jsonl` or `samples-<model>.jsonl`, which judges judged, perhaps `evaluations/`. Only what is there
is read: a run without preference training has no reward curves, one without an evaluation no answers.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import BurnishError, DataError
from burnish.files import open_regular
from burnish.generation.answer import Answer
from burnish.rewards.judgement import JudgedAnswer, Judgement
from burnish.runs.names import (
    ANSWERS_PREFIX,
    EVALUATIONS_FOLDER,
    SAMPLES_PREFIX,
    SHOWN_FILE,
    STAGE_FILE,
    SUMMARY_FILE,
)
from burnish.training.names import EVENTS_FILE


@dataclass(frozen=True)
class ShownAnswer:
    """What was asked before and after a training, and what its data answers. heldout: if it was not trained on that."""

    prompt: str
    expected: str
    before: str
    after: str
    heldout: bool


@dataclass(frozen=True)
class EvaluatedAnswer:
    """An answer of a policy to a held-out task while it learned. correct: None where no judge tells."""

    prompt: str
    text: str
    reward: float
    tokens: int
    correct: bool | None


@dataclass(frozen=True)
class StageRecord:
    """One stage of a run.

    record: the whole of `stage.json`.
    curves: each metric of `events.jsonl` as `(step, value)` in order of steps; only finite numbers.
    answers: each evaluated model's answers, all models in the same order of questions; the rows of their tasks are the
        lines of the file, whose `group` and `gold` tell the task's group and right answer.
    samples: each compared model's answers.
    shown: answers of the model that a training began with and of the one it made.
    evaluations: by the number of steps, all answers to held-out tasks after so many, in the order of the tasks.
    """

    name: str
    type: str
    seconds: float
    peak_rss_gib: float
    cached: bool
    record: Mapping[str, Any]
    curves: Mapping[str, Sequence[tuple[float, float]]]
    answers: Mapping[str, Sequence[JudgedAnswer]]
    samples: Mapping[str, Sequence[JudgedAnswer]]
    shown: Sequence[ShownAnswer]
    evaluations: Mapping[int, Sequence[EvaluatedAnswer]]


@dataclass(frozen=True)
class RunRecord:
    """A whole run: its summary and its stages in the order they ran."""

    folder: Path
    summary: Mapping[str, Any]
    stages: Sequence[StageRecord]


def read_run(folder: Path) -> RunRecord:
    """Read a run folder. Raises DataError naming file, line and reason when something in it is damaged."""
    summary = require_object(folder / SUMMARY_FILE)
    try:
        stages = [_read_stage(folder, entry) for entry in summary.get("stages", [])]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder / SUMMARY_FILE}: a stage is described wrongly: {error!r}; run the recipe again"
        ) from error
    return RunRecord(folder, summary, stages)


def _read_stage(run: Path, entry: Mapping[str, Any]) -> StageRecord:
    folder = run / entry["folder"]
    record = require_object(folder / STAGE_FILE) if (folder / STAGE_FILE).is_file() else {}
    return StageRecord(
        name=str(entry["name"]),
        type=str(entry["type"]),
        seconds=float(entry["seconds"]),
        peak_rss_gib=float(entry["peak_rss_gib"]),
        cached=bool(entry.get("cached", False)),
        record=record,
        curves=_read_curves(folder / EVENTS_FILE),
        answers=_read_answers(folder, record),
        samples={label: list(_samples(file)) for label, file in _files_by_model(folder, record, SAMPLES_PREFIX)},
        shown=list(_shown(folder / SHOWN_FILE)),
        evaluations={
            int(file.stem): list(_evaluated(file))
            for file in sorted((folder / EVALUATIONS_FOLDER).glob("*.jsonl"))
            if file.stem.isdecimal()
        },
    )


def require_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file that a run wrote. Raises DataError naming file and reason."""
    try:
        with open_regular(path) as file:
            value = json.loads(file.read())
    except (BurnishError, OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run the recipe again to write it") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected an object, found {type(value).__name__}; run the recipe again to write it")
    return value


def _read_rows(path: Path, *, may_end_early: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line. A killed run may leave half a last line, which is then left out."""
    with open_regular(path) as file:
        lines = file.read().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if may_end_early and number == len(lines):
                return
            remedy = "; delete this line and run the recipe again, which keeps what is trained" if may_end_early else ""
            raise DataError(f"{path}:{number}: not JSON ({error}){remedy}") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: expected an object, found {type(row).__name__}")
        yield number, row


def _read_curves(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Each metric by step. A resumed run repeats the steps after its last checkpoint: the last value counts."""
    if not path.is_file():
        return {}
    metrics: dict[str, dict[float, float]] = {}
    for _, row in _read_rows(path, may_end_early=True):
        numbers = {name: float(value) for name, value in row.items() if _is_number(value)}
        numbers.pop("time", None)
        step = numbers.pop("step", None)
        if step is not None:
            for name, value in numbers.items():
                metrics.setdefault(name, {})[step] = value
    return {name: sorted(values.items()) for name, values in metrics.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read_answers(folder: Path, record: Mapping[str, Any]) -> dict[str, list[JudgedAnswer]]:
    """Answers by model, in the order of `_files_by_model`."""
    files = dict(_files_by_model(folder, record, ANSWERS_PREFIX))
    order = list(files)
    answers = {label: [_answer(file, *row) for row in _read_rows(file)] for label, file in files.items()}
    for label in order[1:]:
        first = order[0]
        if [one.answer.question for one in answers[label]] != [one.answer.question for one in answers[first]]:
            raise DataError(
                f"{files[label]}: not the questions of {files[first].name} in the same order, so the models cannot be "
                "compared; delete the stage's folder and run the recipe again"
            )
    return answers


def _files_by_model(folder: Path, record: Mapping[str, Any], prefix: str) -> list[tuple[str, Path]]:
    """The files `<prefix><model>.jsonl`, in the order in which the stage scored or names the models."""
    files = {path.stem.removeprefix(prefix): path for path in sorted(folder.glob(f"{prefix}*.jsonl"))}
    models = record.get("metrics", {}).get("scores") or record.get("configuration", {}).get("models") or {}
    order = [label for label in models if label in files] + [label for label in files if label not in models]
    return [(label, files[label]) for label in order]


def _samples(path: Path) -> Iterator[JudgedAnswer]:
    for line, row in _read_rows(path):
        try:
            rewards = {str(name): Judgement(float(value)) for name, value in row.get("rewards", {}).items()}
            yield JudgedAnswer(_said(row), Judgement(sum(one.score for one in rewards.values())), rewards)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{path}:{line}: a sample needs prompt, completion and rewards; {error!r}") from error


def _shown(path: Path) -> Iterator[ShownAnswer]:
    for line, row in _read_rows(path) if path.is_file() else ():
        try:
            prompt, expected, before, after = (str(row[name]) for name in ("prompt", "expected", "before", "after"))
            yield ShownAnswer(prompt, expected, before, after, bool(row["heldout"]))
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}:{line}: needs prompt, expected, before, after and heldout; {error!r}") from error


def _evaluated(path: Path) -> Iterator[EvaluatedAnswer]:
    for line, row in _read_rows(path):
        try:
            correct = None if row.get("correct") is None else bool(row["correct"])
            text, reward, tokens = str(row["completion"]), float(row["reward"]), int(row["tokens"])
            yield EvaluatedAnswer(_said(row).question, text, reward, tokens, correct)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{path}:{line}: needs prompt, completion, reward and tokens; {error!r}") from error


def _answer(path: Path, line: int, row: Mapping[str, Any]) -> JudgedAnswer:
    try:
        correct = None if "score" in row and row.get("correct") is None else bool(row["correct"])
        verdict = Judgement(
            float(row["score"] if "score" in row else bool(correct)),
            correct,
            str(row.get("reason") or ""),
            str(row.get("detail") or ""),
        )
        judgements = {str(name): Judgement(float(value)) for name, value in row.get("scores", {}).items()}
        mean = None if row.get("mean") is None else float(row["mean"])
        return JudgedAnswer(_said(row), verdict, judgements, mean=mean)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}:{line}: an answer needs prompt, completion and correct or score; {error!r}") from error


def _said(row: Mapping[str, Any]) -> Answer:
    """The answer of a line; a prompt that is no list of messages is a question."""
    prompt = row["prompt"]
    if not (isinstance(prompt, list) and prompt and isinstance(prompt[-1], dict)):
        prompt = [{"role": "user", "content": str(prompt)}]
    shown = {key: None if row.get(key) is None else str(row[key]) for key in ("group", "gold")}
    return Answer(prompt, str(row["completion"]), shown)
