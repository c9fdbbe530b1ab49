"""What a recipe says of retrieval: the index, how many passages, and examples like the question."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from burnish.recipes.schema.stage import FileReference, IndexReference, StageContext, StrictModel
from burnish.retrieval.settings import PASSAGE_TOKENS, Ranking

if TYPE_CHECKING:
    from burnish.methods.retrieved import Retrieval
    from burnish.retrieval.grounding import Passages


class PassageSettings(StrictModel):
    """How many passages of an index a question gets, and which."""

    passages: int = Field(default=4, ge=1, description="passages for a question")
    passage_tokens: int = Field(default=PASSAGE_TOKENS, ge=1, description="tokens of them together, at most")
    ranking: Ranking | None = Field(
        default=None,
        description="`bm25`, by words; `embeddings`, by meaning; `fused`, by both; or `graph`, by what is linked as "
        "well; by both, where the index has been embedded, if left out",
    )

    def opened(self, path: Path, *, device: str = "auto", compute_dtype: str = "auto") -> "Passages":
        """The passages of the index in a folder."""
        from burnish.retrieval import Index
        from burnish.retrieval.grounding import Passages

        index = Index.open(path, device=device, compute_dtype=compute_dtype)
        return Passages(index, self.passages, self.passage_tokens, self.ranking)


class IndexedPassages(PassageSettings):
    """Passages of an index that questions are answered from."""

    index: IndexReference = Field(description="the index: `@index`, or its folder")


class RetrievalConfig(PassageSettings):
    """What tasks are asked with, beside without: passages of an index, solved examples, or both."""

    index: IndexReference | None = Field(default=None, description="the index: `@index`, or its folder")
    examples: FileReference | None = Field(
        default=None, description="rows with answers, of which those like the question are turns before it"
    )
    shots: int = Field(default=3, ge=1, description="examples for a question")
    columns: dict[str, str] = Field(default={}, description="names of the examples' columns")

    @model_validator(mode="after")
    def _check(self) -> "RetrievalConfig":
        if self.index is None and self.examples is None:
            raise ValueError("expected `index`, `examples` or both")
        return self

    @property
    def tokens(self) -> int:
        """Tokens of passages that a question gets at most."""
        return 0 if self.index is None else self.passage_tokens

    def retrieval(self, context: StageContext) -> "Retrieval":
        """What is retrieved from. Raises BurnishError where the index or the examples cannot be used."""
        from burnish.methods.retrieved import Retrieval
        from burnish.retrieval.examples import Examples

        passages = examples = None
        if self.index is not None:
            passages = self.opened(context.path(self.index), device=context.device, compute_dtype=context.compute_dtype)
        if self.examples is not None:
            examples = Examples(list(self._pairs(context, self.examples)))
        return Retrieval(passages, examples, self.shots)

    def _pairs(self, context: StageContext, examples: str) -> Iterator[tuple[str, str]]:
        """Question and answer of each example: the last turns of its conversation."""
        from burnish.datasets.rows import read_conversations

        for row in read_conversations(context.paths(examples), columns=self.columns):
            turns = [turn for turn in row.messages if turn.get("role") in ("user", "assistant")][-2:]
            if [turn.get("role") for turn in turns] == ["user", "assistant"]:
                question, answer = (str(turn.get("content") or "") for turn in turns)
                yield question, answer
