"""Distillation: a student learns the whole next-token distributions of a teacher (Hinton 2015, arXiv:1503.02531).

On answers that are given, on the teacher's own, or on those that the student writes itself (on-policy; GKD, Agarwal
2023, arXiv:2306.13649), each step on one of these.

Notable choices:
- logits of neither model exist for more than a chunk of tokens (`burnish.nn.divergence`);
- what is sampled is a rollout as in GRPO, on disk before it is learned from: a killed run ends with the same bits;
- the two must mean the same tokens by the same numbers; their output layers may be of different sizes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from burnish.errors import BurnishError
from burnish.methods.answering import Load
from burnish.methods.measuring import Metrics, comparison
from burnish.methods.saving import save, snapshot_of
from burnish.methods.settings import JudgedSettings
from burnish.methods.shown_answers import Asked, ShownAnswers
from burnish.methods.teachers import StoredTeacher, Teacher, TeacherSource
from burnish.methods.training import NOTHING, OnTheWay, begin, fit, make_trainable, usable
from burnish.runs.hashes import digest
from burnish.runs.names import HELDOUT_REPORT_FILE
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Conversation, Task
    from burnish.datasets.taught import TaughtExample
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.loop import Progress, TrainingReport

_SAMPLING = ("num_generations", "sampling_temperature", "max_new_tokens")
"""Settings that are read where answers are sampled."""


class Settings(JudgedSettings):
    """What is compared, and on whose answers; names are TRL's."""

    beta: float = Field(
        0.5, ge=0, le=1, description="0: forward KL, 1: reverse KL, between them Jensen-Shannon's divergence"
    )
    temperature: float = Field(
        1.0, gt=0, description="of both distributions that are compared; the loss is multiplied by its square"
    )
    lmbda: float = Field(0.5, ge=0, le=1, description="share of the steps that learn from the student's own answers")
    seq_kd: bool = Field(False, description="in the other steps the teacher writes the answers, not the data")
    num_generations: int = Field(1, ge=1, le=100_000, description="sampled answers to each prompt")
    sampling_temperature: float = Field(1.0, gt=0, description="temperature of the answers that are sampled")
    max_new_tokens: int = Field(128, ge=1, description="longest sampled answer, in tokens")
    teacher_top_k: int | None = Field(
        None,
        ge=1,
        description="keep so many tokens of each of the teacher's distributions on disk, and the teacher not in memory",
    )
    teacher_system: str | None = Field(None, description="system prompt of the teacher alone, instead of the rows' own")

    @property
    def samples(self) -> bool:
        """Whether answers are sampled."""
        return self.lmbda > 0 or self.seq_kd

    @property
    def reads_answers(self) -> bool:
        """Whether answers of the data are learned from; else its prompts are enough."""
        return self.lmbda < 1 and not self.seq_kd

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        if self.teacher_top_k is not None and self.samples:
            yield (
                "teacher_top_k",
                f"got {self.teacher_top_k}; what is stored is about answers that are given: set `lmbda: 0` without "
                "`seq_kd`, and let the teacher write answers in a stage before (`sample`)",
            )
        if self.seq_kd and self.lmbda == 1:
            yield "seq_kd", "got true with `lmbda: 1`, which leaves the teacher no step to write for: lower it"
        if self.heldout and not self.reads_answers:
            yield (
                "heldout",
                f"got {self.heldout}; only answers of the data can be held out, and none is read: remove it",
            )
        if not self.samples:
            for key in _SAMPLING:
                if key in self.model_fields_set:
                    yield key, f"got {getattr(self, key)}; nothing is sampled with `lmbda: 0`: remove it"

    def contradictions_without_teacher(self) -> Iterator[tuple[str, str]]:
        """What is lacking for the student without its adapters to be the teacher."""
        if self.lora is None:
            yield "teacher", "is missing; name a model, or set `lora` to be taught by the model without its adapters"
        elif self.teacher_system is None:
            yield (
                "teacher_system",
                "is missing; without a teacher of its own the student is taught by what it was, and there is something "
                "to learn only where that reads another system prompt",
            )


def train(
    model: "Decoder",
    tokenizer: "Tokenizer",
    teacher: Load | None,
    rows: "Sequence[Conversation | Task]",
    settings: Settings,
    run: Run,
    *,
    base: Path | None = None,
    teacher_key: str = "",
) -> Metrics:
    """Train the model in place to say what the teacher would; returns what it measured.

    teacher: loads it; None: the model without its adapters. teacher_key: names its weights, so that what is stored of
    it is found without loading it. rows: conversations, whose last answer is learned; tasks where all answers are
    sampled. base: as for `burnish.methods.saving.save`, which leaves the model.

    Raises BurnishError where the teacher has another vocabulary, DataError where no row can be used.
    """
    from burnish.methods.distill_steps import divergence_metrics, given_batches

    for key, problem in settings.contradictions_without_teacher() if teacher is None else ():
        raise BurnishError(f"{key}: {problem}")
    named = bool(run.key)
    run = begin(model, rows, settings, run)
    source = TeacherSource(teacher or (lambda: (model, tokenizer)), tokenizer, teacher_key)
    if not named:
        run = replace(run, key=digest([run.key, source.identity()]))
    learned, held = settings.split(rows)
    examples, report = usable(encode(learned, tokenizer, settings), learned, settings, run)
    heldout: list[TaughtExample] = []
    if held:
        heldout, _ = usable(encode(held, tokenizer, settings), held, settings, run, HELDOUT_REPORT_FILE)
    taught_by: Teacher | StoredTeacher
    of_heldout: Teacher | StoredTeacher
    if settings.teacher_top_k is None:
        own = None if teacher is None else source.decoder()
        if own is model:
            raise BurnishError("teacher: it is the very model that is trained, and would change with it: load it twice")
        taught_by = of_heldout = Teacher(model, own)
    else:
        taught_by, of_heldout = (stored(run, source, model, some, settings) for some in (examples, heldout))
    del source  # with the teacher, where that is on disk by now
    measured = given_batches(heldout, of_heldout, settings, range(len(heldout))) if heldout else []

    def measure() -> dict[str, float]:
        return divergence_metrics(model, of_heldout, settings, measured)

    before = run.remembered("heldout-before", measure)
    asked = partial(ShownAnswers, run, model, tokenizer, heldout=bool(heldout))
    answers = asked(heldout or examples, lambda one: Asked(one.prompt, one.answer))
    make_trainable(model, settings, run)
    on_the_way = OnTheWay(measure if heldout else None, snapshot_of(model, tokenizer))
    trained = learn(model, tokenizer, taught_by, examples, settings, run, on_the_way=on_the_way)
    after = measure()
    save(model, tokenizer, settings, run, base=base)
    answers.write()
    return {
        "steps": trained.steps,
        "examples": len(examples),
        "dropped": len(report.dropped),
        "cut": len(report.cut),
        **trained.metrics,
        **comparison(before, after, len(heldout)),
    }


def learn(
    model: "Decoder",
    tokenizer: "Tokenizer",
    teacher: Teacher | StoredTeacher,
    examples: "Sequence[TaughtExample]",
    settings: Settings,
    run: Run,
    *,
    on_the_way: OnTheWay = NOTHING,
    on_progress: "Callable[[Progress], None]" = lambda _: None,
) -> "TrainingReport":
    """Take the optimizer steps on prompts, and answers, that are tokens already."""
    from burnish.methods.distill_steps import DistillSteps, divergences_of
    from burnish.objectives.distillation import Distillation

    steps = DistillSteps.of(model, tokenizer, teacher, examples, settings, run)
    return fit(
        model,
        Distillation(settings.temperature),
        steps,
        settings,
        run,
        outputs=partial(divergences_of, model, teacher, settings),
        step_metrics=steps.metrics,
        shown=("loss", "entropy", "tokens_per_second"),
        on_the_way=on_the_way,
        on_progress=on_progress,
    )


def stored(
    run: Run, source: TeacherSource, model: "Decoder", examples: "Sequence[TaughtExample]", settings: Settings
) -> StoredTeacher:
    """What the teacher says of given answers, kept on disk."""
    assert settings.teacher_top_k is not None
    return StoredTeacher(
        run,
        source,
        model,
        examples,
        top_k=settings.teacher_top_k,
        temperature=settings.temperature,
        micro_batch_tokens=settings.training.micro_batch_tokens,
    )


def encode(
    rows: "Sequence[Conversation | Task]", tokenizer: "Tokenizer", settings: Settings
) -> "tuple[list[TaughtExample], Report]":
    """The rows that can be used, as tokens, and what became of all of them."""
    from burnish.datasets.taught import taught_examples

    room = settings.max_new_tokens if settings.samples else 0
    longest = settings.max_length
    if room and tokenizer.context_length is not None:
        longest = min(longest, tokenizer.context_length)
    return taught_examples(
        rows,
        tokenizer,
        max_length=longest,
        on_long=settings.on_long,
        room=room,
        teacher_system=settings.teacher_system,
    )
