"""The language-model loss equals its textbook version, one sequence at a time, in value and gradient."""

import pytest
import torch
from naive import PAIRS, assert_close, gradients, naive_logps, step_of

from burnish.datasets.batches import supervised_batches
from burnish.datasets.examples import Example
from burnish.objectives.language_model import language_model
from tiny_models import tiny_decoder


@pytest.mark.parametrize("micro_batch_tokens", [1000, 30])
def test_language_model_loss_is_the_mean_over_all_answer_tokens(micro_batch_tokens: int) -> None:
    decoder = tiny_decoder(scale=5)
    examples = [
        Example(pair.prompt + pair.chosen, [False] * len(pair.prompt) + [True] * len(pair.chosen)) for pair in PAIRS
    ]
    batches = supervised_batches(examples, micro_batch_tokens=micro_batch_tokens)
    assert len(batches) == (1 if micro_batch_tokens == 1000 else 2)
    found, _ = step_of(decoder, language_model, batches)
    expected = -torch.cat([naive_logps(decoder, pair.prompt, pair.chosen) for pair in PAIRS]).mean()
    torch.testing.assert_close(found, expected)
    assert_close(gradients(decoder, found), gradients(decoder, expected))
