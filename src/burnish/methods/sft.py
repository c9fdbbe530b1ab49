"""Supervised fine-tuning: imitate the assistant of conversations; only its tokens are learned.

Notable choices:
- the loss is the mean over all learned tokens of a step, so a long answer weighs more than a short one, unless
  `mean_over` says otherwise;
- conversations are held out whole: what one of its answers says is in the prompt of the next.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.corpus.mixture import Mixture
from burnish.methods.measuring import Metrics, objective_metrics
from burnish.methods.saving import save, snapshot_of
from burnish.methods.settings import TrainingSettings
from burnish.methods.shown_answers import ShownAnswers, last_turn, say_limit
from burnish.methods.training import NOTHING, OnTheWay, begin, fit, make_trainable, usable
from burnish.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.datasets.batches import Batch
    from burnish.datasets.examples import Example
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Conversation
    from burnish.nn.decoder import Decoder
    from burnish.objectives.objective import Objective
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.loop import Progress, TrainingReport


class Settings(TrainingSettings):
    """How conversations are imitated."""

    max_length: int = Field(2048, ge=2, description="longest example, in tokens")
    on_long: Literal["drop", "cut"] = Field("drop", description="what happens to longer examples")
    heldout: float = Field(0.02, ge=0, lt=0.5, description="share of the conversations kept for measuring the loss")
    mean_over: Literal["tokens", "examples"] = Field(
        "tokens", description="what the loss is a mean over: tokens weigh alike, or examples, however long they are"
    )
    mixture: Mixture | None = Field(
        None, description="how much is read of each kind of task, the rows' `task_type`; as there is if left out"
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong: the key at fault, and why."""
        yield from super().contradictions()
        if self.mixture is not None and (problem := self.mixture.problem()) is not None:
            yield f"mixture.{problem[0]}", problem[1]


def train(
    model: "Decoder",
    tokenizer: "Tokenizer",
    conversations: "Sequence[Conversation]",
    settings: Settings,
    run: Run,
    *,
    base: Path | None = None,
) -> Metrics:
    """Train the model in place to answer as the assistant does; returns what it measured.

    base: as for `burnish.methods.saving.save`, which leaves the model. Raises DataError where fewer than two examples
    can be used.
    """
    from burnish.datasets.examples import hold_out
    from burnish.evaluation.limits import of_conversations

    run = begin(model, conversations, settings, run)
    encoded, report = usable(encode(conversations, tokenizer, settings), conversations, settings, run, least=2)
    examples, heldout = hold_out(encoded, settings.heldout, seed=[run.seed, 1])
    if settings.heldout and not heldout:
        n_rows = len({example.conversation for example in examples})
        run.display.say(f"  heldout {settings.heldout:g} of {n_rows} conversations is none: no loss is measured")
    before = run.remembered("loss-before", lambda: loss(model, heldout, settings))
    say_limit(run, of_conversations(len(examples)))
    kinds = task_types(examples, settings)
    for kind, of_kind in kinds.items():
        run.display.say(f"  {kind}: {of_kind['examples']:,.0f} examples, {of_kind['share']:.1%} of what is read")
    answers = ShownAnswers(run, model, tokenizer, heldout or examples, last_turn, heldout=bool(heldout))
    make_trainable(model, settings, run)

    def measure() -> dict[str, float | None]:
        return {"loss": loss(model, heldout, settings)}

    on_the_way = OnTheWay(measure if heldout else None, snapshot_of(model, tokenizer))
    trained = learn(model, examples, settings, run, on_the_way=on_the_way)
    save(model, tokenizer, settings, run, base=base)
    answers.write()
    return {
        "steps": trained.steps,
        **trained.metrics,
        "examples": len(examples),
        **({"task_types": kinds} if kinds else {}),
        "dropped": len(report.dropped),
        "cut": len(report.cut),
        "heldout_loss": {"before": before, "after": loss(model, heldout, settings)},
    }


def learn(
    model: "Decoder",
    examples: "Sequence[Example]",
    settings: Settings,
    run: Run,
    *,
    on_the_way: OnTheWay = NOTHING,
    on_progress: "Callable[[Progress], None]" = lambda _: None,
) -> "TrainingReport":
    """Take the optimizer steps on conversations that are tokens already."""
    from burnish.datasets.batches import Steps

    steps = Steps(planned(examples, settings, run.seed), partial(batches, examples, settings))
    return fit(model, objective(settings), steps, settings, run, on_the_way=on_the_way, on_progress=on_progress)


def planned(examples: "Sequence[Example]", settings: Settings, seed: int) -> list[list[int]]:
    """Example numbers of each step: shuffled, or by kinds of tasks as a mixture says."""
    from burnish.datasets.batches import shuffled_steps
    from burnish.datasets.mixing import mixed_steps

    size, epochs = settings.training.batch_size, settings.training.epochs
    if settings.mixture is None:
        return shuffled_steps(len(examples), batch_size=size, epochs=epochs, seed=seed)
    kinds = [example.task_type for example in examples]
    return mixed_steps(kinds, settings.mixture, batch_size=size, epochs=epochs, seed=seed)


def task_types(examples: "Sequence[Example]", settings: Settings) -> dict[str, dict[str, float]]:
    """Of each kind of task its examples and its share of those that are read; nothing without a mixture."""
    from burnish.datasets.mixing import counts

    if settings.mixture is None:
        return {}
    there = counts([example.task_type for example in examples])
    budgets = settings.mixture.budgets(there, settings.training.epochs * len(examples))
    total = sum(budgets.values())
    return {name: {"examples": there[name], "share": budgets[name] / total} for name in there}


def objective(settings: Settings) -> "Objective[Tensor]":
    """The loss, averaged as the settings say."""
    from burnish.objectives.language_model import LanguageModel

    return LanguageModel(settings.mean_over)


def loss(model: "Decoder", examples: "Sequence[Example]", settings: Settings) -> float | None:
    """Loss of an answer's tokens in nats, averaged as in training; None without examples."""
    heldout = batches(examples, settings, range(len(examples))) if examples else []
    return objective_metrics(model, objective(settings), heldout)["loss"] if heldout else None


def batches(examples: "Sequence[Example]", settings: Settings, numbers: Sequence[int]) -> "list[Batch]":
    """The micro-batches of the examples with these numbers."""
    from burnish.datasets.batches import supervised_batches

    chosen = [examples[number] for number in numbers]
    return supervised_batches(chosen, micro_batch_tokens=settings.training.micro_batch_tokens)


def encode(
    conversations: "Sequence[Conversation]", tokenizer: "Tokenizer", settings: Settings
) -> "tuple[list[Example], Report]":
    """The conversations that can be used, as tokens, and what became of all of them."""
    from burnish.datasets.examples import conversation_examples

    return conversation_examples(conversations, tokenizer, max_length=settings.max_length, on_long=settings.on_long)
