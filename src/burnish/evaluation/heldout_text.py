"""How surprised models are by the text that a corpus holds out, and whether two of them differ in it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burnish.corpus.token_corpus import TokenCorpus
    from burnish.evaluation.perplexity import Surprise
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer

NOTHING_HELD_OUT = "the corpus holds out no text: perplexity is not measured"

Measured = Mapping[str, "list[Surprise]"]
"""By group of text, the surprise of each of its held-out documents."""


def measure_heldout(
    decoder: "Decoder", tokenizer: "Tokenizer", corpus: "TokenCorpus", micro_batch_tokens: int, model: str
) -> Measured:
    """Score the held-out text of each group that has some, as values that JSON can hold.

    Raises DataError where the corpus was made with other tokens than those of `model`.
    """
    from burnish.evaluation.perplexity import surprises

    corpus.check_tokenizer(tokenizer, model)
    measured = {}
    for group, windows in corpus.heldout.items():
        of_documents: dict[int, tuple[float, int]] = {}
        scored = surprises(decoder, corpus.sequences(group, "heldout"), micro_batch_tokens=micro_batch_tokens)
        for number, (nats, tokens) in zip(windows.documents.tolist(), scored, strict=True):
            before = of_documents.get(number, (0.0, 0))
            of_documents[number] = before[0] + nats, before[1] + tokens
        if any(tokens for _, tokens in of_documents.values()):
            measured[group] = list(of_documents.values())
    return measured


def perplexities(measured: Measured) -> dict[str, float]:
    """The perplexity of each group."""
    from burnish.evaluation.perplexity import mean_perplexity

    return {group: mean_perplexity(texts) for group, texts in measured.items()}


def change_intervals(before: Measured, after: Measured, seed: int) -> dict[str, list[float]]:
    """By group, the interval of the relative change; a group with too few texts for one is left out."""
    from burnish.evaluation.statistics import perplexity_change_interval

    # What was remembered has been JSON, which knows no tuples.
    pairs = {group: [[(nats, tokens) for nats, tokens in side[group]] for side in (before, after)] for group in after}
    intervals = {group: perplexity_change_interval(*pair, seed=seed) for group, pair in pairs.items()}
    return {group: list(interval) for group, interval in intervals.items() if interval is not None}


def by_model(measured: Mapping[str, Measured], seed: int) -> dict[str, Any]:
    """Metrics of several models, by group and label; intervals are those of the change from the first model."""
    labels = list(measured)
    values: dict[str, dict[str, float]] = {}
    intervals: dict[str, dict[str, list[float]]] = {}
    for label in labels:
        for group, value in perplexities(measured[label]).items():
            values.setdefault(group, {})[label] = value
        if label != labels[0]:
            for group, interval in change_intervals(measured[labels[0]], measured[label], seed).items():
                intervals.setdefault(group, {})[label] = interval
    return {"perplexity_by_model": values, "perplexity_change": intervals} if values else {}
