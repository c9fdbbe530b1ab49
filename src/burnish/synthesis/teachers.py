"""Models that write rows: one on this machine, or one behind an OpenAI-compatible address.

Notable choices:
- every reply is kept under a hash of who was asked what: a killed run, or one whose documents have changed, asks
  nothing twice;
- a reply is kept as soon as its last token is there: what a killed run asks again is what was never answered;
- a model on this machine answers many prompts side by side, with a temperature drawing from a hash of each prompt: a
  reply never depends on its neighbours, nor on where a run was interrupted.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from pydantic import Field

from burnish.errors import BurnishError
from burnish.kept import DamagedError, read_json, write_json
from burnish.methods.settings import Strict
from burnish.runs.run import Run
from burnish.synthesis.rows import place

if TYPE_CHECKING:
    from burnish.nn.decoder import Decoder
    from burnish.rewards.chat_endpoint import ChatEndpoint
    from burnish.text.chat import Message
    from burnish.text.tokenizer import Tokenizer

BATCH = 16
ADDRESS = r"^https?://[^\s/@?#\\]+(/\S*)?$"

Messages = Sequence[Mapping[str, str]]
LoadModel = Callable[[], "tuple[Decoder, Tokenizer]"]


class TextTeacher(Protocol):
    """A model that answers. name: as rows have it."""

    name: str

    def answers(self, asked: Sequence[Messages], run: Run, *, title: str = "teacher") -> list[str | None]:
        """A reply to each of the prompts; None where a prompt does not fit the model."""


class TeacherDecoding(Strict):
    """How a teacher writes."""

    temperature: float = Field(0.0, ge=0, description="0 takes the most probable word each time")
    max_tokens: int = Field(512, ge=1, description="longest reply, in tokens")


class ModelTeacher(TeacherDecoding):
    """A model on this machine: a Hugging Face folder or a GGUF file."""

    type: Literal["model"] = Field("model", description="model")
    model: str = Field(description="a Hugging Face folder, a .gguf file or package:NAME/FILE")

    def open(self, load: LoadModel, key: str) -> "LocalTeacher":
        """The teacher. load: loads the model when it is first needed. key: names its content."""
        return LocalTeacher(self.model, load, key, self.temperature, self.max_tokens)


class ChatTeacher(TeacherDecoding):
    """A model behind an OpenAI-compatible address; nothing else is asked."""

    type: Literal["chat"] = Field("chat", description="chat")
    address: str = Field(
        pattern=ADDRESS, description="what comes before /chat/completions, for example http://localhost:8000/v1"
    )
    model: str = Field(min_length=1, description="the model's name at that address")
    api_key_env: str | None = Field(
        None, description="environment variable that holds the key, if one is needed; never the key itself"
    )
    timeout_seconds: float = Field(120.0, gt=0, description="for one attempt")
    retries: int = Field(4, ge=0, description="further attempts where the server is busy or does not answer")
    concurrency: int = Field(4, ge=1, description="requests that wait at the same time")
    requests_per_minute: float | None = Field(None, gt=0, description="no more requests than this; none: no limit")

    def open(self, run: Run, environment: Mapping[str, str]) -> "ChatModel":
        """The teacher. Raises BurnishError where the key is not in the environment."""
        from burnish.rewards.chat_endpoint import ChatEndpoint

        key = None if self.api_key_env is None else environment.get(self.api_key_env)
        if self.api_key_env is not None and not key:
            raise BurnishError(
                f"teacher.api_key_env: the environment variable {self.api_key_env} is not set; export it with the key"
            )
        endpoint = ChatEndpoint(
            self.address,
            self.model,
            folder(run),
            api_key=key,
            timeout_seconds=self.timeout_seconds,
            retries=self.retries,
            requests_per_minute=self.requests_per_minute,
        )
        return ChatModel(self.model, endpoint, self.temperature, self.max_tokens, self.concurrency)


def folder(run: Run) -> Path:
    """Where replies are kept, beside the folder of the run."""
    return run.cache / "teacher"


@dataclass
class LocalTeacher:
    """A model on this machine. key: names its content."""

    name: str
    load: LoadModel
    key: str
    temperature: float
    max_tokens: int
    _loaded: "list[tuple[Decoder, Tokenizer]]" = field(default_factory=list, repr=False)

    def loaded(self) -> "tuple[Decoder, Tokenizer]":
        """The model and its tokenizer, loaded once."""
        if not self._loaded:
            self._loaded.append(self.load())
        return self._loaded[0]

    def answers(self, asked: Sequence[Messages], run: Run, *, title: str = "teacher") -> list[str | None]:
        """A reply to each of the prompts; None where a prompt leaves no room in the model's context."""
        files = [folder(run) / f"{self._key(messages)}.json" for messages in asked]
        found = {file: _kept(file) for file in files}
        missing = [place for place, file in enumerate(files) if found[file] is None]
        with run.display.bar(title, len(asked), "replies") as bar:
            replies = self._write([asked[at] for at in missing])
            for done, (number, reply) in enumerate(replies, start=len(asked) - len(missing) + 1):
                file = files[missing[number]]
                write_json(file, [reply], owner=file.stem)
                found[file] = [reply]
                bar.update(done)
        return [(found[file] or [None])[0] for file in files]

    def _key(self, messages: Messages) -> str:
        asked = [self.key, list(messages), self.temperature, self.max_tokens]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def _write(self, asked: Sequence[Messages]) -> Iterator[tuple[int, str | None]]:
        """The number of each prompt with its reply, as they come."""
        if not asked:
            return
        from burnish.generation.engine import Engine
        from burnish.generation.request import samples
        from burnish.generation.sampling import Sampling
        from burnish.generation.texts import completion_text
        from burnish.text.chat import encode_prompt

        decoder, tokenizer = self.loaded()
        room = (tokenizer.context_length or decoder.config.max_positions) - self.max_tokens
        sampling = Sampling(
            temperature=self.temperature, max_new_tokens=self.max_tokens, stop=tokenizer.stop_ids, stop_strings=()
        )
        engine = Engine(decoder, tokenizer=tokenizer, max_rows=BATCH, join_at=BATCH // 4)
        numbers = {}
        for number, messages in enumerate(asked):
            prompt = encode_prompt(tokenizer, cast("list[Message]", messages))
            if len(prompt) > room:
                yield number, None
            else:
                seed = place(self.key, json.dumps(list(messages))) % 2**32
                numbers[engine.add(*samples(prompt, sampling, 1, seed))] = number
        while engine.busy:
            for drawn in engine.step():
                if drawn.completion is not None:
                    yield numbers[drawn.request], completion_text(drawn.completion, tokenizer)


@dataclass
class ChatModel:
    """A model behind an address."""

    name: str
    endpoint: "ChatEndpoint"
    temperature: float
    max_tokens: int
    concurrency: int

    def answers(self, asked: Sequence[Messages], run: Run, *, title: str = "teacher") -> list[str | None]:
        """A reply to each of the prompts; those that are kept are not asked for again."""

        def ask(messages: Messages) -> str:
            return self.endpoint.ask(messages, max_tokens=self.max_tokens, temperature=self.temperature)

        found: list[str | None] = []
        pool = ThreadPoolExecutor(self.concurrency)
        try:
            with run.display.bar(title, len(asked), "replies") as bar:
                for reply in pool.map(ask, asked):
                    found.append(reply)
                    bar.update(len(found))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if self.endpoint.damaged:
            run.notice(
                f"{len(self.endpoint.damaged)} kept replies of the teacher were not what it had said, and were asked "
                f"for again, the first in {self.endpoint.damaged[0]}"
            )
        return found


def _kept(file: Path) -> Any:
    """A kept reply in a list; None where there is none, or a damaged one, which is asked for again."""
    if file.exists():
        with suppress(DamagedError):
            return read_json(file, owner=file.stem)
    return None
