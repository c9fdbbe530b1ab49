"""A tokenizer of single bytes with a ChatML template: small enough to reason about token by token."""

import pytest
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from burnish.text.tokenizer import Tokenizer

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
REFUSING = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML


def byte_tokenizer(template: str) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Backend(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(text, special=True) for text in ("<|im_start|>", "<|im_end|>")])
    end = backend.token_to_id("<|im_end|>")
    return Tokenizer(backend=backend, source="bytes", eos_id=end, stop_ids=frozenset({end}), chat_template=template)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return byte_tokenizer(CHATML)


@pytest.fixture(scope="session")
def refusing_tokenizer() -> Tokenizer:
    """A tokenizer whose template allows no system message."""
    return byte_tokenizer(REFUSING)
