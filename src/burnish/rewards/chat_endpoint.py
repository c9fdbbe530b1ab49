"""A model behind an OpenAI-compatible address: one request, one answer, kept on disk.

Notable choices:
- only the address that the user wrote is spoken to: a redirect is refused, since it would take the key elsewhere;
- an answer is kept under a hash of all that was asked, so what was answered once is never asked again, and what
  several threads ask at the same time is asked once;
- a request is one POST by httpx2, whose pool of connections the threads that wait share; tenacity repeats it.
"""

import hashlib
import ipaddress
import json
import threading
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx2
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from burnish.errors import BurnishError
from burnish.kept import read_json, write_json

BACKOFF_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
_SHOWN_CHARACTERS = 300
_WORTH_RETRYING = (408, 409, 425, 429, 500, 502, 503, 504)
_ADVICE = {
    401: "the key is missing or wrong: set `api_key_env` to the environment variable that holds it",
    403: "the key may not use this model",
    404: "no such address or model: the address ends in /v1 as a rule, and GET /v1/models lists the models",
}

Messages = Sequence[Mapping[str, Any]]


NO_KEY_OVER_HTTP = "a key would be sent in the open over http; write https, or ask a server on this machine"


def is_this_machine(address: str) -> bool:
    """Whether an address is a loopback name or number of this machine."""
    try:
        host = (urllib.parse.urlsplit(address).hostname or "").rstrip(".")
        if host == "localhost" or host.endswith(".localhost"):
            return True
        number = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = number.ipv4_mapped if isinstance(number, ipaddress.IPv6Address) else None
    return (mapped or number).is_loopback


def exposes_key(address: str) -> bool:
    """Whether a key sent to the address could be read on its way: plain http, and not to this machine."""
    return not address.lower().startswith("https://") and not is_this_machine(address)


@dataclass(frozen=True)
class ChatEndpoint:
    """Where to ask, and how patiently.

    address: what comes before `/chat/completions`, for example `http://localhost:8000/v1`.
    api_key: sent as a bearer token. cache: folder for the answers.
    timeout_seconds: for one attempt. retries: further attempts after a time-out, a lost connection or a busy server.
    requests_per_minute: attempts are spread so that no more are made; None: as fast as it answers.
    damaged: kept answers that were no longer what the server had said, and were asked for again.
    """

    address: str
    model: str
    cache: Path
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 120.0
    retries: int = 4
    requests_per_minute: float | None = None
    damaged: list[Path] = field(default_factory=list, init=False, repr=False, compare=False)
    _asked: "dict[str, Future[str]]" = field(default_factory=dict, init=False, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)
    _next: list[float] = field(default_factory=lambda: [0.0], init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.api_key is None:
            return
        if exposes_key(self.address):
            raise BurnishError(f"{self.address}: {NO_KEY_OVER_HTTP}")
        if not (self.api_key.isascii() and self.api_key.isprintable() and " " not in self.api_key):
            raise BurnishError(
                f"{self.address}: the key has spaces or line breaks, or other characters that no key has"
            )

    def ask(self, messages: Messages, *, max_tokens: int, temperature: float = 0, seed: int | None = None) -> str:
        """The answer, at temperature 0 if left out; from the cache where it is there.

        seed: sent along, so that several answers can be asked for; the same one is the same question.
        Raises BurnishError naming the address, what went wrong and what to do.
        """
        body: dict[str, Any] = {"model": self.model, "messages": list(messages), "temperature": temperature}
        body |= {"max_tokens": max_tokens} | ({} if seed is None else {"seed": seed})
        key = hashlib.sha256(json.dumps([self._url, body], sort_keys=True).encode()).hexdigest()
        file = self.cache / f"{key}.json"
        with self._lock:
            waiting = self._asked.get(key)
            if waiting is None:
                mine = self._asked[key] = Future[str]()
        if waiting is not None:
            # The same question, from another thread, is on its way.
            return waiting.result()
        try:
            text = self._kept(file, key)
            if text is None:
                text = self._content(self._post(json.dumps(body).encode()))
                write_json(file, text, owner=key)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(text)
        finally:
            with self._lock:
                del self._asked[key]
        return text

    def _kept(self, file: Path, key: str) -> str | None:
        """A kept answer; None where there is none, or one that has changed, which is then asked for again."""
        if not file.exists():
            return None
        try:
            return str(read_json(file, owner=key))
        except BurnishError:
            with self._lock:
                self.damaged.append(file)
            return None

    @property
    def _url(self) -> str:
        return f"{self.address.rstrip('/')}/chat/completions"

    @cached_property
    def _client(self) -> httpx2.Client:
        """One pool of connections for all threads; it follows no redirect.

        What is asked of this machine does not go through the proxy that the environment names.
        """
        return httpx2.Client(timeout=self.timeout_seconds, trust_env=not is_this_machine(self.address))

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {self.api_key}"
        attempts = Retrying(
            retry=retry_if_exception_type(_TryAgainError),
            stop=stop_after_attempt(self.retries + 1),
            wait=_wait,
            sleep=lambda seconds: time.sleep(seconds),
            reraise=True,
        )
        try:
            return attempts(self._attempt, body, headers)
        except _TryAgainError as error:
            raise BurnishError(
                f"{self._url}: no answer after {self.retries + 1} attempts ({error}); is the server running, and is "
                "the address right? What was answered so far is kept: run the same command to go on"
            ) from error

    def _take_turn(self) -> None:
        """Wait until the rate allows one more attempt."""
        if self.requests_per_minute is None:
            return
        with self._lock:
            turn = max(self._next[0], time.monotonic())
            self._next[0] = turn + 60 / self.requests_per_minute
        time.sleep(max(0.0, turn - time.monotonic()))

    def _attempt(self, body: bytes, headers: dict[str, str]) -> bytes:
        """The body of a reply. Raises _TryAgainError where another attempt may help, else BurnishError."""
        self._take_turn()
        try:
            response = self._client.post(self._url, content=body, headers=headers)
        except httpx2.InvalidURL as error:
            raise BurnishError(f"{self._url}: no address: {error}") from error
        except httpx2.HTTPError as error:
            timed_out = isinstance(error, httpx2.TimeoutException)
            raise _TryAgainError("timed out" if timed_out else str(error) or type(error).__name__) from error
        if response.is_success:
            return response.content
        said = f"HTTP {response.status_code} {response.reason_phrase}"
        if response.status_code in _WORTH_RETRYING:
            raise _TryAgainError(said, _retry_after(response.headers.get("Retry-After")))
        raise BurnishError(self._refused(response, said))

    def _refused(self, response: httpx2.Response, said: str) -> str:
        if response.is_redirect or 300 <= response.status_code < 400:
            return f"{self._url}: redirects to {response.headers.get('Location')}; write that address if you trust it"
        explained = response.content[:_SHOWN_CHARACTERS].decode(errors="replace").strip()
        advice = f"; {_ADVICE[response.status_code]}" if response.status_code in _ADVICE else ""
        return f"{self._url}: {said}{f': {explained}' if explained else ''}{advice}"

    def _content(self, data: bytes) -> str:
        try:
            content = json.loads(data)["choices"][0]["message"]["content"]
            if not isinstance(content, str):
                raise TypeError(f"the content is {type(content).__name__}")
        except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
            shown = data[:_SHOWN_CHARACTERS].decode(errors="replace")
            raise BurnishError(f"{self._url}: not an answer in OpenAI's format ({error!r}): {shown}") from error
        return content


def _retry_after(value: str | None) -> float | None:
    """Seconds that a server asks to wait, where it says them as a number."""
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None


class _TryAgainError(Exception):
    """A failure that may pass. wait: seconds that the server asks for, None where it says nothing."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def _wait(state: RetryCallState) -> float:
    """Seconds before the next attempt: what the server asked for, else twice as long each time."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.wait if isinstance(error, _TryAgainError) else None
    return min(LONGEST_WAIT_SECONDS, BACKOFF_SECONDS * 2 ** (state.attempt_number - 1) if asked is None else asked)
