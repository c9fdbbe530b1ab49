"""The endpoints: what each reads of a request, and what it answers."""

import asyncio
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from burnish.serving.api.answers import PromptToken, score_prompt
from burnish.serving.api.app import Api
from burnish.serving.api.bodies import Chat, Completion
from burnish.serving.api.exchange import within
from burnish.serving.api.faults import ApiError
from burnish.serving.api.judging import AfterChat, Opinion
from burnish.serving.api.openapi import document
from burnish.serving.api.protocol import ChatRequest, CompletionRequest, EmbeddingRequest
from burnish.serving.api.records import Record
from burnish.serving.api.sending import Sending
from burnish.serving.api.tooling import begins_in_reasoning, offered


async def chat(api: Api, request: Request, record: Record) -> Response:
    """Answer a conversation."""
    asked = await api.door.read_question(request, ChatRequest, record)
    begins = next((str(one.plain()["content"]) for one in asked.messages if one.role == "user"), "")
    api = api.version(asked.model, f"{record.key}/{asked.user or begins}")
    served = api.served
    use = await asyncio.to_thread(offered, served.tokenizer, asked)
    messages, cited = served.messages(asked), list[dict[str, Any]]()
    intent = await asyncio.to_thread(served.wanted, messages)
    if served.passages is not None or served.examples is not None:
        messages, cited = await asyncio.to_thread(served.grounded, messages, intent)
        served = api.served  # which may have changed meanwhile
    prompt = await asyncio.to_thread(served.chat_prompt, messages, asked.shown_tools)  # a long one takes a moment
    if use is not None:
        use = replace(use, thinking=begins_in_reasoning(served.tokenizer, prompt))
    wanted = asked.max_completion_tokens or asked.max_tokens
    grammar = await asyncio.to_thread(served.grammar, asked, use)
    requests = served.requests(asked, [prompt], wanted, asked.top_logprobs or 0, grammar)
    bodies = Chat(served.tokenizer, bool(asked.logprobs), use)
    after = AfterChat(served, api.judging, asked, record.key, cited, bodies if use is not None else None, intent)
    sending = Sending(api, record, [prompt], bodies, after, _called(api, asked.model))
    return await sending.answer(request, asked, api.submit(requests, record))


async def complete(api: Api, request: Request, record: Record) -> Response:
    """Go on from texts or tokens."""
    asked = await api.door.read_question(request, CompletionRequest, record)
    api = api.version(asked.model, f"{record.key}/{asked.user or asked.prompt}")
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
    sending = Sending(api, record, prompts, bodies, model=_called(api, asked.model))
    if asked.max_tokens == 0:
        return sending.prompts_alone(len(requests))
    return await sending.answer(request, asked, api.submit(requests, record))


def _called(api: Api, model: str) -> str:
    """What the model that answers is called: its adapter, or the version."""
    return model if model in api.settings.adapters else api.settings.name


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
