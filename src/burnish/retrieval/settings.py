"""How an index is made and searched."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Ranking = Literal["bm25", "embeddings", "fused", "graph"]
"""How passages are ranked: by words, by meaning, by both, or by what those are linked with as well."""

LONGEST_QUERY = 20_000
"""Characters of a question; a longer one is no question, and BM25 would rank by whatever is in it."""
PASSAGE_TOKENS = 1024
"""How many tokens of passages a question gets, unless told."""
NO_LANGUAGE = "none"


class IndexSettings(BaseModel):
    """How documents become passages."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    size: int = Field(default=192, ge=8, description="tokens of a passage at most")
    overlap: int = Field(
        default=32,
        ge=0,
        description="tokens at the end of a passage that its follower in the same section repeats, at most",
    )
    language: str = Field(
        default="english",
        description="whose endings BM25 takes off words and whose stop words it leaves out; `none` neither",
    )

    graph: bool = Field(
        default=False, description="whether passages are linked by what they name, for the ranking `graph`"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.overlap > self.size // 2:
            raise ValueError(f"overlap: got {self.overlap}; expected at most half of size ({self.size})")
        return self

    def changed(self, **values: Any) -> "IndexSettings":
        """These settings with other values where they are not None, checked."""
        given = {key: value for key, value in values.items() if value is not None}
        return type(self).model_validate({**self.model_dump(), **given})
