"""sft: supervised fine-tuning on conversations; see `burnish.methods.sft`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from burnish.methods import sft
from burnish.recipes.schema.rows_stage import RowsStage
from burnish.recipes.schema.stage import FileReference, Metrics, Reference, StageContext, read_text

if TYPE_CHECKING:
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Conversation
    from burnish.text.tokenizer import Tokenizer


TOOLS = "tools"
ToolsTemplate = Annotated[str, Reference("file", words=(TOOLS,))]


class SftStage(sft.Settings, RowsStage):
    """Imitates the assistant of the conversations; what they all begin with is computed once a batch."""

    type: Literal["sft"] = Field("sft", description="sft")
    data: FileReference | list[FileReference] = Field(
        description="conversations: OpenAI messages, ShareGPT, Alpaca or prompt and completion; a file, or several "
        "whose rows are mixed"
    )

    chat_template: ToolsTemplate | None = Field(
        None,
        description="how conversations are written from here on: `tools`, ChatML with calls of tools, or a Jinja file; "
        "the model's own if left out",
    )

    def rows(self, context: StageContext) -> "list[Conversation]":
        from burnish.datasets.rows import read_conversations

        return self.with_system(context, read_conversations(context.paths(self.data), columns=self.columns))

    def encode(self, rows: Sequence[Any], tokenizer: "Tokenizer") -> "tuple[list[Any], Report]":
        return sft.encode(rows, tokenizer, self)

    def tokenizer(self, context: StageContext, tokenizer: "Tokenizer") -> "Tokenizer":
        """The model's tokenizer, with the chat template that is learned."""
        if self.chat_template is None:
            return tokenizer
        from burnish.text.tool_calls.template import with_template, with_tools_template

        if self.chat_template == TOOLS:
            return with_tools_template(tokenizer)
        return with_template(tokenizer, read_text(context.path(self.chat_template)), self.chat_template)

    def check(self, context: StageContext) -> None:
        super().check(context)
        if self.mixture is not None:
            from burnish.datasets.mixing import counts

            self.mixture.shares(counts([row.task_type for row in self.rows(context)]))

    def learned_from(self, rows: "Sequence[Conversation]") -> int:
        # A conversation may become an example an answer.
        answers = sum(message["role"] == "assistant" for one in rows for message in one.messages)
        return max(answers, len(rows))

    def sequences(self, example: Any) -> list[list[int]]:
        return [example.tokens]

    def run(self, context: StageContext) -> Metrics:
        model, tokenizer = context.load(self.model)
        tokenizer = self.tokenizer(context, tokenizer)
        return sft.train(model, tokenizer, self.rows(context), self, context, base=context.path(self.model))
