"""Preferences by sampling: several answers to each task, judged, give pairs of the better against the worse.

Where judges tell right from wrong, a prompt gives pairs if it has right and wrong answers. Of its wrong answers the
most probable are taken first: they are what the model would say, so what it has to unlearn. Else the best answer makes
a pair with the worst, the second best with the second worst, as long as their scores differ.

What was sampled also makes conversations to imitate: all that is right (rejection sampling), or one answer a prompt.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from burnish.files import atomic_write_text
from burnish.generation.answer import Answer
from burnish.methods.acceptance import AcceptanceSettings, kept
from burnish.methods.answering import Form, Judging, Load, judge, sample
from burnish.methods.settings import StopString
from burnish.rewards.judgement import JudgedAnswer, WeightedJudge
from burnish.rewards.votes import Choose, choose_answer, guidance
from burnish.runs.names import CHOSEN_FILE, PAIRS_FILE, SAMPLES_FILE
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.datasets.rows import Task

Row = dict[str, Any]


class Settings(AcceptanceSettings):
    """How answers are sampled, how many pairs they give, and which of them are to be imitated."""

    samples: int = Field(4, ge=2, le=100_000, description="answers to each prompt")
    temperature: float = Field(1.0, gt=0, description="1 samples from the model itself; less is more cautious")
    temperatures: list[Annotated[float, Field(gt=0)]] = Field(
        [], description="further temperatures, at each of which as many answers are drawn"
    )
    top_k: int = Field(0, ge=0, description="choose among so many tokens; 0: all")
    top_p: float = Field(1.0, gt=0, le=1, description="choose among the tokens that hold this share of probability")
    max_new_tokens: int = Field(128, ge=1, description="longest answer, in tokens")
    repetition_penalty: float = Field(1.0, gt=0, description="above 1, what was said is less likely")
    stop: list[StopString] = Field([], description="strings that end an answer, which is cut before them")
    max_pairs_per_prompt: int = Field(1, ge=1, description="most pairs that one prompt gives")
    choose: Literal["accepted"] | Choose | None = Field(
        None,
        description="also writes `chosen.jsonl`, conversations for sft: `accepted`, all that are right or reach "
        "`threshold`; or of each prompt one whole answer, the `best`, or what `votes` or `weighted_votes` elect",
    )


def sample_preferences(
    run: Run,
    load: Load,
    tasks: "Sequence[Task]",
    judging: Judging,
    settings: Settings,
    *,
    tells_right: bool,
    others: Mapping[str, Load] | None = None,
    form: Form | None = None,
) -> dict[str, Any]:
    """Write `samples.jsonl`, all answers with their judgements, and `pairs.jsonl`, preferences for dpo.

    tells_right: whether the judges tell right from wrong. Answers that were cut at `max_new_tokens` make no pairs.
    others: loads further models, by label, which answer each task as well. form: that of all answers.
    """
    answers, by = _answers(run, load, others or {}, tasks, settings, form)
    limit = settings.max_pairs_per_prompt
    if tells_right:
        judged = judge(run, "samples", judging, answers)
        samples, pairs, metrics = _by_verdict(tasks, judged, limit)
    else:
        # Only answers that can make a pair are worth a judge's time.
        judged = judge(run, "samples", judging, [_whole(group) for group in answers])
        samples, pairs, metrics = _by_score(tasks, answers, judged, limit)
    if len(set(by)) > 1:
        samples = [row | {"answered_by": label} for row, label in zip(samples, by * len(tasks), strict=True)]
    metrics |= _agreement(judged)
    files = {SAMPLES_FILE: samples, PAIRS_FILE: pairs}
    if settings.choose is not None:
        files[CHOSEN_FILE] = run.remembered("chosen", lambda: _chosen(tasks, judged, judging, settings))
        metrics["chosen"] = len(files[CHOSEN_FILE])
    for name, rows in files.items():
        lines = (json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
        atomic_write_text(run.folder / name, "".join(lines))
    if not pairs:
        lacking = "right and wrong answers" if tells_right else "two whole answers of different score"
        run.display.say(
            f"  no prompt has {lacking}, so there are no pairs; raise `samples`, `temperature` or "
            "`max_new_tokens`, or train the model longer",
            style="yellow",
        )
    return {"prompts": len(tasks), "samples": len(samples), **metrics, "pairs": len(pairs)}


def _answers(
    run: Run,
    load: Load,
    others: Mapping[str, Load],
    tasks: "Sequence[Task]",
    settings: Settings,
    form: Form | None,
) -> tuple[list[list[Answer]], list[str]]:
    """The answers to each task of all models at all temperatures; and who gave each of a task's answers."""
    from burnish.generation.sampling import Sampling

    sampling = Sampling(
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        max_new_tokens=settings.max_new_tokens,
        repetition_penalty=settings.repetition_penalty,
        stop_strings=tuple(settings.stop),
    )
    answers: list[list[Answer]] = [[] for _ in tasks]
    by: list[str] = []
    for label, loads in {"": load, **others}.items():
        for temperature in (settings.temperature, *settings.temperatures):
            hot = f"-{temperature:g}" if temperature != settings.temperature else ""
            place = f"samples{f'-{label}' if label else ''}{hot}"
            decoding = replace(sampling, temperature=temperature)
            drawn = sample(run, place, loads, tasks, decoding, n=settings.samples, form=form)
            for group, found in zip(answers, drawn, strict=True):
                group += found
            by += [f"{label or 'model'} at {temperature:g}"] * settings.samples
    return answers, by


def _agreement(judged: Sequence[Sequence[JudgedAnswer]]) -> dict[str, Any]:
    """Cohen's kappa of each two judges about which of two answers is the better; nothing where there is one judge."""
    from burnish.evaluation.agreement import pairwise_agreement

    names = dict.fromkeys(name for group in judged for one in group for name in one.judgements)
    scores = {
        name: [[said.score if (said := one.judgements.get(name)) else None for one in group] for group in judged]
        for name in names
    }
    found = pairwise_agreement(scores) if len(scores) > 1 else {}
    return {"agreement": {pair: asdict(one) for pair, one in found.items()}} if found else {}


def _chosen(
    tasks: "Sequence[Task]", judged: Sequence[Sequence[JudgedAnswer]], judging: Judging, settings: Settings
) -> list[Row]:
    """Conversations with the answers that the settings choose; a prompt without one gives none."""
    with judging() as judges:
        return [
            {"messages": [*task.prompt, {"role": "assistant", "content": one.answer.text}], **_tools(task)}
            for task, group in zip(tasks, judged, strict=True)
            for one in chosen(judges, group, settings)
        ]


def chosen(judges: Sequence[WeightedJudge], group: Sequence[JudgedAnswer], settings: Settings) -> list[JudgedAnswer]:
    """Of the answers to one prompt those to imitate; only whole ones are."""
    if settings.choose is None or settings.choose == "accepted":
        return [one for one, yes in zip(group, kept(judges, group, settings)[1], strict=True) if yes]
    whole = [one for one in group if one.answer.finished and one.answer.text.strip()]
    if not whole:
        return []
    scores = [one.verdict.score for one in whole]
    if settings.choose == "weighted_votes":
        scores = [guidance(judges, one, settings.choose) for one in whole]
    return [whole[choose_answer(judges, [one.answer for one in whole], settings.choose, scores).winner]]


def _by_verdict(
    tasks: "Sequence[Task]", judged: Sequence[Sequence[JudgedAnswer]], limit: int
) -> tuple[list[Row], list[Row], dict[str, Any]]:
    """Samples, pairs and metrics where answers are right or wrong."""
    pairs = [pair for task, group in zip(tasks, judged, strict=True) for pair in verdict_pairs(task, group, limit)]
    samples = [
        one.row() | {"logp": one.answer.logp, "finished": one.answer.finished} for group in judged for one in group
    ]
    right = [sum(one.verdict.correct is True for one in group) for group in judged]
    return (
        samples,
        pairs,
        {
            "accuracy": sum(right) / len(samples),
            "solved": sum(count > 0 for count in right) / len(tasks),
            "mixed": sum(0 < count < len(group) for count, group in zip(right, judged, strict=True)) / len(tasks),
        },
    )


def _by_score(
    tasks: "Sequence[Task]",
    answers: Sequence[Sequence[Answer]],
    judged: Sequence[Sequence[JudgedAnswer]],
    limit: int,
) -> tuple[list[Row], list[Row], dict[str, Any]]:
    """Samples, pairs and metrics where answers have scores."""
    rows: list[Row] = []
    pairs: list[Row] = []
    for task, sampled, group in zip(tasks, answers, judged, strict=True):
        pairs += score_pairs(task, group, limit)
        by_text = {one.answer.text: one.row() for one in group}
        nothing = {"prompt": task.prompt, "score": None}
        rows += [
            (by_text.get(one.text, nothing) if one.finished else nothing)
            | {"completion": one.text, "logp": one.logp, "finished": one.finished}
            for one in sampled
        ]
    compared = [[one.verdict.score for one in group] for group in judged if len(group) > 1]
    spread = sum(max(scores) - min(scores) for scores in compared) / max(1, len(compared))
    finished = sum(one.finished for sampled in answers for one in sampled) / len(rows)
    return rows, pairs, {"finished": finished, "score_spread": spread}


def verdict_pairs(task: "Task", judged: Sequence[JudgedAnswer], limit: int) -> list[Row]:
    """The preferences of one prompt, those of the most probable answers first."""
    right, wrong = _distinct(judged, correct=True), _distinct(judged, correct=False)
    places = sorted(
        ((i, j) for i in range(len(right)) for j in range(len(wrong))), key=lambda place: (sum(place), place)
    )
    return [
        {
            **_shared(task),
            "chosen": right[i].answer.text,
            "rejected": wrong[j].answer.text,
            "reason": wrong[j].verdict.reason,
        }
        for i, j in places[:limit]
    ]


def score_pairs(task: "Task", judged: Sequence[JudgedAnswer], limit: int) -> list[Row]:
    """The preferences of one prompt: the best against the worst, the second best against the second worst, ..."""
    order = sorted(judged, key=lambda one: -one.verdict.score)
    pairs: list[Row] = []
    for better, worse in zip(order[: len(order) // 2], reversed(order), strict=False):
        if better.verdict.score > worse.verdict.score and len(pairs) < limit:
            texts = {"chosen": better.answer.text, "rejected": worse.answer.text}
            both = {"chosen_score": better.verdict.score, "rejected_score": worse.verdict.score}
            pairs.append({**_shared(task), **texts, **both})
    return pairs


def _shared(task: "Task") -> Row:
    """What a pair takes from its task."""
    return {"prompt": task.prompt, **_tools(task)}


def _tools(task: "Task") -> Row:
    return {key: task.row[key] for key in ("tools",) if key in task.row}


def _whole(sampled: Sequence[Answer]) -> list[Answer]:
    """The different answers that the model ended and that say something, in the order they were drawn."""
    found: dict[str, Answer] = {}
    for one in sampled:
        if one.finished and one.text.strip():
            found.setdefault(one.text, one)
    return list(found.values())


def _distinct(judged: Sequence[JudgedAnswer], *, correct: bool) -> list[JudgedAnswer]:
    """The different whole answers with this verdict, the most probable first."""
    found: dict[str, JudgedAnswer] = {}
    for one in sorted(judged, key=lambda one: -one.answer.logp):
        if one.verdict.correct is correct and one.answer.finished and one.answer.text.strip():
            found.setdefault(one.answer.text, one)
    return list(found.values())
