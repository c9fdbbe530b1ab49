"""distill: a student learns a teacher's next-token distributions; see `burnish.methods.distill`."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from burnish.errors import RecipeError
from burnish.methods import distill
from burnish.methods.teachers import OTHER_VOCABULARY
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.rows_stage import JudgedRowsStage
from burnish.recipes.schema.stage import FileReference, Metrics, ModelReference, StageContext

if TYPE_CHECKING:
    from burnish.datasets.report import Report
    from burnish.recipes.plan.work import Work
    from burnish.text.tokenizer import Tokenizer


class DistillStage(distill.Settings, JudgedRowsStage):
    """Makes the model say what a teacher would: on the answers of the data, the teacher's, or the model's own.

    `rollouts/` has all that was sampled. With `teacher_top_k` the run's `cache/` has what the teacher says of the
    answers, which another learning rate or divergence finds there.
    """

    type: Literal["distill"] = Field("distill", description="distill")
    data: FileReference = Field(
        description="conversations, whose last answer is learned; prompts are enough where all answers are sampled"
    )
    teacher: ModelReference | None = Field(
        None, description="model to learn from; with `lora` the model without its adapters if left out"
    )

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from super().problems(folder)
        if self.teacher is None:
            for key, problem in self.contradictions_without_teacher():
                yield (key,), problem

    def rows(self, context: StageContext) -> list[Any]:
        from burnish.datasets.rows import read_conversations, read_tasks

        read: Any = read_conversations if self.reads_answers else read_tasks
        return self.with_system(context, read(context.paths(self.data), columns=self.columns))

    def encode(self, rows: Sequence[Any], tokenizer: "Tokenizer") -> "tuple[list[Any], Report]":
        return distill.encode(rows, tokenizer, self)

    def check(self, context: StageContext) -> None:
        from burnish.text.vocabulary import difference

        super().check(context)
        ours, theirs = (context.tokenizer(str(one)) for one in (self.model, self.teacher))
        if ours is not None and theirs is not None and (found := difference(ours, theirs)) is not None:
            raise RecipeError(f"{self.name or self.type}.teacher: {OTHER_VOCABULARY.format(found)}")

    def work(self, context: StageContext) -> "Work | None":
        from burnish.recipes.plan.work import taught

        tokenizer = context.tokenizer(str(self.model))
        if tokenizer is None:
            return None
        examples, _ = self.encode(self.rows(context), tokenizer)
        written = [[[*one.prompt, *[0] * self.max_new_tokens]] * self.num_generations for one in examples]
        given = self.training_work(context, [one.sequences for one in examples], passes_before=1.0)
        sampled = self.training_work(context, written) if self.samples else given
        answers = len(examples) * self.training.epochs * self.num_generations
        shares = (self.lmbda, (1 - self.lmbda) * self.seq_kd)
        answered = sum(len(one.answer) for one in examples)
        return taught(
            given,
            sampled,
            written=[round(answers * share * self.max_new_tokens) for share in shares],
            share=sum(shares),
            rows=self.training.batch_size * self.num_generations,
            longest=max((len(one.prompt) for one in examples), default=0) + self.max_new_tokens,
            teacher=context.size_beside(self.teacher),
            stored=None if self.teacher_top_k is None else answered * (8 * self.teacher_top_k + 4),
        )

    def run(self, context: StageContext) -> Metrics:
        model, tokenizer = context.load(self.model)
        teacher = None if self.teacher is None else partial(context.load, self.teacher)
        key = "" if self.teacher is None else context.input_keys[self.teacher]
        rows, base = self.rows(context), context.path(self.model)
        return distill.train(model, tokenizer, teacher, rows, self, context, base=base, teacher_key=key)
