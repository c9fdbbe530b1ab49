"""New rows for new tokens: the old tokens' logits stay, the new ones begin as a mean, in every kind of decoder."""

from typing import Any

import pytest
import torch

from burnish.forest import Forest
from burnish.nn.lora import LoraConfig, add_lora
from burnish.nn.vocabulary import with_new_rows
from tiny_models import tiny_decoder


@pytest.mark.parametrize("options", [{}, {"tie_embeddings": False}, {"logits_bias": True, "tie_embeddings": False}])
def test_old_logits_stay_and_new_rows_are_means(options: dict[str, Any]) -> None:
    decoder = tiny_decoder(seed=1, scale=2.0, **options).eval()
    if decoder.logits_bias is not None:
        decoder.logits_bias.uniform_(-1, 1)
    pieces = {50: [3], 51: [4, 9, 11]}
    grown = with_new_rows(decoder, pieces)
    assert (decoder.config.vocab_size, grown.config.vocab_size) == (50, 52)
    forest = Forest.from_sequences([[1, 2, 3, 4], [7, 8]])[0]
    scored = torch.tensor([1, 2, 3, 5])
    with torch.no_grad():
        before = decoder.logits(decoder(forest)[scored])
        after = grown.logits(grown(forest)[scored])
    torch.testing.assert_close(after[:, :50], before)
    for number, old in pieces.items():
        torch.testing.assert_close(grown.embedding.weight[number], decoder.embedding.weight[old].mean(0))
        torch.testing.assert_close(after[:, number], before[:, old].mean(1))


def test_rows_beyond_the_tokenizer_are_used_and_adapters_refused() -> None:
    decoder = tiny_decoder()
    grown = with_new_rows(decoder, {48: [1, 2]})
    assert grown.config.vocab_size == 50
    torch.testing.assert_close(grown.embedding.weight[48], decoder.embedding.weight[[1, 2]].mean(0))
    torch.testing.assert_close(grown.embedding.weight[:48], decoder.embedding.weight[:48])
    add_lora(decoder, LoraConfig(rank=2, alpha=2.0, dropout=0.0, targets=("q",)), seed=0)
    with pytest.raises(ValueError, match="adapters"):
        with_new_rows(decoder, {50: [1]})
