"""Tasks as they are asked with what was retrieved for them, and what that costs."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from burnish.errors import DataError
from burnish.methods.answering import Load
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.retrieval.examples import Examples
    from burnish.retrieval.grounding import Passages
    from burnish.text.chat import Message
    from burnish.text.tokenizer import Tokenizer

SUFFIX = "+retrieval"
"""What the label of a model that is asked with retrieval ends in."""


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What tasks are asked with: passages of an index before the question, solved examples as turns before it."""

    passages: "Passages | None" = None
    examples: "Examples | None" = None
    shots: int = 0


def retrieved(
    run: Run, label: str, load: Load, tasks: "Sequence[Task]", retrieval: Retrieval, max_new_tokens: int
) -> "tuple[list[Task], dict[str, Any]]":
    """The tasks as the model is asked them, and what it costs: milliseconds of search and tokens, on average a task.

    What does not fit into the model's context beside the question and `max_new_tokens` is left out and counted.
    Raises DataError for a question that cannot be searched for.
    """

    def compute() -> dict[str, Any]:
        decoder, tokenizer = load()
        context = tokenizer.context_length or decoder.config.max_positions
        if retrieval.passages is not None:  # the first search loads the encoder, which is no task's cost
            retrieval.passages.index.search("warm up", ranking=retrieval.passages.ranking)
        asked = [_ask(task, retrieval, tokenizer, context - max_new_tokens) for task in tasks]
        return {"prompts": [one.prompt for one in asked], "costs": _costs(asked)}

    kept = run.remembered(f"{label}{SUFFIX}", compute)
    return [replace(task, prompt=prompt) for task, prompt in zip(tasks, kept["prompts"], strict=True)], kept["costs"]


@dataclass(frozen=True)
class _Asked:
    prompt: "list[Message]"
    seconds: float
    tokens: int
    passages: int
    examples: int
    left_out: int


def _ask(task: "Task", retrieval: Retrieval, tokenizer: "Tokenizer", room: int) -> _Asked:
    question = task.prompt[-1].get("content")
    if task.prompt[-1].get("role") != "user" or not isinstance(question, str):
        raise DataError(f"{task.source}: retrieval needs a question: a last message of the user's that is text")
    before = _n_tokens(task, tokenizer)
    began = time.perf_counter()
    try:
        pairs = retrieval.examples.like(question, retrieval.shots) if retrieval.examples is not None else []
        searched = time.perf_counter() - began
        prompt, dropped = _with_examples(task, pairs, tokenizer, room)
        began, grounded = time.perf_counter(), None
        if retrieval.passages is not None:
            left = room - _n_tokens(replace(task, prompt=prompt), tokenizer)
            grounded = retrieval.passages.ground(question, lambda text: len(tokenizer.encode(text)), room=left)
            prompt = [*prompt[:-1], {**prompt[-1], "content": grounded.prompt}]
            searched += time.perf_counter() - began
    except DataError as error:
        raise DataError(f"{task.source}: {error}") from error
    return _Asked(
        prompt,
        searched,
        _n_tokens(replace(task, prompt=prompt), tokenizer) - before,
        0 if grounded is None else len(grounded.hits),
        len(pairs) - dropped,
        dropped + (0 if grounded is None else grounded.left_out),
    )


def _with_examples(
    task: "Task", pairs: Sequence[tuple[str, str]], tokenizer: "Tokenizer", room: int
) -> "tuple[list[Message], int]":
    """The prompt with examples before the question, and how many had no room: the least similar."""
    for dropped in range(len(pairs) + 1):
        shown = pairs[dropped:]
        turns: list[Message] = []
        for question, answer in shown:
            turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        prompt = [*task.prompt[:-1], *turns, task.prompt[-1]]
        if not shown or _n_tokens(replace(task, prompt=prompt), tokenizer) <= room:
            return prompt, dropped
    raise AssertionError("without examples there is nothing to drop")


def _n_tokens(task: "Task", tokenizer: "Tokenizer") -> int:
    from burnish.datasets.examples import task_prompts

    prompts, report = task_prompts([task], tokenizer, max_length=sys.maxsize)
    if not prompts:
        raise DataError(f"{task.source}: cannot be asked: {report.summary()}")
    return len(prompts[0].tokens)


def _costs(asked: Sequence[_Asked]) -> dict[str, Any]:
    n = len(asked)
    seconds = sorted(one.seconds for one in asked)
    return {
        "milliseconds": 1000 * sum(seconds) / n,
        "milliseconds_p95": 1000 * seconds[min(n - 1, int(0.95 * n))],
        "tokens": sum(one.tokens for one in asked) / n,
        "passages": sum(one.passages for one in asked) / n,
        "examples": sum(one.examples for one in asked) / n,
        "left_out": sum(one.left_out for one in asked),
        "without": sum(one.passages + one.examples == 0 for one in asked),
    }
