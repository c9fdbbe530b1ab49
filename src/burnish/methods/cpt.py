"""Continued pre-training on a corpus, with general text replayed against forgetting.

Notable choices:
- every token but a window's first is learned; documents of a window never see each other;
- the rate is warmed up again, to that of pre-training, and decays to a tenth (Ibrahim 2024, section 4);
- replay is a share of each step's tokens, not of the run's, so that no stretch of the training is without;
- what is measured is the perplexity of text that the corpus holds out, for each of its groups, before and after.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from burnish.methods.measuring import Metrics
from burnish.methods.saving import save, snapshot_of
from burnish.methods.settings import TrainingSettings
from burnish.methods.shown_answers import ShownAnswers, beginning, say_limit
from burnish.methods.training import OnTheWay, begin, fit, make_trainable
from burnish.runs.run import Run
from burnish.training.config import TrainingConfig

if TYPE_CHECKING:
    from burnish.corpus.token_corpus import TokenCorpus
    from burnish.datasets.corpus_steps import StreamedSteps
    from burnish.evaluation.perplexity import Surprise
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer

MOST_OWN_TEXT = 1_000_000
"""Tokens that a model writes for itself at most; more than that is read of them again."""
NO_GENERAL_TEXT = (
    "no general text in the corpus, so none is replayed against forgetting (replay: 0); "
    "the corpus stage's `general: [stdlib]` is some that is on every machine"
)


class ContinuedTraining(TrainingConfig):
    """Optimizer, schedule and batch sizes, with the rate warmed up again (Ibrahim 2024, arXiv:2403.08763)."""

    learning_rate: float = Field(3e-4, gt=0, description="Peak learning rate of AdamW.")
    warmup_fraction: float = Field(0.1, ge=0, lt=1, description="Share of the steps that warm up linearly.")
    min_lr_fraction: float = Field(0.1, ge=0, le=1, description="The decay ends at this share of the peak.")


class Settings(TrainingSettings):
    """How a corpus is read; a step has `training.batch_size` times the corpus's window in tokens."""

    replay: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="share of general text in each step, against forgetting; 0 where the corpus has none",
    )
    replay_from: Literal["general", "own_text", "own_chats"] = Field(
        "general",
        description="what is replayed: the corpus's general text, or what the model itself writes before it trains, "
        "as plain text or as questions with its answers",
    )
    training: ContinuedTraining = Field(
        ContinuedTraining.model_validate({}), description="optimizer, schedule, batch sizes"
    )


def beyond_context(corpus: "TokenCorpus", context: int | None) -> str | None:
    """What is said of windows that are longer than the model's context, in tokens; None where there are none."""
    longest = max((int(part.lengths.max()) for part in corpus.train.values() if len(part)), default=0)
    if context is None or longest <= context:
        return None
    return (
        f"windows of up to {longest} tokens are longer than the model's context of {context}: it has not learned to "
        f"read so far, and what stands behind costs time for little; the corpus stage's `window: {context}` cuts them"
    )


def train(
    model: "Decoder",
    tokenizer: "Tokenizer",
    corpus: "TokenCorpus",
    settings: Settings,
    run: Run,
    *,
    base: Path | None = None,
) -> Metrics:
    """Train the model in place on the corpus's windows; returns what it measured.

    base: as for `burnish.methods.saving.save`, which leaves the model. Raises DataError where the corpus was made
    with another tokenizer's tokens.
    """
    from burnish.corpus.mix import DOMAIN
    from burnish.evaluation.heldout_text import NOTHING_HELD_OUT, change_intervals, measure_heldout, perplexities
    from burnish.evaluation.limits import of_documents
    from burnish.objectives.language_model import language_model

    run = begin(model, [] if run.key else [corpus.digest()], settings, run)
    size, name = settings.training.micro_batch_tokens, str(base or tokenizer.source)

    def measure() -> dict[str, Any]:
        return dict(measure_heldout(model, tokenizer, corpus, size, name))

    before = run.remembered("heldout-before", measure)
    if not before:
        run.display.say(f"  {NOTHING_HELD_OUT}")
    if (word := beyond_context(corpus, tokenizer.context_length or model.config.max_positions)) is not None:
        run.display.say(f"  {word}")
    corpus = with_replay(corpus, model, tokenizer, settings, run)
    steps, passes = planned(corpus, settings, run)
    tokens = round(min(passes[DOMAIN], 1) * corpus.train[DOMAIN].n_tokens)
    say_limit(run, of_documents(len(steps), tokens, passes[DOMAIN]))
    heldout = bool(len(corpus.heldout[DOMAIN]))
    windows = corpus.heldout[DOMAIN] if heldout else corpus.train[DOMAIN]
    numbers = range(len(windows))
    shown = ShownAnswers(run, model, tokenizer, numbers, lambda number: beginning(windows[number]), heldout=heldout)
    make_trainable(model, settings, run)
    on_the_way = OnTheWay(heldout_loss(measure) if heldout else None, snapshot_of(model, tokenizer))
    trained = fit(model, language_model, steps, settings, run, on_the_way=on_the_way)
    save(model, tokenizer, settings, run, base=base)
    shown.write()
    after = measure()
    values = {"before": perplexities(before), "after": perplexities(after)}
    return {
        "steps": trained.steps,
        **trained.metrics,
        "passes": passes,
        "domain_tokens": tokens,
        "perplexity": {group: {label: by_group[group] for label, by_group in values.items()} for group in after},
        "perplexity_interval": change_intervals(before, after, run.seed),
    }


def with_replay(
    corpus: "TokenCorpus", model: "Decoder", tokenizer: "Tokenizer", settings: Settings, run: Run
) -> "TokenCorpus":
    """The corpus with what is to be replayed: as it is, or with text that the model writes now."""
    from burnish.methods.own_text import with_own_text

    if settings.replay_from == "general" or not settings.replay:
        return corpus
    wanted = own_text_tokens(corpus, settings)
    return with_own_text(corpus, model, tokenizer, settings.replay_from, wanted, run)


def own_text_tokens(corpus: "TokenCorpus", settings: Settings) -> int:
    """How many tokens the model is to write for itself; none where it replays something else."""
    from burnish.corpus.mix import DOMAIN

    if settings.replay_from == "general":
        return 0
    domain = settings.training.epochs * corpus.train[DOMAIN].n_tokens
    return math.ceil(min(domain * settings.replay / (1 - settings.replay), MOST_OWN_TEXT))


def heldout_loss(measure: "Callable[[], Mapping[str, list[Surprise]]]") -> Callable[[], dict[str, float]]:
    """What `eval_steps` measures: the loss of a token of each group's held-out text, the domain's as `loss`."""

    def evaluate() -> dict[str, float]:
        from burnish.corpus.mix import DOMAIN
        from burnish.evaluation.heldout_text import perplexities

        found = {group: math.log(perplexity) for group, perplexity in perplexities(measure()).items()}
        return {"loss": found.pop(DOMAIN), **{f"loss/{group}": loss for group, loss in found.items()}}

    return evaluate


def planned(corpus: "TokenCorpus", settings: Settings, run: Run) -> "tuple[StreamedSteps, dict[str, float]]":
    """The micro-batches of every step, and how often the text of each group is read."""
    from burnish.corpus.mix import GENERAL, mix
    from burnish.datasets.corpus_steps import StreamedSteps

    training, replay = settings.training, settings.replay
    if replay and not len(corpus.train.get(GENERAL, ())):
        run.display.say(f"  {NO_GENERAL_TEXT}")
        replay = 0.0
    mixed = mix(
        corpus,
        tokens_per_step=training.batch_size * corpus.window,
        replay=replay,
        seed=run.seed,
        epochs=training.epochs,
    )
    read = mixed.tokens(corpus)
    passes = {group: read.get(group, 0) / windows.n_tokens for group, windows in corpus.train.items()}
    if passes.get(GENERAL, 0) > 1:
        run.display.say(
            f"  general text is too short for replay {replay:g}: it is read {passes[GENERAL]:.1f} times over"
        )
    built = StreamedSteps(corpus, mixed, micro_batch_tokens=training.micro_batch_tokens)
    return built, {group: round(times, 3) for group, times in passes.items()}
