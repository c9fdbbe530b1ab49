"""dpo: direct preference optimization (Rafailov 2023, arXiv:2305.18290) and its family on pairs of answers."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.evaluation.limits import of_pairs
from burnish.methods.reference_logps import reference_logps
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.judged_data_stage import JudgedDataStage, comparison, objective_metrics, split_last
from burnish.recipes.schema.shown_answers import Asked, ShownAnswers, say_limit
from burnish.recipes.schema.stage import Metrics, PreferencesReference, StageContext
from burnish.runs.names import DATA_REPORT_FILE, HELDOUT_REPORT_FILE

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.datasets.batches import Batch
    from burnish.datasets.examples import PreferenceExample
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Preference
    from burnish.nn.decoder import Decoder
    from burnish.objectives.objective import Objective
    from burnish.recipes.plan.work import Work
    from burnish.text.tokenizer import Tokenizer

READS: dict[str, set[str]] = {
    "sigmoid": {"label_smoothing", "length_normalized", "rpo_alpha"},
    "hinge": {"length_normalized", "rpo_alpha"},
    "ipo": {"rpo_alpha"},
    "robust": {"label_smoothing", "length_normalized", "rpo_alpha"},
    "simpo": {"simpo_gamma"},
    "orpo": set(),
    "cpo": {"label_smoothing", "cpo_alpha"},
}
"""The settings that each loss reads besides `beta`."""
REFERENCE_FREE = ("simpo", "orpo", "cpo")


class DpoStage(JudgedDataStage):
    """Prefers the chosen answers; the model that training starts from is the reference, where the loss has one.

    The reference's log-probabilities are computed once and kept in the run's `cache/`, so that another `beta`, loss or
    learning rate finds them there.
    """

    type: Literal["dpo"] = Field("dpo", description="dpo")
    pairs: PreferencesReference = Field(description="preferences: prompt, chosen, rejected; for example @sample")
    loss_type: Literal["sigmoid", "hinge", "ipo", "robust", "simpo", "orpo", "cpo"] = Field(
        "sigmoid", description="the loss; simpo, orpo and cpo need no reference"
    )
    beta: float = Field(
        0.1,
        gt=0,
        description="how much a departure from the reference costs; for ipo τ, for orpo λ, for simpo about 2, "
        "with length_normalized about 5",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="share of wrong labels to expect: for sigmoid (conservative DPO), robust and cpo"
    )
    length_normalized: bool = Field(
        False, description="mean log-ratio of an answer's tokens instead of the sum: for sigmoid, hinge and robust"
    )
    rpo_alpha: float = Field(
        0.0, ge=0, description="weight of imitating the chosen answers (RPO): for sigmoid, hinge, ipo and robust"
    )
    simpo_gamma: float = Field(0.5, ge=0, description="target reward margin γ: for simpo")
    cpo_alpha: float = Field(1.0, ge=0, description="weight of imitating the chosen answers: for cpo")

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from super().problems(folder)
        unread = set[str]().union(*READS.values()) - READS[self.loss_type]
        for key in sorted(unread & self.model_fields_set):
            readers = ", ".join(name for name, keys in READS.items() if key in keys)
            hint = "; ipo is always length-normalized" if (self.loss_type, key) == ("ipo", "length_normalized") else ""
            yield (
                (key,),
                f"got {getattr(self, key)}; loss_type '{self.loss_type}' does not read it, only {readers} do{hint}: "
                "remove it",
            )
        if self.loss_type == "robust" and not self.label_smoothing:
            yield (
                ("loss_type",),
                "got 'robust' without label_smoothing, the share of labels that are wrong: set it, for example 0.1",
            )
        if "beta" not in self.model_fields_set:
            default = f"without beta; the default of {self.beta} is for sums over an answer"
            if self.loss_type == "simpo":
                yield ("loss_type",), f"got 'simpo' {default}, simpo reads means: set beta, for example 2.0"
            elif self.length_normalized and "length_normalized" in READS[self.loss_type]:
                yield ("length_normalized",), f"got true {default}, not for means: set beta, for example 5.0"

    def check(self, context: StageContext) -> None:
        from burnish.datasets.examples import preference_examples
        from burnish.datasets.rows import read_preferences

        preferences = self.with_system(context, read_preferences(context.paths(self.pairs), columns=self.columns))
        rows, _ = split_last(preferences, self.heldout, self.pairs)
        self.check_steps(len(rows), self.pairs)
        encode = partial(preference_examples, max_length=self.max_length, on_long=self.on_long)
        context.probe(encode, rows, str(self.model))

    def work(self, context: StageContext) -> "Work | None":
        from burnish.datasets.examples import preference_examples
        from burnish.datasets.rows import read_preferences

        tokenizer = context.tokenizer(str(self.model))
        if tokenizer is None:
            return None
        rows = self.with_system(context, read_preferences(context.paths(self.pairs), columns=self.columns))
        examples, _ = preference_examples(rows, tokenizer, max_length=self.max_length, on_long=self.on_long)
        passes = 0.0 if self.loss_type in REFERENCE_FREE else 1.0
        return self.training_work(context, [example.sequences for example in examples], passes_before=passes)

    def run(self, context: StageContext) -> Metrics:
        from burnish.datasets.batches import Steps, shuffled_steps
        from burnish.datasets.rows import read_preferences

        decoder, tokenizer = context.load(self.model)
        preferences = self.with_system(context, read_preferences(context.paths(self.pairs), columns=self.columns))
        rows, heldout_rows = split_last(preferences, self.heldout, self.pairs)
        pairs, kept = self.examples(context, rows, tokenizer, DATA_REPORT_FILE)
        build = self.batch_builder(context, decoder, pairs)
        objective = self.objective()
        heldout_pairs: list[PreferenceExample] = []
        heldout: list[Batch] = []
        if heldout_rows:
            heldout_pairs, _ = self.examples(context, heldout_rows, tokenizer, HELDOUT_REPORT_FILE)
            heldout = self.batch_builder(context, decoder, heldout_pairs)(range(len(heldout_pairs)))
        before = context.remembered("heldout-before", lambda: objective_metrics(decoder, objective, heldout))
        plan = shuffled_steps(
            len(pairs), batch_size=self.training.batch_size, epochs=self.training.epochs, seed=context.seed
        )
        say_limit(context, of_pairs(len(pairs)))
        answers = ShownAnswers(
            context,
            decoder,
            tokenizer,
            heldout_pairs or pairs,
            lambda pair: Asked(pair.prompt, pair.chosen),
            heldout=bool(heldout_pairs),
        )
        self.make_trainable(context, decoder)
        shown = ("loss", "rewards/accuracies", "tokens_per_second")
        report = self.fit(context, decoder, objective, Steps(plan, build), shown=shown)
        self.save(context, decoder, tokenizer)
        answers.write()
        return {
            "steps": report.steps,
            "pairs": len(pairs),
            "dropped": len(kept.dropped),
            "cut": len(kept.cut),
            **report.metrics,
            **comparison(before, objective_metrics(decoder, objective, heldout), len(heldout_pairs)),
        }

    def objective(self) -> "Objective[Tensor]":
        from burnish.objectives.cpo import CPO
        from burnish.objectives.dpo import DPO
        from burnish.objectives.orpo import ORPO
        from burnish.objectives.simpo import SimPO

        if self.loss_type == "simpo":
            return SimPO(self.beta, self.simpo_gamma)
        if self.loss_type == "orpo":
            return ORPO(self.beta)
        if self.loss_type == "cpo":
            return CPO(self.beta, self.cpo_alpha, self.label_smoothing)
        return DPO(self.beta, self.loss_type, self.label_smoothing, self.length_normalized, self.rpo_alpha)

    def examples(
        self, context: StageContext, rows: "Sequence[Preference]", tokenizer: "Tokenizer", report_file: str
    ) -> "tuple[list[PreferenceExample], Report]":
        """The rows that can be used, and what became of all of them, which is also written down."""
        from burnish.datasets.examples import preference_examples

        pairs, report = preference_examples(rows, tokenizer, max_length=self.max_length, on_long=self.on_long)
        context.report(report, report_file)
        if not pairs:
            raise DataError(
                f"{self.pairs}: none of {len(rows)} pairs is usable; raise max_length ({self.max_length}) or sample "
                "more answers"
            )
        return pairs, report

    def batch_builder(
        self, context: StageContext, decoder: "Decoder", pairs: "Sequence[PreferenceExample]"
    ) -> "Callable[[Sequence[int]], list[Batch]]":
        """Makes micro-batches of pairs, given by number; `decoder` is the reference where the loss has one."""
        from burnish.datasets.batches import preference_batches

        size = self.training.micro_batch_tokens
        reference = None
        if self.loss_type not in REFERENCE_FREE:
            reference = reference_logps(context, decoder, context.input_keys[str(self.model)], pairs, size)
        return lambda numbers: preference_batches(
            [pairs[number] for number in numbers],
            micro_batch_tokens=size,
            reference_logps=None if reference is None else [reference[number] for number in numbers],
        )
