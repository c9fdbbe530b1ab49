"""What stages that ask models have in common before they ask: whether models can be asked, and the work it is."""

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from burnish.methods.answering import CHUNK_COMPLETIONS
from burnish.recipes.schema.stage import StageContext

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.recipes.plan.work import Work


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
