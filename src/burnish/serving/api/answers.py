"""From a request's fields to prompts and sampling, and from tokens to the texts of its choices."""

import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import torch

from burnish.errors import BurnishError, CheckpointError, DataError
from burnish.forest import Forest
from burnish.generation.drafts import Drafter
from burnish.generation.grammar import Grammar, Grammars
from burnish.generation.request import Drawn, Request, samples
from burnish.generation.sampling import Sampling
from burnish.nn.decoder import Decoder
from burnish.nn.routed_lora import Adapter, Adapters
from burnish.retrieval.examples import Examples
from burnish.retrieval.grounding import Passages
from burnish.retrieval.intents import Intent
from burnish.retrieval.routing import SHOTS, Router, ranking_of
from burnish.rewards.sql_grammar import schema_grammar
from burnish.rewards.sql_sandbox import SqlSandbox
from burnish.rewards.sql_schema import read_schema
from burnish.rewards.sql_text import extract_sql
from burnish.serving.api.faults import ApiError
from burnish.serving.api.protocol import ChatRequest, CompletionRequest, JsonSchema, PlainText, Regex, Sql
from burnish.serving.api.settings import ServerSettings
from burnish.serving.api.tooling import ToolUse, plain_messages
from burnish.serving.api.worker import Ticket
from burnish.text.chat import Message, encode_question
from burnish.text.streaming import StreamedText
from burnish.text.tokenizer import Tokenizer

_SHOWN_ROWS = 30
"""Rows of a query's result that are shown."""
_SCORED_AT_ONCE = 256
"""Prompt tokens whose distributions over the vocabulary are held at the same time."""


@dataclass(frozen=True, eq=False)
class ServedAdapter:
    """An adapter of the served model. version: what tells its weights."""

    adapter: Adapter
    version: str = ""


@dataclass(frozen=True, eq=False)
class Served:
    """A model with its tokenizer, and how it is served.

    router: decides by what a question wants where its answer is looked up: passages, tables, or solved examples.

    version: what tells its weights, such as their SHA-256. passages: what questions are answered from. tables: runs the
    SQL of answers. drafter: makes what guesses tokens for an engine (`burnish.generation.drafts`).
    adapters: by what clients call the model with them.
    """

    decoder: Decoder
    tokenizer: Tokenizer
    settings: ServerSettings
    version: str = ""
    passages: Passages | None = None
    tables: SqlSandbox | None = None
    drafter: Callable[[], Drafter] | None = None
    adapters: Mapping[str, ServedAdapter] = field(default_factory=dict)
    router: Router | None = None
    examples: Examples | None = None

    @cached_property
    def beside(self) -> Adapters | None:
        """The adapters, as part of the decoder."""
        found = {name: one.adapter for name, one in self.adapters.items()}
        return Adapters(self.decoder, found) if found else None

    def routed(self, model: str) -> AbstractContextManager[None]:
        """Within the block the decoder computes as a model of this name."""
        if self.beside is None or model not in self.adapters:
            return nullcontext()
        return self.beside.routed([(model, None)])

    def version_of(self, model: str) -> str:
        """What tells the weights of a model of this name."""
        adapter = self.adapters.get(model)
        return self.version if adapter is None else f"{self.version}+{adapter.version}"

    @property
    def context(self) -> int:
        """Tokens of a prompt and its answer together."""
        return self.tokenizer.context_length or self.decoder.config.max_positions

    def messages(self, asked: ChatRequest) -> list[Message]:
        """The conversation, behind the served system prompt where it has none of its own."""
        if len(asked.messages) > (most := self.settings.limits.messages):
            said = f"messages: {len(asked.messages):,} in one conversation, at most {most:,} are read"
            raise ApiError(400, said, param="messages")
        messages = plain_messages(asked)
        if self.settings.system is not None and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": self.settings.system})
        return messages

    def wanted(self, messages: list[Message]) -> Intent | None:
        """What the last question wants; None without intents, and where the last message is no question."""
        question = messages[-1].get("content")
        if self.router is None or messages[-1]["role"] != "user" or not isinstance(question, str):
            return None
        return self.router.of(question)

    def grounded(
        self, messages: list[Message], intent: Intent | None = None
    ) -> tuple[list[Message], list[dict[str, Any]]]:
        """The conversation with passages before its last question, and what these are; as it is without an index.

        intent: where to look; what has solved examples has them as turns before the question.
        """
        question = messages[-1].get("content")
        if messages[-1]["role"] != "user" or not isinstance(question, str):
            return messages, []
        if self.examples is not None and (intent is None or "examples" in intent.ways):
            shots: list[Message] = []
            for asked, answered in self.examples.like(question, SHOTS):
                shots += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
            start = 1 if messages[0]["role"] == "system" else 0
            messages = [*messages[:start], *shots, *messages[start:]]
        passages = self.passages
        if passages is not None and intent is not None:
            looked, ranking = ranking_of(intent, passages.ranking)
            passages = replace(passages, ranking=ranking) if looked else None
        if passages is None:
            return messages, []
        room = self.context // 2
        found = passages.ground(question, lambda text: len(self.tokenizer.encode(text)), room=room)
        cited = [{"document": hit.document, "heading": hit.heading, "text": hit.text} for hit in found.hits]
        last = cast("Message", {**messages[-1], "content": found.prompt})
        return [*messages[:-1], last], cited

    def shown(self, answer: str) -> dict[str, Any] | None:
        """What the query of an answer returns, for a person to see; None where nothing runs queries."""
        query = None if self.tables is None else extract_sql(answer)
        if self.tables is None or not query:
            return None
        result = self.tables.execute(query)
        if result.error is not None:
            return {"columns": ["error"], "rows": [[result.error]], "note": ""}
        rows = [[_cell(value) for value in row] for row in result.rows[:_SHOWN_ROWS]]
        note = f"{_SHOWN_ROWS} of {len(result.rows):,} rows" if len(result.rows) > _SHOWN_ROWS else ""
        return {"columns": list(result.columns), "rows": rows, "note": note}

    def chat_prompt(self, messages: list[Message], tools: list[dict[str, Any]] | None = None) -> list[int]:
        """The conversation as tokens, with the tools that the model is told of."""
        try:
            encoding = encode_question(self.tokenizer, messages, tools=tools or None)
        except (DataError, CheckpointError) as error:
            raise ApiError(400, str(error), code="invalid_value", param="messages") from error
        if encoding.lost:
            part = encoding.lost[0]
            whose = f" of message {part.place + 1} ({messages[part.place]['role']})" if part.place >= 0 else ""
            raise ApiError(
                400,
                f"the model's chat template leaves out the {part.what}{whose}, so it would be answered without it",
                code="invalid_value",
                param="messages",
            )
        return self.checked(encoding.tokens, "messages")

    def text_prompts(self, asked: CompletionRequest) -> list[list[int]]:
        """Each prompt of a completion as tokens; text is read as it stands, without a template."""
        vocabulary, tokenizer = self.decoder.config.vocab_size, self.tokenizer
        self._check_choices(asked, len(asked.prompts))  # before many are read
        prompts: list[list[int]] = []
        for prompt in asked.prompts:
            if isinstance(prompt, str):
                start = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
                tokens = start + tokenizer.encode(prompt)
                if not tokens:
                    raise ApiError(400, "prompt: empty, so there is nothing to go on from", param="prompt")
            elif not all(0 <= token < vocabulary for token in prompt):
                raise ApiError(400, f"prompt: tokens must be 0 to {vocabulary - 1}", param="prompt")
            else:
                tokens = list(prompt)
            prompts.append(self.checked(tokens, "prompt"))
        if not prompts:
            raise ApiError(400, "prompt: an empty list", param="prompt")
        return prompts

    def checked(self, tokens: list[int], param: str) -> list[int]:
        """The prompt, where it leaves room for an answer."""
        if len(tokens) >= self.context:
            raise ApiError(
                400,
                f"{param}: {len(tokens)} tokens leave no room for an answer in the model's context of {self.context}; "
                "shorten the prompt",
                code="context_length_exceeded",
                param=param,
            )
        return tokens

    def sampling(self, asked: ChatRequest | CompletionRequest, prompt: Sequence[int], wanted: int | None) -> Sampling:
        """How an answer to a prompt is chosen, at most `wanted` tokens where that is given."""
        settings, limit = self.settings, self.settings.limits.tokens
        if wanted is not None and wanted > limit:
            raise ApiError(400, f"max_tokens: at most {limit} are served, got {wanted}", param="max_tokens")
        room = self.context - len(prompt)
        if wanted is not None and wanted > room:
            raise ApiError(
                400,
                f"max_tokens: {len(prompt)} tokens of the prompt and {wanted} new ones are more than the model's "
                f"context of {self.context}",
                code="context_length_exceeded",
                param="max_tokens",
            )
        given = {
            key: value
            for key in ("top_p", "top_k", "min_p", "repetition_penalty")
            if (value := getattr(asked, key)) is not None
        }
        return Sampling(
            temperature=settings.temperature if asked.temperature is None else asked.temperature,
            max_new_tokens=max(1, min(room, limit if wanted is None else wanted)),
            stop=self.tokenizer.stop_ids,
            stop_strings=tuple(settings.stop) if asked.stops is None else asked.stops,
            **{"repetition_penalty": settings.repetition_penalty, **given},
        )

    def grammar(self, asked: ChatRequest | CompletionRequest, use: ToolUse | None = None) -> Grammar | None:
        """The form that the answers must have, or the call of a tool that they must be. A large one takes a moment."""
        if use is not None and use.forced:
            self._check_schema([use.tools.parameters[name] for name in use.forced], "tools")
            return use.grammar(self._grammars)
        wanted = asked.response_format
        if wanted is None and self.settings.grammar == "sql" and isinstance(asked, ChatRequest):
            wanted = Sql(type="sql")
        if wanted is None or isinstance(wanted, PlainText):
            return None
        if isinstance(wanted, Sql):
            return self._sql_grammar
        try:
            if isinstance(wanted, Regex):
                return self._grammars.regex(wanted.pattern)
            schema = wanted.json_schema.schema_ if isinstance(wanted, JsonSchema) else None
            self._check_schema(schema, "response_format")
            return self._grammars.json(schema)
        except (ValueError, BurnishError) as error:
            raise ApiError(400, f"response_format: {error}", code="invalid_value", param="response_format") from error

    def _check_schema(self, schema: object, param: str) -> None:
        """Refuse what takes seconds to compile."""
        most = self.settings.limits.schema_chars
        if len(json.dumps(schema)) > most:
            said = f"{param}: the JSON schema is longer than {most:,} characters"
            raise ApiError(400, said, code="invalid_value", param=param)

    @cached_property
    def _sql_grammar(self) -> Grammar:
        if self.tables is None:
            raise ApiError(
                400,
                "response_format: no database is served here; expected a run whose recipe has a judge of type sql in "
                "`chat.judges`",
                code="invalid_value",
                param="response_format",
            )
        return schema_grammar(self._grammars, read_schema(self.tables))

    @cached_property
    def _grammars(self) -> Grammars:
        return Grammars(self.tokenizer, self.decoder.config.vocab_size)

    def _check_choices(self, asked: ChatRequest | CompletionRequest, n_prompts: int) -> None:
        n_choices, most = asked.n * n_prompts, self.settings.limits.choices
        if n_choices > most:
            raise ApiError(400, f"n: {n_choices} choices in one request, at most {most} are served", param="n")

    def requests(
        self,
        asked: ChatRequest | CompletionRequest,
        prompts: Sequence[list[int]],
        wanted: int | None,
        alternatives: int,
        grammar: Grammar | None,
    ) -> list[Request]:
        """`n` requests a prompt; one seed for all where the request has one, a random one otherwise."""
        self._check_choices(asked, len(prompts))
        adapter = asked.model if asked.model in self.adapters else None
        seed = secrets.randbits(63) if asked.seed is None else asked.seed % 2**64
        return [
            replace(
                one,
                alternatives=alternatives,
                grammar=grammar,
                remember=isinstance(asked, ChatRequest),
                adapter=adapter,
            )
            for place, prompt in enumerate(prompts)
            for one in samples(prompt, self.sampling(asked, prompt, wanted), asked.n, seed, place)
        ]


@dataclass(eq=False)
class Choice:
    """One of the answers while it is written. given: the tokens that its text is made of, as they came."""

    text: StreamedText
    given: list[Drawn] = field(default_factory=list)
    finish_reason: str | None = None
    n_tokens: int = 0
    reused: int = 0


@dataclass(frozen=True)
class Piece:
    """What is new of a choice: certain text, and tokens (with none of what ended it)."""

    place: int
    text: str
    drawn: Sequence[Drawn]
    finish_reason: str | None


class Choices:
    """The choices of a ticket, as they come."""

    def __init__(self, ticket: Ticket, tokenizer: Tokenizer, kept: frozenset[int] = frozenset()) -> None:
        """kept: control tokens whose text is part of answers."""
        self._ticket = ticket
        self.all = [Choice(StreamedText(tokenizer, one.sampling.stop_strings, kept)) for one in ticket.requests]

    @property
    def n_tokens(self) -> int:
        """Tokens that were drawn so far."""
        return sum(choice.n_tokens for choice in self.all)

    async def pieces(self) -> AsyncIterator[Piece]:
        """Each new token's piece."""
        async for place, drawn in self._ticket:
            choice, done = self.all[place], drawn.completion
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
                choice.finish_reason, choice.reused = done.finish_reason, done.reused
            yield Piece(place, text, [drawn] if said else [], choice.finish_reason)

    async def finish(self) -> list[Choice]:
        """All of them, whole."""
        async for _ in self.pieces():
            pass
        return self.all


@dataclass(frozen=True)
class PromptToken:
    """A token of a prompt: its log-probability in nats and the most probable ones in its place."""

    token: int
    logp: float | None
    alternatives: Sequence[tuple[int, float]] = ()


@torch.inference_mode()
def score_prompt(decoder: Decoder, prompt: Sequence[int], alternatives: int) -> list[PromptToken]:
    """What the model says of a prompt's own tokens, each behind those before it; nothing predicts the first."""
    decoder.eval()
    forest = Forest.from_segments([(prompt, -1)]).to(decoder.device)
    hidden = decoder(forest)[:-1]
    scored = [PromptToken(prompt[0], None)]
    for start in range(0, len(hidden), _SCORED_AT_ONCE):
        logps = decoder.logits(hidden[start : start + _SCORED_AT_ONCE]).log_softmax(-1)
        tokens = forest.tokens[start + 1 : start + 1 + len(logps)]
        own = logps.gather(1, tokens[:, None]).squeeze(1).tolist()
        top = logps.topk(max(1, alternatives))
        for token, logp, best, values in zip(
            tokens.tolist(), own, top.indices.tolist(), top.values.tolist(), strict=True
        ):
            pairs = list(zip(best, values, strict=True))[:alternatives]
            scored.append(PromptToken(token, logp, pairs))
    return scored


def _cell(value: object) -> Any:
    """A value of a result as JSON has it."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


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
