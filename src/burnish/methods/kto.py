"""Kahneman-Tversky optimization (Ethayarajh 2024, arXiv:2402.01306), on single answers that are desired or not.

Notable choices:
- the model as it is given is the reference; what it says of the answers is computed once and kept, as in `dpo`;
- the baseline z_0 of a step is estimated with the policy as it is when the step begins, on the step's answers put after
  each other's prompts, as in TRL.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from burnish.methods.measuring import Metrics, comparison, objective_metrics
from burnish.methods.reference_logps import KeptReference, scored_logps
from burnish.methods.saving import save, snapshot_of
from burnish.methods.settings import JudgedSettings, source
from burnish.methods.shown_answers import Asked, ShownAnswers
from burnish.methods.training import OnTheWay, begin, fit, make_trainable, usable
from burnish.runs.names import HELDOUT_REPORT_FILE
from burnish.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.datasets.batches import Batch
    from burnish.datasets.examples import LabelledExample
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Labelled
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer

Plan = Sequence[Sequence[int]]
"""The rows of each step, by number."""


class Settings(JudgedSettings):
    """How judged answers are learned from."""

    beta: float = Field(0.1, gt=0, description="how much a departure from the reference costs")
    desirable_weight: float = Field(1.0, gt=0, description="weight λ_D of the desired answers")
    undesirable_weight: float = Field(1.0, gt=0, description="weight λ_U of the others")


def train(
    model: "Decoder",
    tokenizer: "Tokenizer",
    answers: "Sequence[Labelled]",
    settings: Settings,
    run: Run,
    *,
    base: Path | None = None,
) -> Metrics:
    """Train the model in place to make desired answers likelier and the others less likely; returns what it measured.

    base: as for `burnish.methods.saving.save`, which leaves the model. Raises DataError where fewer than two answers
    can be used.
    """
    from burnish.datasets.batches import shuffled_steps
    from burnish.objectives.kto import KTO

    training = settings.training
    run = begin(model, answers, settings, run)
    rows, heldout_rows = settings.split(answers)
    examples, report = usable(encode(rows, tokenizer, settings), rows, settings, run, least=2)
    if (remark := one_sided(examples, rows)) is not None:
        run.notice(remark)
    reference = KeptReference(run, model, training.micro_batch_tokens)
    plan = shuffled_steps(len(examples), batch_size=training.batch_size, epochs=training.epochs, seed=run.seed)
    steps = KtoSteps.of(model, reference, examples, plan, training.micro_batch_tokens)
    heldout: list[LabelledExample] = []
    if heldout_rows:
        heldout, _ = usable(
            encode(heldout_rows, tokenizer, settings), heldout_rows, settings, run, HELDOUT_REPORT_FILE, least=2
        )
    one_step = KtoSteps.of(
        model, reference, heldout, [range(len(heldout))] if heldout else [], training.micro_batch_tokens
    )
    objective = KTO(settings.beta, settings.desirable_weight, settings.undesirable_weight)

    def measure() -> dict[str, float]:
        return objective_metrics(model, objective, one_step[0] if heldout else [])

    before = run.remembered("heldout-before", measure)
    desired = [example for example in (heldout or examples) if example.desired]
    shown = ShownAnswers(
        run, model, tokenizer, desired, lambda one: Asked(one.prompt, one.answer), heldout=bool(heldout)
    )
    make_trainable(model, settings, run)
    on_the_way = OnTheWay(measure if heldout else None, snapshot_of(model, tokenizer))
    progress = ("loss", "rewards/margins", "tokens_per_second")
    trained = fit(model, objective, steps, settings, run, shown=progress, on_the_way=on_the_way)
    save(model, tokenizer, settings, run, base=base)
    shown.write()
    return {
        "steps": trained.steps,
        "examples": len(examples),
        "desired": sum(example.desired for example in examples),
        "dropped": len(report.dropped),
        "cut": len(report.cut),
        **trained.metrics,
        **comparison(before, measure(), len(heldout)),
    }


def one_sided(judged: "Sequence[Labelled | LabelledExample]", rows: "Sequence[Labelled]") -> str | None:
    """What to say where all answers that are learned from have the same label; None where they have both.

    rows: what they were read from.
    """
    if len({one.desired for one in judged}) != 1:
        return None
    label = "true" if judged[0].desired else "false"
    return (
        f"{source(rows)}: the label of all {len(judged):,} answers is {label}, and KTO learns from how desired answers "
        "differ from the others: add rows of the other label"
        + (", or imitate these with sft" if judged[0].desired else "")
    )


@dataclass(frozen=True)
class KtoSteps:
    """The micro-batches of each step; asked for in order, with the policy as the steps before left it.

    reference: log-probabilities of each example's answer. mismatched, mismatched_reference: by step, the examples with
    answers that belong to other prompts, and what the reference says of those.
    """

    policy: "Decoder"
    examples: "Sequence[LabelledExample]"
    reference: "Sequence[Tensor]"
    plan: Plan
    mismatched: "Sequence[Sequence[LabelledExample]]"
    mismatched_reference: "Sequence[Sequence[Tensor]]"
    micro_batch_tokens: int

    @classmethod
    def of(
        cls,
        policy: "Decoder",
        reference: KeptReference,
        examples: "Sequence[LabelledExample]",
        plan: Plan,
        micro_batch_tokens: int,
    ) -> "KtoSteps":
        """The steps of a plan; made before anything trains, while the policy is the reference."""
        mismatched = [
            [replace(examples[row], answer=examples[other].answer) for row, other in zip(rows, others, strict=True)]
            for rows, others in zip(plan, other_rows(plan), strict=True)
        ]
        flat = iter(reference.logps([one for step in mismatched for one in step]))
        of_mismatched = [[next(flat) for _ in step] for step in mismatched]
        logps = reference.logps(examples)
        return cls(policy, examples, logps, plan, mismatched, of_mismatched, micro_batch_tokens)

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, step: int) -> "list[Batch]":
        import torch

        from burnish.datasets.batches import labelled_batches
        from burnish.objectives.kto import kl_baseline

        logps = scored_logps(self.policy, self.mismatched[step], self.micro_batch_tokens)
        policy, reference = (
            torch.stack([values.sum() for values in some]) for some in (logps, self.mismatched_reference[step])
        )
        return labelled_batches(
            [self.examples[row] for row in self.plan[step]],
            micro_batch_tokens=self.micro_batch_tokens,
            reference_logps=[self.reference[row] for row in self.plan[step]],
            kl=kl_baseline(policy, reference),
        )


def other_rows(plan: Plan) -> list[list[int]]:
    """For each row of each step the row whose answer is put after its prompt: the one before it in the step, as in TRL.

    The first row of a step gets the last one's; the only row of a step that of the step before.
    """
    return [[rows[-1] if len(rows) > 1 else plan[step - 1][-1], *rows[:-1]] for step, rows in enumerate(plan)]


def encode(
    answers: "Sequence[Labelled]", tokenizer: "Tokenizer", settings: Settings
) -> "tuple[list[LabelledExample], Report]":
    """The answers that can be used, as tokens, and what became of all of them."""
    from burnish.datasets.examples import labelled_examples

    return labelled_examples(answers, tokenizer, max_length=settings.max_length, on_long=settings.on_long)
