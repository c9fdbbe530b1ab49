"""What is said of each request: a line of JSON in the log, and numbers for Prometheus."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from burnish.serving.api.metrics import Metrics


@dataclass
class Record:
    """One request as it is answered; contents: what was asked and answered, where that may be logged."""

    id: str
    path: str
    key: str = ""
    started: float = field(default_factory=time.monotonic)
    queued: float | None = None
    first_token: float | None = None
    prompt_tokens: int = 0
    new_tokens: int = 0
    cached_tokens: int = 0
    ended_by: str = ""
    contents: dict[str, Any] = field(default_factory=dict)

    def first_token_came(self) -> bool:
        """Note the time of the first token; whether this was it."""
        if self.first_token is not None:
            return False
        self.first_token = time.monotonic() - self.started
        return True


class Records:
    """Where requests are told. contents: whether what was asked and answered is."""

    def __init__(self, metrics: Metrics, log: Callable[[str], None] | None, *, contents: bool) -> None:
        self._metrics, self._contents = metrics, contents
        self._log = log or (lambda line: print(line, file=sys.stderr, flush=True))

    def first_token(self, record: Record) -> None:
        """Tell that a token has come."""
        if record.first_token_came() and record.first_token is not None:
            self._metrics.first_token.observe(record.first_token)

    def counted(self, record: Record, usage: dict[str, Any], queued: float | None) -> None:
        """Tell what was read and written, as the answer's `usage` has it. queued: seconds before the first step."""
        record.prompt_tokens, record.new_tokens = usage["prompt_tokens"], usage["completion_tokens"]
        record.cached_tokens = usage["prompt_tokens_details"]["cached_tokens"]
        self._metrics.prompt_tokens.inc(record.prompt_tokens)
        self._metrics.new_tokens.inc(record.new_tokens)
        self._metrics.cached_tokens.inc(record.cached_tokens)
        if queued is not None:
            record.queued = queued
            self._metrics.queue_seconds.observe(queued)
        if record.first_token is not None and record.new_tokens > 1:
            writing = time.monotonic() - record.started - record.first_token
            self._metrics.token_seconds.observe(writing / (record.new_tokens - 1))

    def failed(self, record: Record, error: Exception) -> None:
        """Tell what went wrong in the server."""
        line = {"level": "error", "request": record.id, "error": f"{type(error).__name__}: {error}"}
        self._log(json.dumps(line))

    def ended(self, record: Record, status: int) -> None:
        """Tell that a request has its answer."""
        seconds = time.monotonic() - record.started
        self._metrics.requests.labels(record.path, str(status)).inc()
        self._metrics.seconds.observe(seconds)
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "level": "info",
            "request": record.id,
            "path": record.path,
            "status": status,
            "seconds": round(seconds, 3),
        }
        if record.key:
            line["key"] = record.key
        if record.prompt_tokens:
            line |= {
                "prompt_tokens": record.prompt_tokens,
                "cached_tokens": record.cached_tokens,
                "new_tokens": record.new_tokens,
                "queue_seconds": None if record.queued is None else round(record.queued, 3),
                "first_token_seconds": None if record.first_token is None else round(record.first_token, 3),
            }
        if record.ended_by:
            line["ended_by"] = record.ended_by
        if self._contents:
            line |= record.contents
        self._log(json.dumps(line))
