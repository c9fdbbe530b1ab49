"""What comes before an answer: who may ask, and whether what they sent can be read."""

import asyncio
import re
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from burnish.serving.api.faults import ApiError, of_validation
from burnish.serving.api.keys import owner, read_keys
from burnish.serving.api.protocol import ChatRequest, CompletionRequest
from burnish.serving.api.records import Record
from burnish.serving.api.settings import ServerSettings

_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)
"""What a server for its own machine is called."""
HEADER_BYTES = 16 * 1024
"""Of a request's line and headers together. uvicorn refuses more where it comes in parts."""
Body = TypeVar("Body", bound=BaseModel)
Question = TypeVar("Question", ChatRequest, CompletionRequest)


class Door:
    """Lets requests in, or raises the ApiError that says why not."""

    def __init__(self, settings: ServerSettings) -> None:
        """Read the keys. Raises BurnishError where their file is none."""
        self._settings = settings
        self._keys = read_keys(settings.keys) if settings.keys else {}

    def check_host(self, request: Request) -> None:
        """Refuse other names of this machine: a page on the web whose name was made to mean it must not reach it."""
        host = request.headers.get("host", "")
        if self._settings.is_local and _HOST.fullmatch(host) is None:
            raise ApiError(403, f"this server is for its own machine; expected Host: localhost, got {host[:200]!r}")

    def check_framing(self, request: Request) -> None:
        """Refuse a long head, a body whose end two programs could see at different places, and one that is packed."""
        size = len(request.scope["raw_path"]) + len(request.scope["query_string"])
        if size + sum(len(name) + len(value) + 4 for name, value in request.headers.raw) > HEADER_BYTES:
            raise ApiError(431, f"the request's line and headers are longer than {HEADER_BYTES:,} bytes")
        if {"transfer-encoding", "content-length"} <= set(request.headers):
            raise ApiError(400, "expected Content-Length or Transfer-Encoding, not both", closes=True)
        if (coding := request.headers.get("content-encoding", "identity").lower()) != "identity":
            raise ApiError(415, f"expected a body as it is; got Content-Encoding: {coding[:100]}")

    def check_key(self, request: Request, record: Record) -> None:
        """Refuse who has no key, where keys are asked for; note whose it is."""
        if not self._keys:
            return
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        name = owner(self._keys, key.strip()) if kind.lower() == "bearer" else None
        if name is None:
            raise ApiError(401, "expected a key of this server: Authorization: Bearer KEY", code="invalid_api_key")
        record.key = name

    async def read(self, request: Request, kind: type[Body], record: Record) -> Body:
        """Read and check the body. Raises ApiError for one that is too long, late, no JSON or not understood."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            # What a page on the web may send without asking first is none of the types of JSON.
            raise ApiError(415, "expected Content-Type: application/json")
        limits = self._settings.limits
        body = bytearray()
        try:
            async with asyncio.timeout(limits.read_seconds):
                async for part in request.stream():
                    body += part
                    if len(body) > limits.body_bytes:
                        raise ApiError(413, f"the body is longer than {limits.body_bytes:,} bytes")
        except TimeoutError:
            raise ApiError(408, f"the body did not come within {limits.read_seconds:g} seconds", closes=True) from None
        try:
            asked = kind.model_validate_json(bytes(body))
        except ValidationError as error:
            raise of_validation(error) from None
        record.contents["request"] = body.decode(errors="replace")
        return asked

    async def read_question(self, request: Request, kind: type[Question], record: Record) -> Question:
        """The same of a body that names the model. Raises ApiError for the name of another, too."""
        asked = await self.read(request, kind, record)
        self.check_model(asked.model)
        return asked

    def check_model(self, name: str, expected: str | None = None) -> None:
        """Refuse another name than `expected`; than the model's, its versions' and its adapters' if left out."""
        names = (
            (self._settings.name, *self._settings.shares, *self._settings.adapters) if expected is None else (expected,)
        )
        if name not in names:
            message = f"no model {name[:200]!r} is served here; expected {' or '.join(map(repr, names))}"
            raise ApiError(404, message, code="model_not_found", param="model")
