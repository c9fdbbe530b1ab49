"""How requests begin: what is refused, and the first pass over the prompts or sources of several at once."""

from collections.abc import Sequence

from burnish.errors import BurnishError
from burnish.forest import Forest
from burnish.generation.cache import KVCache
from burnish.generation.prompts import Joining, first_block
from burnish.generation.request import Request
from burnish.generation.rows import Row
from burnish.generation.sources import SourceCache
from burnish.nn.decoder import Decoder
from burnish.nn.encoder_decoder import EncoderDecoder


def continued(decoder: Decoder, rows: Sequence[Row]) -> Joining:
    """Rows that go on from prompts."""
    forest, ends = Forest.from_sequences([row.prompt for row in rows])
    order = sorted(range(len(rows)), key=ends.__getitem__)
    segments = [ends[place] for place in order]
    cache = KVCache(decoder, forest.to(decoder.device), segments, first_block=first_block(rows))
    return [rows[place] for place in order], cache


def written_from(model: EncoderDecoder, rows: Sequence[Row]) -> Joining:
    """Rows that are written from sources."""
    # In order of length, so that sources of similar length are read in one product.
    distinct = sorted(
        {(tuple(row.request.source), tuple(row.request.prompt)) for row in rows},
        key=lambda one: (len(one[0]), one),
    )
    place = {one: number for number, one in enumerate(distinct)}
    segment = {row.number: place[tuple(row.request.source), tuple(row.request.prompt)] for row in rows}
    ordered = sorted(rows, key=lambda row: segment[row.number])
    segments = [segment[row.number] for row in ordered]
    sources = Forest.from_segments((source, -1) for source, _ in distinct).to(model.device)
    prompts = Forest.from_segments((prompt, -1) for _, prompt in distinct).to(model.device)
    encoded = SourceCache(model, sources, prompts, segments)
    return ordered, KVCache(model.decoder, prompts, segments, first_block=first_block(rows), sources=encoded)


def check(model: Decoder | EncoderDecoder, request: Request) -> None:
    """Raise BurnishError where the model has no positions for a request, or its source is empty.

    ValueError for an empty prompt.
    """
    if not len(request.prompt):
        raise ValueError("a prompt must have at least one token")
    if isinstance(model, EncoderDecoder):
        _check_source(model, request.source)
        config = model.config.decoder
    else:
        config = model.config
    longest, max_new_tokens = len(request.prompt), request.sampling.max_new_tokens
    if config.positions == "learned" and longest + max_new_tokens > config.max_positions:
        raise BurnishError(
            f"a prompt of {longest} tokens and {max_new_tokens} new ones need more than the "
            f"{config.max_positions} positions that the model has learned; shorten the prompt or lower max_new_tokens"
        )


def _check_source(model: EncoderDecoder, source: Sequence[int]) -> None:
    config = model.config.encoder
    if not len(source):
        raise BurnishError("a source is empty: there is nothing to write from")
    if config.positions == "learned" and len(source) > config.max_positions:
        raise BurnishError(
            f"a source of {len(source)} tokens needs more than the {config.max_positions} positions that the model has "
            "learned; shorten the source"
        )
