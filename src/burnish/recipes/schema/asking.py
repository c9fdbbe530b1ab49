"""What stages that ask models have in common before they ask: their tasks, and the work that answering will be."""

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from burnish.errors import DataError
from burnish.methods.answering import CHUNK_COMPLETIONS
from burnish.recipes.schema.stage import StageContext
from burnish.recipes.schema.verifiers import VerifierConfig

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.recipes.plan.work import Work


def read_judged_tasks(
    context: StageContext, reference: str, verifier: VerifierConfig, *, columns: dict[str, str]
) -> "list[Task]":
    """The tasks of a file, each with all that the verifier reads. Raises DataError naming file and line."""
    from burnish.datasets.rows import read_tasks

    tasks = read_tasks(context.paths(reference), columns=columns)
    lacking = [f"{task.place}: {problem}" for task in tasks if (problem := verifier.row_problem(task.row))]
    if lacking:
        more = [f"and {len(lacking) - 10} more rows"] if len(lacking) > 10 else []
        raise DataError("\n".join(lacking[:10] + more))
    return tasks


def probe_prompts(context: StageContext, tasks: "Sequence[Task]", *models: str) -> None:
    """Encode the first prompts for each of the models: what their chat templates refuse is refused now."""
    from burnish.datasets.examples import task_prompts

    context.probe(partial(task_prompts, max_length=sys.maxsize), tasks, *models)


def decoding_work(
    context: StageContext, tasks: "Sequence[Task]", models: Sequence[str], *, n: int, max_new_tokens: int
) -> "Work | None":
    """The work of `n` answers of each model to each task; None where a model's tokenizer is not known yet."""
    from burnish.datasets.examples import task_prompts
    from burnish.recipes.plan.work import Work

    scored = longest = 0
    for model in models:
        tokenizer = context.tokenizer(model)
        if tokenizer is None:
            return None
        prompts, _ = task_prompts(tasks, tokenizer, max_length=sys.maxsize)
        scored += sum(len(prompt.tokens) for prompt in prompts)
        longest = max(longest, *(len(prompt.tokens) for prompt in prompts), 0)
    answers = len(tasks) * n
    return Work(
        scored=scored,
        decoded=answers * len(models) * max_new_tokens,
        rows=min(answers, CHUNK_COMPLETIONS),
        longest=longest + max_new_tokens,
    )
