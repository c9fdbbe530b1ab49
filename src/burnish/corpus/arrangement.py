"""The order in which a corpus lies: by chance, a curriculum by some figure, or related documents side by side."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from burnish.corpus.relatedness import chain
from burnish.corpus.shards import WindowsWriter
from burnish.corpus.spool import Spool
from burnish.corpus.spooled_parts import Part
from burnish.corpus.windows import Windows, window_lengths
from burnish.errors import DataError

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

    def write(self, spool: Spool, group: int, writer: WindowsWriter, window: int, sources: Mapping[str, int]) -> None:
        """Write the training text of a group in this order, but for `perplexity`, which windows must be there for.

        sources: numbers of the sources, or nothing where they are not told apart.
        Raises DataError where a document has no score that is asked for.
        """
        if self.by == "score" and (without := spool.parts.unscored(group)) is not None:
            raise DataError(
                f"{without[1]}: document {without[0]} has no score, by which the corpus is to be ordered; give "
                "every row a number, and name its key in the corpus stage's order.score_key"
            )
        if self.by == "related":
            keys = list(spool.parts.keys(group, held=False))
            order = chain(_Texts(spool, group))
            _write_joined((spool.parts.part(keys[place]) for place in order), writer, window, sources)
            return
        column = {"length": "size", "score": "score"}.get(self.by, "key")
        by = f"{column} DESC" if self.descending and column != "key" else column
        write_parts(
            (spool.parts.part(key) for key in spool.parts.keys(group, held=False, by=by)), writer, window, sources
        )

    def sorted(self, figures: Sequence[float]) -> npt.NDArray[np.int64]:
        """Numbers by their figures; equal ones in the order that they came in."""
        values = np.array(figures, dtype=np.float64)
        return np.argsort(-values if self.descending else values, kind="stable")


def write_parts(parts: Iterable[Part], writer: WindowsWriter, window: int, sources: Mapping[str, int]) -> None:
    """Write documents, each in windows of its own, of nearly equal length."""
    for number, part in enumerate(parts):
        lengths = window_lengths(len(part.tokens), window)
        writer.add(part.tokens, lengths, number, sources[part.source] if sources else None)


def _write_joined(parts: Iterable[Part], writer: WindowsWriter, window: int, sources: Mapping[str, int]) -> None:
    """Write documents end to end, cut into windows of `window` tokens, the last of which may be shorter.

    Documents of one window see each other: for those that belong together (Shi 2023, arXiv:2310.10638). A window is
    said to be of its first document.
    """
    left = np.zeros(0, dtype=np.int32)
    first, source = 0, None
    for number, part in enumerate(parts):
        if not len(part.tokens):
            continue
        here = sources[part.source] if sources else None
        if not len(left):
            first, source = number, here
        left = np.concatenate([left, part.tokens])
        while len(left) >= window:
            writer.add(left[:window], [window], first, source)
            left, first, source = left[window:], number, here
    if len(left):
        writer.add(left, [len(left)], first, source)


@dataclass(frozen=True)
class _Texts:
    """The training text of a group, read anew each time."""

    spool: Spool
    group: int

    def __iter__(self) -> Iterator[str]:
        return self.spool.parts.texts(self.group)
