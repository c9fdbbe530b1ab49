"""From an answer's text, piece by piece, to what it says and the calls in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.text.tool_calls.formats import CallFormat
from burnish.text.tool_calls.values import CallSyntaxError, ToolCall

MAX_TRIES = 8
"""Places that may close a call, before what began it is taken for text: so that reading takes no more than the text."""
_THINK, _THOUGHT = "<think>", "</think>"


@dataclass(frozen=True)
class Read:
    """What is certain of an answer: text, and calls. wrong: why what looked like a call is text."""

    text: str = ""
    calls: Sequence[ToolCall] = ()
    wrong: Sequence[str] = ()


class CallReader:
    """Reads pieces of an answer.

    Text is given on as soon as no call can begin in it; a call as soon as it is whole. Within reasoning, from `<think>`
    to `</think>`, nothing is called. thinking: whether the prompt has opened such a block.
    """

    def __init__(self, form: CallFormat, *, thinking: bool = False) -> None:
        self._form, self._thinking = form, thinking
        self._held = ""
        self._begun = False
        self._called = False
        self._looked = self._tries = 0  # up to where it was looked for what closes the call that is held

    def add(self, piece: str) -> Read:
        """What is certain now and was not before."""
        self._held += piece
        return self._read(final=False)

    def finish(self) -> Read:
        """What is still held, once the answer has ended: a call whose end is missing counts where it is whole."""
        return self._read(final=True)

    def _read(self, *, final: bool) -> Read:
        text, calls, wrong = "", list[ToolCall](), list[str]()
        while self._held:
            if self._thinking:
                end = self._held.find(_THOUGHT)
                until = end + len(_THOUGHT) if end >= 0 else len(self._held) - _partial(self._held, (_THOUGHT,))
                until = len(self._held) if end < 0 and final else until
                text += self._give(until)
                self._thinking = end < 0
                if end < 0:
                    break
                continue
            place, marker = self._next()
            if marker is None:
                text += self._give(len(self._held) if final else place)
                break
            text += self._give(place)
            if marker == _THINK:
                text += self._give(len(_THINK))
                self._thinking = True
                continue
            found = self._whole(marker, final=final)
            if found is None:
                break
            length, read, why = found
            calls += read
            if why:
                wrong.append(why)
                text += self._give(length)
            else:
                self._held, self._begun, self._called = self._held[length:], True, True
            self._looked = self._tries = 0
        if self._called and not text.strip():
            text = ""  # white space between calls is nobody's
        return Read(text, calls, wrong)

    def _next(self) -> tuple[int, str | None]:
        """Where the next marker is, and which; without one, up to where the text is certain."""
        if not self._begun:
            start = len(self._held) - len(self._held.lstrip())
            beginning = self._held[start:]
            for one in self._form.starts:
                if beginning.startswith(one):
                    return start, one
                if one.startswith(beginning):
                    return 0, None
        markers = (*self._form.begins, _THINK)
        found = [(place, one) for one in markers if (place := self._held.find(one)) >= 0]
        if found:
            return min(found)
        return len(self._held) - _partial(self._held, markers), None

    def _whole(self, marker: str, *, final: bool) -> tuple[int, list[ToolCall], str] | None:
        """How much of what is held belongs to a call that `marker` begins, the call, and why it is none.

        None where that is not known yet. What closes a call may stand in its arguments too: the first place counts at
        which the call is whole.
        """
        end, first, why = self._closing(marker), 0, ""
        while end and (place := self._held.find(end, max(len(marker), self._looked))) >= 0:
            first = first or place + len(end)
            self._looked, self._tries = place + len(end), self._tries + 1
            try:
                return self._looked, self._form.read(self._inner(self._held[: self._looked], marker)), ""
            except CallSyntaxError as error:
                why = why or str(error)
                if self._tries >= MAX_TRIES:
                    break
        if self._tries >= MAX_TRIES:
            return self._held.find(end, len(marker)) + len(end), [], why
        if not final:
            return None
        try:
            return len(self._held), self._form.read(self._inner(self._held, marker)), ""
        except CallSyntaxError as error:
            first = self._held.find(end, len(marker)) + len(end) if end and end in self._held[len(marker) :] else 0
            return first or len(self._held), [], why or str(error)

    def _closing(self, marker: str) -> str:
        return dict(zip(self._form.begins, self._form.ends, strict=False)).get(marker, "")

    def _inner(self, whole: str, marker: str) -> str:
        if marker in self._form.starts:
            return whole.removeprefix("functools")
        return whole.removeprefix(marker).removesuffix(self._closing(marker))

    def _give(self, until: int) -> str:
        given, self._held = self._held[:until], self._held[until:]
        self._begun = self._begun or bool(given.strip())
        return given


def read_answer(text: str, form: CallFormat, *, thinking: bool = False) -> Read:
    """A whole answer's text and calls."""
    reader = CallReader(form, thinking=thinking)
    parts = (reader.add(text), reader.finish())
    return Read(
        "".join(part.text for part in parts),
        [call for part in parts for call in part.calls],
        [why for part in parts for why in part.wrong],
    )


def _partial(text: str, markers: Sequence[str]) -> int:
    """Characters at the end of a text that may turn out to begin a marker."""
    longest = max(map(len, markers))
    lengths = range(min(longest - 1, len(text)), 0, -1)
    return next((n for n in lengths if any(one.startswith(text[-n:]) for one in markers)), 0)
