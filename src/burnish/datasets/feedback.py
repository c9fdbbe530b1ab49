"""What people asked, what was answered, and what they thought of it: one SQLite file.

Notable choices:
- an answer or a judgement that was acknowledged is on the disk: write-ahead log, `synchronous = FULL`, a transaction
  each (https://www.sqlite.org/pragma.html#pragma_synchronous). Several processes may read and write at once;
- a judgement belongs to an answer that is there, and goes with it: who deletes a user's answers deletes what was said
  of them, and the space is overwritten (`secure_delete`);
- judgements are numbered, so that a round of training can say up to which one it has read.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from burnish.errors import BurnishError, DataError
from burnish.files import open_regular

VERSION = 1
MAX_TEXT = 1 << 20
"""Characters of one text, whoever wrote it."""
Kind = Literal["good", "bad", "better", "correction"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_SCHEMA = """
create table answers (
    id text primary key, at text not null, user text not null, conversation text not null, model text not null,
    prompt text not null, answer text not null, sampling text not null, retrieved text not null
) strict;
create index answers_of_user on answers (user);
create table judgements (
    id integer primary key autoincrement, answer text not null references answers (id) on delete cascade,
    at text not null, user text not null, kind text not null, than text references answers (id) on delete cascade,
    text text, reason text
) strict;
create index judgements_of_answer on judgements (answer);
create index judgements_of_other on judgements (than);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer as it was given.

    id: unique. prompt: the messages before it, each with `role` and `content`. model: what tells the weights, such as
    their SHA-256. sampling: how it was drawn. retrieved: the chunks that were put before it.
    """

    id: str
    prompt: Sequence[Mapping[str, Any]]
    answer: str
    model: str
    user: str = ""
    conversation: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    retrieved: Sequence[Mapping[str, Any]] = ()
    at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What somebody thought of an answer.

    kind: `good` or `bad`; `better`, than the answer `than` to the same prompt; or a `correction`, whose `text` is what
    should have been said. number: in the order in which they came.
    """

    answer: str
    kind: Kind
    user: str = ""
    than: str | None = None
    text: str | None = None
    reason: str | None = None
    at: str = ""
    number: int = 0


class FeedbackError(BurnishError):
    """A judgement or an answer that cannot be kept, with what is wrong in it."""


class NoAnswerError(FeedbackError):
    """A judgement of an answer that is not there."""


class Feedback:
    """The file of answers and judgements. Use as a context manager, or `close` it; threads may share it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._connection, self._lock = path, connection, threading.RLock()

    @classmethod
    def open(cls, path: Path, *, create: bool = True) -> "Feedback":
        """Open the file, or make it.

        Raises DataError where it is no such file, is of another version, or is not there and not to be made.
        """
        if path.exists():
            with open_regular(path) as file:
                if file.read(16) not in (b"", b"SQLite format 3\0"):
                    raise DataError(f"{path}: no SQLite file; expected one that `burnish serve --feedback` has made")
        elif not create:
            raise DataError(f"{path}: no such file; `burnish serve --feedback {path}` makes it")
        try:
            connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode = wal", "synchronous = full", "foreign_keys = on", "secure_delete = on"):
                connection.execute(f"pragma {pragma}")
            feedback = cls(path, connection)
            feedback._prepare()
        except sqlite3.Error as error:
            raise DataError(f"{path}: cannot be opened as feedback: {error}") from error
        return feedback

    def _prepare(self) -> None:
        with self._transaction() as connection:
            (version,) = connection.execute("pragma user_version").fetchone()
            (tables,) = connection.execute("select count(*) from sqlite_master").fetchone()
            if version == VERSION:
                return
            if tables:
                raise DataError(
                    f"{self.path}: an SQLite file of something else, or of another version of Burnish "
                    f"(version {version}, expected {VERSION})"
                )
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"pragma user_version = {VERSION}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> "Feedback":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; what is written is on the disk afterwards."""
        with self._lock:
            try:
                self._connection.execute("begin immediate")
                try:
                    yield self._connection
                except BaseException:
                    self._connection.execute("rollback")
                    raise
                self._connection.execute("commit")
            except sqlite3.IntegrityError as error:
                raise _refused(error) from error
            except sqlite3.Error as error:
                raise DataError(f"{self.path}: {error}") from error

    def record(self, answered: Answered) -> None:
        """Keep an answer. Raises FeedbackError where its id is there already or a text is too long or none."""
        for message in answered.prompt:
            if not isinstance(message.get("role"), str):
                raise FeedbackError(f"got a message of the prompt without a role: {sorted(message)}")
        values = (
            _text(answered.id, "id"),
            answered.at or _now(),
            *(_text(getattr(answered, name), name, empty=True) for name in ("user", "conversation", "model")),
            _json(list(answered.prompt), "prompt"),
            _text(answered.answer, "answer", empty=True),
            _json(dict(answered.sampling), "sampling"),
            _json(list(answered.retrieved), "retrieved"),
        )
        with self._transaction() as connection:
            connection.execute("insert into answers values (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def judge(self, judged: Judged, *, of: str | None = None) -> int:
        """Keep a judgement; returns its number. of: whose answer it must be; None lets it be anybody's.

        Raises FeedbackError where the answer is not there, or the kind does not go with what else is said.
        """
        if judged.kind not in KINDS:
            raise FeedbackError(f"got kind '{judged.kind}'; expected one of {', '.join(KINDS)}")
        for key, kind, value in (("than", "better", judged.than), ("text", "correction", judged.text)):
            if (judged.kind == kind) != (value is not None):
                raise FeedbackError(f"'{key}' goes with kind '{kind}' and with no other; got kind '{judged.kind}'")
        if judged.than == judged.answer:
            raise FeedbackError("an answer is not better than itself; `than` names the other one")
        if judged.text is not None:
            _text(judged.text, "text")
        if judged.reason is not None:
            _text(judged.reason, "reason", empty=True)
        values = (judged.answer, judged.at or _now(), judged.user, judged.kind, judged.than, judged.text, judged.reason)
        with self._transaction() as connection:
            prompt = self._prompt(judged.answer, of)
            if judged.than is not None and self._prompt(judged.than, of) != prompt:
                raise FeedbackError("the two answers are not to the same prompt, so neither is the better one")
            columns = "answer, at, user, kind, than, text, reason"
            cursor = connection.execute(f"insert into judgements ({columns}) values (?, ?, ?, ?, ?, ?, ?)", values)
            return int(cursor.lastrowid or 0)

    def _prompt(self, answer: str, of: str | None) -> str:
        row = self._connection.execute("select prompt, user from answers where id = ?", (answer,)).fetchone()
        if row is None or of not in (None, row[1]):
            raise NoAnswerError(f"no such answer '{answer}'; it was never kept, or has been deleted")
        return str(row[0])

    def last(self) -> int:
        """The number of the newest judgement that there ever was; 0 where there was none. None is given again."""
        query = "select seq from sqlite_sequence where name = 'judgements'"
        with self._lock:
            found = self._connection.execute(query).fetchone()
        return 0 if found is None else int(found[0])

    def judgements(self, *, after: int = 0, until: int | None = None) -> Iterator[tuple[Judged, Answered, str | None]]:
        """Judgements in their order, each with its answer and, where that was better than another, the other's text.

        after, until: the numbers that they lie between, the latter included.
        """
        query = (
            "select j.id, j.answer, j.at, j.user, j.kind, j.than, j.text, j.reason,"
            " a.prompt, a.answer, a.model, a.user, a.conversation, a.sampling, a.retrieved, a.at, o.answer"
            " from judgements j join answers a on a.id = j.answer left join answers o on o.id = j.than"
            " where j.id > ? and j.id <= ? order by j.id"
        )
        with self._lock:
            rows = self._connection.execute(query, (after, self.last() if until is None else until)).fetchall()
        for row in rows:
            number, answer, at, user, kind, than, text, reason = row[:8]
            prompt, said, model, asker, conversation, sampling, retrieved, asked, other = row[8:]
            judged = Judged(
                answer=answer, kind=kind, user=user, than=than, text=text, reason=reason, at=at, number=number
            )
            answered = Answered(
                id=answer,
                prompt=json.loads(prompt),
                answer=said,
                model=model,
                user=asker,
                conversation=conversation,
                sampling=json.loads(sampling),
                retrieved=json.loads(retrieved),
                at=asked,
            )
            yield judged, answered, other

    def counts(self, *, after: int = 0) -> dict[str, int]:
        """How many answers there are, and how many judgements of each kind behind the number `after`."""
        with self._lock:
            (answers,) = self._connection.execute("select count(*) from answers").fetchone()
            query = "select kind, count(*) from judgements where id > ? group by kind"
            kinds = dict(self._connection.execute(query, (after,)).fetchall())
        return {"answers": answers, **{kind: kinds.get(kind, 0) for kind in KINDS}}

    def delete(self, *, user: str | None = None, before: str | None = None, since: str | None = None) -> int:
        """Delete a user's answers and judgements, or all answers given before or since a moment, such as `2026-01-31`.

        What others said of a deleted answer goes too. Returns how many answers went.
        """
        if sum(one is not None for one in (user, before, since)) != 1:
            raise ValueError("say a user or a moment, and one of them")
        with self._transaction() as connection:
            if before is not None:
                deleted = connection.execute("delete from answers where at < ?", (before,)).rowcount
            elif since is not None:
                deleted = connection.execute("delete from answers where at >= ?", (since,)).rowcount
            else:
                connection.execute("delete from judgements where user = ?", (user,))
                deleted = connection.execute("delete from answers where user = ?", (user,)).rowcount
        with self._lock:
            self._connection.execute("pragma wal_checkpoint(truncate)")  # the log holds what was deleted, too
        return int(deleted)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _text(value: Any, name: str, *, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or empty) or len(value) > MAX_TEXT:
        what = f"{len(value):,} characters" if isinstance(value, str) else type(value).__name__
        raise FeedbackError(f"'{name}': got {what}; expected a text of at most {MAX_TEXT:,} characters")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise FeedbackError(f"'{name}': not Unicode text: {error}") from error
    return value


def _json(value: Any, name: str) -> str:
    try:
        return _text(json.dumps(value, ensure_ascii=False, allow_nan=False), name)
    except (TypeError, ValueError, RecursionError) as error:
        raise FeedbackError(f"'{name}': cannot be written as JSON: {error}") from error


def _refused(error: sqlite3.IntegrityError) -> FeedbackError:
    text = str(error)
    if "FOREIGN KEY" in text:
        return NoAnswerError("no such answer; it was never kept, or has been deleted")
    return FeedbackError("an answer of this id is kept already" if "UNIQUE" in text else text)
