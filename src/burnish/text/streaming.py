"""The text of tokens as they come, cut before the first of some stop strings."""

from collections.abc import Sequence, Set

from tokenizers.decoders import DecodeStream

from burnish.text.tokenizer import Tokenizer


class StreamedText:
    """Tokens in, pieces of text out, each as soon as it is certain: whole characters, and no part of a stop string.

    stops: strings that end the text, which is cut before the first of them; one may begin and end within tokens.
    kept: control tokens whose text is part of it; that of all others is left out.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = (), kept: Set[int] = frozenset()) -> None:
        self._tokenizer, self._stops, self._kept = tokenizer, tuple(stops), kept
        self._stream = DecodeStream(skip_special_tokens=True)
        self._longest = max((len(stop) for stop in self._stops), default=0)
        self._tokens: list[int] = []
        self._decoded = ""
        self._given = 0
        self.stopped = False
        """Whether a stop string has come: tokens after it are none of the text."""

    def add(self, token: int) -> str:
        """What is certain now and was not before."""
        self._tokens.append(token)
        if token in self._kept:
            piece = str(self._tokenizer.token(token))
            self._decoded = self._tokenizer.decode_keeping(self._tokens[:-1], self._kept)  # broken characters included
            self._stream = DecodeStream(skip_special_tokens=True)
        else:
            piece = self._stream.step(self._tokenizer.backend, token) or ""
        if not piece:
            return ""
        seen = max(0, len(self._decoded) - self._longest + 1)
        self._decoded += piece
        cut = first_stop(self._decoded, self._stops, seen)
        if cut is not None:
            self.stopped = True
            return self._give(cut)
        return self._give(len(self._decoded) - self._held())

    def finish(self) -> str:
        """What is still missing once the last token is there, bytes of broken characters included."""
        return self.text[self._given :]

    @property
    def text(self) -> str:
        """The text of all tokens so far."""
        whole = self._tokenizer.decode_keeping(self._tokens, self._kept)
        cut = first_stop(whole, self._stops) if self._stops else None
        return whole if cut is None else whole[:cut]

    def _held(self) -> int:
        """Characters at the end that may turn out to be the beginning of a stop string."""
        ending = range(min(self._longest - 1, len(self._decoded)), 0, -1)
        return next((n for n in ending if any(stop.startswith(self._decoded[-n:]) for stop in self._stops)), 0)

    def _give(self, until: int) -> str:
        start, self._given = self._given, max(self._given, until)
        return self._decoded[start : self._given]


def first_stop(text: str, stops: Sequence[str], start: int = 0) -> int | None:
    """Where the first of the stop strings begins, at `start` or later; None where there is none."""
    return min((place for stop in stops if (place := text.find(stop, start)) >= 0), default=None)
