"""The data formats people already have, each turned into messages.

| format | keys |
| --- | --- |
| OpenAI | `messages`: list of `role`, `content` |
| ShareGPT | `conversations`: list of `from`, `value`; optional `system` |
| Alpaca | `instruction`, optional `input`, `system`, `history`; `output` |
| prompt | `prompt` as text or messages, optional `system`; `completion` or `response` |
| judged answers | any of these, plus what `judged_formats.py` reads |

The functions take one row's value and raise `BadRowError` with the reason; `rows.py` adds file and line.
A key that is null counts as missing: Parquet cannot leave a key out.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from burnish.corpus.records import nearest, shown
from burnish.datasets.dialogues import dialogue_prompt, is_dialogue_prompt
from burnish.text.chat import Message

# The key that makes a row one of a format, and what the format is called.
FORMATS = {"messages": "OpenAI", "conversations": "ShareGPT", "instruction": "Alpaca", "prompt": "prompt"}
ANSWER_KEYS = ("output", "completion", "response")
PAIR_KEYS = ("chosen", "rejected")
LABEL_KEYS = ("label", "kto_tag")
LIST_KEYS = ("responses", "completions")
RANK_KEYS = ("ranks", "scores")
MARGIN_KEYS = ("margin", "score_chosen", "score_rejected")
KNOWN_KEYS = (
    *(*FORMATS, *ANSWER_KEYS, *PAIR_KEYS, *LABEL_KEYS, *LIST_KEYS, *RANK_KEYS, *MARGIN_KEYS),
    *("input", "system", "history"),
)

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "function_call",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
}
# Which roles may follow which; "calling" is an assistant that asks for a tool.
FOLLOWS: dict[str, tuple[str, ...]] = {
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user",),
    "calling": ("tool",),
    "tool": ("tool", "assistant"),
}
EXTRA_MESSAGE_KEYS = ("name", "tool_calls", "tool_call_id", "reasoning_content")


class BadRowError(ValueError):
    """A row cannot be used; the message is the reason, without its place."""


def rename(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the row with columns also called by the names Burnish knows, such as `{"prompt": "question"}`.

    A column keeps its old name too, because a verifier may read it.
    """
    renamed = dict(row)
    for known, column in columns.items():
        if column not in row:
            raise BadRowError(f'no column "{column}"{hint(column, row)}; the row has {", ".join(map(repr, row))}')
        renamed[known] = row[column]
    return renamed


def present(row: Mapping[str, Any], key: str) -> bool:
    return row.get(key) is not None


def format_name(row: Mapping[str, Any]) -> str:
    """Return the name of the row's format; BadRowError when no key tells."""
    if all(present(row, key) for key in PAIR_KEYS) and not any(present(row, key) for key in FORMATS):
        return "implicit-prompt preference"
    return FORMATS[prompt_key(row)]


def prompt_key(row: Mapping[str, Any], order: Sequence[str] = tuple(FORMATS)) -> str:
    """Return the first of the keys of `FORMATS` that the row has; BadRowError names the nearest when none."""
    for key in order:
        if present(row, key):
            return key
    for key in row:
        if (match := nearest(key, KNOWN_KEYS)) and match != key:
            raise BadRowError(f'no known format: "{key}" is not a key; did you mean "{match}"?')
    if present(row, "text"):
        raise BadRowError('the row is a document ("text"), not a conversation: use the file in a corpus stage')
    has = ", ".join(map(repr, row)) or "none"
    raise BadRowError(
        f"no known format: the keys are {has}; expected one of {', '.join(map(repr, FORMATS))}, "
        'or name yours with columns such as {"prompt": "question", "response": "answer"}'
    )


def conversation(row: Mapping[str, Any], *, may_be_empty: bool = False) -> tuple[list[Message], tuple[bool, ...]]:
    """Return the messages of a row, its answer last, and for each assistant message whether it is learned.

    All are, except those that OpenAI's `weight` 0 excludes, and those in a `prompt` that has a `completion`.
    may_be_empty: whether the answer may.
    """
    key = prompt_key(row, ("messages", "conversations", "instruction", "prompt"))
    messages = messages_before_answer(row, key, may_be_empty=may_be_empty)
    if key in ("prompt", "instruction"):
        answer_key = next((name for name in ANSWER_KEYS if present(row, name)), None)
        if answer_key is None:
            expected = "output" if key == "instruction" else "completion"
            raise BadRowError(f'"{key}" without an answer: "{expected}" is missing{hint(expected, row)}')
        require_end(messages, key, ("user", "tool"))
        messages += answer(row[answer_key], answer_key, may_be_empty=may_be_empty)
        count = assistant_count(messages)
        return messages, tuple(key == "instruction" or i == count - 1 for i in range(count))
    if not assistant_count(messages):
        raise BadRowError(f"{key} has no assistant message, so there is nothing to learn")
    require_end(messages, key, ("assistant",))
    learned = tuple(
        weight(item, f"{key}[{index}]")
        for index, item in enumerate(row[key])
        if role_of(item) in ("assistant", "function_call")
    )
    if not any(learned):
        raise BadRowError(f"every assistant message in {key} has weight 0, so there is nothing to learn")
    return messages, learned


def assistant_count(messages: Sequence[Message]) -> int:
    return sum(message["role"] == "assistant" for message in messages)


def weight(item: Mapping[str, Any], where: str) -> bool:
    """Return whether OpenAI's `weight` lets a message be learned."""
    value = item.get("weight")
    if value not in (None, 0, 1):
        raise BadRowError(f"{where}.weight is {shown(value)}; expected 0 (not learned) or 1")
    return value != 0


def tools(row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the tools that the chat template is to offer; a list of definitions, or that list as JSON text."""
    value = row.get("tools")
    if value in (None, "", []):
        return None
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise BadRowError(f"tools is not JSON ({error}); expected a list of tool definitions") from None
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise BadRowError(f"tools is {shown(value)}; expected a list of tool definitions")
    return value


def task(row: Mapping[str, Any]) -> list[Message]:
    """Return the prompt of a row: its messages without the final answer, if it has one."""
    key = prompt_key(row, ("prompt", "messages", "conversations", "instruction"))
    messages = messages_before_answer(row, key)
    if messages[-1]["role"] == "assistant":
        messages = messages[:-1]
    if not messages:
        raise BadRowError(f"{key} holds only an answer; expected at least a user message before it")
    require_end(messages, key, ("user", "tool"))
    return messages


def messages_before_answer(row: Mapping[str, Any], key: str, *, may_be_empty: bool = False) -> list[Message]:
    """Return the messages under `key`; for Alpaca those made of instruction, input and history.

    may_be_empty: whether the last one may, if it is the assistant's.
    """
    if key == "instruction":
        messages = alpaca_messages(row)
    elif key == "prompt" and is_dialogue_prompt(row[key]):
        messages = dialogue_prompt(row[key])
        if not messages:
            raise BadRowError(f"{key} is a dialogue in which nobody says anything")
    elif isinstance(row[key], str) and key == "prompt":
        messages = [message("user", row[key], key)]
    else:
        messages = read_messages(row[key], key, may_be_empty=may_be_empty)
    if present(row, "system") and row["system"] != "" and messages[0]["role"] != "system":
        messages = [message("system", row["system"], "system"), *messages]
    return messages


def alpaca_messages(row: Mapping[str, Any]) -> list[Message]:
    messages = []
    history = row.get("history") or []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise BadRowError(f"history is {shown(history)}; expected a list of [question, answer]")
    for index, (question, reply) in enumerate(history):
        messages.append(message("user", question, f"history[{index}][0]"))
        messages.append(message("assistant", reply, f"history[{index}][1]"))
    request = content_text(row["instruction"], "instruction")
    if row.get("input"):
        request = f"{request}\n{content_text(row['input'], 'input')}"
    return [*messages, message("user", request, "instruction")]


def answer(value: object, key: str, *, may_be_empty: bool = False) -> list[Message]:
    """Return an answer as messages: text, one message, or a list of them (possibly a whole conversation)."""
    if isinstance(value, str):
        return [message("assistant", value, key, may_be_empty=may_be_empty)]
    if isinstance(value, dict):
        value = [value]
    messages = read_messages(value, key, first=("system", "user", "assistant"), may_be_empty=may_be_empty)
    require_end(messages, key, ("assistant",))
    return messages


def read_messages(
    value: object, key: str, *, first: tuple[str, ...] = ("system", "user"), may_be_empty: bool = False
) -> list[Message]:
    """Return OpenAI or ShareGPT messages with the field's role names, their order checked.

    may_be_empty: whether the last one may, if it is the assistant's.
    """
    if not isinstance(value, list) or not value:
        raise BadRowError(f"{key} is {shown(value)}; expected a list of messages")
    messages: list[Message] = []
    allowed, after = first, "the beginning"
    for index, item in enumerate(value):
        current = read_message(item, f"{key}[{index}]", may_be_empty=may_be_empty and index == len(value) - 1)
        role = current["role"]
        if role not in allowed:
            raise BadRowError(f"{key}[{index}] is from {role} after {after}; expected {' or '.join(allowed)}")
        allowed = FOLLOWS["calling" if current.get("tool_calls") else role]
        after = role
        messages.append(current)
    return messages


def read_message(value: object, where: str, *, may_be_empty: bool = False) -> Message:
    """Return one message from `role` and `content` or from ShareGPT's `from` and `value`."""
    if not isinstance(value, dict):
        raise BadRowError(f"{where} is {shown(value)}; expected an object with role and content")
    role_key, content_key = ("from", "value") if present(value, "from") else ("role", "content")
    if not present(value, role_key):
        raise BadRowError(f"{where} has no {role_key}{hint(role_key, value)}")
    role = role_of(value)
    if role is None:
        match = nearest(str(value[role_key]), ROLES)
        raise BadRowError(
            f"{where}.{role_key} is {shown(value[role_key])}; expected system, user, assistant or tool"
            + (f' (did you mean "{match}"?)' if match else "")
        )
    if role == "function_call":
        return call_message(value.get(content_key), f"{where}.{content_key}")
    extra = {name: value[name] for name in EXTRA_MESSAGE_KEYS if value.get(name)}
    if not present(value, content_key):
        if role != "assistant" or "tool_calls" not in extra:
            raise BadRowError(f"{where} has no {content_key}{hint(content_key, value)}")
        return cast(Message, {"role": role, "content": "", **extra})
    content = content_text(
        value[content_key],
        f"{where}.{content_key}",
        # An empty system message switches a template's own off, and a tool may well return nothing.
        may_be_empty=role in ("system", "tool") or "tool_calls" in extra or (role == "assistant" and may_be_empty),
    )
    return cast(Message, {"role": role, "content": content, **extra})


def role_of(value: Mapping[str, Any]) -> str | None:
    """Return the field's name for a message's role, None for an unknown one."""
    name = value["from"] if present(value, "from") else value["role"]
    return ROLES.get(name) if isinstance(name, str) else None


def call_message(value: object, where: str) -> Message:
    """Return ShareGPT's `function_call`, JSON with name and arguments, as an assistant's tool calls."""
    try:
        calls = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise BadRowError(f"{where} is not JSON ({error}); expected name and arguments") from None
    calls = calls if isinstance(calls, list) else [calls]
    if not calls or not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls):
        raise BadRowError(f"{where} is {shown(value)}; expected a JSON object with name and arguments")
    tool_calls = [{"type": "function", "function": call} for call in calls]
    return cast(Message, {"role": "assistant", "content": "", "tool_calls": tool_calls})


def message(role: str, content: object, where: str, *, may_be_empty: bool = False) -> Message:
    return cast(Message, {"role": role, "content": content_text(content, where, may_be_empty=may_be_empty)})


def content_text(value: object, where: str, *, may_be_empty: bool = False) -> str:
    """Return the text of a content: a string, or OpenAI's list of text parts joined."""
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        for part in value:
            if part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
                raise BadRowError(f"{where} has a part of type {shown(part.get('type'))}; only text is supported")
        value = "".join(part["text"] for part in value)
    if not isinstance(value, str):
        raise BadRowError(f"{where} is {shown(value)}; expected text")
    if not value.strip() and not may_be_empty:
        raise BadRowError(f"{where} is empty")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRowError(
            f"{where} has half of a surrogate pair at character {error.start}, which no text has"
        ) from None
    return value


def require_end(messages: Sequence[Message], key: str, roles: tuple[str, ...]) -> None:
    """Check whose turn the last message is."""
    role = messages[-1]["role"]
    if role not in roles:
        raise BadRowError(f"{key} ends with a message from {role}; expected {' or '.join(roles)}")


def hint(key: str, row: Mapping[str, Any]) -> str:
    """Return ` (did you mean X?)` when the row has a key like the one that is missing."""
    match = nearest(key, (name for name in row if name != key))
    return f' (did you mean "{match}"?)' if match else ""
