"""From a question to the ways in which its answer is looked up, by what it wants."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from burnish.corpus.embeddings import Encoder
from burnish.errors import BurnishError
from burnish.retrieval.intents import Intent, Intents
from burnish.retrieval.settings import Ranking

SHOTS = 3
"""Solved examples before a question."""


@dataclass(frozen=True, eq=False)
class Router:
    """Decides what questions want. has: the ways that there is something for."""

    intents: Intents
    has: Sequence[str]
    device: str = "auto"

    @classmethod
    def open(cls, file: Path, has: Sequence[str], *, device: str = "auto") -> "Router":
        """A classifier from its file. Raises BurnishError where one of its ways has nothing to look into."""
        intents = Intents.load(file)
        needs = {
            "documents": "an index: --retrieve INDEX",
            "graph": "an index: --retrieve INDEX",
            "database": "a judge of type sql in the recipe's `chat.judges`",
            "examples": "solved examples: --examples FILE",
        }
        for name, ways in zip(intents.names, intents.ways, strict=True):
            missing = next((way for way in ways if way not in has), None)
            if missing is not None:
                raise BurnishError(
                    f"{file}: the intent {name} is answered from {missing}, which needs {needs[missing]}"
                )
        return cls(intents, tuple(has), device)

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.intents.encoder, device=self.device)

    def of(self, question: str) -> Intent:
        """What a question wants; of none of the intents, it is answered in all ways that there are, but the graph."""
        (found,) = self.intents.decided(self._encoder.embedder.embed([question], "query"))
        return found if found.name else Intent("", found.probability, tuple(way for way in self.has if way != "graph"))


def ranking_of(intent: Intent, usual: Ranking | None) -> tuple[bool, Ranking | None]:
    """Whether passages are looked up for an intent, and by which ranking."""
    if "graph" in intent.ways:
        return True, "graph"
    return "documents" in intent.ways, usual


def told(intent: Intent) -> str:
    """An intent and where it leads, for a person."""
    ways = ", ".join(intent.ways) or "the model alone"
    name = intent.name or "none of the intents"
    return f"intent: {name} ({intent.probability:.2f}) → {ways}"
