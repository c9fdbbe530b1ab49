"""The HTTP interface: which path is which endpoint."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from burnish.serving.api import endpoints
from burnish.serving.api.app import Api
from burnish.serving.api.exchange import Endpoint, recorded, refused
from burnish.serving.api.page import page_routes


def application(api: Api) -> Starlette:
    """The ASGI application of a served model."""
    middleware = []
    if api.settings.origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(api.settings.origins),
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type"],
            )
        )

    async def health(_request: Request) -> Response:
        ok = all(one.healthy for one in api.workers)
        return JSONResponse({"status": "ok" if ok else "stopping"}, 200 if ok else 503)

    async def ready(_request: Request) -> Response:
        state = "stopping" if not api.worker.healthy else "full" if api.worker.full else "ok"
        return JSONResponse({"status": state}, 200 if state == "ok" else 503)

    def route(path: str, handle: Endpoint, *methods: str) -> Route:
        return Route(path, recorded(api, path, handle), methods=list(methods))

    routes = [
        route("/v1/chat/completions", endpoints.chat, "POST"),
        route("/v1/completions", endpoints.complete, "POST"),
        route("/v1/embeddings", endpoints.embed, "POST"),
        route("/v1/feedback", endpoints.feedback, "GET", "POST"),
        route("/v1/models", endpoints.models, "GET"),
        route("/v1/models/{model:path}", endpoints.model, "GET"),
        route("/metrics", endpoints.metrics, "GET"),
        route("/openapi.json", endpoints.described_interface, "GET"),
        Route("/health", health, methods=["GET"]),
        Route("/ready", ready, methods=["GET"]),
    ]
    if api.settings.page:
        routes += page_routes()
    handlers: dict[Any, Any] = {HTTPException: refused}

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with api.running():
            yield

    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers, lifespan=lifespan)
