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
from burnish.serving.api.exchange import recorded, refused
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
        ok = api.worker.healthy
        return JSONResponse({"status": "ok" if ok else "stopping"}, 200 if ok else 503)

    routes = [
        Route("/v1/chat/completions", recorded(api, endpoints.chat), methods=["POST"]),
        Route("/v1/completions", recorded(api, endpoints.complete), methods=["POST"]),
        Route("/v1/embeddings", recorded(api, endpoints.embed), methods=["POST"]),
        Route("/v1/models", recorded(api, endpoints.models), methods=["GET"]),
        Route("/v1/models/{model:path}", recorded(api, endpoints.model), methods=["GET"]),
        Route("/metrics", recorded(api, endpoints.metrics), methods=["GET"]),
        Route("/health", health, methods=["GET"]),
        Route("/v1/feedback", recorded(api, endpoints.judge), methods=["POST"]),
        Route("/v1/feedback", recorded(api, endpoints.judged), methods=["GET"]),
    ]
    if api.settings.page:
        routes += page_routes()
    handlers: dict[Any, Any] = {HTTPException: refused}

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with api.running():
            yield

    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers, lifespan=lifespan)
