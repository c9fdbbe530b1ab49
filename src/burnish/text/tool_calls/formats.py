"""The ways in which families of models write calls of tools.

Each begins with a marker, or, where a family has none, with the first characters of a whole answer. What a marker
begins and holds no call stays text: nothing that a model wrote is lost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from burnish.text.tokenizer import Tokenizer
from burnish.text.tool_calls.values import (
    CallSyntaxError,
    ToolCall,
    gemma_calls,
    json_call,
    json_calls,
    json_value,
    python_calls,
    tagged_calls,
)

Read = Callable[[str], list[ToolCall]]


@dataclass(frozen=True)
class CallFormat:
    """One way to write calls.

    begins: markers that calls stand behind; ends: what closes each of them, where it does, in the same order.
    starts: beginnings of an answer that may be nothing but calls. read: from the text between to calls.
    """

    name: str
    read: Read
    begins: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()

    def kept_ids(self, tokenizer: Tokenizer) -> frozenset[int]:
        """Control tokens that are part of calls, so that their text must not be left out of an answer's."""
        backend = tokenizer.backend
        found = (backend.token_to_id(text) for text in (*self.begins, *self.ends, *_WITHIN.get(self.name, ())))
        return frozenset(i for i in found if i is not None and i in tokenizer.control_ids)


def _mistral(text: str) -> list[ToolCall]:
    """`[{...}]`, or of later versions `name[ARGS]{...}`, with or without `[CALL_ID]` and `[TOOL_CALLS]` between."""
    if text.lstrip().startswith(("[{", "{")):
        value, end = json_value(text)
        rest = text[end:].replace("[TOOL_CALLS]", "", 1)
        calls = [json_call(one) for one in (value if isinstance(value, list) else [value])]
        return calls + (_mistral(rest) if rest.strip() else [])
    calls = []
    for part in text.split("[TOOL_CALLS]"):
        name, brace, arguments = part.partition("{")
        if not brace:
            raise CallSyntaxError("a name without arguments")
        name = name.partition("[CALL_ID]")[0].partition("[ARGS]")[0].strip()
        value, end = json_value(brace + arguments)
        if not name or not isinstance(value, dict) or (brace + arguments)[end:].strip():
            raise CallSyntaxError("no name with arguments")
        calls.append(ToolCall(name, value))
    return calls


def _hermes(text: str) -> list[ToolCall]:
    return tagged_calls(text) if text.lstrip().startswith("<function=") else json_calls(text)


def _llama(text: str) -> list[ToolCall]:
    """JSON with `parameters`, or behind `<|python_tag|>` what Llama's built-in tools are called like."""
    return json_calls(text) if text.lstrip().startswith(("{", "[{")) else python_calls(text)


FORMATS: Sequence[CallFormat] = (
    # Hermes, Qwen2.5 and 3, SmolLM2 (a list) and 3, Qwen3-Coder and 3.5 (tags within).
    CallFormat("hermes", _hermes, ("<tool_call>",), ("</tool_call>",)),
    CallFormat("mistral", _mistral, ("[TOOL_CALLS]",)),
    CallFormat("phi", json_calls, ("<|tool_call|>",), ("<|/tool_call|>",), ("functools[",)),
    CallFormat(
        "gemma", gemma_calls, ("<start_function_call>", "<|tool_call>"), ("<end_function_call>", "<tool_call|>")
    ),
    CallFormat("tool_code", python_calls, ("```tool_code",), ("```",)),
    CallFormat("lfm", python_calls, ("<|tool_call_start|>",), ("<|tool_call_end|>",)),
    CallFormat("llama", _llama, ("<|python_tag|>",), (), ('{"name"', '{"type": "function"', '{"function"')),
    CallFormat("pythonic", python_calls, (), (), ("[",)),
)
"""By the order in which a template's own call is tried; the first that reads it is the template's."""
_WITHIN = {"mistral": ("[ARGS]", "[CALL_ID]"), "gemma": ("<escape>", '<|"|>')}
