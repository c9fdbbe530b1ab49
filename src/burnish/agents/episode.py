"""One conversation in which a model calls tools: what it wrote becomes calls, their results the next prompt.

An episode knows no engine: it says which tokens the model goes on from, and is told what it wrote. So one at a
terminal, many side by side and a rollout of reinforcement learning are the same.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from burnish.agents.tool import ToolBox, ToolResult
from burnish.errors import DataError
from burnish.text.chat import Message, encode_continuation, encode_question
from burnish.text.tokenizer import Tokenizer
from burnish.text.tool_calls.detection import CallWriting, call_writing, opens_reasoning
from burnish.text.tool_calls.reading import read_answer
from burnish.text.tool_calls.values import ToolCall

Ended = Literal["answer", "cut", "calls", "time", "context"]
"""Why an episode is over: the model answered; its text or its calls, time or context reached their limit."""


@dataclass(frozen=True)
class Hop:
    """A call, and what came of it."""

    call: ToolCall
    result: ToolResult


@dataclass(eq=False)
class Episode:
    """A conversation on its way.

    messages: from the system prompt to whatever was said last. context: tokens that the model can read. exact: whether
    it goes on from exactly the tokens that it has drawn, as learning from them needs; else each prompt is what the
    template makes of the messages. tokens, learned: of an exact one, all so far, and which of them the model has drawn.
    """

    tokenizer: Tokenizer
    messages: list[Message]
    box: ToolBox
    context: int
    exact: bool = False
    ended: Ended | None = None
    hops: list[Hop] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    learned: list[bool] = field(default_factory=list)
    answer: str = ""

    def __post_init__(self) -> None:
        self.writing: CallWriting = call_writing(self.tokenizer)
        self.kept = self.writing.format.kept_ids(self.tokenizer)
        self._asked = len(self.messages)
        self._began = time.monotonic()
        self._prompt = self._encoded()
        if self.exact:
            self.tokens, self.learned = list(self._prompt), [False] * len(self._prompt)

    @property
    def prompt(self) -> list[int]:
        """What the model goes on from."""
        return self.tokens if self.exact else self._prompt

    @property
    def n_prompt(self) -> int:
        """Tokens before anything that was drawn."""
        return self.learned.index(True) if True in self.learned else len(self.learned)

    @property
    def said(self) -> list[Message]:
        """The messages since the question."""
        return self.messages[self._asked :]

    def take(self, drawn: Sequence[int], *, finished: bool, text: str | None = None) -> list[Hop]:
        """Read what the model wrote, and call what it calls; the hops of this turn.

        drawn: its tokens, with the one that ended it. finished: whether it ended its turn by itself. text: where stop
        strings cut it.
        """
        prompt = self.prompt
        thinking = opens_reasoning(self.tokenizer.decode(prompt[-8:], skip_special=False))
        if self.exact:
            self.tokens = [*self.tokens, *drawn]
            self.learned = [*self.learned, *[True] * len(drawn)]
        stopped = bool(drawn) and drawn[-1] in self.tokenizer.stop_ids
        if text is None:
            text = self.tokenizer.decode_keeping(drawn[:-1] if stopped else drawn, self.kept)
        read = read_answer(text, self.writing.format, thinking=thinking)
        self.wrong += read.wrong
        if not read.calls or not finished:
            self.answer = read.text if not read.calls else text
            self.messages.append({"role": "assistant", "content": self.answer})
            self.ended = "answer" if finished else "cut"
            return []
        return self._called(read.text, read.calls, drawn[-1] if stopped else None)

    def _called(self, text: str, calls: Sequence[ToolCall], stop: int | None) -> list[Hop]:
        limits, hops, made, results = self.box.limits, list[Hop](), list[dict[str, Any]](), list[Message]()
        for wanted in calls:
            name = f"call{len(self.hops) + len(hops) + 1:05}"
            if len(self.hops) + len(hops) >= limits.calls:
                call, result = wanted, ToolResult(f"error: no more than {limits.calls} calls are made", failed=True)
            elif time.monotonic() - self._began > limits.seconds:
                call, result = wanted, ToolResult(f"error: {limits.seconds:g} s are over", failed=True)
            else:
                call, result = self.box.call(wanted)
            hops.append(Hop(call, result))
            function = {"name": call.name, "arguments": dict(call.arguments)}
            made.append({"type": "function", "id": name, "function": function})
            results.append({"role": "tool", "content": result.text, "name": call.name, "tool_call_id": name})
        self.hops += hops
        self.messages.append({"role": "assistant", "content": text.strip(), "tool_calls": made})
        before = list(self.messages)
        self.messages += results
        if len(self.hops) >= limits.calls:
            self.ended = "calls"
        elif time.monotonic() - self._began > limits.seconds:
            self.ended = "time"
        else:
            self._go_on(before, results, stop)
        return hops

    def _go_on(self, before: Sequence[Message], results: Sequence[Message], stop: int | None) -> None:
        if not self.exact:
            self._prompt = self._encoded(full=True)
        elif stop is None:
            self.ended = "cut"
            return
        else:
            more = encode_continuation(self.tokenizer, before, results, after=stop, tools=self._tools)
            self.tokens = [*self.tokens, *more]
            self.learned = [*self.learned, *[False] * len(more)]
        if len(self.prompt) >= self.context:
            self.ended = "context"
            if self.exact:  # nothing is learned behind, and nothing drawn
                n = len(self.tokens) - self.learned[::-1].index(True)
                self.tokens, self.learned = self.tokens[:n], self.learned[:n]

    @property
    def _tools(self) -> list[Mapping[str, Any]]:
        return self.box.definitions

    def _encoded(self, *, full: bool = False) -> list[int]:
        """What the template makes of the messages. full: whether they may fill the context."""
        encoding = encode_question(self.tokenizer, self.messages, tools=self._tools)
        if encoding.lost:
            part = encoding.lost[0]
            whose = f" of message {part.place + 1}" if part.place >= 0 else ""
            raise DataError(
                f"the chat template of {self.tokenizer.source} leaves out the {part.what}{whose}, so the model would "
                "not know of it"
            )
        if len(encoding.tokens) >= self.context and not full:
            raise DataError(
                f"the conversation with its tools has {len(encoding.tokens)} tokens, which leaves no room for an "
                f"answer in the model's context of {self.context}; begin a new one, or offer fewer tools"
            )
        return encoding.tokens
