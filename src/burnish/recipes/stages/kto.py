"""kto: Kahneman-Tversky optimization (Ethayarajh 2024, arXiv:2402.01306) on single answers, desired or not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.methods.reference_logps import reference_logps, scored_logps
from burnish.recipes.schema.judged_data_stage import JudgedDataStage, comparison, objective_metrics, split_last
from burnish.recipes.schema.shown_answers import Asked, ShownAnswers
from burnish.recipes.schema.stage import FileReference, Metrics, StageContext
from burnish.runs.names import DATA_REPORT_FILE, HELDOUT_REPORT_FILE

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.datasets.batches import Batch
    from burnish.datasets.examples import LabelledExample
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Labelled
    from burnish.nn.decoder import Decoder
    from burnish.recipes.plan.work import Work
    from burnish.text.tokenizer import Tokenizer

Plan = Sequence[Sequence[int]]
"""The rows of each step, by number."""


class KtoStage(JudgedDataStage):
    """Makes desired answers likelier and the others less likely; the model that training starts from is the reference.

    Its log-probabilities are kept in the run's `cache/`, as those of `dpo`.
    """

    type: Literal["kto"] = Field("kto", description="kto")
    data: FileReference = Field(description="answers with a label: prompt, completion and label true or false, ...")
    beta: float = Field(0.1, gt=0, description="how much a departure from the reference costs")
    desirable_weight: float = Field(1.0, gt=0, description="weight λ_D of the desired answers")
    undesirable_weight: float = Field(1.0, gt=0, description="weight λ_U of the others")

    def check(self, context: StageContext) -> None:
        from burnish.datasets.examples import labelled_examples
        from burnish.datasets.rows import read_labelled

        labelled = self.with_system(context, read_labelled(context.paths(self.data), columns=self.columns))
        rows, _ = split_last(labelled, self.heldout, self.data)
        self.check_steps(len(rows), self.data)
        encode = partial(labelled_examples, max_length=self.max_length, on_long=self.on_long)
        context.probe(encode, rows, str(self.model))

    def work(self, context: StageContext) -> "Work | None":
        from burnish.datasets.examples import labelled_examples
        from burnish.datasets.rows import read_labelled

        tokenizer = context.tokenizer(str(self.model))
        if tokenizer is None:
            return None
        rows = self.with_system(context, read_labelled(context.paths(self.data), columns=self.columns))
        examples, _ = labelled_examples(rows, tokenizer, max_length=self.max_length, on_long=self.on_long)
        passes = 2 + 2 * self.training.epochs
        return self.training_work(context, [example.sequences for example in examples], passes_before=passes)

    def run(self, context: StageContext) -> Metrics:
        from burnish.datasets.batches import shuffled_steps
        from burnish.datasets.rows import read_labelled
        from burnish.objectives.kto import KTO

        decoder, tokenizer = context.load(self.model)
        labelled = self.with_system(context, read_labelled(context.paths(self.data), columns=self.columns))
        rows, heldout_rows = split_last(labelled, self.heldout, self.data)
        examples, kept = self.examples(context, rows, tokenizer, DATA_REPORT_FILE)
        plan = shuffled_steps(
            len(examples), batch_size=self.training.batch_size, epochs=self.training.epochs, seed=context.seed
        )
        steps = self.steps(context, decoder, examples, plan)
        objective = KTO(self.beta, self.desirable_weight, self.undesirable_weight)
        heldout: _Steps | None = None
        heldout_examples: list[LabelledExample] = []
        if heldout_rows:
            heldout_examples, _ = self.examples(context, heldout_rows, tokenizer, HELDOUT_REPORT_FILE)
            heldout = self.steps(context, decoder, heldout_examples, [range(len(heldout_examples))])

        def measured() -> dict[str, float]:
            return objective_metrics(decoder, objective, heldout[0] if heldout else [])

        before = context.remembered("heldout-before", measured)
        answers = ShownAnswers(
            context,
            decoder,
            tokenizer,
            [example for example in (heldout_examples or examples) if example.desired],
            lambda example: Asked(example.prompt, example.answer),
            heldout=bool(heldout_examples),
        )
        self.make_trainable(context, decoder)
        report = self.fit(context, decoder, objective, steps, shown=("loss", "rewards/margins", "tokens_per_second"))
        self.save(context, decoder, tokenizer)
        answers.write()
        return {
            "steps": report.steps,
            "examples": len(examples),
            "desired": sum(example.desired for example in examples),
            "dropped": len(kept.dropped),
            "cut": len(kept.cut),
            **report.metrics,
            **comparison(before, measured(), len(heldout_examples) if heldout else 0),
        }

    def examples(
        self, context: StageContext, rows: "Sequence[Labelled]", tokenizer: "Tokenizer", report_file: str
    ) -> "tuple[list[LabelledExample], Report]":
        """The rows that can be used, and what became of all of them, which is also written down."""
        from burnish.datasets.examples import labelled_examples

        examples, report = labelled_examples(rows, tokenizer, max_length=self.max_length, on_long=self.on_long)
        context.report(report, report_file)
        if len(examples) < 2:
            raise DataError(
                f"{self.data}: {len(examples)} usable of {len(rows)} rows; KTO needs two at least, whose answers it "
                f"exchanges: raise max_length ({self.max_length}) or add rows"
            )
        return examples, report

    def steps(
        self, context: StageContext, decoder: "Decoder", examples: "Sequence[LabelledExample]", plan: Plan
    ) -> "_Steps":
        """The steps of a plan; `decoder` is the reference now, and the policy by the time that a step is asked for."""
        size = self.training.micro_batch_tokens
        mismatched = [
            [replace(examples[row], answer=examples[other].answer) for row, other in zip(rows, others, strict=True)]
            for rows, others in zip(plan, other_rows(plan), strict=True)
        ]
        flat = iter(
            reference_logps(
                context,
                decoder,
                context.input_keys[str(self.model)],
                [one for step in mismatched for one in step],
                size,
            )
        )
        return _Steps(
            decoder,
            examples,
            reference_logps(context, decoder, context.input_keys[str(self.model)], examples, size),
            plan,
            mismatched,
            [[next(flat) for _ in step] for step in mismatched],
            size,
        )


def other_rows(plan: Plan) -> list[list[int]]:
    """For each row of each step the row whose answer is put after its prompt: the one before it in the step, as in TRL.

    The first row of a step gets the last one's; the only row of a step that of the step before.
    """
    return [[rows[-1] if len(rows) > 1 else plan[step - 1][-1], *rows[:-1]] for step, rows in enumerate(plan)]


@dataclass(frozen=True)
class _Steps:
    """Micro-batches whose baseline is estimated with the policy as it is when the step begins.

    reference: log-probabilities of each example's answer; mismatched and mismatched_reference: by step.
    """

    decoder: "Decoder"
    examples: "Sequence[LabelledExample]"
    reference: "Sequence[Tensor]"
    plan: Plan
    mismatched: "Sequence[Sequence[LabelledExample]]"
    mismatched_reference: "Sequence[Sequence[Tensor]]"
    micro_batch_tokens: int

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, step: int) -> "list[Batch]":
        import torch

        from burnish.datasets.batches import labelled_batches
        from burnish.objectives.kto import kl_baseline

        logps = scored_logps(self.decoder, self.mismatched[step], self.micro_batch_tokens)
        policy, reference = (
            torch.stack([values.sum() for values in some]) for some in (logps, self.mismatched_reference[step])
        )
        return labelled_batches(
            [self.examples[row] for row in self.plan[step]],
            micro_batch_tokens=self.micro_batch_tokens,
            reference_logps=[self.reference[row] for row in self.plan[step]],
            kl=kl_baseline(policy, reference),
        )
