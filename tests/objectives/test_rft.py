"""RFT equals its formula, one sampled answer at a time, in value and gradient, whatever is left out of the batch."""

from typing import Literal

import pytest
import torch
from naive import assert_close, gradients, naive_logps, step_of

from burnish.datasets.batches import Batch
from burnish.objectives.language_model import LanguageModel
from burnish.objectives.rft import RFT
from tiny_models import tiny_decoder

PROMPTS = [list(range(20)), [5, 6, 7]]
ANSWERS = [[30, 31, 32], [33, 34], [35, 36, 37, 38, 39], [40, 41], [42], [43, 44, 45, 46]]
ACCEPTED = [True, False, True, False, False, True]


def batch(rows: list[int], **columns: torch.Tensor) -> Batch:
    prompts = [PROMPTS[row // 3] for row in rows]
    masks = [[False] * len(p) + [True] * len(ANSWERS[row]) for p, row in zip(prompts, rows, strict=True)]
    sequences = [p + ANSWERS[row] for p, row in zip(prompts, rows, strict=True)]
    return Batch.from_rows(sequences, masks, columns={"accepted": torch.tensor(ACCEPTED)[rows], **columns})


@pytest.mark.parametrize("mean_over", ["samples", "examples", "tokens"])
def test_it_equals_the_textbook(mean_over: Literal["samples", "examples", "tokens"]) -> None:
    decoder = tiny_decoder(scale=5)
    terms = []
    for row, answer in enumerate(ANSWERS):
        total = torch.zeros(())
        for token_logp in naive_logps(decoder, PROMPTS[row // 3], answer):
            total = total + float(ACCEPTED[row]) * token_logp
        terms.append(total if mean_over == "tokens" else total / len(answer))
    n_tokens = sum(len(answer) for answer, yes in zip(ANSWERS, ACCEPTED, strict=True) if yes)
    count = {"samples": 6, "examples": 3, "tokens": n_tokens}[mean_over]
    expected = -torch.stack(terms).sum() / count
    whole, _ = step_of(decoder, RFT(mean_over), [batch([0, 1, 2]), batch([3, 4, 5])])
    share = torch.tensor(count / 2)
    accepted, metrics = step_of(
        decoder,
        RFT(mean_over),
        [batch([2, 0], loss_count=share, sampling_logps=torch.full((8,), -2.0)), batch([5], loss_count=share)],
    )
    of_formula = gradients(decoder, expected)
    for found in (whole, accepted):
        torch.testing.assert_close(found, expected)
        assert_close(gradients(decoder, found), of_formula)
    logps = torch.cat([naive_logps(decoder, PROMPTS[0], ANSWERS[row]) for row in (2, 0)])
    difference = metrics["sampling/sampling_logp_difference/mean"]
    assert difference == pytest.approx((logps + 2).abs().mean().item(), rel=1e-4)


@pytest.mark.parametrize("mean_over", ["examples", "tokens"])
def test_on_what_is_accepted_it_is_supervised_fine_tuning(mean_over: Literal["examples", "tokens"]) -> None:
    decoder = tiny_decoder(scale=5)
    with torch.no_grad():
        found, _ = step_of(decoder, RFT(mean_over), [batch([0, 1, 2]), batch([3, 4, 5])])
        expected, _ = step_of(decoder, LanguageModel(mean_over), [batch([0, 2]), batch([5])])
    torch.testing.assert_close(found, expected)
