"""Documents that a model finds too surprising, or not surprising at all (CCNet: Wenzek 2019, arXiv:1911.00359).

A model of the language of good texts gives garbled ones, tables of numbers and other languages a high perplexity, and
boilerplate a low one. Marion 2023 (arXiv:2309.04564) found the middle the best to train on.

Notable choices:
- the limits are shares of the documents, which mean the same under any model, or perplexities, or both;
- the beginning of a document is scored: `max_tokens` at most, each token given those before it in the document.
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from burnish.corpus.preparation.steps.step import CorpusStep

if TYPE_CHECKING:
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer

_TOKENS_AT_ONCE = 2048
_CHARACTERS_OF_TOKEN = 16
"""No more than so many characters of a document for each token are tokenized."""


class Perplexity(CorpusStep):
    """Remove the documents that surprise a model most, or least."""

    type: Literal["perplexity"] = Field("perplexity", description="perplexity")
    model: str = Field(min_length=1, description="a folder or a .gguf file of the model that reads the documents")
    drop_highest: float = Field(0.1, ge=0, lt=1, description="share of the documents, the most surprising, to remove")
    drop_lowest: float = Field(0.0, ge=0, lt=1, description="share of the documents, the least surprising, to remove")
    max_perplexity: float | None = Field(None, gt=1, description="higher ones are removed")
    min_perplexity: float | None = Field(None, ge=1, description="lower ones are removed")
    max_tokens: int = Field(512, ge=2, description="tokens of a document's beginning that are scored")

    @model_validator(mode="after")
    def _something_left(self) -> "Perplexity":
        if self.drop_highest + self.drop_lowest >= 1:
            raise ValueError("drop_highest and drop_lowest remove everything; together they must be below 1")
        return self

    def inputs(self) -> list[str]:
        path = self.path(self.model)
        if not path.is_dir():
            return [self.model]
        names = ("config.json", "tokenizer.json", *(file.name for file in sorted(path.glob("*.safetensors"))))
        return [f"{self.model}/{name}" for name in names if (path / name).exists()]

    def sign(self, batch: pl.DataFrame) -> pl.DataFrame:
        decoder, tokenizer = _model(self.path(self.model))
        texts = [text[: _CHARACTERS_OF_TOKEN * self.max_tokens] for text in batch["text"]]
        sequences = [tokenizer.encode(text)[: self.max_tokens] for text in texts]
        found = perplexities(decoder, sequences)
        return pl.DataFrame({"perplexity": pl.Series(found, dtype=pl.Float64)})

    def decide(self, signatures: pl.LazyFrame) -> pl.DataFrame:
        found = signatures.select("shard", "row", "perplexity").drop_nulls().collect(engine="streaming")
        value = pl.col("perplexity")
        low = found["perplexity"].quantile(self.drop_lowest, "lower") if self.drop_lowest else None
        high = found["perplexity"].quantile(1 - self.drop_highest, "higher") if self.drop_highest else None
        bottom = max((limit for limit in (low, self.min_perplexity) if limit is not None), default=0.0)
        top = min((limit for limit in (high, self.max_perplexity) if limit is not None), default=math.inf)
        reason = pl.when(value > top).then(pl.lit("too surprising")).when(value < bottom).then(pl.lit("not surprising"))
        detail = pl.format("perplexity {}", value.round(2))
        return found.select("shard", "row", reason=reason, detail=detail).filter(pl.col("reason").is_not_null())


def perplexities(decoder: "Decoder", sequences: list[list[int]]) -> list[float | None]:
    """The perplexity of each sequence of token ids; None for one of fewer than two, of which nothing can be scored."""
    import torch

    from burnish.forest import Forest

    found: list[float | None] = [None] * len(sequences)
    order = sorted(range(len(sequences)), key=lambda number: len(sequences[number]))
    with torch.inference_mode():
        for group in _groups([number for number in order if len(sequences[number]) > 1], sequences):
            forest = Forest.from_segments((sequences[number], -1) for number in group).to(decoder.device)
            logps = decoder.logps(forest, (forest.predecessors >= 0).nonzero().squeeze(-1)).double()
            counts = [len(sequences[number]) - 1 for number in group]
            for number, part in zip(group, logps.split(counts), strict=True):
                found[number] = float(np.exp(min(-part.mean().item(), 700.0)))
    return found


def _groups(numbers: list[int], sequences: list[list[int]]) -> list[list[int]]:
    groups: list[list[int]] = []
    size = 0
    for number in numbers:
        if not groups or size + len(sequences[number]) > _TOKENS_AT_ONCE:
            groups.append([])
            size = 0
        groups[-1].append(number)
        size += len(sequences[number])
    return groups


@lru_cache(maxsize=1)
def _model(path: Path) -> "tuple[Decoder, Tokenizer]":
    import burnish

    decoder, tokenizer = burnish.load(path, compute_dtype="float32", device="cpu")
    return decoder.eval(), tokenizer
