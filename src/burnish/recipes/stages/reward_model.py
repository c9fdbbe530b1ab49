"""reward_model: a scalar for prompt and answer, larger for what people prefer (Ouyang 2022, arXiv:2203.02155)."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.judged_data_stage import JudgedDataStage, comparison, split_last
from burnish.recipes.schema.stage import Metrics, PreferencesReference, ReferenceKind, StageContext
from burnish.runs.names import DATA_REPORT_FILE, HELDOUT_REPORT_FILE, MODEL_FOLDER

if TYPE_CHECKING:
    from burnish.datasets.batches import Batch
    from burnish.datasets.rankings import RankedExample
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Ranking
    from burnish.nn.scalar import ScalarModel
    from burnish.objectives.reward_model import RewardModelling
    from burnish.recipes.plan.work import Work
    from burnish.text.tokenizer import Tokenizer


class RewardModelStage(JudgedDataStage):
    """Learns which answers people prefer, on pairs or ranked lists.

    The product is `model/`, which transformers loads as `AutoModelForSequenceClassification`, with LoRA's adapters
    merged into it. It is no policy: stages that take a reward model refer to it.
    """

    type: Literal["reward_model"] = Field("reward_model", description="reward_model")
    pairs: PreferencesReference = Field(
        description="preferences (prompt, chosen, rejected) or ranked lists (prompt, responses); for example @sample"
    )
    loss_type: Literal["bradley_terry", "plackett_luce"] = Field(
        "bradley_terry", description="of a ranked list all pairs, or the ranking as a whole; the same for a pair"
    )
    margin_weight: float = Field(
        0.0, ge=0, description="rewards are to differ by this times the row's margin; 0 reads no margins"
    )
    center_rewards_coefficient: float = Field(0.0, ge=0, description="weight of keeping rewards around zero")
    heldout_pairs: PreferencesReference | None = Field(None, description="a file to measure on instead")

    produces: ClassVar[dict[ReferenceKind, str]] = {"reward_model": MODEL_FOLDER}

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from super().problems(folder)
        if self.margin_weight and self.loss_type == "plackett_luce":
            yield ("margin_weight",), f"got {self.margin_weight}; plackett_luce has no margin: remove one of them"
        if self.heldout and self.heldout_pairs is not None:
            yield ("heldout",), f"got {self.heldout} besides heldout_pairs, which is measured on instead: remove one"

    def check(self, context: StageContext) -> None:
        from burnish.datasets.rankings import ranked_examples

        rows, _ = self.read(context)
        self.check_steps(len(rows), self.pairs)
        encode = partial(ranked_examples, max_length=self.max_length, on_long=self.on_long)
        context.probe(encode, rows, str(self.model))

    def read(self, context: StageContext) -> "tuple[list[Ranking], list[Ranking]]":
        """The rows to train on and those to measure on. Raises DataError naming rows that lack a margin."""
        from burnish.datasets.rows import read_rankings

        rows = self.with_system(context, read_rankings(context.paths(self.pairs), columns=self.columns))
        unsaid = [row for row in rows if row.fault is None and (row.margin is None or len(row.answers) > 2)]
        if self.margin_weight and unsaid:
            raise DataError(
                f"{unsaid[0].place}: the pair has no 'margin' and no 'score_chosen' and 'score_rejected' "
                f"({len(unsaid)} such rows); add them or remove margin_weight"
            )
        if self.heldout_pairs is not None:
            return rows, self.with_system(
                context, read_rankings(context.paths(self.heldout_pairs), columns=self.columns)
            )
        return split_last(rows, self.heldout, self.pairs)

    def work(self, context: StageContext) -> "Work | None":
        from burnish.datasets.rankings import ranked_examples

        tokenizer = context.tokenizer(str(self.model))
        if tokenizer is None:
            return None
        examples, _ = ranked_examples(
            self.read(context)[0], tokenizer, max_length=self.max_length, on_long=self.on_long
        )
        return self.training_work(context, [example.sequences for example in examples])

    def run(self, context: StageContext) -> Metrics:
        import burnish
        from burnish.datasets.batches import Steps, shuffled_steps
        from burnish.nn.lora import merge_lora
        from burnish.nn.scalar import ScalarModel
        from burnish.objectives.reward_model import RewardModelling

        decoder, tokenizer = context.load(self.model)
        rows, heldout_rows = self.read(context)
        examples, kept = self.examples(context, rows, tokenizer, DATA_REPORT_FILE)
        heldout: list[RankedExample] = []
        if heldout_rows:
            heldout, _ = self.examples(context, heldout_rows, tokenizer, HELDOUT_REPORT_FILE)
        model = ScalarModel(decoder, seed=context.seed)
        objective = RewardModelling(self.loss_type, self.center_rewards_coefficient)

        def measured() -> Metrics:
            return measure(model, objective, self.batches(heldout)) if heldout else {}

        before = context.remembered("heldout-before", measured)
        plan = shuffled_steps(
            len(examples), batch_size=self.training.batch_size, epochs=self.training.epochs, seed=context.seed
        )
        self.make_trainable(context, decoder)
        report = self.fit(
            context,
            model,
            objective,
            Steps(plan, lambda numbers: self.batches([examples[number] for number in numbers])),
            outputs=lambda batch: model(batch.forest, batch.scored),
            shown=("loss", "accuracy", "tokens_per_second"),
        )
        if self.lora is not None:
            merge_lora(decoder)
        burnish.save_reward_model(model, tokenizer, context.folder / MODEL_FOLDER)
        return {
            "steps": report.steps,
            "pairs": len(examples),
            "dropped": len(kept.dropped),
            "cut": len(kept.cut),
            **report.metrics,
            **comparison(before, measured(), len(heldout)),
        }

    def examples(
        self, context: StageContext, rows: "Sequence[Ranking]", tokenizer: "Tokenizer", file: str
    ) -> "tuple[list[RankedExample], Report]":
        """Rows as tokens, with a report of what was dropped or changed; DataError where nothing is left."""
        from burnish.datasets.rankings import ranked_examples

        examples, report = ranked_examples(rows, tokenizer, max_length=self.max_length, on_long=self.on_long)
        context.report(report, file)
        if not examples:
            raise DataError(
                f"{rows[0].place.file}: no usable row; raise max_length ({self.max_length}) or see why they were "
                f"dropped:\n{report.summary()}"
            )
        return examples, report

    def batches(self, examples: "Sequence[RankedExample]") -> "list[Batch]":
        from burnish.datasets.rankings import ranked_batches

        return ranked_batches(
            examples, micro_batch_tokens=self.training.micro_batch_tokens, margin_weight=self.margin_weight
        )


def measure(model: "ScalarModel", objective: "RewardModelling", batches: "Sequence[Batch]") -> Metrics:
    """What the model says of rows that it did not train on: the objective's metrics, and calibration over all pairs."""
    import torch

    from burnish.evaluation.calibration import calibration
    from burnish.objectives.objective import measure as measure_objective
    from burnish.objectives.reward_model import all_pairs, ranked_lists

    margins: list[float] = []
    model.eval()
    with torch.inference_mode():
        results = [(batch, model(batch.forest, batch.scored)) for batch in (one.to(model.device) for one in batches)]
        metrics = measure_objective(objective, results)
        for batch, scalars in results:
            for of_lists, _ in ranked_lists(scalars[batch.entries], batch):
                better, worse = all_pairs(of_lists)
                margins += (better - worse).flatten().tolist()
    found = calibration(margins)
    return {
        **metrics,
        "calibration_error": found.error,
        "calibration": found.as_json()["bins"],
    }
