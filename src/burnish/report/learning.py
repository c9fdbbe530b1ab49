"""How a policy changed while it learned: metrics of training and of held-out tasks by step, and answers side by side.

Notable choices:
- what is measured on held-out tasks is drawn from before the first step on;
- the same metric of several groups of tasks, and pass@k of several k, share one chart, if there are colours enough;
- the tasks whose answers are shown are spread evenly over all of them, and of each the first answer is: none is picked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.report.bars import SERIES_COLOURS
from burnish.report.sampling import PASS
from burnish.runs.record import EvaluatedAnswer, StageRecord

Curve = Sequence[tuple[float, float]]
Panels = dict[str, list[tuple[str, Curve]]]

HELD_OUT = "eval_"
"""Before the name of a metric of held-out tasks."""
SHOWN_TASKS = 4
SHOWN_TIMES = 3


@dataclass(frozen=True)
class ShownTask:
    """A held-out task, and its first answer after so many steps."""

    question: str
    answers: Sequence[tuple[int, EvaluatedAnswer]]


@dataclass(frozen=True)
class ShownLearning:
    """The answers of a stage that are shown: some tasks, at some of the evaluations."""

    stage: str
    steps: Sequence[int]
    evaluations: int
    answers_each: int
    tasks: Sequence[ShownTask]


def learning(stage: StageRecord) -> ShownLearning | None:
    """What is shown of a stage's evaluations; None where there are none."""
    if not stage.evaluations:
        return None
    steps = spread(sorted(stage.evaluations), SHOWN_TIMES)
    n = _answers_each(stage.evaluations[steps[0]])
    tasks = []
    for number in spread(range(len(stage.evaluations[steps[0]]) // n), SHOWN_TASKS):
        answers = [(step, stage.evaluations[step][number * n]) for step in steps]
        tasks.append(ShownTask(answers[0][1].prompt, answers))
    return ShownLearning(stage.name, steps, len(stage.evaluations), n, tasks)


def spread(values: Sequence[int], count: int) -> list[int]:
    """At most so many of the values, evenly, the first and the last among them."""
    if len(values) <= count:
        return list(values)
    return [values[round(place * (len(values) - 1) / (count - 1))] for place in range(count)]


def _answers_each(answers: Sequence[EvaluatedAnswer]) -> int:
    """How many answers each task has: those to one task stand together."""
    first = answers[0].prompt
    n = next((place for place, one in enumerate(answers) if one.prompt != first), len(answers))
    return n if len(answers) % n == 0 else 1


def curves(stage: StageRecord) -> dict[str, Curve]:
    """The stage's metrics by step; of held-out tasks by the steps that were done, with what was so before the first."""
    before: Mapping[str, float] = stage.record.get("metrics", {}).get("heldout", {}).get("before", {})
    if not stage.evaluations:
        return dict(stage.curves)
    found: dict[str, Curve] = {}
    for name, points in stage.curves.items():
        measured = name.startswith(HELD_OUT)
        start = [(0.0, before[name.removeprefix(HELD_OUT)])] if name.removeprefix(HELD_OUT) in before else []
        found[name] = [*start, *((step + 1, value) for step, value in points)] if measured else points
    return found


def together(curves: Mapping[str, Curve]) -> Panels:
    """The metrics as charts by title: those of several groups of tasks in one, and pass@k of several k."""
    panels: Panels = {}
    for name, points in curves.items():
        base, _, last = name.rpartition("/")
        key, separator, value = last.partition("=")
        if separator and base:
            panels.setdefault(f"{base} by {key}", []).append((value, points))
        elif name.startswith(HELD_OUT + PASS) and not base:
            panels.setdefault(f"{HELD_OUT}{PASS}k", []).append((name.removeprefix(HELD_OUT), points))
        else:
            panels[name] = [(name, points)]
    many = [title for title, lines in panels.items() if len(lines) > SERIES_COLOURS]
    for title in many:
        panels |= {f"{title}: {label}": [(label, points)] for label, points in panels.pop(title)}
    return panels
