"""What a model said: the one type of an answer, from sampling over judging to the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """An answer to a prompt.

    prompt: the messages that were answered. row: the task's row as it stands in its file, with what judges read.
    tokens: all that were drawn, with the one or the stop string that ended it. logp: log-probability of the whole
    answer under the model itself, in nats. finished: whether the model ended it, rather than the limit on its length.
    place: where the task stands, such as tasks.jsonl:7; empty where it has none. calls: of tools, each with `name`,
    `arguments`, `result` and whether it `failed`. messages: what was said since the prompt, with calls and results,
    where tools are called.
    """

    prompt: Sequence[Mapping[str, Any]]
    text: str
    row: Mapping[str, Any] = field(default_factory=dict)
    tokens: Sequence[int] = ()
    logp: float = 0.0
    finished: bool = True
    place: str = ""
    calls: Sequence[Mapping[str, Any]] = ()
    messages: Sequence[Mapping[str, Any]] = ()

    @property
    def named(self) -> str:
        """The answer and its task, as an error names them."""
        asked = self.place or (repr(self.question[:80]) if self.question else "")
        return f"the answer {self.text[:80]!r}" + (f" to {asked}" if asked else "")

    @property
    def question(self) -> str:
        """What the last message of the prompt says."""
        return str(self.prompt[-1].get("content", "")) if self.prompt else ""
