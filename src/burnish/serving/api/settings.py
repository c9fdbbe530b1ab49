"""What one decides when serving a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request, and all of them together, may take. Beyond it a request is refused with a clear error.

    rows: answers that are written at the same time. queue: further ones that may wait; more are refused at once (429).
    body_bytes: of a request. tokens: new ones of an answer; also the default where a request asks for no number.
    choices: answers (`n`) of a request. messages: of a conversation. schema_chars: of the JSON of a schema.
    seconds: that a request may take, waiting included. head_seconds, read_seconds: that a client may take to send a
    request's line and headers, and its body. write_seconds: that it may leave an answer unread. connections: open at
    the same time. cache_bytes: keys and values kept for prompts that begin alike. prefill_tokens: tokens of prompts
    that run between two steps of the others.
    """

    rows: int = 32
    queue: int = 128
    body_bytes: int = 2**20
    tokens: int = 1024
    choices: int = 16
    messages: int = 1000
    schema_chars: int = 2**16
    seconds: float = 600.0
    head_seconds: float = 10.0
    read_seconds: float = 30.0
    write_seconds: float = 30.0
    connections: int = 1000
    cache_bytes: int = 2**30
    prefill_tokens: int = 256


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How a model is served.

    name: what clients call it; adapters: what they call it with each adapter. shares: other versions by
    their names, with what share of the conversations that ask for the model each gets. system: the system prompt of
    conversations that have none. temperature: where a request has none. grammar: the form of answers to conversations
    that ask for none. page: whether `/` is the chat page. feedback: a file that answers and what people think of them
    are kept in; None keeps none. keys: a file of hashed keys (`burnish.serving.api.keys`); None lets everybody in.
    origins: web pages that may call from a browser, such as https://chat.example; none by default. log_contents:
    whether questions and answers are in the log.
    """

    name: str
    adapters: Sequence[str] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 8000
    system: str | None = None
    temperature: float = 0.0
    repetition_penalty: float = 1.0
    stop: Sequence[str] = ()
    grammar: Literal["sql"] | None = None
    page: bool = True
    feedback: Path | None = None
    keys: Path | None = None
    origins: Sequence[str] = ()
    log_contents: bool = False
    grace_seconds: int = 30
    limits: Limits = Limits()

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("127.0.0.1", "::1", "localhost")
