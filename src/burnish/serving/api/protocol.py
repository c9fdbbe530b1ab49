"""The requests that are understood, checked field by field.

A field that is not known, or that is known and not served, is refused unless it asks for nothing: an answer never
differs in silence from what was asked for.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Text = Annotated[str, Field(max_length=1_000_000)]
Stop = Annotated[str, Field(min_length=1, max_length=200)]
MAX_STOPS = 16
MAX_TEXTS = 256
"""Most texts of a request for vectors."""
MAX_TOOLS = 128
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}
MAX_TOP = 20
"""Most alternatives told of a token."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class StreamOptions(_Strict):
    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class TextPart(_Strict):
    """A part of a message."""

    type: Literal["text"]
    text: Text


class ChatMessage(_Strict):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[TextPart] | None = None
    name: Annotated[str, Field(max_length=64)] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: Annotated[str, Field(max_length=200)] | None = None
    refusal: None = None
    reasoning_content: Text | None = None

    def plain(self) -> dict[str, Any]:
        """As templates read it."""
        content = self.content
        if isinstance(content, list):
            content = "".join(part.text for part in content)
        own = self.model_dump(exclude_none=True, exclude={"content", "role", "refusal"})
        return {"role": "system" if self.role == "developer" else self.role, "content": content, **own}


ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class Function(_Strict):
    """What a tool does. strict: calls are always checked by the schema here."""

    name: ToolName
    description: Annotated[str, Field(max_length=10_000)] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(_Strict):
    """A tool that the model may ask for; the client runs it."""

    type: Literal["function"]
    function: Function

    def plain(self) -> dict[str, Any]:
        """As templates read it."""
        own = self.function.model_dump(exclude_none=True, exclude={"strict"})
        return {"type": "function", "function": {"description": "", "parameters": _NO_PARAMETERS, **own}}


class FunctionName(_Strict):
    name: ToolName


class NamedTool(_Strict):
    """The tool that must be called."""

    type: Literal["function"]
    function: FunctionName


class PlainText(_Strict):
    """Any answer."""

    type: Literal["text"]


class JsonObject(_Strict):
    """Some JSON object."""

    type: Literal["json_object"]


class NamedSchema(_Strict):
    """A JSON schema as OpenAI's clients send it."""

    name: Annotated[str, Field(max_length=64)]
    description: Annotated[str, Field(max_length=1000)] | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class JsonSchema(_Strict):
    """JSON by a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


class Regex(_Strict):
    """Text that a regular expression matches as a whole."""

    type: Literal["regex"]
    pattern: Annotated[str, Field(min_length=1, max_length=10_000)]


class Sql(_Strict):
    """One query that names only what the served database has."""

    type: Literal["sql"]


ResponseFormat = Annotated[PlainText | JsonObject | JsonSchema | Regex | Sql, Field(discriminator="type")]
"""How an answer is to be written."""


class _Sampled(_Strict):
    """What chat and completions have in common."""

    model: Annotated[str, Field(max_length=400)]
    n: Annotated[int, Field(ge=1)] = 1
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    user: Annotated[str, Field(max_length=1000)] | None = None
    metadata: dict[str, str] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    response_format: ResponseFormat | None = None

    @field_validator("frequency_penalty", "presence_penalty")
    @classmethod
    def _no_penalty(cls, value: float | None) -> float | None:
        if value:
            raise ValueError("not served; expected 0. repetition_penalty is")
        return value

    @field_validator("logit_bias")
    @classmethod
    def _no_bias(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value:
            raise ValueError("not served; leave it out")
        return value

    @model_validator(mode="after")
    def _options_of_streams(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only for stream: true")
        return self

    @property
    def stops(self) -> tuple[str, ...] | None:
        """Stop strings; None where the request says nothing of them."""
        return (self.stop,) if isinstance(self.stop, str) else None if self.stop is None else tuple(self.stop)


class ChatRequest(_Sampled):
    """Body of `/v1/chat/completions`."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=2000)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP)] | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    modalities: list[Literal["text"]] | None = None

    @model_validator(mode="after")
    def _alternatives_need_logprobs(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs is only for logprobs: true")
        return self

    @model_validator(mode="after")
    def _choice_of_tools(self) -> Self:
        names = [tool.function.name for tool in self.tools or ()]
        if not names and self.tool_choice not in (None, "none", "auto"):
            raise ValueError("tool_choice: needs tools")
        if isinstance(self.tool_choice, NamedTool) and self.tool_choice.function.name not in names:
            raise ValueError(f"tool_choice: no tool {self.tool_choice.function.name!r} among {', '.join(names)}")
        if self.forced_tools and self.response_format is not None and self.response_format.type != "text":
            raise ValueError("tool_choice: a call has its own form; leave response_format out")
        return self

    @property
    def shown_tools(self) -> list[dict[str, Any]]:
        """Definitions of the tools that the model is told of, as templates read them."""
        if self.tool_choice == "none":
            return []
        return [tool.plain() for tool in self.tools or ()]

    @property
    def forced_tools(self) -> list[str]:
        """Names of the tools one of which must be called; none where the model is free."""
        if isinstance(self.tool_choice, NamedTool):
            return [self.tool_choice.function.name]
        return [tool.function.name for tool in self.tools or ()] if self.tool_choice == "required" else []


class CompletionRequest(_Sampled):
    """Body of `/v1/completions`."""

    prompt: (
        Text | Annotated[list[int], Field(min_length=1)] | list[Text] | list[Annotated[list[int], Field(min_length=1)]]
    )
    max_tokens: Annotated[int, Field(ge=0)] | None = 16
    logprobs: Annotated[int, Field(ge=0, le=MAX_TOP)] | None = None
    echo: bool | None = False
    best_of: Annotated[int, Field(ge=1)] | None = None
    suffix: None = None

    @model_validator(mode="after")
    def _best_of_all(self) -> Self:
        if self.best_of not in (None, self.n):
            raise ValueError("best_of is not served; expected the same as n")
        if self.max_tokens == 0 and not self.echo:
            raise ValueError("max_tokens: 0 asks for nothing without echo: true")
        return self

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """All prompts, each as text or as tokens."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [self.prompt]
        return self.prompt  # type: ignore[return-value]


def _several(texts: Any) -> Any:
    """One text as a list of one: so what is wrong is told of a list alone, not of a text first."""
    return [texts] if isinstance(texts, str) else texts


class EmbeddingRequest(_Strict):
    """Body of `/v1/embeddings`."""

    model: Annotated[str, Field(max_length=400)]
    input: Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS), BeforeValidator(_several)]
    encoding_format: Literal["float", "base64"] = "float"
    user: Annotated[str, Field(max_length=1000)] | None = None
    dimensions: None = None
