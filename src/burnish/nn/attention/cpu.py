"""Attention over a forest on a CPU: no mask, no padding, no repeated prompt.

A token's keys fall into parts: the earlier tokens of its own segment (causal), and each ancestor in full.
Each part is one call of PyTorch's flash kernel, which returns the log-sum-exp of its scores; the parts are merged
by it. Given the merged `out` and `lse`, the kernel's own backward yields the exact gradient of each part: it rebuilds
the probabilities as exp(score - lse) and needs out only for the row sum of out · grad (Dao 2022,
arXiv:2205.14135, appendix B.2).

The pre-order of the forest makes every part a view: all descendants of a segment, whatever their depth, attend
to it in one call, and neighbouring segments of equal length form a batch. The kernel reads grouped K/V heads where they
are, in float32 whatever the compute dtype, since it is slower in bfloat16. Soft-capped scores, windows that a path is
longer than, and dropout, which the kernel does not know, go another way (`burnish.nn.attention.paths`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from burnish.forest import Forest
from burnish.nn.attention import paths
from burnish.nn.config import AttentionRule

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default


@dataclass(frozen=True)
class _Run:
    """`count` neighbouring segments of `length` tokens, from token `start`."""

    start: int
    count: int
    length: int

    def longer(self) -> "_Run":
        """With the next segment."""
        return _Run(self.start, self.count + 1, self.length)

    def view(self, x: Tensor) -> Tensor:
        """`[tokens, ...]` -> `[count, length, ...]`, the same memory."""
        return x[self.start : self.start + self.count * self.length].unflatten(0, (self.count, self.length))


@dataclass(frozen=True)
class _Plan:
    """Kernel calls: runs of queries with the runs of their keys, and slices of each segment with children.

    own: causal, of a segment with itself; or all of a tree of another forest. Each query is in one of them.
    ancestors: (queries, keys), whose parts are merged with those.
    """

    own: tuple[tuple[_Run, _Run], ...]
    ancestors: tuple[tuple[slice, slice], ...]


def _plan(forest: Forest) -> _Plan:
    kept: _Plan | None = forest.__dict__.get("_cpu_plan")
    if kept is None:
        kept = forest.__dict__["_cpu_plan"] = _made_plan(forest, [True] * forest.n_segments)
    return kept


def _made_plan(forest: Forest, new: Sequence[bool]) -> _Plan:
    """Plan the attention of the segments that are `new`, whose queries lie one behind the other."""
    offsets = forest.offsets
    places = [0, *accumulate(length if is_new else 0 for length, is_new in zip(forest.lengths, new, strict=True))]
    below = dict(zip(offsets, places, strict=True))
    own: list[tuple[_Run, _Run]] = []
    ancestors = []
    for segment, length in enumerate(forest.lengths):
        stop, last = offsets[segment + 1], forest.descendants_stop[segment]
        if new[segment]:
            runs = (_Run(places[segment], 1, length), _Run(offsets[segment], 1, length))
            if own and new[segment - 1] and own[-1][0].length == length:
                runs = (own[-1][0].longer(), own[-1][1].longer())
                own.pop()
            own.append(runs)
        if below[last] > below[stop]:
            ancestors.append((slice(below[stop], below[last]), slice(offsets[segment], stop)))
    return _Plan(tuple(own), tuple(ancestors))


def attention(q: Tensor, k: Tensor, v: Tensor, forest: Forest, rule: AttentionRule | None = None) -> Tensor:
    """The contract of `burnish.nn.attention`, exact in value and gradient."""
    rule = rule or AttentionRule()
    if _is_special(forest, rule):
        return paths.attention(q, k, v, forest, rule)
    return _ForestAttention.apply(q, k, v, _plan(forest), rule.causal, rule.scale)


def continued_attention(
    q: Tensor, k: Tensor, v: Tensor, forest: Forest, new: Sequence[bool], rule: AttentionRule | None = None
) -> Tensor:
    """The contract of `burnish.nn.attention.continued_attention`."""
    rule = rule or AttentionRule()
    if _is_special(forest, rule):
        return paths.attention(q, k, v, forest, rule, new)
    return _ForestAttention.apply(q, k, v, _made_plan(forest, new), rule.causal, rule.scale)


def _is_special(forest: Forest, rule: AttentionRule) -> bool:
    """Whether the kernel cannot compute the rule."""
    shortened = rule.window is not None and rule.window < forest.longest_path
    return rule.softcap is not None or bool(rule.dropout) or shortened


def cross_attention(
    q: Tensor, k: Tensor, v: Tensor, queries: Forest, context: Forest, rule: AttentionRule | None = None
) -> Tensor:
    """The contract of `burnish.nn.attention.cross_attention`, exact in value and gradient."""
    rule = rule or AttentionRule()
    trees = tuple(zip(*(_trees(forest) for forest in (queries, context)), strict=True))
    if rule.softcap is not None or rule.dropout:
        return paths.cross_attention(q, k, v, trees, rule)
    return _ForestAttention.apply(q, k, v, _Plan(_runs(trees), ()), False, rule.scale)


def _runs(trees: Sequence[tuple[slice, slice]]) -> tuple[tuple[_Run, _Run], ...]:
    """Neighbouring trees with equally many queries and equally many keys as one run each."""
    runs: list[tuple[_Run, _Run]] = []
    for tree in trees:
        shape = tuple(span.stop - span.start for span in tree)
        if runs and shape == tuple(run.length for run in runs[-1]):
            queries, keys = runs[-1]
            runs[-1] = (queries.longer(), keys.longer())
        else:
            queries, keys = (_Run(span.start, 1, length) for span, length in zip(tree, shape, strict=True))
            runs.append((queries, keys))
    return tuple(runs)


def _trees(forest: Forest) -> list[slice]:
    return [slice(forest.offsets[root], forest.descendants_stop[root]) for root in forest.roots]


def merge(out: Tensor, lse: Tensor, part_out: Tensor, part_lse: Tensor) -> None:
    """Merge a part into `out` `[..., head_dim]` and `lse` `[...]`, in place.

    lse = log Σ_i exp(lse_i)        out = Σ_i exp(lse_i - lse) · out_i
    """
    merged = torch.logaddexp(lse, part_lse)
    out.mul_(torch.exp(lse - merged)[..., None])
    out.addcmul_(part_out, torch.exp(part_lse - merged)[..., None])
    lse.copy_(merged)


def _heads_first(x: Tensor) -> Tensor:
    """`[batch, length, heads, ...]` <-> `[batch, heads, length, ...]`, the kernel's order."""
    return x.transpose(1, 2)


class _ForestAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, plan: _Plan, causal: bool, scale: float | None) -> Tensor:
        given, (q, k, v) = (q, k, v), (x.float() for x in (q, k, v))
        out, lse = q.new_empty(q.shape), q.new_empty(q.shape[:2])
        for queries, keys in plan.own:
            part = [_heads_first(run.view(x)) for run, x in ((queries, q), (keys, k), (keys, v))]
            part_out, part_lse = _flash(*part, 0.0, causal, scale=scale)
            queries.view(out).copy_(_heads_first(part_out))
            queries.view(lse).copy_(_heads_first(part_lse))
        for below, above in plan.ancestors:
            part = [_heads_first(x[None]) for x in (q[below], k[above], v[above])]
            part_out, part_lse = _flash(*part, scale=scale)
            merge(out[below], lse[below], _heads_first(part_out)[0], _heads_first(part_lse)[0])
        # What was given is half as large as its float32 copies, which are made again for the backward pass.
        ctx.save_for_backward(*given, out, lse)
        ctx.plan, ctx.causal, ctx.scale = plan, causal, scale
        return out.to(given[0].dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *given, out, lse = ctx.saved_tensors
        grad, q, k, v = (x.float() for x in (grad, *given))
        grads = tuple(torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v))
        for queries, keys in ctx.plan.own:
            runs = ((queries, grad), (queries, q), (keys, k), (keys, v), (queries, out), (queries, lse))
            part = [_heads_first(run.view(x)) for run, x in runs]
            pieces = _flash_backward(*part, 0.0, ctx.causal, scale=ctx.scale)
            for whole, piece, run in zip(grads, pieces, (queries, keys, keys), strict=True):
                run.view(whole).copy_(_heads_first(piece))
        for below, above in ctx.plan.ancestors:
            slices = (grad[below], q[below], k[above], v[above], out[below], lse[below])
            pieces = _flash_backward(*(_heads_first(x[None]) for x in slices), 0.0, False, scale=ctx.scale)
            for whole, piece, at in zip(grads, pieces, (below, above, above), strict=True):
                whole[at].add_(_heads_first(piece)[0])
        return *(of.to(x.dtype) for of, x in zip(grads, given, strict=True)), None, None, None
