"""A model's chat templates: which one is taken, what it may do, and the text that it makes.

Templates run as transformers runs them: the same one of several, the same filters, variables and reading of messages,
in jinja2's immutable sandbox. They come with downloaded models, so what they compute is limited (`template_limits`).
What differs from one rendering to the next is left out or fixed: the date is the tokenizer's `today`, and nothing is
drawn at random.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
from jinja2.ext import Extension
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.runtime import Macro

from burnish.errors import CheckpointError, DataError
from burnish.text.template_limits import MAX_SOURCE, LimitedEnvironment, LimitError
from burnish.text.tokenizer import GENERATED, GENERATED_END, Tokenizer
from burnish.text.tokenizer_folder import DEFAULT

TOOL_USE = "tool_use"
_DATE_FUNCTION = "strftime_now"


def prints_date(templates: Mapping[str, str]) -> bool:
    """Whether any of the chat templates asks for the date."""
    return any(_DATE_FUNCTION in template for template in templates.values())


def choose_template(tokenizer: Tokenizer, *, with_tools: bool) -> str:
    """The template that transformers takes: `tool_use` where tools are given and there is one, else the default."""
    templates = tokenizer.templates
    if not templates:
        raise CheckpointError(
            f"{tokenizer.source} has no chat template, so it cannot hold a conversation; "
            "use an instruction-tuned model or add chat_template to its tokenizer_config.json"
        )
    if with_tools and TOOL_USE in templates:
        return templates[TOOL_USE]
    if DEFAULT not in templates:
        raise CheckpointError(
            f"{tokenizer.source} has chat templates named {', '.join(sorted(templates))}, but none named {DEFAULT}; "
            "add that one to chat_template in its tokenizer_config.json"
        )
    return templates[DEFAULT]


def fill_template(
    tokenizer: Tokenizer,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool,
    tools: Sequence[Mapping[str, Any]] | None,
    variables: Mapping[str, Any] | None,
    today: date,
) -> tuple[str, list[tuple[int, int]]]:
    """The text of a conversation, and from where to where the template marks it as generated.

    Raises `CheckpointError` for a template that cannot be used, `DataError` for messages that it refuses.
    """
    environment, template = _compile(choose_template(tokenizer, with_tools=tools is not None), tokenizer.source)
    names = {f"{n}_token": tokenizer.token(getattr(tokenizer, f"{n}_id")) for n in ("bos", "eos", "pad", "unk")}
    moment = datetime.combine(today, time.min)
    values = {
        _DATE_FUNCTION: moment.strftime,
        **{name: text for name, text in names.items() if text is not None},
        **(variables or {}),
        "messages": messages,
        "tools": tools,
        "documents": None,
        "add_generation_prompt": add_generation_prompt,
    }
    try:
        with environment.metered([messages, tools, variables]):
            text = template.render(values)
    except (LimitError, RecursionError, MemoryError) as error:
        reason = str(error) if isinstance(error, LimitError) else "it nests without end"
        raise CheckpointError(
            f"the chat template of {tokenizer.source} was stopped: {reason}; no conversation needs that, so mend the "
            "template or take another model's"
        ) from error
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        raise DataError(f"the chat template of {tokenizer.source} refuses these messages: {error}") from error
    return _without_marks(text)


def expects_text_arguments(tokenizer: Tokenizer, *, with_tools: bool) -> bool:
    """Whether the template takes the arguments of a call as JSON text, as DeepSeek's do, instead of as an object.

    It does if it cannot join an object to its text, or would print it as Python does.
    """
    key = ("arguments", with_tools)
    if key not in tokenizer.memory:
        tokenizer.memory[key] = any("'zqkey': " in text for text in _rendered_call(tokenizer, {"zqkey": 1}, with_tools))
        if not _rendered_call(tokenizer, {"zqkey": 1}, with_tools):
            tokenizer.memory[key] = bool(_rendered_call(tokenizer, '{"zqkey": 1}', with_tools))
    found: bool = tokenizer.memory[key]
    return found


def _rendered_call(tokenizer: Tokenizer, arguments: object, with_tools: bool) -> list[str]:
    """The text of a conversation with a call, if the template writes one."""
    call = {"type": "function", "id": "call00001", "function": {"name": "zqname", "arguments": arguments}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "b", "name": "zqname", "tool_call_id": "call00001"},
    ]
    tools = [{"type": "function", "function": {"name": "zqname", "description": "c", "parameters": {}}}]
    try:
        return [
            fill_template(
                tokenizer,
                messages,
                add_generation_prompt=False,
                tools=tools if with_tools else None,
                variables=None,
                today=date(2000, 1, 1),
            )[0]
        ]
    except DataError:
        return []


def _without_marks(text: str) -> tuple[str, list[tuple[int, int]]]:
    plain, spans, starts = "", [], []
    for part in re.split(f"([{GENERATED}{GENERATED_END}])", text):
        if part == GENERATED:
            starts.append(len(plain))
        elif part == GENERATED_END:
            spans.append((starts.pop() if starts else 0, len(plain)))
        else:
            plain += part
    return plain, [(start, end) for start, end in spans if start < end]


@lru_cache(maxsize=16)
def _compile(source: str, file: str) -> tuple[LimitedEnvironment, jinja2.Template]:
    if len(source) > MAX_SOURCE:
        raise CheckpointError(
            f"the chat template of {file} has {len(source):,} characters; at most {MAX_SOURCE:,} are compiled"
        )
    environment = _environment()
    try:
        with environment.metered():
            return environment, environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise CheckpointError(
            f"the chat template of {file} is not valid Jinja (line {error.lineno}): {error.message}"
        ) from error
    except (LimitError, RecursionError, MemoryError, SyntaxError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"the chat template of {file} cannot be compiled: {error or 'it nests too deeply'}"
        ) from error


def _environment() -> LimitedEnvironment:
    """The environment that templates are written for: transformers' `render_jinja_template`."""
    environment = LimitedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _GenerationBlock]
    )
    environment.add_filter("tojson", _tojson)
    environment.add_filter("random", _refuse_chance)
    environment.globals["lipsum"] = _refuse_chance
    environment.globals["raise_exception"] = _raise_exception
    return environment


class _GenerationBlock(Extension):
    """`{% generation %} ... {% endgeneration %}`: what the model generates, between two marks."""

    tags = {"generation"}  # noqa: RUF012 (jinja2 declares it so)

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Macro) -> str:
        return f"{GENERATED}{caller()}{GENERATED_END}"


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Replaces jinja2's own filter, which escapes HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _refuse_chance(*_arguments: object, **_named: object) -> NoReturn:
    raise jinja2.TemplateError("it draws at random, so that no text of it would be written twice")
