"""Pre-training: a decoder with random weights learns to predict the next token of a corpus.

Notable choices:
- every window of every group of text is read, as often as the epochs say, mixed by the groups' sizes;
- every token but a window's first is learned; windows never see each other;
- the perplexity of text that is held out is measured before and after: before, a model that knows nothing is as
  surprised as the vocabulary is large.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from burnish.methods.architecture import Architecture
from burnish.methods.cpt import heldout_loss
from burnish.methods.measuring import Metrics
from burnish.methods.saving import save_model, snapshot_of
from burnish.methods.settings import Strict, Trains
from burnish.methods.shown_answers import ShownAnswers, beginning, say_limit
from burnish.methods.training import NOTHING, OnTheWay, fit
from burnish.nn.config import DecoderConfig
from burnish.runs.hashes import digest
from burnish.runs.run import Run
from burnish.training.config import TrainingConfig

if TYPE_CHECKING:
    import torch

    from burnish.corpus.token_corpus import TokenCorpus
    from burnish.datasets.corpus_steps import StreamedSteps
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.loop import Progress, StepsLike, TrainingReport


class PretrainingConfig(TrainingConfig):
    """Optimizer, schedule and batch sizes, with the defaults of small models that know nothing yet."""

    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")
    min_lr_fraction: float = Field(0.1, ge=0, le=1, description="The decay ends at this share of the peak.")
    weight_decay: float = Field(0.1, ge=0, description="Decoupled weight decay, on matrices only.")


class Settings(Strict):
    """What is trained, and how; a step has `training.batch_size` times the corpus's window in tokens."""

    architecture: Architecture = Field(Architecture.model_validate({}), description="shape of the new model")
    training: PretrainingConfig = Field(
        PretrainingConfig.model_validate({}), description="optimizer, schedule, batch sizes"
    )


def drawn(
    config: DecoderConfig,
    *,
    seed: int,
    device: "torch.device | None" = None,
    compute_dtype: "torch.dtype | None" = None,
) -> "Decoder":
    """A decoder with random weights, a function of the configuration and the seed."""
    import torch

    from burnish.nn.decoder import Decoder

    decoder = Decoder(config, compute_dtype=compute_dtype or torch.float32).to(device or torch.device("cpu"))
    decoder.initialize(seed=seed)
    return decoder


def train(
    corpus: "TokenCorpus",
    tokenizer: "Tokenizer",
    settings: Settings,
    run: Run,
    *,
    device: str = "auto",
    compute_dtype: str = "auto",
) -> "tuple[Decoder, Metrics]":
    """Train a decoder from random weights on a corpus, and leave it in the run's folder; returns what it measured too.

    Raises DataError where the corpus was made with another tokenizer, BurnishError where settings contradict.
    """
    from burnish.corpus.mix import DOMAIN
    from burnish.errors import BurnishError
    from burnish.evaluation.heldout_text import NOTHING_HELD_OUT, change_intervals, measure_heldout, perplexities
    from burnish.evaluation.limits import of_pretraining
    from burnish.hardware import choose_compute_dtype, choose_device

    for key, problem in settings.architecture.contradictions():
        raise BurnishError(f"architecture.{key}: {problem}")
    config = settings.architecture.config(tokenizer.vocab_size, window=corpus.window)
    if not run.key:
        run = replace(run, key=digest([settings.model_dump(mode="json"), corpus.digest(), run.seed]))
    tokenizer = replace(tokenizer, context_length=config.max_positions)
    where = choose_device(device)
    model = drawn(config, seed=run.seed, device=where, compute_dtype=choose_compute_dtype(compute_dtype, where))
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    size = settings.training.micro_batch_tokens

    def measure() -> dict[str, Any]:
        return dict(measure_heldout(model, tokenizer, corpus, size, tokenizer.source))

    before = run.remembered("heldout-before", measure)
    if not before:
        run.display.say(f"  {NOTHING_HELD_OUT}")
    steps, read = planned(corpus, settings.training, seed=run.seed)
    run.display.say(f"  {n_parameters:,} parameters with random weights read {read:,} tokens in {len(steps):,} steps")
    say_limit(run, of_pretraining(n_parameters, read))
    windows = corpus.heldout[DOMAIN] if len(corpus.heldout[DOMAIN]) else corpus.train[DOMAIN]
    heldout = bool(len(corpus.heldout[DOMAIN]))
    numbers = range(len(windows))
    shown = ShownAnswers(run, model, tokenizer, numbers, lambda number: beginning(windows[number]), heldout=heldout)
    on_the_way = OnTheWay(heldout_loss(measure) if heldout else None, snapshot_of(model, tokenizer))
    trained = learn(model, steps, settings, run, on_the_way=on_the_way)
    save_model(model, tokenizer, run)
    shown.write()
    after = measure()
    values = {"before": perplexities(before), "after": perplexities(after)}
    return model, {
        "steps": trained.steps,
        **trained.metrics,
        "parameters": n_parameters,
        "vocab_size": config.vocab_size,
        "tokens": sum(windows.n_tokens for windows in corpus.train.values()),
        "tokens_read": read,
        "perplexity": {group: {label: by_group[group] for label, by_group in values.items()} for group in after},
        "perplexity_interval": change_intervals(before, after, run.seed),
    }


def learn(
    model: "Decoder",
    steps: "StepsLike",
    settings: Trains,
    run: Run,
    *,
    on_the_way: OnTheWay = NOTHING,
    on_progress: "Callable[[Progress], None]" = lambda _: None,
) -> "TrainingReport":
    """Take the optimizer steps on documents that are batches already; on_progress: told of each."""
    from burnish.objectives.language_model import language_model

    return fit(model, language_model, steps, settings, run, on_the_way=on_the_way, on_progress=on_progress)


def check(corpus: Path, training: TrainingConfig) -> None:
    """Raise DataError where a corpus, given by its folder, has no step for so many passes."""
    from burnish.corpus.mix import check_passes
    from burnish.corpus.token_corpus import TokenCorpus

    check_passes(TokenCorpus.load(corpus).train, training.epochs)


def planned(corpus: "TokenCorpus", training: TrainingConfig, *, seed: int) -> "tuple[StreamedSteps, int]":
    """The micro-batches of every step, and how many tokens they have together."""
    from burnish.corpus.mix import all_of
    from burnish.datasets.corpus_steps import StreamedSteps

    size = training.batch_size * corpus.window
    order = all_of(corpus, tokens_per_step=size, seed=seed, epochs=training.epochs)
    read = sum(order.tokens(corpus).values())
    return StreamedSteps(corpus, order, micro_batch_tokens=training.micro_batch_tokens), read
