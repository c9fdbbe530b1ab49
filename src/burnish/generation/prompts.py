"""Prompts of requests that wait for their first token: run in portions, each from what is there already."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from burnish.forest import Forest
from burnish.generation.cache import KVCache
from burnish.generation.prefill import Prefilled, cut_known, prefill
from burnish.generation.prefixes import PrefixTree, common_length
from burnish.generation.rows import Row
from burnish.nn.decoder import Decoder

Joining = tuple[list[Row], KVCache]
"""Rows whose prompts have run, in the order of their cache."""

_LONGEST_BLOCK = 256
"""Tokens a row that there is room for at first, however many may come: most completions end long before."""


def first_block(rows: Sequence[Row]) -> int:
    """Tokens a row to make room for at first."""
    return min(max(row.left for row in rows), _LONGEST_BLOCK)


class Prompts:
    """The prompts of a decoder's requests, and trees of those before: one for each adapter, and one for none.

    budget: bytes of all trees. tokens: how many run at once at most; None for all.
    """

    def __init__(self, decoder: Decoder, budget: int, tokens: int | None) -> None:
        if tokens is not None and tokens < 1:
            raise ValueError(f"prefill_tokens must be at least 1, got {tokens}")
        self._decoder, self._tokens = decoder, tokens
        self._budget = budget
        self._trees: dict[str | None, PrefixTree] = {}
        self.waiting: list[Row] = []

    @property
    def n_bytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(tree.n_bytes for tree in self._trees.values())

    def clear(self) -> None:
        """Forget everything. Raises ValueError while anything is pinned."""
        for tree in self._trees.values():
            tree.clear()

    def next_adapters(self) -> list[str | None]:
        """Whose prompts run next: all that wait, or where tokens are few those of who has waited longest."""
        waiting = list(dict.fromkeys(row.request.adapter for row in self.waiting))
        return waiting if self._tokens is None else waiting[:1]

    def tree(self, adapter: str | None) -> PrefixTree:
        """An adapter's tree, which is the last one to lose anything from now on."""
        tree = self._trees.pop(adapter, None) or PrefixTree(self._budget)
        self._trees[adapter] = tree
        return tree

    def run(self, adapter: str | None = None) -> Joining | None:
        """Run the next portion of an adapter's; the rows whose prompts are whole now, if there are any."""
        tree = self.tree(adapter)
        portion = self._portion(tree, [row for row in self.waiting if row.request.adapter == adapter])
        if not portion:
            return None
        rows = [row for row, _, _ in portion]
        sequences = [row.prompt[:until] for row, _, until in portion]
        forest, ends = Forest.from_sequences(sequences)
        forest, ends, knows = cut_known(forest, ends, [known for _, known, _ in portion])
        found = prefill(
            self._decoder,
            forest.to(self._decoder.device),
            known={
                segment: tree.read(sequences[sequence], first, first + forest.lengths[segment])
                for segment, sequence in knows.items()
                for first in [forest.first_positions[segment]]
            },
        )
        for row, sequence, end in zip(rows, sequences, ends, strict=True):
            self._store(tree, row, sequence, found, end)
        self._balance()
        whole = [place for place, row in enumerate(rows) if len(sequences[place]) == len(row.prompt)]
        self.waiting = [row for row in self.waiting if row not in [rows[place] for place in whole]]
        if not whole:
            return None
        order = sorted(whole, key=ends.__getitem__)
        joining, segments = [rows[place] for place in order], [ends[place] for place in order]
        cache = KVCache(self._decoder, found.forest, segments, first_block=first_block(joining), prefilled=found)
        return joining, cache

    def remember(self, row: Row, generated: Tensor) -> None:
        """Keep what a row has generated behind its prompt, `[n_layers, 2, tokens, n_kv_heads, head_dim]`."""
        n_prompt = len(row.prompt)
        sequence = np.concatenate([row.prompt, np.asarray(row.tokens[: generated.shape[2]], dtype=np.int64)])
        tree = self.tree(row.request.adapter)
        node = tree.add(sequence, lambda start, stop: generated[:, :, start - n_prompt : stop - n_prompt])
        tree.release(node)
        self._balance()

    def release(self, row: Row) -> None:
        """Let go of what a row that has ended stands on."""
        self.waiting = [other for other in self.waiting if other is not row]
        if row.pin is not None:
            self._trees[row.request.adapter].release(row.pin)
            row.pin = None
            self._balance()

    def _balance(self) -> None:
        """Keep within the budget of all trees: the one that was longest not used loses first."""
        for tree in self._trees.values():
            over = self.n_bytes - self._budget
            if over <= 0:
                return
            tree.shrink(max(0, tree.n_bytes - over))

    def _portion(self, tree: PrefixTree, waiting: Sequence[Row]) -> list[tuple[Row, int, int]]:
        """What runs next: rows with how many tokens of their prompts are known, and how many are to be after it."""
        left = sum(len(row.prompt) for row in waiting) if self._tokens is None else self._tokens
        portion: list[tuple[Row, int, int]] = []
        for row in waiting:
            # The last token always runs: what it predicts is not kept.
            known = min(tree.stored(row.prompt), len(row.prompt) - 1)
            shared = max((common_length(row.prompt, other.prompt[:until]) for other, _, until in portion), default=0)
            start = max(known, shared)
            taken = min(len(row.prompt) - start, left)
            if taken or start == len(row.prompt):
                left -= taken
                portion.append((row, known, start + taken))
                if row.pin is None:
                    row.reused = known
        return portion

    def _store(self, tree: PrefixTree, row: Row, sequence: np.ndarray, found: Prefilled, end: int) -> None:
        """Keep a row's prompt as far as it has run, and pin it."""
        path = found.forest.path(end)
        node = tree.add(sequence, lambda start, stop: found.states(path[start:stop]))
        if row.pin is not None:
            tree.release(row.pin)
        row.pin = node
