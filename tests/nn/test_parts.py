"""Parts of a softmax over keys, merged by their log-sum-exp, are the whole softmax."""

import pytest
import torch

from burnish.nn.attention.parts import HIDDEN, attention_part, merge
from burnish.nn.config import AttentionRule

HEAD_DIM = 8


@pytest.mark.parametrize("rule", [AttentionRule(), AttentionRule(scale=0.7), AttentionRule(scale=0.0, softcap=2.0)])
@pytest.mark.parametrize("by_query", [False, True])
@pytest.mark.parametrize("split", [1, 4, 8])
def test_parts_with_a_bias_merge_to_the_whole(rule: AttentionRule, by_query: bool, split: int) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, HEAD_DIM, generator=generator) for n in (4, 9, 9))
    seen = torch.rand(2, 1, 4 if by_query else 1, 9, generator=generator) < 0.7
    seen[..., split - 1] = True
    bias = torch.zeros(seen.shape).masked_fill(~seen, HIDDEN)
    out, lse = attention_part(q, k[:, :, :split], v[:, :, :split], rule, bias=bias[..., :split])
    merge(out, lse, *attention_part(q, k[:, :, split:], v[:, :, split:], rule, bias=bias[..., split:]))
    scores = q @ k.transpose(-1, -2) * (HEAD_DIM**-0.5 if rule.scale is None else rule.scale)
    if rule.softcap is not None:
        scores = rule.softcap * torch.tanh(scores / rule.softcap)
    scores = scores.masked_fill(~seen, -torch.inf)
    torch.testing.assert_close(out, scores.softmax(-1) @ v)
    torch.testing.assert_close(lse, scores.logsumexp(-1))


@pytest.mark.parametrize("hidden_first", [True, False])
def test_a_part_of_which_a_query_sees_nothing_has_no_weight(hidden_first: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 1, 3, HEAD_DIM, generator=generator) for _ in range(3))
    seen = attention_part(q, k, v, AttentionRule())
    unseen = attention_part(q, k, v.flip(2), AttentionRule(), bias=torch.full((2, 1, 1, 3), HIDDEN))
    expected = [part.clone() for part in seen]
    first, second = (unseen, seen) if hidden_first else (seen, unseen)
    merge(*first, *second)
    torch.testing.assert_close(first[0], expected[0])
    torch.testing.assert_close(first[1], expected[1])


def test_inputs_stay_as_they_are() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(1, 1, n, HEAD_DIM, generator=generator) for n in (2, 3, 3)]
    kept = [x.clone() for x in inputs]
    attention_part(*inputs, AttentionRule(scale=1.0, softcap=1.0), bias=torch.zeros(1, 1, 1, 3))
    assert all(torch.equal(x, before) for x, before in zip(inputs, kept, strict=True))
