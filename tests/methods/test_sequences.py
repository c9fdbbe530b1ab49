"""Log-probabilities and rewards of given answers equal those of each sequence alone, computed the plain way."""

import pytest
import torch
from torch import Tensor

from burnish.forest import Forest
from burnish.methods.sequences import answer_logps, answer_rewards
from burnish.nn.decoder import Decoder
from burnish.nn.scalar import ScalarModel
from tiny_models import tiny_decoder

# Two prompts of which one is shared, an answer that begins another, a long one, one of a single token.
PROMPTS = [list(range(1, 20)), list(range(1, 20)), [4, 5], list(range(1, 20)), [7]]
ANSWERS = [[3, 4, 5], [3, 4, 5, 6, 7], list(range(2, 30)), [9], [1, 2]]


def hidden(decoder: Decoder, tokens: list[int]) -> Tensor:
    """Hidden states of one sequence that shares nothing: `[tokens, d_model]`."""
    return decoder(Forest.from_segments([(tokens, -1)]))


@pytest.mark.parametrize("micro_batch_tokens", [1, 60, 4096])
def test_log_probabilities_are_those_of_each_sequence_alone(micro_batch_tokens: int) -> None:
    decoder = tiny_decoder(seed=1, scale=3.0).eval()
    found = answer_logps(decoder, PROMPTS, ANSWERS, micro_batch_tokens=micro_batch_tokens)
    for prompt, answer, logps in zip(PROMPTS, ANSWERS, found, strict=True):
        distributions = decoder.logits(hidden(decoder, prompt + answer)).log_softmax(-1)
        places = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
        expected = torch.stack([distributions[place, token] for place, token in zip(places, answer, strict=True)])
        torch.testing.assert_close(logps, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("micro_batch_tokens", [1, 60, 4096])
def test_the_reward_is_read_at_the_last_token(micro_batch_tokens: int) -> None:
    model = ScalarModel(tiny_decoder(seed=2, scale=3.0).eval(), seed=3)
    found = answer_rewards(model, PROMPTS, ANSWERS, micro_batch_tokens=micro_batch_tokens)
    expected = [
        (hidden(model.decoder, prompt + answer)[-1] @ model.score[0]).item()
        for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)
    ]
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert len(set(found)) == len(found)


def test_nothing_given_is_nothing_found() -> None:
    assert answer_logps(tiny_decoder(), [], []) == []
    assert answer_rewards(ScalarModel(tiny_decoder()), [], []) == []
