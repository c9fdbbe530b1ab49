"""What stages that measure on the held-out text of a corpus have in common."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from burnish.evaluation.heldout_text import NOTHING_HELD_OUT, by_model, measure_heldout
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.stage import StageConfig, StageContext

SCORED_TOKENS = 4096
"""Tokens of held-out text in one forward pass."""


def corpus_problems(
    corpus: str | None, models: Iterable[str], producers: Mapping[str, StageConfig]
) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong where models are to be measured on the text that a corpus holds out, with the key."""
    for text in (_nothing_held_out(corpus, producers), other_tokens(corpus, models, producers)):
        if text is not None:
            yield ("corpus",), text


def _nothing_held_out(reference: str | None, producers: Mapping[str, StageConfig]) -> str | None:
    name = (reference or "").removeprefix("@").partition("/")[0]
    if reference is None or not reference.startswith("@") or getattr(producers.get(name), "heldout", None) != 0:
        return None
    return f"got '{reference}', which holds out no text to measure on (heldout: 0); set its heldout, for example 0.05"


def other_tokens(corpus: str | None, models: Iterable[str | None], producers: Mapping[str, StageConfig]) -> str | None:
    """What is wrong where a model has tokens that a corpus was made without, or the other way round; else None."""
    of_corpus = None if corpus is None else _gave_tokens(corpus, producers)
    for model in models:
        of_model = None if model is None else _gave_tokens(model, producers)
        if of_corpus is not None and of_model is not None and of_corpus != of_model:
            made, has = (", ".join(names) or "none" for names in (of_corpus, of_model))
            return (
                f"got '{corpus}', made of other tokens than those of '{model}': its new tokens are from {made}, the "
                f"model's from {has}; set the corpus stage's tokenizer to '{model}', or take another model"
            )
    return None


def _gave_tokens(reference: str, producers: Mapping[str, StageConfig]) -> list[str] | None:
    """The stages that gave a model, or a corpus, new tokens, the latest first; None where that is not known."""
    found: list[str] = []
    seen: set[str] = set()
    while reference.startswith("@"):
        name = reference[1:].partition("/")[0]
        maker = producers.get(name)
        if maker is None or name in seen:
            return None  # two stages of one name may read each other; the planner says so
        seen.add(name)
        if maker.new_tokens:
            found.append(name)
        keys = ("corpus",) if maker.begins else ("model", "tokenizer")
        read = next((value for key in keys if (value := getattr(maker, key, None)) is not None), None)
        if not isinstance(read, str):
            return None  # such as the settings of a new tokenizer
        reference = read
    return found


def heldout_tokens(context: StageContext, corpus: str | None) -> int:
    """Tokens that a corpus holds out, or will; none without a corpus."""
    return 0 if corpus is None else sum(windows.n_tokens for windows in context.corpus(corpus).heldout.values())


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
