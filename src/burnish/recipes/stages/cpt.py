"""cpt: continued pre-training on a corpus; see `burnish.methods.cpt`."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from burnish.evaluation.heldout_text import NOTHING_HELD_OUT
from burnish.methods import cpt
from burnish.methods.own_text import OWN_TEXTS
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.heldout_text import other_tokens
from burnish.recipes.schema.stage import CorpusReference, Metrics, StageConfig, StageContext
from burnish.recipes.schema.training_stage import TrainingStage, measurements

if TYPE_CHECKING:
    from burnish.recipes.plan.work import Work


class CptStage(cpt.Settings, TrainingStage):
    """Trains on the corpus's windows; a step has `training.batch_size` times the corpus's window in tokens."""

    type: Literal["cpt"] = Field("cpt", description="cpt")
    corpus: CorpusReference = Field(description="corpus to train on: @STAGE")

    def check(self, context: StageContext) -> None:
        from burnish.corpus.mix import DOMAIN, check_passes
        from burnish.corpus.token_corpus import TokenCorpus

        corpus, tokenizer = TokenCorpus.load(context.path(self.corpus)), context.tokenizer(self.model)
        # What a stage makes may have another tokenizer than it begins with.
        if tokenizer is not None and not str(self.model).startswith("@"):
            corpus.check_tokenizer(tokenizer, str(self.model))
        if len(corpus.train.get(DOMAIN, ())):
            check_passes({DOMAIN: corpus.train[DOMAIN]}, self.training.epochs)

    def problems_among(self, producers: Mapping[str, StageConfig]) -> Iterator[tuple[KeyPath, str]]:
        if (text := other_tokens(self.corpus, [self.model], producers)) is not None:
            yield ("corpus",), text

    def notes(self, producers: Mapping[str, StageConfig]) -> Iterator[str]:
        maker = producers.get(self.corpus.removeprefix("@").partition("/")[0])
        if (
            self.replay
            and self.replay_from == "general"
            and self.corpus.startswith("@")
            and not getattr(maker, "general", True)
        ):
            yield cpt.NO_GENERAL_TEXT
        if self.corpus.startswith("@") and getattr(maker, "heldout", None) == 0:
            yield NOTHING_HELD_OUT

    def work(self, context: StageContext) -> "Work":
        import numpy as np

        from burnish.corpus.mix import GENERAL
        from burnish.corpus.windows import Windows
        from burnish.recipes.plan.work import Work

        corpus = context.corpus(self.corpus)
        written = cpt.own_text_tokens(corpus, self)
        if written:
            lengths = np.full(-(-written // corpus.window), corpus.window, dtype=np.int32)
            like_it = Windows([np.zeros(int(lengths.sum()), np.int32)], lengths, np.zeros_like(lengths), 1)
            corpus = replace(corpus, train={**corpus.train, GENERAL: like_it})
        steps, passes = cpt.planned(corpus, self, context)
        scored = measurements(self.training, len(steps)) * sum(part.n_tokens for part in corpus.heldout.values())
        read = sum(passes[group] * windows.n_tokens for group, windows in corpus.train.items())
        layers, weights = self.trained_share(context)
        return Work(
            steps=len(steps),
            trained=round(read),
            scored=scored,
            decoded=written,
            rows=OWN_TEXTS if written else 0,
            longest=1 if written else 0,
            copies=float(self.training.pull_to_start > 0),
            layers=layers,
            weights=weights,
            micro_batch=self.training.micro_batch_tokens,
        )

    def run(self, context: StageContext) -> Metrics:
        from burnish.corpus.token_corpus import TokenCorpus

        model, tokenizer = context.load(self.model)
        corpus = TokenCorpus.load(context.path(self.corpus))
        return cpt.train(model, tokenizer, corpus, self, context, base=context.path(self.model))

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        if not metrics["perplexity"]:
            return {}
        return {"perplexity": metrics["perplexity"], "perplexity_interval": metrics["perplexity_interval"]}
