"""Answers to many tasks, judged or as they are, in chunks that a killed run does not lose."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.kept import DamagedError, read_json, write_json
from burnish.rewards.judgement import Judgement
from burnish.runs.names import PARTIAL_FOLDER
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.generation.engine import Completion, GenerationProgress
    from burnish.generation.sampling import Sampling
    from burnish.nn.decoder import Decoder
    from burnish.rewards.sql import SqlVerifier
    from burnish.text.tokenizer import Tokenizer

CHUNK_COMPLETIONS = 160
"""Completions generated and judged between two saves; also how many are decoded side by side."""


@dataclass(frozen=True)
class Sampled:
    """One completion as it was drawn.

    tokens: with the token that ended it. logp: log-probability of the whole completion under the model itself, in nats.
    finished: whether the model ended it, rather than the limit on its length.
    """

    text: str
    tokens: list[int]
    logp: float
    finished: bool


@dataclass(frozen=True)
class Judged:
    """One completion and its verdict; `logp` and `finished` as for `Sampled`.

    votes: how many of the sampled completions have its result, where they voted.
    """

    text: str
    logp: float
    finished: bool
    correct: bool
    reason: str
    detail: str
    votes: int | None = None

    def row(self, task: "Task") -> dict[str, Any]:
        """What the stages write of it, as values that JSON can hold."""
        return {
            "prompt": task.prompt,
            "completion": self.text,
            "correct": self.correct,
            "reason": self.reason,
            "detail": self.detail,
        } | ({} if self.votes is None else {"votes": self.votes})


def answer(
    run: Run,
    label: str,
    load: "Load",
    tasks: "Sequence[Task]",
    sampling: "Sampling",
    judging: "AbstractContextManager[SqlVerifier]",
    *,
    n: int = 1,
) -> list[list[Judged]]:
    """`n` judged completions of each task's prompt; otherwise as `sample`."""

    @contextmanager
    def keeping() -> Iterator[_Keep]:
        with judging as judge:

            def keep(sampled: Sequence[Sampled], chunk: "Sequence[Task]") -> list[dict[str, Any]]:
                answers = [Answer(task.prompt, one.text, task.row) for task, one in zip(chunk, sampled, strict=True)]
                return [asdict(_judged(*pair)) for pair in zip(sampled, judge(answers), strict=True)]

            yield keep

    rows = _in_chunks(run, label, load, tasks, sampling, keeping(), n)
    return [[Judged(**row) for row in group] for group in rows]


def answer_by_votes(
    run: Run,
    label: str,
    load: "Load",
    tasks: "Sequence[Task]",
    sampling: "Sampling",
    judging: "AbstractContextManager[SqlVerifier]",
    *,
    n: int,
) -> list[Judged]:
    """One judged completion of each task's prompt: of `n` samples the one whose result most have; else as `sample`.

    Of equally many votes those of the most probable completion win. The vote sees no gold query.
    """

    @contextmanager
    def keeping() -> Iterator[_Keep]:
        with judging as judge:

            def keep(sampled: Sequence[Sampled], chunk: "Sequence[Task]") -> list[dict[str, Any]]:
                rows = []
                for first in range(0, len(sampled), n):
                    candidates = sorted(sampled[first : first + n], key=lambda one: -one.logp)
                    election = judge.elect([one.text for one in candidates])
                    one = candidates[election.winner]
                    judged = _judged(one, judge.verify(one.text, chunk[first].row))
                    rows.append(asdict(replace(judged, votes=election.votes)))
                return rows

            yield keep

    return [Judged(**row) for (row,) in _in_chunks(run, label, load, tasks, sampling, keeping(), n, kept=1)]


def sample(
    run: Run,
    label: str,
    load: "Load",
    tasks: "Sequence[Task]",
    sampling: "Sampling",
    *,
    n: int = 1,
) -> list[list[Sampled]]:
    """`n` completions of each task's prompt, by the model that `load` gives.

    Each chunk draws from (seed, chunk) alone and is kept as soon as it is done: the result does not depend on where a
    run was interrupted. A prompt that leaves no room for an answer in the model's context is a DataError.
    """

    def keep(sampled: Sequence[Sampled], _: "Sequence[Task]") -> list[dict[str, Any]]:
        return [asdict(one) for one in sampled]

    rows = _in_chunks(run, label, load, tasks, sampling, nullcontext(keep), n)
    return [[Sampled(**row) for row in group] for group in rows]


Load = Callable[[], "tuple[Decoder, Tokenizer]"]
"""Loads a model; not called where an earlier run has left every answer."""

_Keep = Callable[[Sequence[Sampled], "Sequence[Task]"], list[dict[str, Any]]]
"""What is kept of a chunk's completions, as JSON objects: for each task as many, one for each completion or fewer.
The tasks are the completions', one for each."""


def _in_chunks(
    run: Run,
    label: str,
    load: "Load",
    tasks: "Sequence[Task]",
    sampling: "Sampling",
    keeping: AbstractContextManager[_Keep],
    n: int,
    *,
    kept: int | None = None,
) -> list[list[dict[str, Any]]]:
    """What is kept of each task's `n` completions, `kept` of them (all if None)."""
    from burnish.datasets.examples import task_prompts
    from burnish.generation.engine import generate

    per_chunk = max(1, CHUNK_COMPLETIONS // n)
    starts = range(0, len(tasks), per_chunk)
    files = [run.folder / PARTIAL_FOLDER / f"{label}-{start:07}.json" for start in starts]
    there = {file for file in files if _is_kept(run, file)}
    if len(there) < len(files):
        decoder, tokenizer = load()
        limit = (tokenizer.context_length or decoder.config.max_positions) - sampling.max_new_tokens
        prompts, report = task_prompts(tasks, tokenizer, max_length=limit)
        if report.dropped:
            raise DataError(f"prompts that the model cannot be asked, of {len(tasks)}: {report.summary()}")
        with keeping as keep, run.display.bar(label, n * len(tasks), "answers") as bar:
            for start, file in zip(starts, files, strict=True):
                if file in there:
                    continue

                def show(progress: "GenerationProgress", done: int = n * start) -> None:
                    bar.update(done + progress.finished)

                completions = generate(
                    decoder,
                    [prompt.tokens for prompt in prompts[start : start + per_chunk]],
                    replace(sampling, stop=tokenizer.stop_ids),
                    n=n,
                    seed=int(np.random.SeedSequence([run.seed, start]).generate_state(1)[0]),
                    batch_size=CHUNK_COMPLETIONS,
                    on_progress=show,
                )
                sampled = [
                    _sampled(completion, tokenizer.decode(completion.tokens))
                    for group in completions
                    for completion in group
                ]
                chunk = [task for task in tasks[start : start + per_chunk] for _ in range(n)]
                write_json(file, keep(sampled, chunk), owner=run.key)
    rows = [row for file in files for row in read_json(file, owner=run.key)]
    size = kept or n
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def _judged(one: Sampled, judgement: Judgement) -> Judged:
    return Judged(one.text, one.logp, one.finished, bool(judgement.correct), judgement.reason, judgement.detail)


def _sampled(completion: "Completion", text: str) -> Sampled:
    tokens = completion.tokens if completion.stop is None else [*completion.tokens, completion.stop]
    return Sampled(text, tokens, completion.logp, completion.stop is not None)


def _is_kept(run: Run, file: Path) -> bool:
    """Whether an interrupted run has left a chunk; one that is not what was written is said, and made again."""
    try:
        return file.exists() and read_json(file, owner=run.key) is not None
    except DamagedError as error:
        run.notice(f"{error}; answered again")
        return False
