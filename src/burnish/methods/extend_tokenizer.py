"""A tokenizer and a model with more tokens for a domain's words, and what they save.

Notable choices:
- tokens are chosen by texts of which one in ten is kept apart, and what they save is counted on those;
- a new token's embedding is the mean of its pieces', so the model reads it at once about as it read them; continued
  pre-training makes it more than that.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from burnish.methods.measuring import Metrics
from burnish.methods.saving import save_model
from burnish.methods.settings import Strict
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer

SHOWN = 40
_APART = 10


class Settings(Strict):
    """How many tokens, and of which words."""

    n_tokens: int = Field(500, ge=1, le=100_000, description="new tokens at most")
    min_count: int = Field(20, ge=2, description="how often a pair of tokens must stand in the text to become one")


def extend(
    model: "Decoder", tokenizer: "Tokenizer", texts: Sequence[str], settings: Settings, run: Run
) -> "tuple[Decoder, Tokenizer, Metrics]":
    """The model and its tokenizer with new tokens, left in the run's folder; and what was measured.

    Raises DataError where no pair is frequent enough, or the tokenizer is of another kind than byte-pair encodings.
    """
    from burnish.errors import DataError
    from burnish.nn.vocabulary import with_new_rows
    from burnish.text.tokenizer_extension import extend_tokenizer

    apart, read = _parted(texts)
    found = extend_tokenizer(tokenizer, read, n_tokens=settings.n_tokens, min_count=settings.min_count)
    if not found.pieces:
        raise DataError(
            f"{len(read)} texts have no pair of tokens {settings.min_count} times that is not one token already: lower "
            "min_count, or name more documents"
        )
    first = tokenizer.vocab_size
    extended = with_new_rows(model, {first + number: pieces for number, pieces in enumerate(found.pieces)})
    before, after = (sum(len(ids) for ids in one.encode_batch(apart or read)) for one in (tokenizer, found.tokenizer))
    new = [found.tokenizer.decode([first + number]) for number in range(len(found.pieces))]
    where = f"{len(apart)} texts kept apart" if apart else "the texts themselves, too few to keep some apart"
    run.display.say(
        f"  {len(new):,} new tokens: {', '.join(map(repr, new[:8]))} ...; {before:,} -> {after:,} tokens "
        f"({after / before - 1:.1%}) of {where}"
    )
    save_model(extended, found.tokenizer, run)
    metrics = {
        "new_tokens": len(new),
        "examples": new[:SHOWN],
        "tokens": {"before": before, "after": after},
        "measured_apart": bool(apart),
        "vocab_size": {"before": first, "after": found.tokenizer.vocab_size},
    }
    return extended, found.tokenizer, metrics


def _parted(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Texts to count on, one in ten by their hashes, and texts to choose by; none to count on where they are few."""
    from burnish.corpus.deduplicate import content_hash

    places = {text: int.from_bytes(content_hash(text, purpose=b"vocabulary")[:4], "big") % _APART for text in texts}
    apart = [text for text in texts if not places[text]]
    return apart, [text for text in texts if places[text]]
