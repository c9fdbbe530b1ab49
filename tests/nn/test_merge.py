"""Parts of a softmax over keys, merged by their log-sum-exp, are the whole softmax."""

import pytest
import torch
from torch import Tensor

from burnish.nn.attention.cpu import merge


def _part(scores: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    return scores.softmax(-1) @ values, scores.logsumexp(-1)


@pytest.mark.parametrize("split", [1, 4, 8])
def test_parts_merge_to_the_whole(split: int) -> None:
    generator = torch.Generator().manual_seed(0)
    scores, values = 5 * torch.randn(3, 4, 9, generator=generator), torch.randn(3, 9, 8, generator=generator)
    out, lse = _part(scores[..., :split], values[:, :split])
    merge(out, lse, *_part(scores[..., split:], values[:, split:]))
    expected_out, expected_lse = _part(scores, values)
    torch.testing.assert_close(out, expected_out)
    torch.testing.assert_close(lse, expected_lse)


def test_merging_into_nothing_gives_the_part() -> None:
    generator = torch.Generator().manual_seed(0)
    part_out, part_lse = _part(torch.randn(4, 9, generator=generator), torch.randn(9, 8, generator=generator))
    out, lse = torch.zeros(4, 8), torch.full((4,), -torch.inf)
    merge(out, lse, part_out, part_lse)
    torch.testing.assert_close(out, part_out)
    torch.testing.assert_close(lse, part_lse)
