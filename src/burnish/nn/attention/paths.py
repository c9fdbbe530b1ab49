"""Attention over a forest, one segment after the other along its path: for rules that no fused kernel computes.

Soft-capped scores and windows shorter than a path take this way on a CPU, dropout on every device. Queries go in
chunks, each with just the keys that its window reaches; the scores of a chunk are computed again for the backward pass,
not kept, with the same random numbers.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from burnish.forest import Forest
from burnish.nn.attention.reference import masked_attention
from burnish.nn.config import AttentionRule

CHUNK = 256
"""Queries of one segment that are computed together."""


def attention(
    q: Tensor, k: Tensor, v: Tensor, forest: Forest, rule: AttentionRule, new: Sequence[bool] | None = None
) -> Tensor:
    """The contract of `burnish.nn.attention`; with `new` that of `continued_attention`."""
    pieces = []
    for queries, keys, seen in _chunks(forest, rule, new or [True] * forest.n_segments):
        k_seen, v_seen = (torch.cat([x[span] for span in keys]) for x in (k, v))
        pieces.append(_attended(q[queries], k_seen, v_seen, seen, rule))
    return torch.cat(pieces)


def cross_attention(
    q: Tensor, k: Tensor, v: Tensor, trees: Sequence[tuple[slice, slice]], rule: AttentionRule
) -> Tensor:
    """The contract of `burnish.nn.attention.cross_attention`, the trees as spans of queries and of keys, in order."""
    pieces = []
    for queries, keys in trees:
        for begin in range(queries.start, queries.stop, CHUNK):
            chunk = q[begin : min(begin + CHUNK, queries.stop)]
            seen = torch.ones(len(chunk), keys.stop - keys.start, dtype=torch.bool, device=q.device)
            pieces.append(_attended(chunk, k[keys], v[keys], seen, rule))
    return torch.cat(pieces)


def _attended(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, rule: AttentionRule) -> Tensor:
    if torch.is_grad_enabled():
        attended: Tensor = checkpoint(masked_attention, q, k, v, seen, rule, use_reentrant=False)
        return attended
    return masked_attention(q, k, v, seen, rule)


def _chunks(forest: Forest, rule: AttentionRule, new: Sequence[bool]) -> Iterator[tuple[slice, list[slice], Tensor]]:
    """For each chunk of queries, in order: the spans of keys that it may see, and the mask between them."""
    window = rule.window or forest.longest_path
    place = 0
    for segment, length in enumerate(forest.lengths):
        if not new[segment]:
            continue
        start, first = forest.offsets[segment], forest.first_positions[segment]
        for begin in range(0, length, CHUNK):
            end = min(begin + CHUNK, length)
            lowest = first + begin - window + 1
            spans, positions = [], []
            for other in [*forest.ancestors(segment), segment]:
                from_, until = forest.offsets[other], forest.offsets[other + 1]
                if other == segment and rule.causal:
                    until = start + end
                skipped = min(max(lowest - forest.first_positions[other], 0), until - from_)
                if skipped < until - from_:
                    spans.append(slice(from_ + skipped, until))
                    at = forest.first_positions[other] + skipped
                    positions.append(torch.arange(at, at + until - from_ - skipped))
            key_positions = torch.cat(positions)
            query_positions = torch.arange(first + begin, first + end)
            seen = query_positions[:, None] - key_positions[None, :] < window
            if rule.causal:
                seen &= key_positions[None, :] <= query_positions[:, None]
            yield slice(place + begin, place + end), spans, seen.to(forest.tokens.device)
        place += length
