"""Every token of a tree of queries sees every token of its own tree of the context, and nothing else."""

from collections.abc import Callable

import pytest
import textbook
import torch
from agreement import assert_agree
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from burnish.forest import Forest
from burnish.nn.attention import cpu, cross_attention, reference
from burnish.nn.config import AttentionRule
from forests import forests

HEAD_DIM = 8


@pytest.mark.parametrize("run", [cross_attention, cpu.cross_attention, reference.cross_attention])
@given(
    data=st.data(),
    heads=st.sampled_from([(4, 4), (4, 2), (6, 1)]),
    rule=st.builds(AttentionRule, scale=st.sampled_from([None, 0.2]), softcap=st.sampled_from([None, 2.0])),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_equals_the_textbook_over_forests(
    run: Callable[..., Tensor], data: st.DataObject, heads: tuple[int, int], rule: AttentionRule, seed: int
) -> None:
    queries = data.draw(forests())
    context = data.draw(forests(n_trees=len(queries.roots)))
    generator = torch.Generator().manual_seed(seed)
    inputs = [
        torch.randn(forest.n_tokens, n, HEAD_DIM, generator=generator).requires_grad_()
        for forest, n in ((queries, heads[0]), (context, heads[1]), (context, heads[1]))
    ]
    seen = textbook.tree_of(queries)[:, None] == textbook.tree_of(context)[None, :]
    expected = textbook.attention(*(x.double() for x in inputs), seen, rule)
    assert_agree(run(*inputs, queries, context, rule), expected, inputs)


def test_forests_of_different_numbers_of_trees_are_refused() -> None:
    one, two = Forest.from_segments([([1], -1)]), Forest.from_segments([([1], -1), ([2], -1)])
    q, k = torch.randn(1, 2, HEAD_DIM), torch.randn(2, 2, HEAD_DIM)
    with pytest.raises(ValueError, match="1 trees of queries but 2 of context"):
        cross_attention(q, k, k, one, two)
