"""One message and lists of them, from the keys of OpenAI and ShareGPT to those that chat templates read."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from burnish.corpus.json_values import surrogate
from burnish.corpus.records import nearest, shown
from burnish.datasets.bad_rows import BadRowError, NothingToLearnError
from burnish.datasets.media import MEDIA_KEYS, MEDIA_PARTS, is_said, refuse_media
from burnish.datasets.tool_calls import parsed, read_calls, stated, written_calls
from burnish.text.chat import Message

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "chatbot": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "function_call",
    "tool_call": "function_call",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "ipython": "tool",
}
# Which roles may follow which; "calling" is an assistant that asks for a tool. One may also do so in its text, as
# Hermes and ToolACE write it.
FOLLOWS: dict[str, tuple[str, ...]] = {
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "calling": ("tool",),
    "tool": ("tool", "assistant"),
}
# What the assistant thought before it spoke: by OpenAI's and vLLM's name, that of gpt-oss, and that of OpenRouter.
REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
# Whether a message is learned: OpenAI's fine-tuning, ms-swift, Axolotl.
LEARNED_KEYS = ("weight", "loss", "train", "training")
TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal", "thinking": "thinking"}
MESSAGE_KEYS = frozenset(
    (
        *("role", "content", "from", "value", "name", "tool_call_id", "tool_calls", "function_call"),
        *(*REASONING_KEYS, *LEARNED_KEYS, *MEDIA_KEYS),
    )
)


def read_messages(
    value: object, key: str, *, first: tuple[str, ...] = ("system", "user"), may_be_empty: bool = False
) -> list[Message]:
    """Return OpenAI or ShareGPT messages with the field's role names, their order checked.

    Calls in a row, each a turn of its own as ms-swift writes them, are one message.

    may_be_empty: whether the last one may, if it is the assistant's.
    """
    value = message_list(value, key)
    messages: list[Message] = []
    allowed, after = first, "the beginning"
    for index, item in enumerate(value):
        current = read_message(item, f"{key}[{index}]", may_be_empty=may_be_empty and index == len(value) - 1)
        role = current["role"]
        if _goes_on_calling(value, index) and "reasoning_content" not in current:
            messages[-1]["tool_calls"] += current["tool_calls"]
            continue
        if role not in allowed:
            raise BadRowError(f"{key}[{index}] is from {role} after {after}; expected {' or '.join(allowed)}")
        allowed = FOLLOWS["calling" if current.get("tool_calls") else role]
        after = role
        messages.append(current)
    return messages


def message_list(value: object, key: str) -> list[Any]:
    """Return a list that is not empty; it and its items may be JSON text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = parsed(value, key, "a list of messages")
    if not isinstance(value, list) or not value:
        raise BadRowError(f"{key} is {shown(value)}; expected a list of messages")
    return [
        parsed(item, f"{key}[{index}]", "a message")
        if isinstance(item, str) and item.lstrip().startswith("{")
        else item
        for index, item in enumerate(value)
    ]


def read_message(value: object, where: str, *, may_be_empty: bool = False) -> Message:
    """Return one message from `role` and `content` or from ShareGPT's `from` and `value`."""
    if not isinstance(value, dict):
        raise BadRowError(f"{where} is {shown(value)}; expected an object with role and content")
    refuse_media(value, MESSAGE_KEYS, f"{where}.")
    role_key, content_key = ("from", "value") if value.get("from") is not None else ("role", "content")
    if value.get(role_key) is None:
        raise BadRowError(f"{where} has no {role_key}{hint(role_key, value)}")
    role = role_of(value)
    if role is None:
        match = nearest(str(value[role_key]), ROLES)
        raise BadRowError(
            f"{where}.{role_key} is {shown(value[role_key])}; expected system, user, assistant or tool"
            + (f' (did you mean "{match}"?)' if match else "")
        )
    content, thought = value.get(content_key), None
    calls: list[dict[str, Any]] = []
    if role == "function_call":
        thought, calls = written_calls(content, f"{where}.{content_key}")
        role, content = "assistant", ""
    elif role == "assistant":
        calls = read_calls(value, where)
    elif stated(parsed(value.get("tool_calls") or None, f"{where}.tool_calls", "a list")) or stated(
        value.get("function_call")
    ):
        raise BadRowError(f"{where} is from {role} and calls a tool; only the assistant does")
    if content is None:
        content = value.get("refusal") if role == "assistant" else None  # what OpenAI's models say instead
        if content is None and not calls:
            raise BadRowError(f"{where} has no {content_key}{hint(content_key, value)}")
        content = content or ""
    if role == "tool" and not isinstance(content, str) and not _are_parts(content, typed=True):
        content = json.dumps(content, ensure_ascii=False)
    thoughts = [thought, _reasoning(value, where), _thinking_parts(content)]
    text = content_text(
        content,
        f"{where}.{content_key}",
        # An empty system message switches a template's own off, and a tool may well return nothing.
        may_be_empty=role in ("system", "tool") or bool(calls) or (role == "assistant" and may_be_empty),
    )
    read: dict[str, Any] = {"role": role, "content": text}
    read |= {name: value[name] for name in ("name", "tool_call_id") if value.get(name)}
    if texts := list(dict.fromkeys(said for said in thoughts if said)):
        if len(texts) > 1:
            raise BadRowError(f"{where} has two different texts of what was thought; leave one of them out")
        read["reasoning_content"] = texts[0]
    if calls:
        read["tool_calls"] = calls
    return cast(Message, read)


def _reasoning(value: Mapping[str, Any], where: str) -> str | None:
    """What a message says was thought, under any of its names."""
    found = {key: value[key] for key in REASONING_KEYS if value.get(key)}
    for key, said in found.items():
        if not isinstance(said, str):
            raise BadRowError(f"{where}.{key} is {shown(said)}; expected text")
    texts = list(dict.fromkeys(found.values()))
    if len(texts) > 1:
        raise BadRowError(f"{where} has {' and '.join(found)}, which differ; leave one of them out")
    return texts[0] if texts else None


def _thinking_parts(content: object) -> str | None:
    """What the parts of a content of type "thinking" say."""
    if not _are_parts(content):
        return None
    said = [part.get("thinking") for part in cast(list[dict[str, Any]], content) if part.get("type") == "thinking"]
    return "".join(text for text in said if isinstance(text, str)) or None


def role_of(value: Mapping[str, Any]) -> str | None:
    """Return the field's name for a message's role, None for an unknown one."""
    name = value["from"] if value.get("from") is not None else value.get("role")
    return ROLES.get(name.casefold()) if isinstance(name, str) else None


def learned_turns(value: object, key: str) -> tuple[bool, ...]:
    """Return for each of the assistant's messages, as `read_messages` gives them, whether it is to be learned."""
    items = message_list(value, key)
    learned: list[bool] = []
    for index, item in enumerate(items):
        if role_of(item) in ("assistant", "function_call"):
            wanted = is_learned(item, f"{key}[{index}]")
            if _goes_on_calling(items, index):
                learned[-1] = learned[-1] and wanted
            else:
                learned.append(wanted)
    return tuple(learned)


def _goes_on_calling(items: Sequence[Any], index: int) -> bool:
    """Whether a turn and the one before it are both nothing but calls."""
    pair = items[index - 1 : index + 1] if index else ()
    return bool(pair) and all(isinstance(item, dict) and role_of(item) == "function_call" for item in pair)


def is_learned(item: Mapping[str, Any], where: str) -> bool:
    """Return whether a message is to be learned, by OpenAI's `weight` 0 and the like."""
    learned = True
    for key in LEARNED_KEYS:
        value = item.get(key)
        if value not in (None, 0, 1):
            raise BadRowError(f"{where}.{key} is {shown(value)}; expected 0 (not learned) or 1")
        learned = learned and value != 0
    return learned


def message(role: str, content: object, where: str, *, may_be_empty: bool = False) -> Message:
    return cast(Message, {"role": role, "content": content_text(content, where, may_be_empty=may_be_empty)})


def content_text(value: object, where: str, *, may_be_empty: bool = False) -> str:
    """Return the text of a content: a string, or OpenAI's list of text parts joined, without those of thinking."""
    if _are_parts(value):
        said = []
        for index, part in enumerate(cast(list[dict[str, Any]], value)):
            kind = part.get("type") or "text"
            if kind not in MEDIA_PARTS:  # those are refused by their type
                refuse_media(part, ("type", str(TEXT_PARTS.get(str(kind)))), f"{where}[{index}].")
            text = part.get(TEXT_PARTS[kind]) if isinstance(kind, str) and kind in TEXT_PARTS else None
            if not isinstance(text, str):
                raise BadRowError(f"{where} has a part of type {shown(kind)}; only text is supported")
            said.append("" if kind == "thinking" else text)
        value = "".join(said)
    if not isinstance(value, str):
        raise BadRowError(f"{where} is {shown(value)}; expected text")
    if not value.strip() and not may_be_empty:
        raise NothingToLearnError(f"{where} is empty")
    if (place := surrogate(value)) is not None:
        raise BadRowError(f"{where} has half of a surrogate pair at character {place}, which no text has")
    return value


def _are_parts(value: object, *, typed: bool = False) -> bool:
    """Whether a content is a list of parts. typed: of known ones; a tool may return any list of objects."""
    if not isinstance(value, list) or not value or not all(isinstance(part, dict) for part in value):
        return False
    return not typed or all(part.get("type") in (*TEXT_PARTS, *MEDIA_PARTS) for part in value)


def require_end(messages: Sequence[Message], key: str, roles: tuple[str, ...]) -> None:
    """Check whose turn the last message is."""
    role = messages[-1]["role"]
    if role not in roles:
        raise BadRowError(f"{key} ends with a message from {role}; expected {' or '.join(roles)}")


def unused_in_messages(value: object, key: str) -> list[str]:
    """Return the keys of messages that nothing reads, each once: `messages[].annotations`."""
    found: dict[str, None] = {}
    for item in message_list(value, key) if isinstance(value, list | str) else [value]:
        if isinstance(item, dict):
            content = item.get("content", item.get("value"))
            known = set(MESSAGE_KEYS)
            known |= {"tools"} if role_of(item) == "system" else set()
            known |= {"refusal"} if content is None else set()
            found |= {f"{key}[].{name}": None for name, said in item.items() if name not in known and is_said(said)}
            for part in cast(list[dict[str, Any]], content) if _are_parts(content) else ():
                read = ("type", TEXT_PARTS.get(str(part.get("type") or "text")))
                names = (name for name, said in part.items() if name not in read and is_said(said))
                found |= {f"{key}[].content[].{name}": None for name in names}
    return list(found)


def hint(key: str, row: Mapping[str, Any]) -> str:
    """Return ` (did you mean X?)` when the row has a key like the one that is missing."""
    match = nearest(key, (name for name in row if name != key))
    return f' (did you mean "{match}"?)' if match else ""
