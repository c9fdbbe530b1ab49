"""A served model: from a request's fields to the prompts, the sampling and the grammar that an engine takes."""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from burnish.agents.tool import ToolBox
from burnish.errors import BurnishError, CheckpointError, DataError
from burnish.generation.drafts import Drafter
from burnish.generation.grammar import Grammar, Grammars
from burnish.generation.request import Request, samples
from burnish.generation.sampling import Sampling
from burnish.nn.decoder import Decoder
from burnish.nn.routed_lora import Adapter, Adapters
from burnish.retrieval.examples import Examples
from burnish.retrieval.grounding import Passages
from burnish.retrieval.routing import Router
from burnish.rewards.gate import Gate
from burnish.rewards.sql_grammar import schema_grammar
from burnish.rewards.sql_sandbox import SqlSandbox
from burnish.rewards.sql_schema import read_schema
from burnish.serving.api.faults import ApiError
from burnish.serving.api.protocol import ChatRequest, CompletionRequest, JsonSchema, PlainText, Regex, Sql
from burnish.serving.api.settings import ServerSettings
from burnish.serving.api.tooling import ToolUse, plain_messages
from burnish.text.chat import Message, encode_question
from burnish.text.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class ServedAdapter:
    """An adapter of the served model. version: what tells its weights."""

    adapter: Adapter
    version: str = ""


@dataclass(frozen=True, eq=False)
class Served:
    """A model with its tokenizer, and how it is served.

    version: what tells its weights, such as their SHA-256. passages: what questions are answered from. tables: runs the
    SQL of answers. drafter: makes what guesses tokens for an engine (`burnish.generation.drafts`).
    adapters: by what clients call the model with them. router: decides by what a question wants where its answer is
    looked up: passages, tables, or solved examples. open_box: the tools of a new conversation, which the server itself
    calls; None where it has none. gate: what lets answers to conversations through.
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
    open_box: Callable[[], ToolBox] | None = None
    gate: Gate | None = None

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
