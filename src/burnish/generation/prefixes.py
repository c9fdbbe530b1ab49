"""Keys and values of prompts and conversations, kept from one request to the next.

They lie in a radix tree: what several begin with is stored once, and a request that begins with something stored
goes on from there. Whoever is being answered pins what it stands on; of the rest, what was longest not used goes first
where there is more than the budget allows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

States = Callable[[int, int], Tensor]
"""Keys and values of a sequence from one place to another: `[n_layers, 2, tokens, n_kv_heads, head_dim]`."""


@dataclass(eq=False)
class Prefix:
    """A run of tokens with its keys and values, `[n_layers, 2, tokens, n_kv_heads, head_dim]`, below its parent's.

    pins: requests that stand on its last token. used: when it was last, by the tree's own clock.
    """

    tokens: np.ndarray
    states: Tensor
    parent: "Prefix | None"
    children: dict[int, "Prefix"] = field(default_factory=dict)
    pins: int = 0
    used: int = 0


class PrefixTree:
    """A radix tree of `Prefix`es that takes `budget` bytes at most, and what is pinned where that is more.

    The decoder's weights must stay as they are: `clear` after they have changed.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._root = Prefix(np.empty(0, dtype=np.int64), torch.empty(0), None)
        self._clock = 0
        self.n_bytes = 0
        """Bytes of all keys and values."""

    def clear(self) -> None:
        """Forget everything. Raises ValueError while anything is pinned."""
        if any(node.pins for node in self):
            raise ValueError("requests are being answered from what is to be forgotten")
        self._root.children, self.n_bytes = {}, 0

    def __iter__(self) -> Iterator[Prefix]:
        below = list(self._root.children.values())
        while below:
            node = below.pop()
            yield node
            below += node.children.values()

    def stored(self, tokens: Sequence[int] | np.ndarray) -> int:
        """How many tokens of the beginning are there."""
        return sum(common for _, common in self._walk(np.asarray(tokens, dtype=np.int64)))

    def read(self, tokens: Sequence[int] | np.ndarray, start: int, stop: int) -> Tensor:
        """Keys and values of `tokens[start:stop]`, all of which must be there: see `States`."""
        parts, place = [], 0
        for node, common in self._walk(np.asarray(tokens, dtype=np.int64)):
            begin, end = max(start - place, 0), min(stop - place, common)
            if begin < end:
                parts.append(node.states[:, :, begin:end])
            place += common
        if place < stop:
            raise ValueError(f"{place} tokens are stored, asked for up to {stop}")
        return parts[0] if len(parts) == 1 else torch.cat(parts, 2)

    def add(self, tokens: Sequence[int] | np.ndarray, states: States) -> Prefix:
        """Store what is missing of a sequence, and pin its end: `release` it.

        states: asked for the missing part alone.
        """
        sequence = np.asarray(tokens, dtype=np.int64)
        path = self._walk(sequence)
        there = sum(common for _, common in path)
        node, common = path[-1] if path else (self._root, 0)
        if there < len(sequence):
            parent = node if common == len(node.tokens) else self._split(node, common)
            node = Prefix(sequence[there:].copy(), states(there, len(sequence)).clone(), parent)
            parent.children[int(node.tokens[0])] = node
            self.n_bytes += node.states.nbytes
        self._clock += 1
        node.pins += 1
        for above in _upwards(node):
            above.used = self._clock
        self._evict()
        return node

    def shrink(self, n_bytes: int) -> None:
        """Keep so many bytes at most, and what is pinned where that is more."""
        self._evict(n_bytes)

    def release(self, node: Prefix) -> None:
        """Let go of what `add` pinned."""
        node.pins -= 1
        self._evict()

    def _walk(self, tokens: np.ndarray) -> list[tuple[Prefix, int]]:
        """The nodes that the beginning lies in, and how many tokens of each it shares: all, but for the last."""
        node, place = self._root, 0
        path: list[tuple[Prefix, int]] = []
        while place < len(tokens) and (child := node.children.get(int(tokens[place]))) is not None:
            common = common_length(child.tokens, tokens[place:])
            path.append((child, common))
            place += common
            if common < len(child.tokens):
                break
            node = child
        return path

    def _split(self, node: Prefix, at: int) -> Prefix:
        """Cut a node in two; returns the upper one. The lower is still the same: who pinned its end, pins it."""
        parent = node.parent
        assert parent is not None
        # Copied, so that the bytes of one are free once it goes and the other stays.
        upper = Prefix(node.tokens[:at], node.states[:, :, :at].clone(), parent, used=node.used)
        node.tokens, node.states, node.parent = node.tokens[at:], node.states[:, :, at:].clone(), upper
        upper.children[int(node.tokens[0])] = node
        parent.children[int(upper.tokens[0])] = upper
        return upper

    def _evict(self, n_bytes: int | None = None) -> None:
        budget = self.budget if n_bytes is None else n_bytes
        while self.n_bytes > budget:
            ends = [node for node in self if not node.children and not node.pins]
            if not ends:
                return
            # A parent was used when its child was, so all ends may be weighed before their parents are looked at.
            for node in sorted(ends, key=lambda node: node.used):
                assert node.parent is not None
                del node.parent.children[int(node.tokens[0])]
                self.n_bytes -= node.states.nbytes
                if self.n_bytes <= budget:
                    return


def _upwards(node: Prefix) -> Iterator[Prefix]:
    above: Prefix | None = node
    while above is not None:
        yield above
        above = above.parent


def common_length(a: np.ndarray, b: np.ndarray) -> int:
    """Number of leading tokens that both share."""
    length = min(len(a), len(b))
    different = np.flatnonzero(a[:length] != b[:length])
    return int(different[0]) if len(different) else length
