"""Answers to many tasks: sampled, chosen among options or by votes, and judged, in chunks that a killed run keeps."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.kept import DamagedError, read_json, write_json
from burnish.rewards.judgement import JudgedAnswer, Judgement, WeightedJudge, judge_answers, judged_answers
from burnish.rewards.votes import Choose, choose_answer, guidance
from burnish.runs.names import PARTIAL_FOLDER
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.generation.engine import GenerationProgress
    from burnish.generation.grammar import Grammar, Grammars
    from burnish.generation.sampling import Sampling
    from burnish.nn.decoder import Decoder
    from burnish.rewards.choice import Options
    from burnish.text.tokenizer import Tokenizer

CHUNK_COMPLETIONS = 160
"""Completions generated and judged between two saves; also how many are decoded side by side."""
SCORED_TOKENS = 4096
"""Tokens of prompts with their options in one forward pass."""

Load = Callable[[], "tuple[Decoder, Tokenizer]"]
"""Loads a model; not called where an earlier run has left every answer."""
Form = Callable[["Grammars"], "Grammar"]
"""Makes the grammar of answers for a model's tokenizer."""
Judging = Callable[[], AbstractContextManager[Sequence[WeightedJudge]]]
"""Opens the judges; not called where an earlier run has left every judgement."""


def sample(
    run: Run,
    label: str,
    load: Load,
    tasks: "Sequence[Task]",
    sampling: "Sampling",
    *,
    n: int = 1,
    form: "Form | None" = None,
) -> list[list[Answer]]:
    """`n` answers to each task's prompt, by the model that `load` gives, all of a `form` where one is given.

    Each chunk draws from (seed, chunk) alone and is kept as soon as it is done: the result does not depend on where a
    run was interrupted. A prompt that leaves no room for an answer in the model's context is a DataError.
    """
    per_chunk = max(1, CHUNK_COMPLETIONS // n)
    files = chunk_files(run, label, len(tasks), per_chunk)
    if missing := {start: file for start, file in files.items() if not is_kept(run, file)}:
        from burnish.generation.engine import generate
        from burnish.generation.grammar import Grammars
        from burnish.generation.texts import answer_of

        decoder, tokenizer = load()
        context = tokenizer.context_length or decoder.config.max_positions
        prompts = asked_prompts(tasks, tokenizer, context, sampling.max_new_tokens)
        grammar, cut = None if form is None else form(Grammars(tokenizer, decoder.config.vocab_size)), 0
        with run.display.bar(label, n * len(tasks), "answers") as bar:
            for start, file in missing.items():

                def show(progress: "GenerationProgress", done: int = n * start) -> None:
                    bar.update(done + progress.finished)

                completions = generate(
                    decoder,
                    prompts[start : start + per_chunk],
                    replace(sampling, stop=tokenizer.stop_ids),
                    n=n,
                    seed=int(np.random.SeedSequence([run.seed, start]).generate_state(1)[0]),
                    batch_size=CHUNK_COMPLETIONS,
                    tokenizer=tokenizer,
                    grammar=grammar,
                    on_progress=show,
                )
                said = [answer_of(one, tokenizer, (), {}) for group in completions for one in group]
                cut += sum(one.finish_reason == "grammar" for group in completions for one in group)
                rows = [{key: getattr(one, key) for key in ("text", "tokens", "logp", "finished")} for one in said]
                write_json(file, rows, owner=run.key)
        if cut:
            run.notice(
                f"{label}: {cut:,} of {n * len(tasks):,} answers end where their grammar was too complex to follow"
            )
    kept = iter([row for file in files.values() for row in read_json(file, owner=run.key)])
    return [[Answer(task.prompt, row=task.row, place=task.source, **next(kept)) for _ in range(n)] for task in tasks]


def choose(
    run: Run,
    label: str,
    load: Load,
    tasks: "Sequence[Task]",
    options: "Sequence[Options]",
    *,
    by_label: bool = False,
    length_normalized: bool = True,
) -> list[Answer]:
    """Of each task's options the one that the model finds the most probable behind the prompt.

    by_label: the options' labels are what has to be probable, not their texts. length_normalized: the log-probability
    is divided by the number of tokens. Of equal ones the first counts.
    """

    def compute() -> list[dict[str, Any]]:
        from burnish.methods.sequences import answer_logps

        decoder, tokenizer = load()
        prompts = asked_prompts(tasks, tokenizer, tokenizer.context_length or decoder.config.max_positions, 0)
        texts = [one.labels if by_label else one.texts for one in options]
        tokens = [tokenizer.encode(text) for of_task in texts for text in of_task]
        asked = [prompt for prompt, of_task in zip(prompts, texts, strict=True) for _ in of_task]
        logps = answer_logps(decoder, asked, tokens, micro_batch_tokens=SCORED_TOKENS)
        scores = [part.mean().item() if length_normalized else part.sum().item() for part in logps]
        rows, first = [], 0
        for of_task, one in zip(texts, options, strict=True):
            best = max(range(first, first + len(of_task)), key=scores.__getitem__)
            text = one.labels[best - first] if by_label else one.texts[best - first]
            rows.append({"text": text, "tokens": tokens[best], "logp": logps[best].sum().item(), "finished": True})
            first += len(of_task)
        return rows

    rows = run.remembered(label, compute) if tasks else []
    return [Answer(task.prompt, row=task.row, place=task.source, **row) for task, row in zip(tasks, rows, strict=True)]


def judge(
    run: Run, label: str, judging: Judging, groups: Sequence[Sequence[Answer]], *, choose: Choose | None = None
) -> list[list[JudgedAnswer]]:
    """Every answer of each group judged; with `choose` one of each group, as `choose_answer` has it.

    A group are answers to one prompt. Of equal ones the most probable answer wins; the choice sees nothing of what is
    expected. Judgements are kept chunk by chunk.
    """

    def compute(judges: Sequence[WeightedJudge], part: Sequence[Sequence[Answer]]) -> list[dict[str, Any]]:
        return _judgements(judges, part, choose)

    rows = iter(judged_chunks(run, label, judging, groups, compute))
    judged = []
    for group in groups:
        of_group = [next(rows)] if choose else [next(rows) for _ in group]
        answers = [group[row["place"]] for row in of_group] if choose else group
        judged.append([judged_answer(answer, row) for answer, row in zip(answers, of_group, strict=True)])
    return judged


def judged_chunks(
    run: Run,
    label: str,
    judging: Judging,
    groups: Sequence[Sequence[Answer]],
    compute: Callable[[Sequence[WeightedJudge], Sequence[Sequence[Answer]]], list[dict[str, Any]]],
) -> list[dict[str, Any]]:
    """What `compute` makes of the judges and of each chunk of groups, as JSON objects, kept chunk by chunk."""
    largest = max((len(group) for group in groups), default=0)  # 0 as well where no group has an answer
    per_chunk = max(1, CHUNK_COMPLETIONS // max(1, largest))
    files = chunk_files(run, f"{label}-judged", len(groups), per_chunk)
    with ExitStack() as stack:
        judges: Sequence[WeightedJudge] | None = None
        for start, file in files.items():
            if not is_kept(run, file):
                judges = stack.enter_context(judging()) if judges is None else judges
                write_json(file, compute(judges, groups[start : start + per_chunk]), owner=run.key)
    return [row for file in files.values() for row in read_json(file, owner=run.key)]


def _judgements(
    judges: Sequence[WeightedJudge], groups: Sequence[Sequence[Answer]], choose: Choose | None
) -> list[dict[str, Any]]:
    """What is kept of a chunk's judgements, as JSON objects."""
    if choose is None:
        return [judged_row(one) for group in judge_all(judges, groups) for one in group]
    if choose == "votes":
        # Only what is elected is worth a judge's time.
        elected = [choose_answer(judges, group, choose) for group in groups]
        judged = judge_all(judges, [[group[one.winner]] for group, one in zip(groups, elected, strict=True)])
        return [
            judged_row(one) | {"place": e.winner, "votes": e.votes} for (one,), e in zip(judged, elected, strict=True)
        ]
    rows = []
    for group, of_group in zip(groups, judge_all(judges, groups), strict=True):
        if len(group) == 1:  # such as an option that was chosen by its likelihood
            rows.append(judged_row(of_group[0]) | {"place": 0, "votes": None})
            continue
        election = choose_answer(judges, group, choose, [guidance(judges, one, choose) for one in of_group])
        votes = election.votes if choose == "weighted_votes" else None
        rows.append(judged_row(of_group[election.winner]) | {"place": election.winner, "votes": votes})
    return rows


def judge_all(judges: Sequence[WeightedJudge], groups: Sequence[Sequence[Answer]]) -> list[list[JudgedAnswer]]:
    """Every answer judged, all at once."""
    answers = [answer for group in groups for answer in group]
    judged = iter(judged_answers(judges, answers, judge_answers(judges, answers)))
    return [[next(judged) for _ in group] for group in groups]


def judged_row(one: JudgedAnswer) -> dict[str, Any]:
    """What is kept of an answer's judgements."""
    return {"verdict": asdict(one.verdict), "judgements": {name: asdict(said) for name, said in one.judgements.items()}}


def judged_answer(answer: Answer, row: Mapping[str, Any]) -> JudgedAnswer:
    """An answer with what `judged_row` kept of its judgements."""
    judgements = {name: Judgement(**said) for name, said in row["judgements"].items()}
    return JudgedAnswer(answer, Judgement(**row["verdict"]), judgements, row.get("votes"))


def asked_prompts(
    tasks: "Sequence[Task]", tokenizer: "Tokenizer", context: int, max_new_tokens: int
) -> list[list[int]]:
    """The prompts as tokens. Raises DataError where one leaves no room for the answer in the model's context."""
    from burnish.datasets.examples import task_prompts

    prompts, report = task_prompts(tasks, tokenizer, max_length=sys.maxsize)
    if report.dropped:
        raise DataError(f"prompts that the model cannot be asked, of {len(tasks)}: {report.summary()}")
    room = context - max_new_tokens
    if long := [(task, prompt) for task, prompt in zip(tasks, prompts, strict=True) if len(prompt.tokens) > room]:
        task, prompt = max(long, key=lambda one: len(one[1].tokens))
        beside = f" beside an answer of max_new_tokens: {max_new_tokens:,}" if max_new_tokens else ""
        others = f" (and {len(long) - 1:,} more are too long)" if len(long) > 1 else ""
        raise DataError(
            f"{task.source or 'a prompt'}: the prompt has {len(prompt.tokens):,} tokens, and the model's context of "
            f"{context:,} has room for {max(room, 0):,}{beside}{others}; "
            f"{'lower max_new_tokens, ' if max_new_tokens else ''}shorten the prompt or leave it out"
        )
    return [prompt.tokens for prompt in prompts]


def chunk_files(run: Run, label: str, count: int, per_chunk: int) -> dict[int, Path]:
    """Where each chunk is kept, by the number of its first task."""
    return {start: run.folder / PARTIAL_FOLDER / f"{label}-{start:07}.json" for start in range(0, count, per_chunk)}


def is_kept(run: Run, file: Path) -> bool:
    """Whether an interrupted run has left a chunk; one that is not what was written is said, and made again."""
    try:
        return file.exists() and read_json(file, owner=run.key) is not None
    except DamagedError as error:
        run.notice(f"{error}; answered again")
        return False
