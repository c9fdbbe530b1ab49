"""Reward models (Ouyang 2022, arXiv:2203.02155): a scalar for a prompt with an answer, larger for what people prefer.

Notable choices:
- a decoder with one more row of weights, read at the last token of what the chat template writes;
- pairs and ranked lists are one kind of data: a pair is a list of two;
- what is held out is measured with calibration: how often pairs are in the order that the model is so sure of.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.methods.measuring import Metrics, comparison
from burnish.methods.saving import snapshot_of
from burnish.methods.settings import JudgedSettings, own_format_reason
from burnish.methods.training import NOTHING, OnTheWay, begin, fit, make_trainable, usable
from burnish.nn.config import DecoderConfig
from burnish.runs.names import HELDOUT_REPORT_FILE, MODEL_FOLDER
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.datasets.batches import Batch
    from burnish.datasets.rankings import RankedExample
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Ranking
    from burnish.nn.decoder import Decoder
    from burnish.nn.scalar import ScalarModel
    from burnish.objectives.reward_model import RewardModelling
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.loop import Progress, TrainingReport


class Settings(JudgedSettings):
    """How rankings are learned from."""

    loss_type: Literal["bradley_terry", "plackett_luce"] = Field(
        "bradley_terry", description="of a ranked list all pairs, or the ranking as a whole; the same for a pair"
    )
    margin_weight: float = Field(
        0.0, ge=0, description="rewards are to differ by this times the row's margin; 0 reads no margins"
    )
    center_rewards_coefficient: float = Field(0.0, ge=0, description="weight of keeping rewards around zero")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        if self.margin_weight and self.loss_type == "plackett_luce":
            yield "margin_weight", f"got {self.margin_weight}; plackett_luce has no margin: remove one of them"

    def misfit(self, model: DecoderConfig) -> str | None:
        if (reason := own_format_reason(replace(model, tie_embeddings=True))) is not None:
            return f"model: got one of Burnish's own format, in which no reward model can be saved: {reason}"
        return super().misfit(model)

    def check_margins(self, rankings: "Sequence[Ranking]") -> None:
        """Raise DataError naming rows that lack the margin which the loss is to read."""
        unsaid = [row for row in rankings if row.fault is None and (row.margin is None or len(row.answers) > 2)]
        if self.margin_weight and unsaid:
            raise DataError(
                f"{unsaid[0].place}: the pair has no 'margin' and no 'score_chosen' and 'score_rejected' "
                f"({len(unsaid)} such rows); add them or remove margin_weight"
            )


def train(
    decoder: "Decoder",
    tokenizer: "Tokenizer",
    rankings: "Sequence[Ranking]",
    settings: Settings,
    run: Run,
    *,
    heldout_rankings: "Sequence[Ranking] | None" = None,
) -> Metrics:
    """Make a reward model of the decoder, train it, and leave it in the run's folder; returns what it measured.

    The product is `model/`, with LoRA's adapters merged into it, which transformers loads as
    `AutoModelForSequenceClassification`.

    heldout_rankings: measured on instead of the last `settings.heldout` rankings. Raises DataError where the rankings,
    or the room for them, are too few.
    """
    import burnish
    from burnish.nn.lora import merge_lora
    from burnish.nn.scalar import ScalarModel
    from burnish.objectives.reward_model import RewardModelling

    run = begin(decoder, rankings, settings, run)
    settings.check_margins(rankings)
    rows, heldout_rows = settings.split(rankings)
    if heldout_rankings is not None:
        heldout_rows = list(heldout_rankings)
    examples, report = usable(encode(rows, tokenizer, settings), rows, settings, run)
    heldout: list[RankedExample] = []
    if heldout_rows:
        heldout, _ = usable(encode(heldout_rows, tokenizer, settings), heldout_rows, settings, run, HELDOUT_REPORT_FILE)
    model = ScalarModel(decoder, seed=run.seed)
    objective = RewardModelling(settings.loss_type, settings.center_rewards_coefficient)

    def measured() -> Metrics:
        return measure(model, objective, batches(heldout, settings, range(len(heldout)))) if heldout else {}

    before = run.remembered("heldout-before", measured)
    make_trainable(decoder, settings, run)
    on_the_way = OnTheWay(measured if heldout else None, snapshot_of(model, tokenizer))
    trained = learn(model, examples, settings, run, on_the_way=on_the_way)
    if settings.lora is not None:
        merge_lora(decoder)
    burnish.save_reward_model(model, tokenizer, run.folder / MODEL_FOLDER)
    return {
        "steps": trained.steps,
        "pairs": len(examples),
        "dropped": len(report.dropped),
        "cut": len(report.cut),
        **trained.metrics,
        **comparison(before, measured(), len(heldout)),
    }


def learn(
    model: "ScalarModel",
    examples: "Sequence[RankedExample]",
    settings: Settings,
    run: Run,
    *,
    on_the_way: OnTheWay = NOTHING,
    on_progress: "Callable[[Progress], None]" = lambda _: None,
) -> "TrainingReport":
    """Take the optimizer steps on rankings that are tokens already."""
    from burnish.datasets.batches import Steps, shuffled_steps
    from burnish.objectives.reward_model import RewardModelling

    training = settings.training
    plan = shuffled_steps(len(examples), batch_size=training.batch_size, epochs=training.epochs, seed=run.seed)
    return fit(
        model,
        RewardModelling(settings.loss_type, settings.center_rewards_coefficient),
        Steps(plan, lambda numbers: batches(examples, settings, numbers)),
        settings,
        run,
        outputs=lambda batch: model(batch.forest, batch.scored),
        shown=("loss", "accuracy", "tokens_per_second"),
        on_the_way=on_the_way,
        on_progress=on_progress,
    )


def batches(examples: "Sequence[RankedExample]", settings: Settings, numbers: Sequence[int]) -> "list[Batch]":
    """The micro-batches of the rankings with these numbers."""
    from burnish.datasets.rankings import ranked_batches

    size, margin_weight = settings.training.micro_batch_tokens, settings.margin_weight
    return ranked_batches([examples[i] for i in numbers], micro_batch_tokens=size, margin_weight=margin_weight)


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


def encode(
    rankings: "Sequence[Ranking]", tokenizer: "Tokenizer", settings: Settings
) -> "tuple[list[RankedExample], Report]":
    """The rankings that can be used, as tokens, and what became of all of them."""
    from burnish.datasets.rankings import ranked_examples

    return ranked_examples(rankings, tokenizer, max_length=settings.max_length, on_long=settings.on_long)
