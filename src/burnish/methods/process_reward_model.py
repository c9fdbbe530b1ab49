"""Process reward models (Lightman 2023, arXiv:2305.20050): how probably each step of an answer is right.

Notable choices:
- a decoder with two more rows of weights, read at the token that ends a step; a label is a bit or a share;
- answers to one prompt, and what they begin alike, are computed once where they meet in a step;
- steps end with `step_separator`, which the model keeps: who judges with it splits answers there.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.errors import CheckpointError
from burnish.methods.measuring import Metrics, comparison
from burnish.methods.saving import snapshot_of
from burnish.methods.settings import JudgedSettings
from burnish.methods.training import NOTHING, OnTheWay, begin, fit, make_trainable, usable
from burnish.nn.config import DecoderConfig
from burnish.runs.names import HELDOUT_REPORT_FILE, MODEL_FOLDER
from burnish.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor, nn

    from burnish.datasets.batches import Batch
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Stepwise
    from burnish.datasets.token_labels import LabelledSequence
    from burnish.nn.decoder import Decoder
    from burnish.nn.process_reward import ProcessRewardModel
    from burnish.objectives.process_reward import LabelledTokens
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.loop import Progress, TrainingReport


class LabelSettings(JudgedSettings):
    """Settings of process and outcome reward models."""

    group_by_prompt: bool = Field(
        True, description="answers to one prompt come one after the other, so that a step computes it once"
    )


class Settings(LabelSettings):
    """How labelled steps are learned from."""

    step_separator: str = Field("\n", min_length=1, description="what each step ends with; answers are split at it")
    label_at: Literal["steps", "tokens"] = Field(
        "steps", description="the last token of a step has its label, or all of its tokens"
    )
    train_on_last_step_only: bool = Field(False, description="learn the labels of last steps alone: outcomes")
    mean_over: Literal["labels", "examples"] = Field(
        "labels",
        description="what the loss is a mean over: labels weigh alike, or answers, however many steps they have",
    )

    def misfit(self, model: DecoderConfig) -> str | None:
        from burnish.checkpoints.process_reward_models import saved_as

        try:
            saved_as(model)
        except CheckpointError as error:
            return f"model: got one that cannot be kept as a process reward model: {error}"
        return super().misfit(model)


def train(
    decoder: "Decoder",
    tokenizer: "Tokenizer",
    answers: "Sequence[Stepwise]",
    settings: Settings,
    run: Run,
    *,
    heldout_answers: "Sequence[Stepwise] | None" = None,
) -> Metrics:
    """Make a process reward model of the decoder, train it, and leave it in the run's folder; returns what it measured.

    The product is `model/`, with LoRA's adapters merged into it, which transformers loads as
    `AutoModelForTokenClassification`.

    heldout_answers: measured on instead of the last `settings.heldout` answers. Raises DataError where the answers, or
    the room for them, are too few.
    """
    import burnish
    from burnish.nn.lora import merge_lora
    from burnish.nn.process_reward import ProcessRewardModel

    run = begin(decoder, answers, settings, run)
    rows, heldout_rows = settings.split(answers)
    if heldout_answers is not None:
        heldout_rows = list(heldout_answers)
    examples, report = usable(encode(rows, tokenizer, settings), rows, settings, run)
    heldout: list[LabelledSequence] = []
    if heldout_rows:
        # As in TRL, every step of a held-out answer is measured.
        every_step = settings.model_copy(update={"train_on_last_step_only": False})
        encoded = encode(heldout_rows, tokenizer, every_step)
        heldout, _ = usable(encoded, heldout_rows, settings, run, HELDOUT_REPORT_FILE)
    model = ProcessRewardModel(decoder, step_separator=settings.step_separator, seed=run.seed)

    def measured() -> Metrics:
        if not heldout:
            return {}
        return measure(model, log_odds(model), objective(settings), batches(heldout, settings, range(len(heldout))))

    before = run.remembered("heldout-before", measured)
    make_trainable(decoder, settings, run)
    on_the_way = OnTheWay(measured if heldout else None, snapshot_of(model, tokenizer))
    trained = learn(model, examples, settings, run, on_the_way=on_the_way)
    if settings.lora is not None:
        merge_lora(decoder)
    burnish.save_process_reward_model(model, tokenizer, run.folder / MODEL_FOLDER)
    return {
        "steps": trained.steps,
        "answers": len(examples),
        "labels": sum(len(example.labels) for example in examples),
        "dropped": len(report.dropped),
        "cut": len(report.cut),
        **trained.metrics,
        **comparison(before, measured(), len(heldout)),
    }


def learn(
    model: "ProcessRewardModel",
    examples: "Sequence[LabelledSequence]",
    settings: Settings,
    run: Run,
    *,
    on_the_way: OnTheWay = NOTHING,
    on_progress: "Callable[[Progress], None]" = lambda _: None,
) -> "TrainingReport":
    """Take the optimizer steps on answers that are tokens already."""
    from burnish.datasets.batches import Steps, grouped_steps

    training = settings.training
    plan = grouped_steps(
        groups(examples, settings), batch_size=training.batch_size, epochs=training.epochs, seed=run.seed
    )
    return fit(
        model,
        objective(settings),
        Steps(plan, lambda numbers: batches(examples, settings, numbers)),
        settings,
        run,
        outputs=log_odds(model),
        shown=("loss", "accuracy", "tokens_per_second"),
        on_the_way=on_the_way,
        on_progress=on_progress,
    )


def groups(examples: "Sequence[LabelledSequence]", settings: LabelSettings) -> Sequence[Hashable]:
    """What the steps keep together: the prompt of each answer, or each answer by itself."""
    if not settings.group_by_prompt:
        return range(len(examples))
    return [one.prompt for one in examples]


def log_odds(model: "ProcessRewardModel") -> "Callable[[Batch], Tensor]":
    """What the objective reads of a batch."""
    return lambda batch: model.log_odds(batch.forest, batch.scored)


def objective(settings: Settings) -> "LabelledTokens":
    """The loss, averaged as the settings say."""
    from burnish.objectives.process_reward import LabelledTokens

    return LabelledTokens(settings.mean_over)


def batches(examples: "Sequence[LabelledSequence]", settings: JudgedSettings, numbers: Sequence[int]) -> "list[Batch]":
    """The micro-batches of the answers with these numbers."""
    from burnish.datasets.token_labels import label_batches

    return label_batches(
        [examples[number] for number in numbers], micro_batch_tokens=settings.training.micro_batch_tokens
    )


def measure(
    model: "nn.Module",
    outputs: "Callable[[Batch], Tensor]",
    objective: "LabelledTokens",
    batches: "Sequence[Batch]",
) -> Metrics:
    """What a model says of rows that it did not train on: the objective's metrics, and its calibration.

    Calibration compares how sure the model is of its side, σ(|z|), with how often the label is on it.
    """
    import torch

    from burnish.evaluation.calibration import calibration
    from burnish.objectives.objective import measure as measure_objective
    from burnish.objectives.process_reward import LABELS

    model.eval()
    device = next(model.parameters()).device
    margins: list[float] = []
    with torch.inference_mode():
        results = [(batch, outputs(batch)) for batch in (one.to(device) for one in batches)]
        for batch, found in results:
            sides = torch.where(batch.column(LABELS) > 0.5, 1.0, -1.0)
            margins += (found[batch.entries] * sides).tolist()
        metrics = measure_objective(objective, results)
    found_calibration = calibration(margins)
    return {
        **metrics,
        "calibration_error": found_calibration.error,
        "calibration": found_calibration.as_json()["bins"],
    }


def encode(
    answers: "Sequence[Stepwise]", tokenizer: "Tokenizer", settings: Settings
) -> "tuple[list[LabelledSequence], Report]":
    """The answers that can be used, as tokens, and what became of all of them."""
    from burnish.datasets.token_labels import stepwise_examples

    return stepwise_examples(
        answers,
        tokenizer,
        step_separator=settings.step_separator,
        max_length=settings.max_length,
        on_long=settings.on_long,
        label_at=settings.label_at,
        last_step_only=settings.train_on_last_step_only,
    )
