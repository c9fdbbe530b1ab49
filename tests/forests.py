"""Random forests for property tests, and the naive computation they are compared with."""

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor

from burnish.forest import Forest


@st.composite
def forests(draw: st.DrawFn, *, max_depth: int = 3, vocab: int = 50, n_trees: int | None = None) -> Forest:
    """`n_trees` (up to three) roots, each with up to three children a segment, `max_depth` levels deep."""
    segments: list[tuple[list[int], int]] = []

    def grow(parent: int, depth: int) -> None:
        tokens = draw(st.lists(st.integers(0, vocab - 1), min_size=1, max_size=6))
        segments.append((tokens, parent))
        segment = len(segments) - 1
        if depth < max_depth:
            for _ in range(draw(st.integers(0, 3))):
                grow(segment, depth + 1)

    for _ in range(n_trees or draw(st.integers(1, 3))):
        grow(-1, 1)
    return Forest.from_segments(segments)


def leaves(forest: Forest) -> list[int]:
    """Segments without children: every token lies on the path of at least one."""
    parents = set(forest.parents)
    return [segment for segment in range(forest.n_segments) if segment not in parents]


def padded_attention(q: Tensor, k: Tensor, v: Tensor, forest: Forest) -> Tensor:
    """What a padded batch computes: every path written out, right-padded, K/V heads repeated, causal mask."""
    paths = [forest.path(leaf) for leaf in leaves(forest)]
    longest = max(len(path) for path in paths)
    index = torch.stack([F.pad(path, (0, longest - len(path))) for path in paths])
    group = q.shape[1] // k.shape[1]
    q_batch = q[index].transpose(1, 2)
    k_batch, v_batch = (x[index].repeat_interleave(group, dim=2).transpose(1, 2) for x in (k, v))
    scores = q_batch @ k_batch.transpose(-1, -2) / q.shape[-1] ** 0.5
    causal = torch.ones(longest, longest, dtype=torch.bool).tril()
    out_batch = (scores.masked_fill(~causal, -torch.inf).softmax(-1) @ v_batch).transpose(1, 2)
    out = torch.zeros_like(q)
    taken = torch.zeros(forest.n_tokens, dtype=torch.bool)
    for row, path in enumerate(paths):
        new = ~taken[path]  # A shared token has one value, computed equally on every path.
        out = out.index_put((path[new],), out_batch[row, : len(path)][new])
        taken[path] = True
    assert taken.all()
    return out
