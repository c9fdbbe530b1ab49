"""The one batch layout: a forest of token segments, stored flat and without padding.

A segment is a run of tokens and may have a parent. A token attends to itself, to the earlier tokens of its
own segment and to all tokens of its segment's ancestors; positions continue from parent to child. Packed
documents are roots, an SFT batch is one system prompt with many children, a preference pair is a prompt with
two children, a group of samples a prompt with G.

Notable choices:
- segments lie in depth-first pre-order, so that the descendants of a segment are one contiguous run of
  tokens right behind it: attention to an ancestor is a slice, never a gather;
- sibling leaves lie in order of length, so that equal ones are neighbours and share one kernel call;
- everything derived is computed once, on demand, and kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Forest:
    """Token segments with parents.

    tokens: `[n_tokens]` int64, the segments one behind the other.
    lengths: tokens of each segment, at least 1.
    parents: index of each segment's parent, or -1 for a root; depth-first pre-order.

    Raises ValueError when lengths, parents and tokens do not fit together.
    """

    tokens: Tensor
    lengths: tuple[int, ...]
    parents: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.tokens.dim() != 1 or self.tokens.dtype != torch.int64:
            raise ValueError(f"tokens must be int64 [n_tokens], got {self.tokens.dtype} {list(self.tokens.shape)}")
        if len(self.lengths) != len(self.parents):
            raise ValueError(f"{len(self.lengths)} lengths but {len(self.parents)} parents")
        if sum(self.lengths) != len(self.tokens):
            raise ValueError(f"lengths add up to {sum(self.lengths)}, but there are {len(self.tokens)} tokens")
        open_path: list[int] = []
        for segment, (length, parent) in enumerate(zip(self.lengths, self.parents, strict=True)):
            if length < 1:
                raise ValueError(f"segment {segment} has length {length}; a segment holds at least one token")
            while open_path and open_path[-1] != parent:
                open_path.pop()
            if parent != -1 and not open_path:
                raise ValueError(f"segment {segment} has parent {parent}, which is not in depth-first pre-order")
            open_path.append(segment)

    @classmethod
    def from_segments(cls, segments: Iterable[tuple[Sequence[int], int]]) -> Self:
        """Build from `(tokens, parent)` in depth-first pre-order."""
        tokens: list[int] = []
        lengths: list[int] = []
        parents: list[int] = []
        for segment_tokens, parent in segments:
            tokens.extend(segment_tokens)
            lengths.append(len(segment_tokens))
            parents.append(parent)
        return cls(torch.tensor(tokens, dtype=torch.int64), tuple(lengths), tuple(parents))

    @classmethod
    def from_sequences(
        cls, sequences: Sequence[Sequence[int] | np.ndarray], *, min_shared: int = 16
    ) -> tuple[Self, list[int]]:
        """Build the radix tree of whole sequences: a prefix that several share is stored once.

        Prefixes shorter than `min_shared` tokens are repeated: a segment of a few tokens costs more in
        kernel calls than it saves. Returns the forest and, for each sequence, the segment that it ends in.
        """
        arrays = [np.asarray(sequence, dtype=np.int64) for sequence in sequences]
        for index, array in enumerate(arrays):
            if array.ndim != 1 or len(array) == 0:
                raise ValueError(f"sequence {index} is empty or not flat: shape {array.shape}")
        pieces: list[np.ndarray] = []
        parents: list[int] = []
        ends = [-1] * len(arrays)
        # Each entry: sequences that agree before `start` and on the first tokens after it, and their parent.
        stack = [(group, 0, -1) for group in reversed(_group_by_prefix(arrays, range(len(arrays)), 0, min_shared))]
        while stack:
            members, start, parent = stack.pop()
            stop = start + _common_prefix([arrays[member][start:] for member in members])
            segment = len(pieces)
            pieces.append(arrays[members[0]][start:stop])
            parents.append(parent)
            going_on = []
            for member in members:
                if len(arrays[member]) == stop:
                    ends[member] = segment
                else:
                    going_on.append(member)
            groups = _group_by_prefix(arrays, going_on, stop, min_shared)
            stack.extend((group, stop, segment) for group in reversed(groups))
        tokens = torch.from_numpy(np.concatenate(pieces)) if pieces else torch.empty(0, dtype=torch.int64)
        return cls(tokens, tuple(len(piece) for piece in pieces), tuple(parents)), ends

    @classmethod
    def side_by_side(cls, forests: Sequence[Self]) -> Self:
        """All trees of `forests`, in order, as one."""
        firsts = np.cumsum([0, *(forest.n_segments for forest in forests)]).tolist()
        return cls(
            torch.cat([forest.tokens for forest in forests]),
            tuple(length for forest in forests for length in forest.lengths),
            tuple(
                parent if parent == -1 else parent + first
                for first, forest in zip(firsts, forests, strict=False)
                for parent in forest.parents
            ),
        )

    @property
    def n_tokens(self) -> int:
        return len(self.tokens)

    @property
    def n_segments(self) -> int:
        return len(self.lengths)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First token of each segment, and `n_tokens` at the end: `n_segments + 1` entries."""
        return tuple(int(offset) for offset in np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)]))

    @cached_property
    def descendants_stop(self) -> tuple[int, ...]:
        """For each segment, one past the last token of its last descendant (or of itself)."""
        stops = list(self.offsets[1:])
        for segment in range(self.n_segments - 1, -1, -1):
            parent = self.parents[segment]
            if parent != -1:
                stops[parent] = max(stops[parent], stops[segment])
        return tuple(stops)

    @cached_property
    def first_positions(self) -> tuple[int, ...]:
        """Position of each segment's first token: the number of tokens in its ancestors."""
        first: list[int] = []
        for parent in self.parents:
            first.append(0 if parent == -1 else first[parent] + self.lengths[parent])
        return tuple(first)

    @cached_property
    def longest_path(self) -> int:
        """Tokens of the longest way from a root to a leaf."""
        ends = [first + length for first, length in zip(self.first_positions, self.lengths, strict=True)]
        return max(ends, default=0)

    @cached_property
    def roots(self) -> tuple[int, ...]:
        """The segments without a parent."""
        return tuple(segment for segment, parent in enumerate(self.parents) if parent == -1)

    def ancestors(self, segment: int) -> list[int]:
        """The segments from the root down to the parent of `segment`."""
        found: list[int] = []
        while (segment := self.parents[segment]) != -1:
            found.append(segment)
        return found[::-1]

    @cached_property
    def positions(self) -> Tensor:
        """`[n_tokens]` int64: each token's distance from the start of its root."""
        shift = np.asarray(self.first_positions, dtype=np.int64) - np.asarray(self.offsets[:-1], dtype=np.int64)
        positions = np.arange(self.n_tokens, dtype=np.int64) + np.repeat(shift, self.lengths)
        return torch.from_numpy(positions).to(self.tokens.device)

    @cached_property
    def predecessors(self) -> Tensor:
        """`[n_tokens]` int64: index of the token before each on its path, -1 for the first of a root."""
        predecessors = np.arange(-1, self.n_tokens - 1, dtype=np.int64)
        for segment, parent in enumerate(self.parents):
            predecessors[self.offsets[segment]] = -1 if parent == -1 else self.offsets[parent + 1] - 1
        return torch.from_numpy(predecessors).to(self.tokens.device)

    def path(self, segment: int) -> Tensor:
        """Indices of the tokens from the root to the end of `segment`: int64 `[path length]`."""
        on_path = [*self.ancestors(segment), segment]
        spans = [torch.arange(self.offsets[s], self.offsets[s + 1]) for s in on_path]
        return torch.cat(spans).to(self.tokens.device)

    def to(self, device: torch.device | str) -> Self:
        """The same forest with its tokens on `device`."""
        if self.tokens.device == torch.device(device):
            return self
        return type(self)(self.tokens.to(device), self.lengths, self.parents)


def _group_by_prefix(
    arrays: Sequence[np.ndarray], members: Iterable[int], start: int, min_shared: int
) -> list[list[int]]:
    """Members that agree on the next `min_shared` tokens, the childless first and in order of length."""
    groups: dict[bytes, list[int]] = {}
    for member in members:
        groups.setdefault(arrays[member][start : start + min_shared].tobytes(), []).append(member)
    return sorted(groups.values(), key=lambda group: (len(group) > 1, len(arrays[group[0]])))


def _common_prefix(arrays: Sequence[np.ndarray]) -> int:
    """Number of leading tokens that all arrays share."""
    shared = min(len(array) for array in arrays)
    for array in arrays[1:]:
        different = np.flatnonzero(array[:shared] != arrays[0][:shared])
        if len(different):
            shared = int(different[0])
    return shared
