"""Answers of models that call tools, in chunks that a killed run keeps; their traces, and what the tools came to."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from burnish.errors import CheckpointError
from burnish.generation.answer import Answer
from burnish.kept import read_json, write_json
from burnish.methods.answering import CHUNK_COMPLETIONS, Load, chunk_files, is_kept
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.agents.acting import Acting
    from burnish.agents.tool import ToolBox
    from burnish.datasets.rows import Task
    from burnish.generation.sampling import Sampling
    from burnish.methods.sampled import AnsweredTask
    from burnish.text.tokenizer import Tokenizer

SUFFIX = "+tools"
"""What the label of a model that is asked with tools ends in."""

_KEPT = ("text", "tokens", "logp", "finished", "calls", "messages")


@dataclass(frozen=True, eq=False)
class ToolsAtHand:
    """Tools that models are asked with. open_box: those of a new conversation. judged: see `burnish.agents.acting`."""

    open_box: "Callable[[], ToolBox]"
    judged: str | None = None

    def acting(self, tokenizer: "Tokenizer") -> "Acting":
        """What lets a model of this tokenizer call them."""
        from burnish.agents.acting import Acting

        return Acting(tokenizer, self.open_box, self.judged)


def why_not(run: Run, label: str, load: Load) -> str | None:
    """Why a model cannot be told of tools; None where it can."""

    def compute() -> str | None:
        from burnish.text.tool_calls.detection import call_writing

        try:
            call_writing(load()[1])
        except CheckpointError as error:
            return str(error)
        return None

    found: str | None = run.remembered(f"{label}{SUFFIX}", compute)
    return found


def act_all(
    run: Run, label: str, load: Load, tasks: "Sequence[Task]", sampling: "Sampling", tools: ToolsAtHand, *, n: int = 1
) -> list[list[Answer]]:
    """`n` answers to each task, each of a conversation with tools of its own; `messages` of an answer are its trace.

    Each chunk draws from (seed, chunk) alone and is kept as soon as it is done. Raises DataError for a prompt that
    leaves no room beside the tools.
    """

    per_chunk = max(1, CHUNK_COMPLETIONS // n)
    files = chunk_files(run, label, len(tasks), per_chunk)
    if missing := {start: file for start, file in files.items() if not is_kept(run, file)}:
        decoder, tokenizer = load()
        acting = tools.acting(tokenizer)
        with run.display.bar(label, n * len(tasks), "answers") as bar:
            for start, file in missing.items():
                seed = int(np.random.SeedSequence([run.seed, start]).generate_state(1)[0])
                part = [task for task in tasks[start : start + per_chunk] for _ in range(n)]
                acted = acting.act(decoder, part, sampling, seed)
                write_json(file, [{key: getattr(one.answer, key) for key in _KEPT} for one in acted], owner=run.key)
                bar.update(n * start + len(part))
    kept = iter([row for file in files.values() for row in read_json(file, owner=run.key)])
    return [[Answer(task.prompt, row=task.row, place=task.source, **next(kept)) for _ in range(n)] for task in tasks]


def tool_costs(answers: Sequence[Answer]) -> dict[str, Any]:
    """What the tools came to: calls an answer, the share of them that failed, calls by tool, answers that did not end.

    An answer does not end where its text, its calls, the time or the context reached their limit.
    """
    calls = [call for one in answers for call in one.calls]
    n = len(answers)
    return {
        "calls": len(calls) / n if n else 0.0,
        "failed": sum(bool(call["failed"]) for call in calls) / len(calls) if calls else 0.0,
        "by_tool": dict(Counter(str(call["name"]) for call in calls).most_common()),
        "unfinished": sum(not one.finished for one in answers),
    }


def told(label: str, costs: Mapping[str, Any], n: int) -> str:
    """The same for a person. n: answers."""
    found = f"{label}: {costs['calls']:.1f} calls of tools an answer, {costs['failed']:.0%} of them failed"
    return found + (f"; {costs['unfinished']:,} of {n:,} answers did not end" if costs["unfinished"] else "")


def traces(tools: ToolsAtHand, tasks: "Sequence[Task]", answered: "Sequence[AnsweredTask]") -> Iterator[dict[str, Any]]:
    """The conversations as rows to learn from, with the tools and whether their answers are right."""
    definitions = [dict(one) for one in tools.open_box().definitions]
    for task, asked in zip(answered, tasks, strict=True):
        for one in task.answers:
            row: dict[str, Any] = {"messages": [*asked.prompt, *one.answer.messages], "tools": definitions}
            yield row | {"finished": one.answer.finished, "correct": one.verdict.correct, "score": one.verdict.score}
