"""cpt: continued pre-training on a corpus, with general text replayed."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from burnish.evaluation.limits import of_documents
from burnish.recipes.schema.heldout_text import NOTHING_HELD_OUT, change_intervals, measure_heldout, perplexities
from burnish.recipes.schema.shown_answers import ShownAnswers, beginning, say_limit
from burnish.recipes.schema.stage import CorpusReference, Metrics, StageConfig, StageContext
from burnish.recipes.schema.training_stage import TrainingStage

if TYPE_CHECKING:
    from burnish.corpus.token_corpus import TokenCorpus
    from burnish.datasets.batches import Steps
    from burnish.recipes.plan.work import Work

NO_GENERAL_TEXT = (
    "no general text in the corpus, so none is replayed against forgetting (replay: 0); "
    "the corpus stage's `general: [stdlib]` is some that is on every machine"
)


class CptStage(TrainingStage):
    """Trains on the corpus's windows; a step has `training.batch_size` times the corpus's window in tokens."""

    type: Literal["cpt"] = Field("cpt", description="cpt")
    corpus: CorpusReference = Field(description="corpus to train on: @STAGE")
    replay: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="share of general text in each step, against forgetting; 0 where the corpus has none",
    )

    def notes(self, producers: Mapping[str, StageConfig]) -> Iterator[str]:
        maker = producers.get(self.corpus.removeprefix("@").partition("/")[0])
        if self.replay and self.corpus.startswith("@") and not getattr(maker, "general", True):
            yield NO_GENERAL_TEXT
        if self.corpus.startswith("@") and getattr(maker, "heldout", None) == 0:
            yield NOTHING_HELD_OUT

    def work(self, context: StageContext) -> "Work":
        from burnish.corpus.token_corpus import TokenCorpus
        from burnish.recipes.plan.work import Work

        corpus = TokenCorpus.load(context.path(self.corpus))
        steps, _ = self.steps(context, corpus)
        layers, weights = self.trained_share(context)
        return Work(
            steps=len(steps),
            trained=len(steps) * self.training.batch_size * corpus.window,
            layers=layers,
            weights=weights,
            micro_batch=self.training.micro_batch_tokens,
        )

    def run(self, context: StageContext) -> Metrics:
        from burnish.corpus.mix import DOMAIN
        from burnish.corpus.token_corpus import TokenCorpus
        from burnish.objectives.language_model import language_model

        decoder, tokenizer = context.load(self.model)
        corpus = TokenCorpus.load(context.path(self.corpus))
        size = self.training.micro_batch_tokens

        def measure() -> dict[str, Any]:
            return dict(measure_heldout(decoder, tokenizer, corpus, size, str(self.model)))

        before = context.remembered("heldout-before", measure)
        if not before:
            context.display.say(f"  {NOTHING_HELD_OUT}")
        steps, passes = self.steps(context, corpus)
        tokens = round(min(passes[DOMAIN], 1) * len(corpus.train[DOMAIN].tokens))
        say_limit(context, of_documents(len(steps), tokens, passes[DOMAIN]))
        heldout = bool(len(corpus.heldout[DOMAIN]))
        windows = corpus.heldout[DOMAIN] if heldout else corpus.train[DOMAIN]
        shown = ShownAnswers(
            context,
            decoder,
            tokenizer,
            range(len(windows)),
            lambda number: beginning(windows[number]),
            heldout=heldout,
        )
        self.make_trainable(context, decoder)
        report = self.fit(context, decoder, language_model, steps)
        self.save(context, decoder, tokenizer)
        shown.write()
        after = measure()
        values = {"before": perplexities(before), "after": perplexities(after)}
        return {
            "steps": report.steps,
            **report.metrics,
            "passes": passes,
            "domain_tokens": tokens,
            "perplexity": {group: {label: by_group[group] for label, by_group in values.items()} for group in after},
            "perplexity_interval": change_intervals(before, after, context.seed),
        }

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        if not metrics["perplexity"]:
            return {}
        return {"perplexity": metrics["perplexity"], "perplexity_interval": metrics["perplexity_interval"]}

    def steps(self, context: StageContext, corpus: "TokenCorpus") -> "tuple[Steps, dict[str, float]]":
        """The micro-batches of every step, and how often the text of each group is read."""
        from burnish.corpus.mix import GENERAL, mix
        from burnish.datasets.batches import Steps, document_batches

        replay = self.replay
        if replay and not len(corpus.train.get(GENERAL, ())):
            context.display.say(f"  {NO_GENERAL_TEXT}")
            replay = 0.0
        mixed = mix(
            corpus,
            tokens_per_step=self.training.batch_size * corpus.window,
            replay=replay,
            seed=context.seed,
            epochs=self.training.epochs,
        )
        windows = [window for step in mixed for window in step]
        passes = {
            group: sum(len(corpus[window]) for window in windows if window.group == group) / len(of_group.tokens)
            for group, of_group in corpus.train.items()
        }
        if passes.get(GENERAL, 0) > 1:
            context.display.say(
                f"  general text is too short for replay {replay:g}: it is read {passes[GENERAL]:.1f} times over"
            )
        plan, start = [], 0
        for step in mixed:
            plan.append(range(start, start + len(step)))
            start += len(step)
        built = Steps(
            plan,
            lambda numbers: document_batches(
                [corpus[windows[number]] for number in numbers], micro_batch_tokens=self.training.micro_batch_tokens
            ),
        )
        return built, {group: round(times, 3) for group, times in passes.items()}
