"""The ways in which an evaluation asks a model: alone, in a form, with what was retrieved, with tools."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from burnish.methods.acted import SUFFIX as ACTED
from burnish.methods.acted import ToolsAtHand, why_not
from burnish.methods.answering import Form, Load
from burnish.methods.retrieved import SUFFIX as RETRIEVED
from burnish.methods.retrieved import Retrieval, retrieved
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.datasets.rows import Task

FORMED = "+grammar"
"""Behind the label of a model whose answers have a form."""


@dataclass(frozen=True, eq=False)
class Way:
    """A model by its label, with the tasks as it is asked them, the form of its answers, and its tools."""

    label: str
    load: Load
    tasks: "Sequence[Task]"
    form: Form | None = None
    tools: ToolsAtHand | None = None


def ways_of_asking(
    run: Run,
    models: Mapping[str, Load],
    tasks: "Sequence[Task]",
    max_new_tokens: int,
    retrieval: Retrieval | None,
    form: Form | None,
    tools: ToolsAtHand | None,
    costs: dict[str, Any],
) -> Iterator[Way]:
    """Each model alone, and with each of what there is; with retrieval, whose costs are added, in the form too.

    A model that cannot be told of tools is not asked with them, and that is said.
    """
    for label, load in models.items():
        once = cache(load)  # a grid asks one model many times
        yield Way(label, once, tasks)
        if form is not None:
            yield Way(f"{label}{FORMED}", once, tasks, form)
        if retrieval is not None:
            with_passages, cost = retrieved(run, label, once, tasks, retrieval, max_new_tokens)
            costs[f"{label}{RETRIEVED}"] = cost
            run.display.say(f"  {label}{RETRIEVED}: {cost['milliseconds']:.1f} ms, {cost['tokens']:,.0f} tokens a task")
            if cost["left_out"] or cost["without"]:
                run.notice(
                    f"{label}{RETRIEVED}: {cost['left_out']:,} of what was found had no room, and "
                    f"{cost['without']:,} of {len(tasks):,} tasks are asked without"
                )
            yield Way(f"{label}{RETRIEVED}", once, with_passages)
            if form is not None:
                yield Way(f"{label}{RETRIEVED}{FORMED}", once, with_passages, form)
        if tools is not None:
            if (why := why_not(run, label, once)) is not None:
                run.notice(f"{label} is not asked with tools: {why}")
                continue
            yield Way(f"{label}{ACTED}", once, tasks, tools=tools)
