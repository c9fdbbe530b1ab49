"""The pass over prompts that comes before decoding: of a whole forest, or of what is new in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.forest import Forest
from burnish.generation.stacks import Layers
from burnish.nn.attention import Attend, backend_for, continued_attention
from burnish.nn.decoder import Across, Decoder


@dataclass(frozen=True, eq=False)
class Prefilled:
    """Keys and values of all tokens of a forest, `[tokens, n_kv_heads, head_dim]` a layer, in the compute dtype.

    hidden: `[new tokens, d_model]`, in order. new: which segments are; the others were known before.
    """

    forest: Forest
    layers: Layers
    hidden: Tensor
    new: Sequence[bool]

    def last_hidden(self, segments: Sequence[int]) -> Tensor:
        """`[len(segments), d_model]`: what predicts the token behind each of these segments, which must be new."""
        places, place = [], 0
        for length, is_new in zip(self.forest.lengths, self.new, strict=True):
            place += length if is_new else 0
            places.append(place - 1)
        return self.hidden[torch.tensor([places[segment] for segment in segments], device=self.hidden.device)]

    def states(self, tokens: Tensor) -> Tensor:
        """Keys and values of some tokens `[n]` of the forest: `[n_layers, 2, n, n_kv_heads, head_dim]`."""
        return torch.stack([torch.stack([k[tokens], v[tokens]]) for k, v in self.layers])


def prefill(
    decoder: Decoder, forest: Forest, *, known: Mapping[int, Tensor] | None = None, across: Across | None = None
) -> Prefilled:
    """Run what is new of a forest.

    known: keys and values of segments that need not run, `[n_layers, 2, tokens, n_kv_heads, head_dim]`. across: each
    layer's attention to a context.
    """
    known = known or {}
    new = [segment not in known for segment in range(forest.n_segments)]
    stored: Layers = []
    over_forest = backend_for(decoder.device)
    mine = torch.tensor(new, device=decoder.device).repeat_interleave(
        torch.tensor(forest.lengths, device=decoder.device)
    )

    def completed(layer: int, part: int, of_new: Tensor) -> Tensor:
        whole = of_new.new_empty(forest.n_tokens, *of_new.shape[1:])
        whole[mine] = of_new
        for segment, states in known.items():
            whole[forest.offsets[segment] : forest.offsets[segment + 1]] = states[layer, part]
        return whole

    def store_and_attend(layer: int) -> Attend:
        rule = decoder.config.attention_rule(layer)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if known:
                k, v = completed(layer, 0, k), completed(layer, 1, v)
            stored.append((k.to(decoder.compute_dtype), v.to(decoder.compute_dtype)))
            return continued_attention(q, k, v, forest, new, rule) if known else over_forest(q, k, v, forest, rule)

        return attend

    tokens, positions = (forest.tokens, forest.positions) if all(new) else (forest.tokens[mine], forest.positions[mine])
    return Prefilled(forest, stored, decoder.hidden(tokens, positions, store_and_attend, across), new)


def cut_known(forest: Forest, ends: Sequence[int], known: Sequence[int]) -> tuple[Forest, list[int], dict[int, int]]:
    """Cut segments so that each is known or new as a whole.

    ends: the segment that each sequence ends in. known: so many tokens from each sequence's beginning are; its last one
    is new in any case, for what it predicts. Returns the forest, the ends in it, and for each known segment a sequence
    that knows it.
    """
    knows: dict[int, int] = {}  # the sequence below each segment that knows the most
    for sequence, end in enumerate(ends):
        for segment in (*forest.ancestors(end), end):
            if segment not in knows or known[sequence] > known[knows[segment]]:
                knows[segment] = sequence
    segments: list[tuple[list[int], int]] = []
    last: list[int] = []  # where each segment ends now
    by: dict[int, int] = {}
    for segment, (length, parent) in enumerate(zip(forest.lengths, forest.parents, strict=True)):
        tokens = forest.tokens[forest.offsets[segment] : forest.offsets[segment + 1]].tolist()
        there = min(max(known[knows[segment]] - forest.first_positions[segment], 0), length)
        if segment in ends:
            there = min(there, length - 1)
        above = -1 if parent == -1 else last[parent]
        if there:
            by[len(segments)] = knows[segment]
            segments.append((tokens[:there], above))
            above = len(segments) - 1
        if there < length:
            segments.append((tokens[there:], above))
        last.append(len(segments) - 1)
    return Forest.from_segments(segments), [last[end] for end in ends], by
