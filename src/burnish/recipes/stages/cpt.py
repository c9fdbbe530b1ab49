"""cpt: continued pre-training on a corpus, with general text replayed."""

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.recipes.stage import CorpusReference, Metrics, StageContext
from burnish.recipes.training_stage import TrainingStage

if TYPE_CHECKING:
    from burnish.corpus.token_corpus import TokenCorpus
    from burnish.datasets.batches import Steps
    from burnish.nn.decoder import Decoder


class CptStage(TrainingStage):
    """Trains on the corpus's windows; a step has `training.batch_size` times the corpus's window in tokens."""

    type: Literal["cpt"] = Field("cpt", description="cpt")
    corpus: CorpusReference = Field(description="corpus to train on: @STAGE")
    replay: float = Field(0.3, ge=0, lt=1, description="share of general text in each step, against forgetting")

    def run(self, context: StageContext) -> Metrics:
        from burnish.corpus.token_corpus import TokenCorpus
        from burnish.objectives.language_model import language_model

        decoder, tokenizer = context.load(self.model)
        corpus = TokenCorpus.load(context.path(self.corpus))
        if corpus.vocab_size != tokenizer.vocab_size:
            raise DataError(
                f"the corpus was made for a vocabulary of {corpus.vocab_size} tokens, the model has "
                f"{tokenizer.vocab_size}; set the corpus stage's `tokenizer` to this model"
            )
        before = context.remembered("perplexity-before", lambda: self.perplexities(decoder, corpus))
        self.make_trainable(context, decoder)
        report = self.fit(context, decoder, language_model, self.steps(corpus, context.seed))
        self.save(context, decoder, tokenizer)
        after = self.perplexities(decoder, corpus)
        return {
            "steps": report.steps,
            **report.metrics,
            "perplexity": {group: {"before": before[group], "after": after[group]} for group in after},
        }

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {"perplexity": metrics["perplexity"]}

    def perplexities(self, decoder: "Decoder", corpus: "TokenCorpus") -> dict[str, float]:
        """Perplexity of each group's held-out text."""
        return heldout_perplexities(decoder, corpus, self.training.micro_batch_tokens)

    def steps(self, corpus: "TokenCorpus", seed: int) -> "Steps":
        """The micro-batches of every step; a fraction of an epoch is its first part."""
        from burnish.corpus.mix import mix
        from burnish.datasets.batches import Steps, document_batches

        epochs = math.ceil(self.training.epochs)
        mixed = mix(
            corpus,
            tokens_per_step=self.training.batch_size * corpus.window,
            replay=self.replay,
            seed=seed,
            epochs=epochs,
        )
        mixed = mixed[: max(1, round(len(mixed) * self.training.epochs / epochs))]

        windows = [window for step in mixed for window in step]
        plan, start = [], 0
        for step in mixed:
            plan.append(range(start, start + len(step)))
            start += len(step)
        return Steps(
            plan,
            lambda numbers: document_batches(
                [corpus[windows[number]] for number in numbers], micro_batch_tokens=self.training.micro_batch_tokens
            ),
        )


def heldout_perplexities(decoder: "Decoder", corpus: "TokenCorpus", micro_batch_tokens: int) -> dict[str, float]:
    """Perplexity of the held-out text of each group that has some."""
    from burnish.evaluation.perplexity import perplexity

    return {
        group: perplexity(decoder, corpus.sequences(group, "heldout"), micro_batch_tokens=micro_batch_tokens)
        for group, windows in corpus.heldout.items()
        if len(windows)
    }
