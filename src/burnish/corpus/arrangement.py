"""The order in which a corpus lies: by chance, a curriculum by some figure, or related documents side by side."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from burnish.corpus.documents import Document
from burnish.corpus.relatedness import chain
from burnish.corpus.windows import Windows, pack, pack_joined, with_sources
from burnish.errors import DataError

Tokenized = Sequence[npt.NDArray[np.int32]]
Surprise = Callable[[Windows], Sequence[float]]
"""A model's mean loss on each window, in nats a token."""


class Arrangement(BaseModel):
    """In which order the text is read.

    A curriculum (Bengio 2009) is read as it lies in every pass: `length` short documents first, `perplexity` windows
    that the model knows best first, `score` documents of the lowest score first, so that the cleanest come last.
    `related` joins documents of similar words into windows in which they see each other (Shi 2023, arXiv:2310.10638);
    the windows are read in an order drawn from the seed.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    by: Literal["chance", "length", "perplexity", "score", "related"] = Field(
        "chance", description="what decides: chance, length, perplexity, score, or related"
    )
    descending: bool = Field(False, description="largest first, where a figure decides")
    score_key: str = Field("score", description="key of the number in JSONL and Parquet rows, for `by: score`")

    @property
    def ordered(self) -> bool:
        """Whether windows are read as they lie."""
        return self.by in ("length", "perplexity", "score")

    def problem(self) -> tuple[str, str] | None:
        """What no type shows to be wrong, the key first; None where nothing is."""
        if self.descending and not self.ordered:
            return "descending", f"got true; by {self.by} nothing is larger: remove it"
        return None

    def packed(
        self, documents: Sequence[Document], tokens: Tokenized, window: int, surprise: Surprise | None = None
    ) -> Windows:
        """Documents, given with their tokens, as windows in this order; each knows its document's source.

        surprise: needed by `perplexity`. Raises DataError where a document has no score that is asked for.
        """
        order: Sequence[int] = range(len(documents))
        if self.by == "length":
            order = self._sorted([len(of_document) for of_document in tokens])
        elif self.by == "score":
            order = self._sorted(_scores(documents))
        elif self.by == "related":
            order = chain([document.text for document in documents])
        packed = (pack_joined if self.by == "related" else pack)([tokens[number] for number in order], window)
        windows = with_sources(packed, [documents[number].source for number in order])
        if self.by == "perplexity":
            assert surprise is not None
            return windows.taken(self._sorted(surprise(windows)))
        return windows

    def _sorted(self, figures: Sequence[float]) -> list[int]:
        """Numbers by their figures; equal ones in the order that they came in."""
        values = np.array(figures, dtype=np.float64)
        return np.argsort(-values if self.descending else values, kind="stable").tolist()


def _scores(documents: Sequence[Document]) -> list[float]:
    for document in documents:
        if document.score is None:
            raise DataError(
                f"{document.source}: document {document.id} has no score, by which the corpus is to be ordered; give "
                "every row a number, and name its key in the corpus stage's order.score_key"
            )
    return [document.score for document in documents if document.score is not None]
