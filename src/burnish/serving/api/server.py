"""The process that serves: uvicorn around the application, until it is told to stop."""

import json
import shlex
import sys
from collections.abc import Awaitable, Callable, Sequence

import uvicorn

from burnish.serving.api.app import Api
from burnish.serving.api.connections import patient_for
from burnish.serving.api.door import HEADER_BYTES
from burnish.serving.api.routes import application
from burnish.serving.api.served import Served
from burnish.serving.api.vectors import ServedEncoder

_OTHER_FILES = 200
"""Files that are open beside connections."""


def configured(api: Api) -> uvicorn.Config:
    """How uvicorn runs a served model."""
    settings = api.settings
    return uvicorn.Config(
        application(api),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.grace_seconds,
        h11_max_incomplete_event_size=HEADER_BYTES,
        ws="none",
        http=patient_for(settings.limits),
    )


def _allow_connections(n: int) -> None:
    """Let the process have so many connections open, as far as the system allows."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = n + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def serve(
    served: Served,
    say: Callable[[str], None],
    follow: Callable[[Api], Awaitable[None]] | None = None,
    encoder: ServedEncoder | None = None,
    versions: Sequence[Served] = (),
) -> None:
    """Serve until SIGINT or SIGTERM; then let what runs finish within the settings' grace.

    say: told the address and how to ask, once the port is open. follow, encoder, versions: see `Api`.
    """
    settings = served.settings
    _allow_connections(settings.limits.connections)
    api = Api(served, follow=follow, encoder=encoder, versions=versions)
    _Announced(configured(api), say, served, encoder).run()


class _Announced(uvicorn.Server):
    """A server that says where it is once it listens."""

    def __init__(
        self, config: uvicorn.Config, say: Callable[[str], None], served: Served, encoder: ServedEncoder | None
    ) -> None:
        super().__init__(config)
        self._say, self._served, self._encoder = say, served, encoder

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """As uvicorn's."""
        await super().startup(sockets)  # type: ignore[arg-type]
        if not self.started:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        settings = self._served.settings
        self._say(f"serving {settings.name} at {address}/v1 (Ctrl-C stops)")
        if settings.page:
            self._say(f"chat page: {address}/")
        if self._encoder is not None:
            self._say(f"vectors of texts: {self._encoder.name} at {address}/v1/embeddings")
        key = " -H 'Authorization: Bearer KEY'" if settings.keys else ""
        body = json.dumps({"model": settings.name, "messages": [{"role": "user", "content": "Hello"}]})
        self._say(f"curl {address}/v1/chat/completions -H 'Content-Type: application/json'{key} -d {shlex.quote(body)}")
