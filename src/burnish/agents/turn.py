"""One turn of a model in an episode: its tokens as they come, and what they say and call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from burnish.agents.episode import Ended, Episode, Hop
from burnish.generation.request import Completion, Drawn
from burnish.text.streaming import StreamedText
from burnish.text.tool_calls.detection import opens_reasoning
from burnish.text.tool_calls.reading import CallReader, Read
from burnish.text.tool_calls.values import ToolCall


@dataclass(frozen=True)
class Said:
    """Text of the model."""

    text: str


@dataclass(frozen=True)
class Calling:
    """A call that the model has written and that is about to be made."""

    call: ToolCall


@dataclass(frozen=True)
class Over:
    """The end of an episode. wrong: what looked like calls and is none."""

    ended: Ended
    wrong: Sequence[str]


Event = Said | Calling | Hop | Over


class TurnReader:
    """Reads what is drawn behind an episode's prompt. stops: strings that end the text."""

    def __init__(self, episode: Episode, stops: Sequence[str] = ()) -> None:
        self._episode = episode
        tokenizer, prompt = episode.tokenizer, episode.prompt
        thinking = opens_reasoning(tokenizer.decode(prompt[-8:], skip_special=False))
        self._text = StreamedText(tokenizer, stops, episode.kept)
        self._reader = CallReader(episode.writing.format, thinking=thinking)
        self._completion: Completion | None = None

    def add(self, drawn: Drawn) -> Iterator[Said | Calling]:
        """What is certain now and was not before."""
        done = self._completion = drawn.completion
        if done is None or done.stop is None:
            yield from _events(self._reader.add(self._text.add(drawn.token)))
        if done is not None:
            yield from _events(self._reader.add(self._text.finish()))
            yield from _events(self._reader.finish())

    def take(self) -> list[Hop]:
        """Make the calls of a turn that is complete; the episode goes on behind them, or is over."""
        done = self._completion
        assert done is not None
        return self._episode.take(done.drawn, finished=done.finish_reason == "stop", text=self._text.text)


def _events(read: Read) -> Iterator[Said | Calling]:
    if read.text:
        yield Said(read.text)
    for call in read.calls:
        yield Calling(call)
