"""The rounds of a flywheel and the model in force, in `history.jsonl`: one line an event, never changed.

The model in force is what the last line says, so that a promotion and a roll-back are one atomic write. Readers, a
server among them, look at the file's time and read its end.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from burnish.errors import BurnishError, DataError
from burnish.files import atomic_write_text, open_regular, reported

HISTORY_FILE = "history.jsonl"
_LOCK_FILE = ".history.lock"
"""Held while a line is added. The run's own lock, which a round holds for hours, keeps no roll-back waiting."""
ROUNDS_FOLDER = "rounds"


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened, and which model is in force since.

    kind: `promoted`, `kept` (the candidate was not better) or `rolled_back`. round: its number, from 1. model: the one
    in force from now on; before: the one before. read: the last judgement that the models in force have learned from.
    decision: of a round, every figure and reason.
    """

    kind: Literal["promoted", "kept", "rolled_back"]
    round: int
    model: str
    before: str
    until: int
    read: int
    at: str
    decision: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """Everything that happened to a flywheel. folder: the flywheel's; first: the model that it began with."""

    folder: Path
    first: str
    events: tuple[Event, ...] = ()

    @classmethod
    def read(cls, folder: Path, first: str) -> "History":
        """Read the history of a flywheel; one that has none yet is empty. Raises DataError for a damaged file."""
        file = folder / HISTORY_FILE
        if not file.exists():
            return cls(folder, first)
        try:
            with open_regular(file) as opened:
                lines = opened.read().decode("utf-8").splitlines()
            return cls(folder, first, tuple(Event(**json.loads(line)) for line in lines))
        except BurnishError:
            raise
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{file}: not a flywheel's history: {error}; restore it from a copy") from error

    @property
    def model(self) -> str:
        """The model in force."""
        return self.events[-1].model if self.events else self.first

    @property
    def read_until(self) -> int:
        """The last judgement that the model in force has learned from."""
        return self.events[-1].read if self.events else 0

    @property
    def tried_until(self) -> int:
        """The last judgement that any round has read; the next one needs newer ones."""
        return max((event.until for event in self.events), default=0)

    @property
    def rounds(self) -> int:
        """How many rounds are decided."""
        return max((event.round for event in self.events), default=0)

    def decided(
        self, number: int, *, promoted: bool, candidate: Path, until: int, decision: Mapping[str, Any]
    ) -> Event:
        """Write down what became of a round."""
        return self._append(
            lambda now: Event(
                kind="promoted" if promoted else "kept",
                round=number,
                model=str(candidate.absolute()) if promoted else now.model,
                before=now.model,
                until=until,
                read=until if promoted else now.read_until,
                at=_now(),
                decision=decision,
            )
        )

    def roll_back(self) -> Event:
        """Put the model before the one in force into its place again.

        Raises BurnishError where there is none, or where its files are gone.
        """
        return self._append(History._rolled_back)

    def _rolled_back(self) -> Event:
        standing: list[Event] = []
        for event in self.events:
            if event.kind == "promoted":
                standing.append(event)
            elif event.kind == "rolled_back":
                standing.pop()
        if not standing:
            raise BurnishError(f"{self.folder}: {self.model} is what the flywheel began with; nothing is before it")
        last = standing[-1]
        if not Path(last.before).exists():
            raise BurnishError(f"{last.before}: is not there any more, so the flywheel cannot go back to it")
        read = standing[-2].read if len(standing) > 1 else 0
        return Event(
            kind="rolled_back",
            round=last.round,
            model=last.before,
            before=self.model,
            until=self.tried_until,
            read=read,
            at=_now(),
        )

    def _append(self, made: Callable[["History"], Event]) -> Event:
        """Write down an event, made of all that has happened until now: a round takes hours, and others write too."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / HISTORY_FILE
        with reported("lock", file), FileLock(self.folder / _LOCK_FILE):
            now = History.read(self.folder, self.first)
            event = made(now)
            lines = [json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in (*now.events, event)]
            atomic_write_text(file, "".join(lines))
        return event


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
