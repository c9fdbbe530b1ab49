"""perplexity: several models on the same held-out text."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.evaluation.heldout_text import by_model, perplexities
from burnish.recipes.language.places import KeyPath
from burnish.recipes.plan.work import Work
from burnish.recipes.schema.heldout_text import SCORED_TOKENS, corpus_problems, heldout_tokens, measure
from burnish.recipes.schema.stage import CorpusReference, Metrics, ModelReference, Name, StageConfig, StageContext


class PerplexityStage(StageConfig):
    """Perplexity of each model on what the corpus holds out, for each of its groups of text."""

    type: Literal["perplexity"] = Field("perplexity", description="perplexity")
    corpus: CorpusReference = Field(description="corpus whose held-out text is scored: @STAGE")
    models: dict[Name, ModelReference] = Field(
        min_length=1, description="label: model, for example {before: base, after: '@cpt'}; all with one tokenizer"
    )

    resumable: ClassVar[bool] = True

    def problems_among(self, producers: Mapping[str, StageConfig]) -> Iterator[tuple[KeyPath, str]]:
        yield from corpus_problems(self.corpus, self.models.values(), producers)

    def work(self, context: StageContext) -> Work:
        return Work(scored=len(self.models) * heldout_tokens(context, self.corpus), micro_batch=SCORED_TOKENS)

    def run(self, context: StageContext) -> Metrics:
        measured = {}
        for label, model in self.models.items():
            measured[label] = context.remembered(f"heldout-{label}", partial(measure, context, self.corpus, model))
            if not measured[label]:
                raise DataError(f"{self.corpus} holds out no text to measure on; raise the corpus stage's `heldout`")
            shown = ", ".join(f"{group} {value:.2f}" for group, value in perplexities(measured[label]).items())
            context.display.say(f"  {label}: {shown}")
        return by_model(measured, context.seed)

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {
            "perplexity_by_model": metrics["perplexity_by_model"],
            "perplexity_by_model_interval": metrics["perplexity_change"],
        }
