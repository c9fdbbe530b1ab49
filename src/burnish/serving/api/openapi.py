"""The page that describes the interface to programs: OpenAPI 3.1, from the models that requests are checked by.

What this server's settings decide is part of it: names of models, and how much may be asked for.
"""

from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from burnish.serving.api import responses
from burnish.serving.api.app import Api
from burnish.serving.api.judging import Opinion
from burnish.serving.api.protocol import ChatRequest, CompletionRequest, EmbeddingRequest

_COMPONENTS = "#/components/schemas/"
_JSON, _EVENTS, _TEXT = "application/json", "text/event-stream", "text/plain"
_STATUSES = {
    400: "What is asked cannot be answered; `param` names the field.",
    401: "No key of this server was sent.",
    403: "The server is for its own machine, and was asked by another name.",
    404: "There is no such path, model or answer.",
    405: "The path has no such method.",
    408: "The request did not come in time.",
    413: "The body is too long.",
    415: "The body is not JSON, or packed.",
    431: "The request's line and headers are too long.",
    429: "As many requests wait as may; `Retry-After` says after how many seconds to try again.",
    500: "The server failed; its log says more.",
    503: "The server is stopping, or as many connections are open as may.",
    504: "The answer took too long.",
}
_OF_ALL = (403, 405, 408, 431, 500, 503)
_OF_BODIES = (400, 404, 413, 415)
_OF_ANSWERS = (429, 504)
_ANSWERED = "What was asked for."


def document(api: Api, names: dict[str, list[str]]) -> dict[str, Any]:
    """The description of a server. names: of the models that answer, and of those that give vectors, by the request."""
    requests = (ChatRequest, CompletionRequest, EmbeddingRequest, Opinion)
    answers = [one for one in vars(responses).values() if isinstance(one, type) and issubclass(one, BaseModel)]
    modes: list[Any] = [(one, "validation") for one in requests]
    modes += [(one, "serialization") for one in answers if one.__module__ == responses.__name__]
    _, schemas = models_json_schema(modes, ref_template=_COMPONENTS + "{model}")
    components = schemas["$defs"]
    limits = api.settings.limits
    for name, most in (
        ("ChatRequest", ("max_tokens", "max_completion_tokens")),
        ("CompletionRequest", ("max_tokens",)),
    ):
        fields = components[name]["properties"]
        fields["n"]["maximum"] = limits.choices
        for field in most:
            next(one for one in fields[field]["anyOf"] if one["type"] == "integer")["maximum"] = limits.tokens
    components["ChatRequest"]["properties"]["messages"]["maxItems"] = limits.messages
    for request, known in names.items():
        if known:
            components[request]["properties"]["model"] = {"type": "string", "enum": known}
    keyed = api.settings.keys is not None
    paths = {
        "/v1/chat/completions": {"post": _asked("chat", "Answer a conversation", "ChatRequest", "ChatAnswer")},
        "/v1/completions": {
            "post": _asked("complete", "Go on from texts or tokens", "CompletionRequest", "CompletionAnswer")
        },
        "/v1/embeddings": {
            "post": _asked("embed", "Give vectors of texts", "EmbeddingRequest", "EmbeddingAnswer", streams=False)
        },
        "/v1/models": {"get": _told("models", "What may be asked", _JSON, "ServedModels")},
        "/v1/models/{model}": {"get": _told("model", "One model", _JSON, "ServedModel", 404)},
        "/v1/feedback": {
            "get": _told("enabled", "Whether judgements are kept", _JSON, "FeedbackState"),
            "post": _asked(
                "judge", "Keep what somebody thinks of an answer", "Opinion", "FeedbackAnswer", streams=False
            ),
        },
        "/metrics": {"get": _told("metrics", "Numbers for Prometheus", _TEXT, None)},
        "/health": {"get": _state("health", "Whether the model can run")},
        "/ready": {"get": _state("ready", "Whether a request would be taken now")},
    }
    paths["/v1/models/{model}"]["get"]["parameters"] = [
        {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    ]
    if keyed:
        for path, methods in paths.items():
            for operation in methods.values() if path not in ("/health", "/ready") else ():
                operation["security"] = [{"key": []}]
                operation["responses"]["401"] = _error(401)
        schemas_of_keys = {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Burnish",
            "version": version("burnish"),
            "description": f"`{api.settings.name}` behind OpenAI's interface.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components, **(schemas_of_keys if keyed else {})},
    }


def _asked(name: str, summary: str, request: str, answer: str, *, streams: bool = True) -> dict[str, Any]:
    """An operation with a body."""
    content = {_JSON: {"schema": {"$ref": _COMPONENTS + answer}}}
    if streams:
        # Without a type: version 3.1 has no words for what each event is.
        content[_EVENTS] = {"schema": {"description": "A chunk in each event's `data`; `[DONE]` in the last."}}
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": {_JSON: {"schema": {"$ref": _COMPONENTS + request}}}},
        "responses": {
            "200": {"description": _ANSWERED, "content": content},
            **{str(status): _error(status) for status in sorted((*_OF_ALL, *_OF_BODIES, *_OF_ANSWERS))},
        },
    }


def _told(name: str, summary: str, kind: str, answer: str | None, *statuses: int) -> dict[str, Any]:
    """An operation without one."""
    schema = {"type": "string"} if answer is None else {"$ref": _COMPONENTS + answer}
    return {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {"description": _ANSWERED, "content": {kind: {"schema": schema}}},
            **{str(status): _error(status) for status in sorted((*_OF_ALL, 400, 415, *statuses))},
        },
    }


def _state(name: str, summary: str) -> dict[str, Any]:
    content = {_JSON: {"schema": {"$ref": _COMPONENTS + "State"}}}
    return {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {"description": "It is.", "content": content},
            "503": {"description": "It is not; `status` says why.", "content": content},
            "405": _error(405),
        },
    }


def _error(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": _STATUSES[status],
        "content": {_JSON: {"schema": {"$ref": _COMPONENTS + "ErrorBody"}}},
    }
    if status == 429:
        found["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return found
