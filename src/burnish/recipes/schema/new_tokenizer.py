"""A tokenizer of one's own in a recipe: its settings, and how it is trained on the texts that a stage reads."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Discriminator, Field, Tag

from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.stage import ModelReference, Reference, StageContext, StrictModel, read_text

if TYPE_CHECKING:
    from burnish.text.tokenizer import Tokenizer

CHATML, NO_TEMPLATE = "chatml", "none"
ChatTemplate = Annotated[str, Reference("file", words=(CHATML, NO_TEMPLATE))]


class NewTokenizer(StrictModel):
    """A tokenizer trained on the text that is trained on: byte-level BPE, for a model that is pre-trained on it."""

    vocab_size: int = Field(8192, ge=1, le=2**24, description="tokens at most; fewer where the text is short")
    special_tokens: list[str] = Field(
        [], description="control tokens of your own, such as <|tool|>, beside those of a chat and the end of a text"
    )
    chat_template: ChatTemplate = Field(
        CHATML, description="how a chat is written, for SFT to follow: chatml, a Jinja file, or none"
    )
    min_frequency: int = Field(2, ge=1, description="how often a pair must occur to become a token")

    def contradictions(self) -> Iterator[tuple[KeyPath, str]]:
        """What no type shows to be wrong, with the key at fault."""
        from burnish.text.tokenizer_training import least_vocabulary, token_problem

        if (problem := token_problem(self.special_tokens)) is not None:
            yield ("special_tokens",), f"got {problem}"
        least = least_vocabulary(self.special_tokens)
        if self.vocab_size < least:
            text = f"got {self.vocab_size}; expected at least {least}: 256 bytes and {least - 256} control tokens"
            yield ("vocab_size",), text

    def train(self, texts: Iterable[str], context: StageContext) -> "Tokenizer":
        """The tokenizer of these texts."""
        from burnish.text import tokenizer_training

        template: str | None = tokenizer_training.CHATML
        if self.chat_template != CHATML:
            file = None if self.chat_template == NO_TEMPLATE else context.path(self.chat_template)
            template = None if file is None else read_text(file)
        tokenizer = tokenizer_training.train_tokenizer(
            texts,
            vocab_size=self.vocab_size,
            special_tokens=self.special_tokens,
            chat_template=template,
            min_frequency=self.min_frequency,
        )
        return replace(tokenizer, today=context.today)

    def check(self, context: StageContext) -> None:
        """Raise DataError where the chat template cannot write a chat, or ends its turns with none of the tokens."""
        from burnish.text.chat import Message, encode_conversation

        chat: list[Message] = [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "So."}]
        tokenizer = self.train([], context)
        if tokenizer.chat_template is not None:
            encode_conversation(replace(tokenizer, source=self.chat_template), chat)


def _kind(tokenizer: object) -> str:
    return "new" if isinstance(tokenizer, dict | NewTokenizer) else "existing"


TokenizerKey = Annotated[
    Annotated[ModelReference, Tag("existing")] | Annotated[NewTokenizer, Tag("new")], Discriminator(_kind)
]
"""One that exists, or the settings of a new one."""
