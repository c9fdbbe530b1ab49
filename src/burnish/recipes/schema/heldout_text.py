"""What stages that measure on the held-out text of a corpus have in common."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from burnish.evaluation.heldout_text import NOTHING_HELD_OUT, by_model, measure_heldout
from burnish.recipes.schema.stage import StageConfig, StageContext

SCORED_TOKENS = 4096
"""Tokens of held-out text in one forward pass."""


def nothing_held_out(reference: str | None, producers: Mapping[str, StageConfig]) -> str | None:
    """What is wrong where a stage is to measure on a corpus that is told to hold out nothing; None where it is not."""
    name = (reference or "").removeprefix("@").partition("/")[0]
    if reference is None or not reference.startswith("@") or getattr(producers.get(name), "heldout", None) != 0:
        return None
    return f"got '{reference}', which holds out no text to measure on (heldout: 0); set its heldout, for example 0.05"


def measure(context: StageContext, corpus: str | None, model: str) -> dict[str, Any]:
    """What a model makes of the text that a corpus holds out."""
    from burnish.corpus.token_corpus import TokenCorpus

    decoder, tokenizer = context.load(model)
    return dict(measure_heldout(decoder, tokenizer, TokenCorpus.load(context.path(corpus)), SCORED_TOKENS, model))


def measured(context: StageContext, corpus: str | None, models: Mapping[str, str]) -> dict[str, Any]:
    """The same of several models, by label, as metrics; nothing without a corpus."""
    if corpus is None:
        return {}
    found = {
        label: context.remembered(f"heldout-{label}", partial(measure, context, corpus, model))
        for label, model in models.items()
    }
    metrics = by_model(found, context.seed)
    if "perplexity_by_model" not in metrics:
        context.display.say(f"  {NOTHING_HELD_OUT}")
    return metrics
