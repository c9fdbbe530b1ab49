"""Direct preference optimization (Rafailov 2023, arXiv:2305.18290) and its family, on pairs of answers to one prompt.

Notable choices:
- the model as it is given is the reference, where the loss has one. What it says of the pairs is computed once and
  kept, so another `beta`, loss or learning rate finds it, and only one model is in memory;
- a pair is three segments of a forest, so its prompt is computed once for both answers.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.methods.measuring import Metrics, comparison, objective_metrics
from burnish.methods.reference_logps import KeptReference
from burnish.methods.saving import save, snapshot_of
from burnish.methods.settings import JudgedSettings
from burnish.methods.shown_answers import Asked, ShownAnswers, say_limit
from burnish.methods.training import NOTHING, OnTheWay, begin, fit, make_trainable, usable
from burnish.runs.names import HELDOUT_REPORT_FILE
from burnish.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.datasets.batches import Batch
    from burnish.datasets.examples import PreferenceExample
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Preference
    from burnish.nn.decoder import Decoder
    from burnish.objectives.objective import Objective
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.loop import Progress, TrainingReport

LossType = Literal["sigmoid", "hinge", "ipo", "robust", "simpo", "orpo", "cpo"]
READS: dict[LossType, set[str]] = {
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


class Settings(JudgedSettings):
    """How pairs are learned from."""

    loss_type: LossType = Field("sigmoid", description="the loss; simpo, orpo and cpo need no reference")
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

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        unread = set[str]().union(*READS.values()) - READS[self.loss_type]
        for key in sorted(unread & self.model_fields_set):
            readers = ", ".join(name for name, keys in READS.items() if key in keys)
            hint = "; ipo is always length-normalized" if (self.loss_type, key) == ("ipo", "length_normalized") else ""
            yield (
                key,
                f"got {getattr(self, key)}; loss_type '{self.loss_type}' does not read it, only {readers} do{hint}: "
                "remove it",
            )
        if self.loss_type == "robust" and not self.label_smoothing:
            yield (
                "loss_type",
                "got 'robust' without label_smoothing, the share of labels that are wrong: set it, for example 0.1",
            )
        if "beta" not in self.model_fields_set:
            default = f"without beta; the default of {self.beta} is for sums over an answer"
            if self.loss_type == "simpo":
                yield "loss_type", f"got 'simpo' {default}, simpo reads means: set beta, for example 2.0"
            elif self.length_normalized and "length_normalized" in READS[self.loss_type]:
                yield "length_normalized", f"got true {default}, not for means: set beta, for example 5.0"

    @property
    def has_reference(self) -> bool:
        """Whether the loss compares the policy with the model that training starts from."""
        return self.loss_type not in REFERENCE_FREE


def train(
    model: "Decoder",
    tokenizer: "Tokenizer",
    pairs: "Sequence[Preference]",
    settings: Settings,
    run: Run,
    *,
    base: Path | None = None,
) -> Metrics:
    """Train the model in place to prefer the chosen answers; returns what it measured.

    base: as for `burnish.methods.saving.save`, which leaves the model. Raises DataError where the pairs are too few,
    or the room for them.
    """
    from burnish.evaluation.limits import of_pairs

    run = begin(model, pairs, settings, run)
    rows, heldout_rows = settings.split(pairs)
    examples, report = usable(encode(rows, tokenizer, settings), rows, settings, run)
    reference = (
        KeptReference(run, model, settings.training.micro_batch_tokens).logps if settings.has_reference else None
    )
    logps = reference(examples) if reference else None
    heldout: list[PreferenceExample] = []
    measured: list[Batch] = []
    if heldout_rows:
        heldout, _ = usable(encode(heldout_rows, tokenizer, settings), heldout_rows, settings, run, HELDOUT_REPORT_FILE)
        measured = batches(heldout, reference(heldout) if reference else None, settings, range(len(heldout)))

    def measure() -> dict[str, float]:
        return objective_metrics(model, objective(settings), measured)

    before = run.remembered("heldout-before", measure)
    say_limit(run, of_pairs(len(examples)))
    asked = partial(ShownAnswers, run, model, tokenizer, heldout=bool(heldout))
    answers = asked(heldout or examples, lambda pair: Asked(pair.prompt, pair.chosen))
    make_trainable(model, settings, run)
    on_the_way = OnTheWay(measure if heldout else None, snapshot_of(model, tokenizer))
    trained = learn(model, examples, logps, settings, run, on_the_way=on_the_way)
    save(model, tokenizer, settings, run, base=base)
    answers.write()
    return {
        "steps": trained.steps,
        "pairs": len(examples),
        "dropped": len(report.dropped),
        "cut": len(report.cut),
        **trained.metrics,
        **comparison(before, measure(), len(heldout)),
    }


def learn(
    model: "Decoder",
    pairs: "Sequence[PreferenceExample]",
    reference_logps: "Sequence[Tensor] | None",
    settings: Settings,
    run: Run,
    *,
    on_the_way: OnTheWay = NOTHING,
    on_progress: "Callable[[Progress], None]" = lambda _: None,
) -> "TrainingReport":
    """Take the optimizer steps on pairs that are tokens already.

    reference_logps: for each pair the reference's log-probabilities of its answers' tokens, chosen first; None for a
    loss that has no reference.
    """
    from burnish.datasets.batches import Steps, shuffled_steps

    training = settings.training
    plan = shuffled_steps(len(pairs), batch_size=training.batch_size, epochs=training.epochs, seed=run.seed)
    steps = Steps(plan, partial(batches, pairs, reference_logps, settings))
    shown = ("loss", "rewards/accuracies", "tokens_per_second")
    return fit(
        model, objective(settings), steps, settings, run, shown=shown, on_the_way=on_the_way, on_progress=on_progress
    )


def objective(settings: Settings) -> "Objective[Tensor]":
    """The loss that the settings name."""
    from burnish.objectives.cpo import CPO
    from burnish.objectives.dpo import DPO
    from burnish.objectives.orpo import ORPO
    from burnish.objectives.simpo import SimPO

    match settings.loss_type:
        case "simpo":
            return SimPO(settings.beta, settings.simpo_gamma)
        case "orpo":
            return ORPO(settings.beta)
        case "cpo":
            return CPO(settings.beta, settings.cpo_alpha, settings.label_smoothing)
        case loss_type:
            smoothing, normalized = settings.label_smoothing, settings.length_normalized
            return DPO(settings.beta, loss_type, smoothing, normalized, settings.rpo_alpha)


def batches(
    pairs: "Sequence[PreferenceExample]",
    reference_logps: "Sequence[Tensor] | None",
    settings: Settings,
    numbers: Sequence[int],
) -> "list[Batch]":
    """The micro-batches of the pairs with these numbers."""
    from burnish.datasets.batches import preference_batches

    return preference_batches(
        [pairs[number] for number in numbers],
        micro_batch_tokens=settings.training.micro_batch_tokens,
        reference_logps=None if reference_logps is None else [reference_logps[number] for number in numbers],
    )


def encode(
    pairs: "Sequence[Preference]", tokenizer: "Tokenizer", settings: Settings
) -> "tuple[list[PreferenceExample], Report]":
    """The pairs that can be used, as tokens, and what became of all of them."""
    from burnish.datasets.examples import preference_examples

    return preference_examples(pairs, tokenizer, max_length=settings.max_length, on_long=settings.on_long)
