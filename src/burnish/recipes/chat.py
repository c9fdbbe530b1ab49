"""Questions to a model, or to the model that a run has made.

With a run's folder the system prompt and the verifier are those of its recipe: the verifier's tool then shows what an
answer evaluates to, such as the rows that a query returns.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import burnish
from burnish.errors import BurnishError, DataError
from burnish.generation.engine import stream
from burnish.generation.sampling import Sampling
from burnish.nn.decoder import Decoder
from burnish.recipes.plan import RUN_FILE
from burnish.recipes.schema import ChatConfig
from burnish.rewards.sql import Result, extract_sql
from burnish.terminal import printable
from burnish.text.chat import Message, encode_question
from burnish.text.tokenizer import Tokenizer

SHOWN_ROWS = 20


@dataclass(frozen=True)
class Target:
    """A model and how to talk to it."""

    model: Path
    system: str | None = None
    config: ChatConfig = field(default_factory=ChatConfig)
    resolve: Callable[[str], Path] = Path
    device: str = "auto"
    compute_dtype: str = "auto"


def find_target(path: Path) -> Target:
    """What `burnish chat PATH` talks to: a run's model with its recipe's `chat`, or a model as it is.

    Raises BurnishError when the path is neither, or the run has no finished model.
    """
    file = path / RUN_FILE
    if not file.is_file():
        if not path.exists():
            raise BurnishError(
                f"{path}: no such file or folder; expected a run's folder, a model folder or a .gguf file"
            )
        if path.is_dir() and not any((path / name).exists() for name in ("config.json", "adapter_config.json")):
            raise BurnishError(f"{path}: neither a run's folder (no {RUN_FILE}) nor a model's (no config.json)")
        return Target(path)
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
        config = ChatConfig.model_validate_json(json.dumps(run["chat"] or {}))
        paths = {written: [path / inner for inner in inners] for written, inners in run["chat_inputs"].items()}
        model = path / run["model"]
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise BurnishError(f"{file}: not what a run writes ({error!r}); run the recipe again") from error
    if not model.exists():
        raise BurnishError(f"{path}: the run has no finished model yet; go on with: burnish run {run['recipe']}")
    return Target(
        model,
        _system_prompt(config, paths),
        config,
        lambda written: paths[written][0],
        run["device"],
        run["compute_dtype"],
    )


def _system_prompt(config: ChatConfig, paths: dict[str, list[Path]]) -> str | None:
    if config.system is None or config.system not in paths:
        return config.system
    try:
        return paths[config.system][0].read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BurnishError(f"chat.system: {paths[config.system][0]} cannot be read: {error.strerror}") from error


class Chat:
    """A conversation with a model; with `remembers` it sees the turns before, else each question stands alone."""

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        *,
        system: str | None = None,
        sampling: Sampling,
        remembers: bool = True,
        seed: int = 0,
    ) -> None:
        self._decoder, self._tokenizer = decoder, tokenizer
        self._sampling = replace(sampling, stop=tokenizer.stop_ids)
        self._remembers, self._seed = remembers, seed
        self._turns: list[Message] = [{"role": "system", "content": system}] if system else []

    def ask(self, question: str) -> Iterator[str]:
        """The answer, piece by piece as it is written."""
        messages: list[Message] = [*self._turns, {"role": "user", "content": question}]
        encoding = encode_question(self._tokenizer, messages)
        if encoding.lost:
            part = encoding.lost[0]
            raise DataError(
                f"the chat template of {self._tokenizer.source} leaves out the {part.what} of message {part.place + 1} "
                f"({messages[part.place]['role']}), so the model would answer without it"
            )
        prompt = encoding.tokens
        context = self._tokenizer.context_length or self._decoder.config.max_positions
        if len(prompt) >= context:
            raise DataError(
                f"the conversation has {len(prompt)} tokens, which leaves no room for an answer in the model's "
                f"context of {context}; start a new one"
            )
        room = min(self._sampling.max_new_tokens, context - len(prompt))
        sampling = replace(self._sampling, max_new_tokens=room)
        tokens: list[int] = []
        text = ""
        for token in stream(self._decoder, prompt, sampling, seed=self._seed):
            tokens.append(token)
            # A character of several bytes may be spread over tokens; until it is whole it decodes to U+FFFD.
            decoded = self._tokenizer.decode(tokens)
            if decoded.startswith(text) and not decoded.endswith("\ufffd"):
                yield decoded[len(text) :]
                text = decoded
        whole = self._tokenizer.decode(tokens)
        yield whole[len(text) :]
        if self._remembers:
            self._turns = [*messages, {"role": "assistant", "content": whole}]


def hold_chat(
    target: Target, questions: Iterable[str], console: Console, *, system: str | None, temperature: float, seed: int
) -> None:
    """Answer questions on the console; where the target has a verifier, also show what each answer evaluates to."""
    decoder, tokenizer = burnish.load(target.model, device=target.device, compute_dtype=target.compute_dtype)
    verifier = target.config.verifier
    chat = Chat(
        decoder,
        tokenizer,
        system=system or target.system,
        sampling=Sampling(temperature=temperature, max_new_tokens=target.config.max_new_tokens),
        # A model taught by judged tasks has only ever seen one question at a time.
        remembers=verifier is None,
        seed=seed,
    )
    with ExitStack() as stack:
        sandbox = stack.enter_context(verifier.sandbox(target.resolve)) if verifier is not None else None
        for question in questions:
            answer = ""
            for piece in chat.ask(question):
                answer += piece
                console.out(printable(piece), end="", highlight=False)
            console.out("")
            if sandbox is not None:
                console.print(_result_table(sandbox.execute(extract_sql(answer))))


def _result_table(result: Result) -> Table | Text:
    if result.error is not None:
        return Text(printable(result.error), style="red")
    table = Table(box=box.SIMPLE_HEAD)
    for column in result.columns:
        table.add_column(Text(printable(column)))
    for row in result.rows[:SHOWN_ROWS]:
        table.add_row(*(Text("NULL", style="dim") if value is None else Text(printable(str(value))) for value in row))
    if len(result.rows) > SHOWN_ROWS:
        table.caption = f"{SHOWN_ROWS} of {len(result.rows):,} rows"
    return table
