"""What `burnish serve` serves: a run's model with its prompt, database and index, or a flywheel's model in force."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from burnish.console.agent import ToolOptions, opened_tools
from burnish.console.chat import Target, find_target, read_examples, ways_of
from burnish.errors import BurnishError
from burnish.generation.drafts import Drafter, DraftModel, LookUp
from burnish.recipes.schema.judges import open_judges
from burnish.retrieval import Index
from burnish.retrieval.grounding import Passages
from burnish.retrieval.routing import Router
from burnish.retrieval.settings import PASSAGE_TOKENS
from burnish.rewards.gate import Gate
from burnish.rewards.sql import SqlVerifier
from burnish.runs.hashes import FileHashes
from burnish.serving.flywheel.rounds import Flywheel
from burnish.serving.flywheel.settings import read_settings
from burnish.text.tool_calls.detection import call_writing

if TYPE_CHECKING:
    from burnish.nn.decoder import Decoder
    from burnish.serving.api.app import Api
    from burnish.serving.api.served import Served, ServedAdapter
    from burnish.serving.api.settings import ServerSettings

PROMPT = "prompt"
"""Of what guesses tokens: the prompt itself, where they may have stood before."""
LOOK_SECONDS = 2.0
"""Between two looks at which model a flywheel has in force."""
Load = Callable[[Path, "ServerSettings"], "Served"]


def named_adapters(given: Sequence[str], taken: Sequence[str]) -> dict[str, Path]:
    """`name=folder` of adapters as it is written. Raises BurnishError as `named_paths`, and for another folder."""
    found = named_paths("--adapter", given, taken)
    for name, folder in found.items():
        if not (folder / "adapter_config.json").is_file():
            raise BurnishError(f"--adapter {name}={folder}: no adapter's folder (no adapter_config.json)")
    return found


def named_paths(option: str, given: Sequence[str], taken: Sequence[str]) -> dict[str, Path]:
    """`name=path` as it is written. Raises BurnishError for what is no name, or is the name of another."""
    found: dict[str, Path] = {}
    for one in given:
        name, _, folder = one.partition("=")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", name) or not folder:
            raise BurnishError(
                f"{option} {one}: expected NAME=FOLDER, a name of letters, digits and . _ : - (64 at most), such as "
                f"{option} polite=runs/polite"
            )
        if name in found or name in taken:
            raise BurnishError(f"{option} {one}: {name} is the name of another; choose one of its own")
        found[name] = Path(folder)
    return found


def shared(given: Sequence[str], versions: Mapping[str, Path]) -> dict[str, float]:
    """Each version with its share, 0 where none is said. Raises BurnishError for what is none of them, or no share."""
    found = dict.fromkeys(versions, 0.0)
    for one in given:
        name, _, share = one.partition("=")
        if name not in versions or not re.fullmatch(r"0?\.\d+|[01](\.0*)?", share):
            names = ", ".join(versions) or "none: add --version NAME=RUN_OR_MODEL"
            raise BurnishError(f"--share {one}: expected NAME=SHARE from 0 to 1, of the versions {names}")
        found[name] = float(share)
    if sum(found.values()) > 1 + 1e-9:
        raise BurnishError(f"--share: all together are {sum(found.values()):g}; expected at most 1")
    return found


def followed(file: Path) -> Flywheel:
    """The flywheel that a file describes."""
    return Flywheel(file, read_settings(file))


@dataclass(frozen=True)
class Serving:
    """A model to serve. target: it, or what a flywheel began with: its prompt, database and index are used.

    guess: what guesses tokens: `prompt`, which looks them up, or the path of a small model of the same vocabulary.
    adapters: PEFT folders by what clients call the model with them. tools: those that the server itself calls.
    """

    target: Target
    name: str
    model: Path
    device: str
    index: Path | None = None
    flywheel: Flywheel | None = None
    guess: str | None = None
    adapters: Mapping[str, Path] = field(default_factory=dict)
    intents: Path | None = None
    examples: Path | None = None
    tools: ToolOptions = field(default_factory=ToolOptions)

    @classmethod
    def of(
        cls,
        path: Path | None,
        flywheel: Flywheel | None,
        *,
        retrieve: Path | None,
        device: str | None,
        guess: str | None = None,
    ) -> "Serving":
        """What a command names: a model, or a flywheel. Raises BurnishError where it is not there."""
        if flywheel is not None:
            began = (flywheel.file.parent / flywheel.settings.model).absolute()
            target, name, model = find_target(began), flywheel.settings.name, Path(flywheel.history().model)
        else:
            assert path is not None
            target, name = find_target(path), path.resolve().name
            model = target.model
        return cls(target, name, model, device or target.device, retrieve or target.index, flywheel, guess)

    def settings_of(self, settings: "ServerSettings", name: str, system: str | None) -> "ServerSettings":
        """The settings of a version beside the model that has `settings`: what its own recipe says holds for it."""
        config = self.target.config
        return replace(
            settings,
            name=name,
            adapters=(),
            shares={},
            system=self.target.prompt(system),
            repetition_penalty=config.repetition_penalty,
            stop=tuple(config.stop),
            grammar=config.grammar,
        )

    @contextmanager
    def opened(self) -> Iterator[Load]:
        """What loads a model to be served, while the database and the index are open."""
        import burnish
        from burnish.serving.api.served import Served

        with ExitStack() as stack:
            tables, passages = None, None
            asked = [judge for judge in self.target.config.judges if judge.type == "sql"]
            if asked and self.target.context is not None:
                judges = stack.enter_context(open_judges(self.target.context, asked[:1]))
                tables = next((one.judge.sandbox for one in judges if isinstance(one.judge, SqlVerifier)), None)
            if self.index is not None:
                config = self.target.config.retrieval
                passages = Passages(
                    Index.open(self.index, device=self.device, compute_dtype=self.target.compute_dtype),
                    k=4 if config is None else config.passages,
                    max_tokens=PASSAGE_TOKENS if config is None else config.passage_tokens,
                    ranking=None if config is None else config.ranking,
                )

            small = None
            if self.guess not in (None, PROMPT):
                small, words = burnish.load(self.guess, device=self.device, compute_dtype=self.target.compute_dtype)

            def drafter() -> Drafter:
                return LookUp() if small is None else DraftModel(small)

            router = None
            if self.intents is not None:
                has = ways_of(passages, tables=tables is not None, examples=self.examples)
                router = Router.open(self.intents, has, device=self.device)
            examples = read_examples(self.examples)
            gate, open_box = self._gate(stack), None
            if self.tools.any:
                if gate is not None:
                    raise BurnishError("--tools, --mcp: the recipe has a gate, `chat.gate`, which calls would pass by")
                open_box = stack.enter_context(opened_tools(self.target, self.tools, Console(stderr=True)))

            def load(model: Path, settings: "ServerSettings") -> Served:
                decoder, tokenizer = burnish.load(model, device=self.device, compute_dtype=self.target.compute_dtype)
                version = FileHashes(model.parent / ".hashes.json").of(model) if settings.feedback else ""
                if small is not None and words.backend.get_vocab() != tokenizer.backend.get_vocab():
                    raise BurnishError(
                        f"--speculate {self.guess}: its vocabulary is not that of {model}; expected the same"
                    )
                if open_box is not None:
                    call_writing(tokenizer)  # whether the model can be told of tools is said now
                guesses = None if self.guess is None else drafter
                return Served(
                    decoder,
                    tokenizer,
                    settings,
                    version,
                    passages,
                    tables,
                    guesses,
                    self._read(decoder, settings),
                    router,
                    examples,
                    open_box,
                    gate,
                )

            yield load

    def _gate(self, stack: ExitStack) -> Gate | None:
        """What lets answers through, where the recipe says so."""
        config, context = self.target.config.gate, self.target.context
        if config is None or context is None:
            return None
        config.judge.check(context, [])
        return Gate(stack.enter_context(config.judge.open(context)), config.threshold, config.attempts)

    def _read(self, decoder: "Decoder", settings: "ServerSettings") -> "dict[str, ServedAdapter]":
        """The adapters, which are of this decoder."""
        from burnish.checkpoints.peft import read_adapter
        from burnish.serving.api.served import ServedAdapter

        found = {}
        for name, folder in self.adapters.items():
            version = FileHashes(folder.parent / ".hashes.json").of(folder) if settings.feedback else ""
            found[name] = ServedAdapter(read_adapter(decoder, folder), version)
        return found

    def follow(
        self, load: Load, settings: "ServerSettings", say: Callable[[str], None]
    ) -> "Callable[[Api], Awaitable[None]] | None":
        """What changes over whenever the flywheel has another model in force; None without a flywheel."""
        flywheel = self.flywheel
        if flywheel is None:
            return None

        async def run(api: "Api") -> None:
            served = self.model
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                try:
                    model = Path((await asyncio.to_thread(flywheel.history)).model)
                    if model != served:
                        await api.change(await asyncio.to_thread(load, model, settings))
                        served = model
                        say(f"changed over to {model}")
                except BurnishError as error:  # the model that is served goes on
                    say(f"not changed over: {error}")

        return run
