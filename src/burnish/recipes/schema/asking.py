"""What stages that ask models have in common before they ask: whether models can be asked, and the work it is."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from burnish.methods.answering import CHUNK_COMPLETIONS, asked_prompts
from burnish.recipes.schema.judges import JudgeConfig, likelihood_choices, with_judges
from burnish.recipes.schema.stage import StageContext

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.methods.evaluate import ChoiceTasks, Settings
    from burnish.recipes.plan.work import Work
    from burnish.text.tokenizer import Tokenizer


PLAIN_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""A chat template that adds nothing to what messages say."""


def without_template(tokenizer: "Tokenizer") -> "Tokenizer":
    """The tokenizer by which the text of prompts is gone on with."""
    begin = tokenizer.token(tokenizer.bos_id) if tokenizer.add_bos else ""
    return replace(tokenizer, chat_template=f"{begin}{PLAIN_TEMPLATE}")


def probe_prompts(context: StageContext, tasks: "Sequence[Task]", *models: str) -> None:
    """Encode the first prompts for each of the models: what their chat templates refuse is refused now."""
    from burnish.datasets.examples import task_prompts

    context.probe(partial(task_prompts, max_length=sys.maxsize), tasks, *models)


def probe_longest(context: StageContext, tasks: "Sequence[Task]", *models: str, max_new_tokens: int) -> None:
    """As `probe_prompts`, and the longest ones too: a prompt that leaves no room for its answer is refused now."""
    probe_prompts(context, tasks, *models)

    def encode(rows: "Sequence[Task]", tokenizer: "Tokenizer") -> None:
        if tokenizer.context_length is not None:
            asked_prompts(rows, tokenizer, tokenizer.context_length, max_new_tokens)

    context.probe(encode, sorted(tasks, key=_size, reverse=True), *models)


def probe_shortest(context: StageContext, tasks: "Sequence[Task]", *models: str, max_new_tokens: int) -> None:
    """Encode the shortest prompt for each of the models: where not even that leaves room, none does."""
    probe_longest(context, sorted(tasks, key=_size)[:1], *models, max_new_tokens=max_new_tokens)


def _size(task: "Task") -> int:
    """Characters of what a task says."""
    return len(str(task.prompt)) + len(str(task.tools or ""))


def judged_work(
    context: StageContext,
    tasks: "Sequence[Task]",
    models: Sequence[str],
    judges: Sequence[JudgeConfig],
    *,
    n: int,
    max_new_tokens: int,
) -> "Work | None":
    """`decoding_work` with that of the models which judges ask about the answers."""
    work = decoding_work(context, tasks, models, n=n, max_new_tokens=max_new_tokens)
    return None if work is None else with_judges(work, context, judges, work.scored + work.decoded)


def decoding_work(
    context: StageContext,
    tasks: "Sequence[Task]",
    models: Sequence[str],
    *,
    n: int,
    max_new_tokens: int,
    choices: "Sequence[ChoiceTasks]" = (),
    retrieval: int | None = None,
    plain: bool = False,
) -> "Work | None":
    """The work of `n` answers of each model to each task; None where a model's tokenizer is not known yet.

    choices: the tasks whose options are scored, and nothing written. retrieval: tokens of passages with which every
    model is asked a second time; None asks once. plain: whether the text of prompts is gone on with.
    """
    from burnish.datasets.examples import task_prompts
    from burnish.recipes.plan.work import Work

    scored = longest = 0
    ways, passages = (1, 0) if retrieval is None else (2, retrieval)
    kinds = [next((one for one in choices if one.applies(task.row)), None) for task in tasks]
    for model in models:
        tokenizer = context.tokenizer(model)
        if tokenizer is None:
            return None
        prompts, _ = task_prompts(tasks, without_template(tokenizer) if plain else tokenizer, max_length=sys.maxsize)
        scored += ways * sum(len(prompt.tokens) for prompt in prompts) + passages * len(prompts)
        longest = max(longest, *(len(prompt.tokens) for prompt in prompts), 0)
        for task, kind in zip(tasks, kinds, strict=True):
            if kind is not None:
                options = kind.judge.options(task.row)
                texts = options.labels if kind.by_label else options.texts
                scored += ways * sum(len(tokenizer.encode(text)) for text in texts)
    written = kinds.count(None) * n
    return Work(
        scored=scored,
        decoded=written * len(models) * ways * max_new_tokens,
        rows=min(written, CHUNK_COMPLETIONS),
        longest=longest + passages + max_new_tokens,
    )


def evaluation_work(
    context: StageContext,
    tasks: "Sequence[Task]",
    models: Mapping[str, str],
    settings: "Settings",
    judges: Sequence[JudgeConfig],
    retrieval: int | None,
    forms: int = 1,
    *,
    plain: bool = False,
    text: int = 0,
) -> "Work | None":
    """The work of asking each model at each decoding of an evaluation. The rest is as for `decoding_work`.

    judges: of the answers, with the work of the models that they ask. forms: 2 where every model is asked with a
    grammar as well. text: tokens of held-out text that each model scores.
    """
    work = decoding_work(
        context,
        tasks,
        [*models.values()] * (1 + len(settings.decodings)) * forms,
        n=max(settings.samples, settings.votes),
        max_new_tokens=settings.max_new_tokens,
        choices=likelihood_choices(judges),
        retrieval=retrieval,
        plain=plain,
    )
    if work is None:
        return None
    judged = with_judges(work, context, judges, work.scored + work.decoded)
    return replace(judged, scored=judged.scored + len(models) * text)
