"""Answers in OpenAI's JSON."""

from collections.abc import Sequence
from typing import Any

from burnish.generation.request import Drawn
from burnish.serving.api.choices import Choice, as_text
from burnish.serving.api.scoring import PromptToken
from burnish.serving.api.tooling import Reading, ToolUse
from burnish.text.tokenizer import Tokenizer


class Chat:
    """Bodies of `/v1/chat/completions`."""

    kind, chunk_kind, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def __init__(self, tokenizer: Tokenizer, logprobs: bool, tools: ToolUse | None = None) -> None:
        self._tokenizer, self._logprobs, self._tools = tokenizer, logprobs, tools
        self._readings: dict[int, Reading] = {}

    @property
    def kept(self) -> frozenset[int]:
        """Control tokens whose text is part of answers."""
        return frozenset() if self._tools is None else self._tools.kept(self._tokenizer)

    @property
    def wrong_calls(self) -> list[str]:
        """What looked like calls of tools and is none that may be made."""
        return [why for reading in self._readings.values() for why in reading.wrong]

    def first(self, place: int) -> dict[str, Any]:
        """What opens a choice's stream."""
        return {"index": place, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}

    def chunk(
        self,
        place: int,
        text: str,
        drawn: Sequence[Drawn],
        finish_reason: str | None,
        refusal: str | None = None,
    ) -> dict[str, Any]:
        """What a piece adds to a choice's stream."""
        delta: dict[str, Any] = {} if refusal is None else {"refusal": refusal}
        if self._tools is not None:
            text, calls = self._reading(place).add(text, last=finish_reason is not None)
            delta |= {"tool_calls": calls} if calls else {}
            finish_reason = self._ended(place, finish_reason)
        return {
            "index": place,
            "delta": ({"content": text} if text else {}) | delta,
            "logprobs": self._logps(drawn) if drawn else None,
            "finish_reason": finish_reason,
        }

    def choice(self, place: int, choice: Choice) -> dict[str, Any]:
        """A whole choice."""
        said = choice.text.text if choice.refusal is None else None
        message: dict[str, Any] = {"role": "assistant", "content": said, "refusal": choice.refusal}
        finish_reason = choice.finish_reason
        if self._tools is not None:
            reading = self._reading(place)
            message["content"], _ = reading.add(choice.text.text, last=True)
            if reading.calls:
                message |= {"content": message["content"] or None, "tool_calls": reading.calls}
            finish_reason = self._ended(place, finish_reason)
        return {
            "index": place,
            "message": message,
            "logprobs": self._logps(choice.given),
            "finish_reason": finish_reason,
        }

    def _reading(self, place: int) -> Reading:
        assert self._tools is not None
        if place not in self._readings:
            self._readings[place] = self._tools.reading()
        return self._readings[place]

    def _ended(self, place: int, finish_reason: str | None) -> str | None:
        """An answer that ends with calls ends for their sake."""
        return "tool_calls" if finish_reason == "stop" and self._reading(place).calls else finish_reason

    def _logps(self, drawn: Sequence[Drawn]) -> dict[str, Any] | None:
        if not self._logprobs:
            return None

        def of(token: int, logp: float) -> dict[str, Any]:
            text = as_text(self._tokenizer, token)
            return {"token": text, "logprob": logp, "bytes": list(text.encode())}

        return {
            "content": [
                {**of(one.token, one.logp), "top_logprobs": [of(token, logp) for token, logp in one.alternatives]}
                for one in drawn
            ],
            "refusal": None,
        }


class Completion:
    """Bodies of `/v1/completions`. scored: each prompt's tokens where the request asks for their log-probabilities.

    echoed: each choice's prompt as text where the request wants it repeated.
    """

    kind, chunk_kind, prefix = "text_completion", "text_completion", "cmpl"
    kept: frozenset[int] = frozenset()

    def __init__(
        self,
        tokenizer: Tokenizer,
        logprobs: int | None,
        *,
        echoed: Sequence[str] | None = None,
        scored: Sequence[Sequence[PromptToken]] | None = None,
    ) -> None:
        self._tokenizer, self._logprobs = tokenizer, logprobs
        self._echoed, self._scored = echoed, scored
        self._offsets: dict[int, int] = {}

    def first(self, place: int) -> dict[str, Any] | None:
        """What opens a choice's stream: the prompt, where it is to be repeated."""
        if self._echoed is None:
            return None
        return self._body(place, self._echoed[place], self._of_prompt(place), None)

    def chunk(
        self,
        place: int,
        text: str,
        drawn: Sequence[Drawn],
        finish_reason: str | None,
        refusal: str | None = None,
    ) -> dict[str, Any]:
        """What a piece adds to a choice's stream."""
        return self._body(place, text, list(drawn), finish_reason)

    def choice(self, place: int, choice: Choice | None) -> dict[str, Any]:
        """A whole choice; None where only the prompt was asked for."""
        tokens: list[Drawn | PromptToken] = self._of_prompt(place)
        text = "" if self._echoed is None else self._echoed[place]
        if choice is None:
            return self._body(place, text, tokens, "length")
        return self._body(place, text + choice.text.text, [*tokens, *choice.given], choice.finish_reason)

    def _of_prompt(self, place: int) -> "list[Drawn | PromptToken]":
        return [] if self._scored is None else list(self._scored[place])

    def _body(
        self, place: int, text: str, tokens: "Sequence[Drawn | PromptToken]", finish_reason: str | None
    ) -> dict[str, Any]:
        logprobs = None
        if self._logprobs is not None:
            texts = [as_text(self._tokenizer, one.token) for one in tokens]
            offsets = []
            for said in texts:
                offsets.append(self._offsets.get(place, 0))
                self._offsets[place] = offsets[-1] + len(said)
            logprobs = {
                "tokens": texts,
                "token_logprobs": [one.logp for one in tokens],
                "top_logprobs": [self._top(one) for one in tokens],
                "text_offset": offsets,
            }
        return {"index": place, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}

    def _top(self, one: "Drawn | PromptToken") -> dict[str, float] | None:
        """Alternatives by their text, the token itself always among them; the more probable of two that look alike."""
        if one.logp is None:
            return None
        found = {as_text(self._tokenizer, one.token): one.logp}
        for token, logp in reversed(one.alternatives):
            found[as_text(self._tokenizer, token)] = logp
        return found
