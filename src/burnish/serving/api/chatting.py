"""A conversation on its way to its answer: where it is looked up, the tools, the prompt, the form."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from burnish.serving.api.acted_answer import ActedAnswer, acts, opened
from burnish.serving.api.app import Api
from burnish.serving.api.bodies import Chat
from burnish.serving.api.choices import Answering, Choices
from burnish.serving.api.gated_answers import GatedAnswers, check_gate
from burnish.serving.api.judging import AfterChat
from burnish.serving.api.looking_up import grounded, wanted
from burnish.serving.api.protocol import ChatRequest
from burnish.serving.api.records import Record
from burnish.serving.api.sending import Sending
from burnish.serving.api.served import Served
from burnish.serving.api.tooling import begins_in_reasoning, offered

Begin = Callable[[], tuple[Sending, Answering]]
"""Lets the answer be written."""


async def prepared(api: Api, served: Served, asked: ChatRequest, record: Record) -> Begin:
    """What begins the answer of a served model. Raises ApiError where it cannot be given."""
    use = await asyncio.to_thread(offered, served.tokenizer, asked)
    acting = acts(served, asked)
    messages, cited = served.messages(asked), list[dict[str, Any]]()
    judged = messages  # judges see the question as it was asked
    intent = await asyncio.to_thread(wanted, served, messages)
    if served.passages is not None or served.examples is not None:
        messages, cited = await asyncio.to_thread(grounded, served, messages, intent)
    after = AfterChat(served, api.judging, asked, record.key, cited, intent=intent)
    called = api.called(asked.model)
    check_gate(served, use, acting)
    if acting:
        episode = await asyncio.to_thread(opened, served, messages)

        def act() -> tuple[Sending, Answering]:
            written = ActedAnswer(served, api, asked, record, episode)
            bodies = Chat(served.tokenizer, logprobs=False)
            return Sending(api, record, written.prompts, bodies, replace(after, acted=True), called), written

        return act
    prompt = await asyncio.to_thread(served.chat_prompt, messages, asked.shown_tools)  # a long one takes a moment
    if use is not None:
        use = replace(use, thinking=begins_in_reasoning(served.tokenizer, prompt))
    grammar = await asyncio.to_thread(served.grammar, asked, use)
    requests = served.requests(
        asked, [prompt], asked.max_completion_tokens or asked.max_tokens, asked.top_logprobs or 0, grammar
    )
    bodies = Chat(served.tokenizer, bool(asked.logprobs), use)

    def answer() -> tuple[Sending, Answering]:
        written: Answering
        if served.gate is not None:
            written = GatedAnswers(api, served, served.gate, judged, prompt, requests, record)
        else:
            written = Choices(api.submit(requests, record), [prompt], served.tokenizer, bodies.kept)
        more = replace(after, calling=bodies if use is not None else None)
        return Sending(api, record, [prompt], bodies, more, called), written

    return answer
