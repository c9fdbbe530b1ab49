"""Attention over a forest: the module, and the one contract that every backend implements.

A backend is a function `(q, k, v, forest, rule) -> out` with

    q    `[tokens, n_heads, head_dim]`, rotated
    k, v `[tokens, n_kv_heads, head_dim]`, k rotated
    out  `[tokens, n_heads, head_dim]`

all in the compute dtype, scores and their softmax in float32,
where query head h reads K/V head `h // (n_heads / n_kv_heads)`, and the rule (`burnish.nn.config.AttentionRule`) says
how scores are scaled and which keys are seen. `reference` is the definition; the others equal it in value and
gradient. None holds K or V once for each query head.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from burnish.forest import Forest
from burnish.nn.attention import cpu, flex, paths, reference
from burnish.nn.attention.module import Attend as Attend
from burnish.nn.attention.module import AttendAcross as AttendAcross
from burnish.nn.attention.module import Attention as Attention
from burnish.nn.config import AttentionRule

Backend = Callable[[Tensor, Tensor, Tensor, Forest, AttentionRule], Tensor]


def backend_for(device: torch.device) -> Backend:
    """The fastest backend that runs on `device`."""
    return {"cpu": cpu.attention, "cuda": flex.attention}.get(device.type, reference.attention)


def continued_attention(
    q: Tensor, k: Tensor, v: Tensor, forest: Forest, new: Sequence[bool], rule: AttentionRule | None = None
) -> Tensor:
    """Attention of the tokens of the `new` segments alone, where the keys and values of the others are there already.

    q `[tokens of new segments, n_heads, head_dim]`, k and v of all tokens of the forest; as a backend otherwise.
    """
    if q.device.type == "cpu":
        return cpu.continued_attention(q, k, v, forest, new, rule)
    return paths.attention(q, k, v, forest, rule or AttentionRule(), new)


def cross_attention(
    q: Tensor, k: Tensor, v: Tensor, queries: Forest, context: Forest, rule: AttentionRule | None = None
) -> Tensor:
    """Attention of every token of the i-th tree of `queries` to all tokens of the i-th tree of `context`.

    q `[query tokens, n_heads, head_dim]`, k and v `[context tokens, n_kv_heads, head_dim]`; as a backend otherwise.
    Of the rule, its scale and soft-cap count: all of the tree is seen. Raises ValueError where the forests differ in
    their number of trees.
    """
    if len(queries.roots) != len(context.roots):
        raise ValueError(f"{len(queries.roots)} trees of queries but {len(context.roots)} of context")
    run = cpu.cross_attention if q.device.type == "cpu" else reference.cross_attention
    return run(q, k, v, queries, context, rule)
