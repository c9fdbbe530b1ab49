"""Perplexity equals the textbook loop: one sequence at a time, one token at a time."""

import math

import pytest
import torch

from burnish.evaluation.perplexity import perplexity
from burnish.forest import Forest
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    decoder = Decoder(
        DecoderConfig(vocab_size=50, d_model=16, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=4, d_ff=24)
    )
    # Larger weights than at the start of training, so that tokens differ in probability.
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(8.0)
    return decoder


@pytest.fixture(scope="module")
def sequences() -> list[list[int]]:
    generator = torch.Generator().manual_seed(3)
    lengths = [1, 2, 17, 5, 17, 9, 1, 30]
    return [torch.randint(50, (length,), generator=generator).tolist() for length in lengths]


def naive(decoder: Decoder, sequences: list[list[int]]) -> float:
    losses: list[float] = []
    with torch.no_grad():
        for sequence in sequences:
            logits = decoder.logits(decoder(Forest.from_segments([(sequence, -1)])))
            for position in range(1, len(sequence)):
                losses.append(-logits[position - 1].log_softmax(-1)[sequence[position]].item())
    return math.exp(sum(losses) / len(losses))


@pytest.mark.parametrize("micro_batch_tokens", [1, 20, 1000])
def test_it_equals_the_naive_loop_however_it_is_batched(
    decoder: Decoder, sequences: list[list[int]], micro_batch_tokens: int
) -> None:
    value = perplexity(decoder, sequences, micro_batch_tokens=micro_batch_tokens)
    assert value == pytest.approx(naive(decoder, sequences), rel=1e-5)


def test_uniform_predictions_give_the_size_of_the_vocabulary(sequences: list[list[int]]) -> None:
    decoder = Decoder(
        DecoderConfig(vocab_size=50, d_model=16, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=8, d_ff=24)
    )
    with torch.no_grad():
        decoder.embedding.weight.zero_()
    assert perplexity(decoder, sequences) == pytest.approx(50, rel=1e-6)


def test_the_decoder_is_left_as_it_was(decoder: Decoder, sequences: list[list[int]]) -> None:
    decoder.train()
    perplexity(decoder, sequences)
    assert decoder.training
    assert all(parameter.grad is None for parameter in decoder.parameters())


def test_nothing_to_score_is_an_error(decoder: Decoder) -> None:
    with pytest.raises(ValueError, match="at least two tokens"):
        perplexity(decoder, [[4], []])
