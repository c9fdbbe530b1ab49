"""Vectors of texts, by an encoder beside the model."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish.corpus.embeddings import Embedder, Encoder, Vectors
from burnish.errors import BurnishError
from burnish.packages import PACKAGE
from burnish.serving.api.faults import ApiError
from burnish.serving.api.protocol import EmbeddingRequest

PORTION = 16
"""Texts between two steps of the answers that are being written."""


@dataclass(frozen=True, eq=False)
class ServedEncoder:
    """An encoder, and what clients call it."""

    name: str
    embedder: Embedder

    @classmethod
    def of(cls, reference: str, *, device: str, taken: str) -> "ServedEncoder":
        """Load the one that a command names; called as its folder, or its package. Raises BurnishError.

        taken: what the model is called, so that clients can tell the two apart.
        """
        encoder = Encoder(reference, device=device)
        packaged = reference.startswith(PACKAGE)
        name = reference.removeprefix(PACKAGE).partition("/")[0] if packaged else encoder.folder.name
        if name == taken:
            raise BurnishError(f"--encoder {reference}: is called {name!r}, as the model is; expected another --name")
        return cls(name, encoder.embedder)

    async def answer(
        self, asked: EmbeddingRequest, call: Callable[[Callable[[], Vectors]], Awaitable[Vectors]]
    ) -> dict[str, Any]:
        """The vectors in OpenAI's JSON; each of unit length, of the text as a document. Raises ApiError for no text.

        call: runs a portion where the model runs.
        """
        n_tokens = await asyncio.to_thread(lambda: [len(self.embedder.token_starts(text)) for text in asked.input])
        if 0 in n_tokens:
            raise ApiError(400, f"input.{n_tokens.index(0)}: a text without words has no vector", param="input")
        portions = [asked.input[first : first + PORTION] for first in range(0, len(n_tokens), PORTION)]
        vectors = [await call(lambda texts=texts: self.embedder.embed(texts, "document")) for texts in portions]  # type: ignore[misc]
        data = [
            {"object": "embedding", "index": place, "embedding": _written(vector, asked.encoding_format)}
            for place, vector in enumerate(np.concatenate(vectors))
        ]
        usage = {"prompt_tokens": sum(n_tokens), "total_tokens": sum(n_tokens)}
        return {"object": "list", "model": self.name, "data": data, "usage": usage}


def _written(vector: Vectors, form: str) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(value) for value in vector]
