"""The endpoints: what each reads of a request, and what it answers."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from burnish.serving.api.app import Api
from burnish.serving.api.bodies import Completion
from burnish.serving.api.chatting import prepared
from burnish.serving.api.choices import Choices
from burnish.serving.api.exchange import within
from burnish.serving.api.faults import ApiError
from burnish.serving.api.judging import Opinion
from burnish.serving.api.openapi import document
from burnish.serving.api.protocol import ChatRequest, CompletionRequest, EmbeddingRequest
from burnish.serving.api.records import Record
from burnish.serving.api.scoring import PromptToken, score_prompt
from burnish.serving.api.sending import Sending


async def chat(api: Api, request: Request, record: Record) -> Response:
    """Answer a conversation."""
    asked = await api.door.read_question(request, ChatRequest, record)
    begins = next((str(one.plain()["content"]) for one in asked.messages if one.role == "user"), "")
    api = api.version(asked.model, f"{record.key}/{asked.user or begins}")
    while True:
        served = api.served
        begin = await prepared(api, served, asked, record)
        if served is api.served:  # else another model has come meanwhile, and it answers
            sending, written = begin()
            return await sending.answer(request, asked, written)


async def complete(api: Api, request: Request, record: Record) -> Response:
    """Go on from texts or tokens."""
    asked = await api.door.read_question(request, CompletionRequest, record)
    api = api.version(asked.model, f"{record.key}/{asked.user or asked.prompt}")
    served = None
    while served is not api.served:
        served = api.served
        prompts = await asyncio.to_thread(served.text_prompts, asked)
        grammar = await asyncio.to_thread(served.grammar, asked)
    requests = served.requests(asked, prompts, asked.max_tokens or 1, asked.logprobs or 0, grammar)
    echoed: list[str] | None = None
    scored: list[list[PromptToken]] | None = None
    if asked.echo:
        echoed = [served.tokenizer.decode(one.prompt) for one in requests]
        if asked.logprobs is not None:
            by_prompt = [await _scored(api, request, prompt, asked) for prompt in prompts]
            scored = [one for one in by_prompt for _ in range(asked.n)]
    bodies = Completion(served.tokenizer, asked.logprobs, echoed=echoed, scored=scored)
    sending = Sending(api, record, prompts, bodies, model=api.called(asked.model))
    if asked.max_tokens == 0:
        return sending.prompts_alone(len(requests))
    written = Choices(api.submit(requests, record), prompts, served.tokenizer)
    return await sending.answer(request, asked, written)


async def _scored(api: Api, request: Request, prompt: list[int], asked: CompletionRequest) -> list[PromptToken]:
    served = api.served

    def score() -> list[PromptToken]:
        with served.routed(asked.model):
            return score_prompt(served.decoder, prompt, asked.logprobs or 0)

    found: list[PromptToken] = await within(api, request, api.worker.call(score))
    return found


async def embed(api: Api, request: Request, record: Record) -> Response:
    """Give vectors of texts."""
    encoder = api.encoder
    if encoder is None:
        raise ApiError(404, "no encoder is served here; burnish serve --encoder FOLDER adds one")
    asked = await api.door.read(request, EmbeddingRequest, record)
    api.door.check_model(asked.model, encoder.name)
    found = await within(api, request, encoder.answer(asked, lambda portion: api.worker.call(portion)))
    record.prompt_tokens = found["usage"]["prompt_tokens"]
    return JSONResponse(found, headers={"X-Request-Id": record.id})


async def models(api: Api, _request: Request, _record: Record) -> Response:
    """What may be asked."""
    return JSONResponse({"object": "list", "data": described(api)})


async def model(api: Api, request: Request, _record: Record) -> Response:
    """One of them."""
    name = request.path_params["model"]
    found = next((one for one in described(api) if one["id"] == name), None)
    if found is None:
        api.door.check_model(name)
    return JSONResponse(found)


def described(api: Api) -> list[dict[str, Any]]:
    """The model and the encoder, as clients are told of them."""
    head = {"object": "model", "created": api.created, "owned_by": "burnish"}
    name, context = api.settings.name, api.served.context
    found = [{"id": name, **head, "max_model_len": context}]
    found += [{"id": one, **head, "max_model_len": context, "parent": name} for one in api.settings.adapters]
    for version in api.versions.values():
        found.append({"id": version.settings.name, **head, "max_model_len": version.served.context, "parent": name})
    return found if api.encoder is None else [*found, {"id": api.encoder.name, **head}]


async def feedback(api: Api, request: Request, record: Record) -> Response:
    """Keep what somebody thinks of an answer; to GET, tell whether anything is kept."""
    if request.method != "POST":
        return JSONResponse({"object": "feedback", "enabled": api.judging.enabled})
    opinion = await api.door.read(request, Opinion, record)
    return JSONResponse({"object": "feedback", "number": await api.judging.judge(opinion, record.key)})


async def described_interface(api: Api, _request: Request, _record: Record) -> Response:
    """What programs read of the interface, in OpenAPI."""
    name, encoder = api.settings.name, api.encoder
    asked = [name, *api.settings.shares, *api.settings.adapters]
    names = {"ChatRequest": asked, "CompletionRequest": asked, "EmbeddingRequest": [encoder.name] if encoder else []}
    return JSONResponse(document(api, names))


async def metrics(api: Api, _request: Request, _record: Record) -> Response:
    """What Prometheus reads."""
    return PlainTextResponse(api.metrics.text(), media_type="text/plain; version=0.0.4")
