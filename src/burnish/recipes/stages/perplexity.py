"""perplexity: several models on the same held-out text."""

from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.recipes.stage import CorpusReference, Metrics, ModelReference, Name, StageConfig, StageContext
from burnish.recipes.stages.cpt import heldout_perplexities

SCORED_TOKENS = 4096
"""Tokens of held-out text in one forward pass."""


class PerplexityStage(StageConfig):
    """Perplexity of each model on what the corpus holds out, for each of its groups of text."""

    type: Literal["perplexity"] = Field("perplexity", description="perplexity")
    corpus: CorpusReference = Field(description="corpus whose held-out text is scored: @STAGE")
    models: dict[Name, ModelReference] = Field(
        min_length=1, description="label: model, for example {before: base, after: '@cpt'}; all with one tokenizer"
    )

    resumable: ClassVar[bool] = True

    def run(self, context: StageContext) -> Metrics:
        by_group: dict[str, dict[str, float]] = {}
        for label, model in self.models.items():
            measured = context.remembered(f"perplexity-{label}", partial(self._measure, context, model))
            for group, value in measured.items():
                by_group.setdefault(group, {})[label] = value
            shown = ", ".join(f"{group} {value:.2f}" for group, value in measured.items())
            context.display.say(f"  {label}: {shown}")
        return {"perplexity_by_model": by_group}

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return dict(metrics)

    def _measure(self, context: StageContext, model: str) -> dict[str, float]:
        from burnish.corpus.token_corpus import TokenCorpus

        decoder, tokenizer = context.load(model)
        corpus = TokenCorpus.load(context.path(self.corpus))
        if corpus.vocab_size != tokenizer.vocab_size:
            raise DataError(
                f"the corpus was made for a vocabulary of {corpus.vocab_size} tokens, the model {model} has "
                f"{tokenizer.vocab_size}"
            )
        return heldout_perplexities(decoder, corpus, SCORED_TOKENS)
