"""A server in the test's own process that speaks OpenAI's chat/completions, and remembers what it was asked."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Reply = tuple[int, dict[str, str], bytes]
"""Status, further headers and body."""


class ChatServer:
    """`answer` turns a request's body into the reply's text, or into a whole reply."""

    def __init__(self, answer: Callable[[dict[str, Any]], "str | Reply"]) -> None:
        self.answer = answer
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.address = ""


def completion(text: object) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


def require_loopback() -> None:
    """Skip the test where nothing can connect to this machine itself, as in a bare network namespace."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            socket.create_connection(listening.getsockname(), timeout=5).close()
    except OSError as error:
        pytest.skip(f"this machine cannot connect to 127.0.0.1: {error.strerror or error}")


@contextmanager
def chat_server(answer: Callable[[dict[str, Any]], str | Reply]) -> Iterator[ChatServer]:
    """A server on a free port of this machine; `address` is what a recipe would name. Skips: see `require_loopback`."""
    state = ChatServer(answer)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                state.requests.append(body)
                state.paths.append(self.path)
                state.keys.append(self.headers.get("Authorization"))
            reply = state.answer(body)
            status, headers, data = (200, {}, completion(reply)) if isinstance(reply, str) else reply
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that has given up waiting is no news."""

    require_loopback()
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
