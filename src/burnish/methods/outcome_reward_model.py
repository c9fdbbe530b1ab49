"""Outcome reward models (Cobbe 2021, arXiv:2110.14168): how probably an answer is right.

Notable choices:
- the network of a reward model: a scalar, here the log-odds that the answer is right, read at its last token;
- with `label_at: tokens` every token of the answer has its label, so that each is judged by what it led to (the
  token-level verifier of section 4.2); the last token still speaks for the answer;
- with `lm_coef` it goes on imitating right answers, the joint objective of that section;
- otherwise it is a process reward model of one step, and shares its loss and measurements.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from burnish.methods.measuring import Metrics, comparison
from burnish.methods.process_reward_model import LabelSettings, batches, groups, measure
from burnish.methods.saving import snapshot_of
from burnish.methods.settings import own_format_reason
from burnish.methods.training import NOTHING, OnTheWay, begin, fit, make_trainable, usable
from burnish.nn.config import DecoderConfig
from burnish.runs.names import HELDOUT_REPORT_FILE, MODEL_FOLDER
from burnish.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.datasets.batches import Batch
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Labelled
    from burnish.datasets.token_labels import LabelledSequence
    from burnish.nn.decoder import Decoder
    from burnish.nn.scalar import ScalarModel
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.loop import Progress, TrainingReport


class Settings(LabelSettings):
    """How answers that are right or wrong are learned from."""

    label_at: Literal["answer", "tokens"] = Field(
        "answer", description="the last token has the answer's label, or all of its tokens (Cobbe 2021)"
    )
    mean_over: Literal["labels", "examples"] = Field(
        "examples", description="with label_at: tokens, what the loss is a mean over: tokens, or answers of any length"
    )
    lm_coef: float = Field(
        0.0, ge=0, description="weight of imitating the right answers beside (the joint objective of Cobbe 2021)"
    )

    def misfit(self, model: DecoderConfig) -> str | None:
        if (reason := own_format_reason(replace(model, tie_embeddings=True))) is not None:
            return f"model: got one of Burnish's own format, in which no reward model can be saved: {reason}"
        return super().misfit(model)


def train(
    decoder: "Decoder",
    tokenizer: "Tokenizer",
    answers: "Sequence[Labelled]",
    settings: Settings,
    run: Run,
    *,
    heldout_answers: "Sequence[Labelled] | None" = None,
) -> Metrics:
    """Make an outcome reward model of the decoder, train it, and leave it in the run's folder; returns measurements.

    The product is `model/`, with LoRA's adapters merged into it, which transformers loads as
    `AutoModelForSequenceClassification`.

    heldout_answers: measured on instead of the last `settings.heldout` answers. Raises DataError where the answers, or
    the room for them, are too few.
    """
    import burnish
    from burnish.nn.lora import merge_lora
    from burnish.nn.scalar import ScalarModel
    from burnish.objectives.process_reward import LabelledTokens

    run = begin(decoder, answers, settings, run)
    rows, heldout_rows = settings.split(answers)
    if heldout_answers is not None:
        heldout_rows = list(heldout_answers)
    examples, report = usable(encode(rows, tokenizer, settings), rows, settings, run)
    heldout: list[LabelledSequence] = []
    if heldout_rows:
        # What counts is what is said of whole answers.
        at_the_end = settings.model_copy(update={"label_at": "answer"})
        encoded = encode(heldout_rows, tokenizer, at_the_end)
        heldout, _ = usable(encoded, heldout_rows, settings, run, HELDOUT_REPORT_FILE)
    model = ScalarModel(decoder, seed=run.seed)

    def measured() -> Metrics:
        if not heldout:
            return {}
        return measure(model, log_odds(model), LabelledTokens(), batches(heldout, settings, range(len(heldout))))

    before = run.remembered("heldout-before", measured)
    make_trainable(decoder, settings, run)
    on_the_way = OnTheWay(measured if heldout else None, snapshot_of(model, tokenizer))
    trained = learn(model, examples, settings, run, on_the_way=on_the_way)
    if settings.lora is not None:
        merge_lora(decoder)
    burnish.save_reward_model(model, tokenizer, run.folder / MODEL_FOLDER)
    return {
        "steps": trained.steps,
        "answers": len(examples),
        "dropped": len(report.dropped),
        "cut": len(report.cut),
        **trained.metrics,
        **comparison(before, measured(), len(heldout)),
    }


def learn(
    model: "ScalarModel",
    examples: "Sequence[LabelledSequence]",
    settings: Settings,
    run: Run,
    *,
    on_the_way: OnTheWay = NOTHING,
    on_progress: "Callable[[Progress], None]" = lambda _: None,
) -> "TrainingReport":
    """Take the optimizer steps on answers that are tokens already."""
    from burnish.datasets.batches import Steps, grouped_steps
    from burnish.datasets.token_labels import with_all_tokens
    from burnish.objectives.process_reward import LabelledTokens
    from burnish.objectives.verifier import JointVerifier, Verified

    training = settings.training
    plan = grouped_steps(
        groups(examples, settings), batch_size=training.batch_size, epochs=training.epochs, seed=run.seed
    )
    taught = [with_all_tokens(one) for one in examples] if settings.lm_coef else examples
    steps = Steps(plan, lambda numbers: batches(taught, settings, numbers))
    seen: Any = {"shown": ("loss", "accuracy", "tokens_per_second"), "on_the_way": on_the_way}
    if settings.lm_coef:

        def verified(batch: "Batch") -> Verified:
            return Verified(*model.with_logps(batch.forest, batch.scored))

        joint = JointVerifier(settings.lm_coef, settings.mean_over)
        return fit(model, joint, steps, settings, run, outputs=verified, on_progress=on_progress, **seen)
    objective = LabelledTokens(settings.mean_over)
    return fit(model, objective, steps, settings, run, outputs=log_odds(model), on_progress=on_progress, **seen)


def log_odds(model: "ScalarModel") -> "Callable[[Batch], Tensor]":
    """What the objective reads of a batch."""
    return lambda batch: model(batch.forest, batch.scored)


def encode(
    answers: "Sequence[Labelled]", tokenizer: "Tokenizer", settings: Settings
) -> "tuple[list[LabelledSequence], Report]":
    """The answers that can be used, as tokens, and what became of all of them."""
    from burnish.datasets.token_labels import outcome_examples

    return outcome_examples(
        answers,
        tokenizer,
        max_length=settings.max_length,
        on_long=settings.on_long,
        label_at=settings.label_at,
    )
