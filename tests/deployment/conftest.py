"""The tiny tokenizer of the recipes' tests."""

import pytest

import workshop
from burnish.text.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Tokenizer:
    return workshop.tiny_tokenizer()
