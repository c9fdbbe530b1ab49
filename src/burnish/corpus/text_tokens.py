"""Documents as tokens: plain text between the tokens that begin and end one."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from burnish.corpus.documents import Document
from burnish.text.tokenizer import Tokenizer


class TextTokens:
    """Texts as tokens: as plain text between the tokens that begin and end one."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.begin = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
        self.end = [tokenizer.eos_id] if tokenizer.eos_id is not None else []

    def all_of(self, texts: Sequence[str]) -> Iterator[npt.NDArray[np.int32]]:
        """The tokens of each text."""
        for ids in self.tokenizer.encode_batch(texts):
            yield np.array([*self.begin, *ids, *self.end], dtype=np.int32)

    def size(self, text: str) -> int:
        """Tokens of one text."""
        return len(self.begin) + len(self.tokenizer.encode(text)) + len(self.end)


def tokenize(documents: Sequence[Document], tokenizer: Tokenizer) -> list[list[int]]:
    """Encode documents as plain text, each ended by the end-of-sequence token."""
    return [tokens.tolist() for tokens in tokenized([document.text for document in documents], tokenizer)]


def tokenized(texts: Sequence[str], tokenizer: Tokenizer) -> list[npt.NDArray[np.int32]]:
    """The same of texts, as arrays."""
    return list(TextTokens(tokenizer).all_of(texts))
