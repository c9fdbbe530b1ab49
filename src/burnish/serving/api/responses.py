"""What is answered, for the page that describes it: OpenAI's forms, and what is Burnish's beside them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Fault(_Form):
    """Why a request was refused. param: the field at fault."""

    message: str
    type: Literal["invalid_request_error", "authentication_error", "rate_limit_error", "server_error"]
    param: str | None
    code: str | None


class ErrorBody(_Form):
    """Body of every error."""

    error: Fault


class CachedTokens(_Form):
    """Tokens of prompts that were computed earlier."""

    cached_tokens: int


class Usage(_Form):
    """Tokens of a request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class TokenLogprob(_Form):
    """A token with its log-probability in nats and its bytes."""

    token: str
    logprob: float
    bytes: list[int]


class WrittenToken(TokenLogprob):
    """A token of an answer, with the most probable ones in its place."""

    top_logprobs: list[TokenLogprob]


class ChatLogprobs(_Form):
    """Log-probabilities of an answer."""

    content: list[WrittenToken]
    refusal: None


class CalledFunction(_Form):
    """arguments: JSON as text."""

    name: str
    arguments: str


class ToolCall(_Form):
    """A call that the model asks the client to make."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class AnswerMessage(_Form):
    """What the model says. refusal: what is said instead where no answer passed the gate of the recipe."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None


class ChatChoice(_Form):
    """One of `n` answers."""

    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]


class ChatAnswer(_Form):
    """Body of an answered chat. burnish: sources, a query's result, and what else belongs to the answer."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    burnish: dict[str, Any] | None = None


class CompletionLogprobs(_Form):
    """Log-probabilities of a text's tokens; the first of a repeated prompt has none."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(_Form):
    """One of the texts."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length"]


class CompletionAnswer(_Form):
    """Body of an answered completion."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage


class ServedModel(_Form):
    """What can be asked by its name.

    max_model_len: tokens of a prompt and its answer together. parent: the model that an adapter belongs to.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int | None = None
    parent: str | None = None


class ServedModels(_Form):
    """All of them."""

    object: Literal["list"]
    data: list[ServedModel]


class EmbeddingUsage(_Form):
    """Tokens of texts."""

    prompt_tokens: int
    total_tokens: int


class EmbeddedText(_Form):
    """A text's vector, as numbers or as base64 of 32-bit floats."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingAnswer(_Form):
    """Vectors in the order of the texts."""

    object: Literal["list"]
    model: str
    data: list[EmbeddedText]
    usage: EmbeddingUsage


class FeedbackAnswer(_Form):
    """The number of a judgement that is kept."""

    object: Literal["feedback"]
    number: int


class FeedbackState(_Form):
    """Whether judgements are kept."""

    object: Literal["feedback"]
    enabled: bool


class State(_Form):
    """How a server is."""

    status: str = Field(examples=["ok"])
