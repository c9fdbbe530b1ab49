"""From tokens to the texts of an answer's choices, as they come."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from burnish.generation.request import Completion, Drawn
from burnish.serving.api.faults import ApiError
from burnish.serving.api.worker import Ticket
from burnish.text.streaming import StreamedText
from burnish.text.tokenizer import Tokenizer


@dataclass(eq=False)
class Spoken:
    """The text of an answer that is more than what some tokens say."""

    text: str = ""


@dataclass(eq=False)
class Choice:
    """One of the answers while it is written. given: the tokens that its text is made of, as they came.

    refusal: what is said instead of an answer that is not given.
    """

    text: StreamedText | Spoken
    given: list[Drawn] = field(default_factory=list)
    finish_reason: str | None = None
    n_tokens: int = 0
    reused: int = 0
    completion: Completion | None = None
    refusal: str | None = None


@dataclass(frozen=True)
class Piece:
    """What is new of a choice: certain text, and tokens (with none of what ended it).

    more: what belongs to the answer beside it, as `burnish` of a chunk has it. refusal: see `Choice`.
    """

    place: int
    text: str
    drawn: Sequence[Drawn]
    finish_reason: str | None
    more: Mapping[str, Any] = field(default_factory=dict)
    refusal: str | None = None


class Answering(Protocol):
    """Answers while they are written.

    all: one a choice. usage: tokens so far. more: what belongs to whole answers beside them. waited: seconds before the
    first was begun. expire: let `pieces` raise TimeoutError. close: forget what is left.
    """

    all: Sequence[Choice]

    @property
    def usage(self) -> dict[str, Any]: ...

    @property
    def more(self) -> dict[str, Any]: ...

    @property
    def waited(self) -> float | None: ...

    def pieces(self) -> AsyncIterator[Piece]: ...

    def expire(self) -> None: ...

    def close(self) -> None: ...


class Choices:
    """The choices of a ticket, as they come: `Answering` in one turn.

    prompts: those that the choices answer, as many to each. kept: control tokens whose text is part of answers.
    """

    def __init__(
        self,
        ticket: Ticket,
        prompts: Sequence[Sequence[int]],
        tokenizer: Tokenizer,
        kept: frozenset[int] = frozenset(),
    ) -> None:
        self._ticket, self._prompts = ticket, prompts
        self.all: Sequence[Choice] = [
            Choice(StreamedText(tokenizer, one.sampling.stop_strings, kept)) for one in ticket.requests
        ]

    @property
    def usage(self) -> dict[str, Any]:
        return usage(self._prompts, self.all)

    @property
    def more(self) -> dict[str, Any]:
        return {}

    @property
    def waited(self) -> float | None:
        return self._ticket.waited

    def expire(self) -> None:
        self._ticket.put(TimeoutError())

    def close(self) -> None:
        self._ticket.close()

    async def pieces(self) -> AsyncIterator[Piece]:
        """Each new token's piece."""
        async for place, drawn in self._ticket:
            choice, done = self.all[place], drawn.completion
            assert isinstance(choice.text, StreamedText)
            choice.n_tokens += 1
            said = done is None or done.stop is None
            text = choice.text.add(drawn.token) if said else ""
            if said:
                choice.given.append(drawn)
            if done is not None and done.finish_reason == "grammar":
                raise ApiError(
                    400,
                    "response_format: too complex to be followed to its end",
                    code="invalid_value",
                    param="response_format",
                )
            if done is not None:
                text += choice.text.finish()
                choice.finish_reason, choice.reused, choice.completion = done.finish_reason, done.reused, done
            yield Piece(place, text, [drawn] if said else [], choice.finish_reason)


def as_text(tokenizer: Tokenizer, token: int) -> str:
    """What one token says alone; bytes that are no character are shown as the replacement character."""
    return tokenizer.decode([token], skip_special=False)


def usage(prompts: Sequence[Sequence[int]], choices: Sequence[Choice]) -> dict[str, Any]:
    """Tokens of a request, as OpenAI counts them: a prompt once, however many choices it has."""
    n_prompt, n_new = sum(map(len, prompts)), sum(choice.n_tokens for choice in choices)
    reused = min(n_prompt, sum(choice.reused for choice in choices[:: max(1, len(choices) // len(prompts))]))
    return {
        "prompt_tokens": n_prompt,
        "completion_tokens": n_new,
        "total_tokens": n_prompt + n_new,
        "prompt_tokens_details": {"cached_tokens": reused},
    }
