"""A server of a tiny model at an address, for tests."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import openai
import uvicorn

from burnish.nn.decoder import Decoder
from burnish.serving.api.app import Api
from burnish.serving.api.served import Served
from burnish.serving.api.server import configured
from burnish.serving.api.settings import Limits, ServerSettings
from burnish.serving.api.vectors import ServedEncoder
from burnish.text.tokenizer import Tokenizer
from tiny_models import TINY
from workshop import tiny_tokenizer

QUESTION: Any = [{"role": "user", "content": "1 mod 3?"}]
HTTP = httpx2.Client(verify=False, timeout=30)  # reading the certificates takes longer than an answer
LIMITS = Limits(rows=8, queue=16, tokens=64, body_bytes=20_000, prefill_tokens=16, seconds=30, choices=4)
Model = tuple[Decoder, Tokenizer]


def tiny_model() -> Model:
    """A model of random weights that never ends an answer by itself."""
    tokenizer = tiny_tokenizer()
    decoder = Decoder(replace(TINY, vocab_size=tokenizer.vocab_size)).eval()
    decoder.embedding.weight.data.mul_(5)
    return decoder, replace(tokenizer, stop_ids=frozenset())


@dataclass
class Running:
    """A server at an address, and what it has logged."""

    url: str
    api: Api
    log: list[dict[str, Any]]
    server: uvicorn.Server

    def client(self, key: str = "none") -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, http_client=HTTP)

    def post(self, path: str = "/v1/chat/completions", **body: Any) -> httpx2.Response:
        return HTTP.post(f"{self.url}{path}", json={"model": "tiny", **body})

    def metric(self, name: str) -> float:
        lines = HTTP.get(f"{self.url}/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def until(self, true: Callable[[], bool]) -> None:
        for _ in range(1000):
            if true():
                return
            time.sleep(0.01)
        raise AssertionError("it never came to be")


@contextmanager
def running(
    model: Model,
    *,
    encoder: ServedEncoder | None = None,
    more: Mapping[str, Any] | None = None,
    versions: Sequence[Served] = (),
    **options: Any,
) -> Iterator[Running]:
    log: list[dict[str, Any]] = []
    chosen = ServerSettings(**{"name": "tiny", "port": 0, "grace_seconds": 5, "limits": LIMITS, **options})
    api = Api(
        Served(*model, chosen, **(more or {})),
        lambda line: log.append(json.loads(line)),
        encoder=encoder,
        versions=versions,
    )
    server = uvicorn.Server(configured(api))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Running(f"http://127.0.0.1:{port}", api, log, server)
    finally:
        server.should_exit = True
        thread.join()
