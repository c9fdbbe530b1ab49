"""Tiny models with random weights and a tiny byte-level tokenizer."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.text.gguf_vocabulary import PRE_TOKENIZERS
from burnish.text.tokenizer import Tokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Tokenizer:
    backend = Backend(models.BPE())
    rule = PRE_TOKENIZERS["smollm"]
    backend.pre_tokenizer = rule.build()
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=[AddedToken(token, special=True) for token in ("<|end|>", "<|im_start|>", "<|im_end|>")],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(["the quick brown fox jumps over the lazy dog, 1 2 3 times\n"] * 9, trainer)
    return Tokenizer(
        backend=backend,
        source="tiny",
        bos_id=1,
        eos_id=2,
        pad_id=0,
        stop_ids=frozenset({2}),
        chat_template=CHATML,
        context_length=128,
    )


@pytest.fixture
def make_decoder(tiny_tokenizer: Tokenizer) -> Callable[..., Decoder]:
    """Makes a decoder with weights large enough that every part of the network shows in the logits."""

    def make(seed: int = 0, **changes: Any) -> Decoder:
        sizes: dict[str, Any] = {
            "vocab_size": tiny_tokenizer.vocab_size,
            "d_model": 32,
            "n_layers": 2,
            "n_heads": 4,
            "n_kv_heads": 2,
            "head_dim": 8,
            "d_ff": 64,
            "max_positions": 128,
            "model_type": "llama",
        }
        decoder = Decoder(DecoderConfig(**{**sizes, **changes}))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in decoder.parameters():
                parameter.normal_(std=0.3, generator=generator)
                if parameter.ndim == 1:
                    parameter.add_(1.0)
        return decoder

    return make
