"""What `burnish serve` serves: a run's model with its prompt, database and index, or a flywheel's model in force."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.console.chat import Target, find_target
from burnish.errors import BurnishError
from burnish.recipes.schema.judges import open_judges
from burnish.retrieval import Index
from burnish.retrieval.grounding import Passages
from burnish.retrieval.settings import PASSAGE_TOKENS
from burnish.rewards.sql import SqlVerifier
from burnish.runs.hashes import FileHashes
from burnish.serving.flywheel.rounds import Flywheel
from burnish.serving.flywheel.settings import read_settings

if TYPE_CHECKING:
    from burnish.serving.api.answers import Served
    from burnish.serving.api.app import Api
    from burnish.serving.api.settings import ServerSettings

LOOK_SECONDS = 2.0
"""Between two looks at which model a flywheel has in force."""
Load = Callable[[Path, "ServerSettings"], "Served"]


def followed(file: Path) -> Flywheel:
    """The flywheel that a file describes."""
    return Flywheel(file, read_settings(file))


@dataclass(frozen=True)
class Serving:
    """A model to serve. target: it, or what a flywheel began with: its prompt, database and index are used."""

    target: Target
    name: str
    model: Path
    device: str
    index: Path | None = None
    flywheel: Flywheel | None = None

    @classmethod
    def of(
        cls, path: Path | None, flywheel: Flywheel | None, *, retrieve: Path | None, device: str | None
    ) -> "Serving":
        """What a command names: a model, or a flywheel. Raises BurnishError where it is not there."""
        if flywheel is not None:
            began = (flywheel.file.parent / flywheel.settings.model).absolute()
            target, name, model = find_target(began), flywheel.settings.name, Path(flywheel.history().model)
        else:
            assert path is not None
            target, name = find_target(path), path.resolve().name
            model = target.model
        return cls(target, name, model, device or target.device, retrieve or target.index, flywheel)

    @contextmanager
    def opened(self) -> Iterator[Load]:
        """What loads a model to be served, while the database and the index are open."""
        import burnish
        from burnish.serving.api.answers import Served

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

            def load(model: Path, settings: "ServerSettings") -> Served:
                decoder, tokenizer = burnish.load(model, device=self.device, compute_dtype=self.target.compute_dtype)
                version = FileHashes(model.parent / ".hashes.json").of(model) if settings.feedback else ""
                return Served(decoder, tokenizer, settings, version, passages, tables)

            yield load

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
