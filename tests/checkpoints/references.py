"""What the consumers of a checkpoint compute, to compare the decoder with."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from burnish.forest import Forest
from burnish.nn.decoder import Decoder


@torch.no_grad()
def our_logits(decoder: Decoder, ids: list[int]) -> Tensor:
    """Logits `[tokens, vocab]` of one sequence."""
    decoder.eval()
    return decoder.logits(decoder(Forest(torch.tensor(ids), (len(ids),), (-1,))))


@torch.no_grad()
def transformers_logits(model: Any, ids: list[int]) -> Tensor:
    """The same from a transformers model."""
    logits: Tensor = model.eval()(torch.tensor([ids])).logits[0]
    return logits


def load_in_transformers(folder: Path) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def assert_equal_logits(ours: Tensor, theirs: Tensor) -> None:
    """Equal within 1e-4 of the largest logit."""
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-4


def our_greedy(decoder: Decoder, ids: list[int], n: int) -> list[int]:
    """`n` greedy tokens after `ids`, computed anew for each."""
    new: list[int] = []
    for _ in range(n):
        new.append(int(our_logits(decoder, ids + new)[-1].argmax()))
    return new


def transformers_greedy(model: Any, ids: list[int], n: int) -> list[int]:
    """The same from a transformers model, with its cache."""
    prompt = torch.tensor([ids])
    # The mask is given because transformers would hide the tokens of the prompt that equal the padding token.
    new = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=n, do_sample=False, eos_token_id=None
    )
    tokens: list[int] = new[0, len(ids) :].tolist()
    return tokens
