"""adapt_tokenizer: a model with some more tokens, another chat template, or both."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.recipes.language.places import KeyPath
from burnish.recipes.plan.work import Work
from burnish.recipes.schema.stage import (
    FileReference,
    LatestModel,
    Metrics,
    ReferenceKind,
    StageConfig,
    StageContext,
    read_text,
)

if TYPE_CHECKING:
    from burnish.text.tokenizer import Tokenizer


class AdaptTokenizerStage(StageConfig):
    """Adds tokens to a model's tokenizer, embedding and output layer, or gives it another chat template.

    Each token begins as the mean of a text's tokens. They are ordinary ones: they may stand in data, and judges read
    them. The product is `model/`, which knows them once a training has read them.
    """

    type: Literal["adapt_tokenizer"] = Field("adapt_tokenizer", description="adapt_tokenizer")
    model: LatestModel = Field(
        None, description="model to start from: base, @STAGE or a path; the latest trained one if left out"
    )
    tokens: dict[str, str] = Field(
        {}, description="by each new token a text that says about the same, for example {<|summary|>: 'in short'}"
    )
    chat_template: FileReference | None = Field(
        None, description="how a chat is written from now on: a Jinja file; as before if left out"
    )

    produces: ClassVar[dict[ReferenceKind, str]] = {"model": "model"}
    retokenizes: ClassVar[bool] = True

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        if not self.tokens and self.chat_template is None:
            yield ("type",), "has nothing to adapt; expected `tokens`, `chat_template`, or both"
        for token, text in self.tokens.items():
            if token != token.strip() or len(token) < 3:
                yield ("tokens", token), "is no name of a token; expected a text like '<|summary|>', without spaces"
            elif not text.strip():
                yield ("tokens", token), "has no text to begin as; expected some words, such as 'in short'"

    @property
    def new_tokens(self) -> int:
        return len(self.tokens)

    def tokenizer_made(
        self, tokenizer: "Tokenizer", inputs: Mapping[str, tuple[Path, ...]], *, about: bool = False
    ) -> "Tokenizer | None":
        from burnish.methods.adapt_tokenizer import with_template, with_tokens

        adapted, _ = with_tokens(tokenizer, self.tokens)
        if self.chat_template is None:
            return adapted
        (file,) = inputs[self.chat_template]
        return with_template(adapted, read_text(file), str(file)) if file.exists() else None

    def check(self, context: StageContext) -> None:
        if (tokenizer := context.tokenizer(self.model)) is not None:
            self.tokenizer_made(tokenizer, context.inputs)

    def disk_bytes(self, n_parameters: int, steps: int = 0) -> int:
        return n_parameters * 4

    def work(self, context: StageContext) -> Work:
        return Work()

    def run(self, context: StageContext) -> Metrics:
        from burnish.methods.adapt_tokenizer import add_tokens, with_template
        from burnish.methods.saving import save_model

        decoder, tokenizer = context.load(self.model)
        before = decoder.config.vocab_size
        if self.tokens:
            decoder, tokenizer = add_tokens(decoder, tokenizer, self.tokens)
        if self.chat_template is not None:
            file = context.path(self.chat_template)
            tokenizer = with_template(tokenizer, read_text(file), str(file))
        save_model(decoder, tokenizer, context)
        size = {"before": before, "after": decoder.config.vocab_size}
        context.display.say(
            f"  {len(self.tokens)} new tokens, {size['before']:,} -> {size['after']:,} rows of the embedding"
            + (f"; chats are written as {self.chat_template} says" if self.chat_template else "")
        )
        return {"vocab_size": size, "ids": {token: tokenizer.encode(token)[0] for token in self.tokens}}

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {}
