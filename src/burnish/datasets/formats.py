"""The data formats people already have, each turned into messages.

| format | keys |
| --- | --- |
| OpenAI | `messages`: list of `role`, `content` |
| ShareGPT | `conversations`: list of `from`, `value`; optional `system` |
| Alpaca | `instruction`, optional `input`, `system`, `history`; `output`. Dolly: `context` is the input |
| prompt | `prompt` as text or messages, optional `system`; `completion` or `response` |
| judged answers | any of these, plus what `judged_formats.py` reads |

Each may have `tools` and `chat_template_kwargs`. The functions take one row and raise `BadRowError` with the reason;
`rows.py` adds file and line. A key that is null counts as missing: Parquet cannot leave a key out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from burnish.corpus.records import nearest, shown
from burnish.datasets.bad_rows import BadRowError, NothingToLearnError
from burnish.datasets.dialogues import dialogue_prompt, is_dialogue, is_dialogue_prompt
from burnish.datasets.fields import LABELS, Fields, present, use
from burnish.datasets.media import refuse_media
from burnish.datasets.messages import (
    content_text,
    hint,
    learned_turns,
    message,
    message_list,
    read_messages,
    require_end,
    role_of,
    unused_in_messages,
)
from burnish.datasets.tool_calls import parsed, read_tools
from burnish.text.chat import Message

# The key that makes a row one of a format, and what the format is called.
FORMATS = {"messages": "OpenAI", "conversations": "ShareGPT", "instruction": "Alpaca", "prompt": "prompt"}
ANSWER_KEYS = ("output", "completion", "response")
PAIR_KEYS = ("chosen", "rejected")
LABEL_KEYS = ("label", "kto_tag")
LIST_KEYS = ("responses", "completions")
STEP_KEYS = ("completions", "labels")
RANK_KEYS = ("ranks", "scores")
SYSTEM_KEYS = ("system", "system_prompt")
MARGIN_KEYS = ("margin", "score_chosen", "score_rejected")
KNOWN_KEYS = (
    *(*FORMATS, *ANSWER_KEYS, *PAIR_KEYS, *LABEL_KEYS, *LIST_KEYS, "labels", *RANK_KEYS, *MARGIN_KEYS),
    *(*SYSTEM_KEYS, "input", "context", "history", "tools", "functions", "chat_template_kwargs", "task_type"),
)
# What people call a key, for the advice to name it in `columns`; the first that a row has is taken.
OTHER_NAMES = {
    "prompt": ("question", "query", "problem", "input", "user", "request"),
    "completion": ("answer", "target", "solution", "reply", "assistant", "response", "output"),
    "chosen": ("chosen_response", "response_chosen", "accepted", "preferred", "better", "winner", "positive"),
    "rejected": ("rejected_response", "response_rejected", "dispreferred", "worse", "loser", "negative", "reject"),
}
TEMPLATE_OWN = (
    *("messages", "conversation", "tools", "add_generation_prompt", "continue_final_message", "tokenize"),
    *("chat_template", "return_tensors", "return_dict", "return_assistant_tokens_mask"),
)
"""Variables of a chat template that its caller sets, so that a row may not."""


def task_type(row: Fields) -> str | None:
    """The kind of task that a row is of, by which kinds are balanced; None where it does not say."""
    if not present(row, "task_type"):
        return None
    kind = row["task_type"]
    if not isinstance(kind, str):
        raise BadRowError(f"task_type is {shown(kind)}; expected the name of a kind of task")
    return kind


class Around(NamedTuple):
    """What a row has beside its messages: tools, variables for the chat template, and keys that nothing reads."""

    tools: list[dict[str, Any]] | None
    template_kwargs: dict[str, Any] | None
    unused: tuple[str, ...]


def around(row: Fields, *, own_keys: bool = True) -> Around:
    """Return what a row has beside its messages, which have to be read before: only then is it known what is unused.

    own_keys: whether keys of the row itself can be unused; those of a task are there for its verifier.
    """
    lists = [key for key in (*FORMATS, *PAIR_KEYS, *ANSWER_KEYS) if key in row.used and present(row, key)]
    # The items of a list of answers, or of steps, are messages or texts, and a text may begin like JSON.
    lists += [
        key for key in LIST_KEYS if key in row.used and any(isinstance(item, dict) for item in row.get(key) or ())
    ]
    found = Around(_tools(row, lists), _template_kwargs(row), ())
    refuse_media(row, row.used | set(LABELS), strict=own_keys)
    nested = [
        name
        for key in lists
        if not isinstance(row[key], str) or key in ("messages", "conversations")
        for name in unused_in_messages(row[key], key)
    ]
    return found._replace(unused=(*(row.unused() if own_keys else ()), *nested))


def _tools(row: Fields, lists: Sequence[str]) -> list[dict[str, Any]] | None:
    """The tools that the chat template is to offer: those of the row, or of its system message."""
    stated = {key: row[key] for key in ("tools", "functions") if row.get(key)}
    for key in lists:
        if isinstance(row[key], list) or key in ("messages", "conversations"):
            first = message_list(row[key], key)[0]
            if isinstance(first, dict) and role_of(first) == "system" and first.get("tools"):
                stated[f"{key}[0].tools"] = first["tools"]
    read = {where: tools for where, value in stated.items() if (tools := read_tools(value, where)) is not None}
    values = list(read.values())
    if any(value != values[0] for value in values):
        raise BadRowError(f"{' and '.join(read)} differ; leave all but one of them out")
    return values[0] if values else None


def _template_kwargs(row: Fields) -> dict[str, Any] | None:
    """The variables that a row sets for the chat template, such as `enable_thinking`."""
    if not present(row, "chat_template_kwargs"):
        return None
    value = row["chat_template_kwargs"]
    value = parsed(value, "chat_template_kwargs", "an object") if value != "" else None
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadRowError(
            f'chat_template_kwargs is {shown(value)}; expected an object such as {{"enable_thinking": false}}'
        )
    for key in TEMPLATE_OWN:
        if key in value:
            raise BadRowError(f"chat_template_kwargs.{key}: the chat template's {key} cannot be set here; leave it out")
    return value or None


def unpacked(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row of OpenAI's preference fine-tuning, which nests its prompt and tools, as one of messages."""
    said, good, bad = "input", "preferred_output", "non_preferred_output"
    if not isinstance(row.get(said), dict) or good not in row or bad not in row:
        return row
    around = {key: value for key, value in row.items() if key not in (said, good, bad)}
    return {**around, **row[said], "chosen": row[good], "rejected": row[bad]}


def format_name(row: Mapping[str, Any]) -> str:
    """Return the name of the row's format; BadRowError when no key tells."""
    if all(present(row, key) for key in PAIR_KEYS) and not any(present(row, key) for key in FORMATS):
        answers = [row.get(key) for key in PAIR_KEYS]
        if any(key in row for key in FORMATS) and all(
            isinstance(said, str) and not is_dialogue(said) for said in answers
        ):
            prompt_key(row)  # a prompt that is null in this row
        return "implicit-prompt preference"
    return FORMATS[prompt_key(row)]


def prompt_key(row: Mapping[str, Any], order: Sequence[str] = tuple(FORMATS)) -> str:
    """Return the first of the keys of `FORMATS` that the row has; BadRowError names the nearest when none."""
    for key in order:
        if present(row, key):
            return key
    for key in order:
        if key in row:
            raise NothingToLearnError(f"{key} is null")
    for key in row:
        if key != "text" and (match := nearest(key, KNOWN_KEYS)) and match != key.casefold():
            raise BadRowError(f'no known format: "{key}" is not a key; did you mean "{match}"?')
    if present(row, "text"):
        raise BadRowError('the row is a document ("text"), not a conversation: use the file in a corpus stage')
    has = ", ".join(map(repr, row)) or "none"
    raise BadRowError(
        f"no known format: the keys are {has}; expected one of {', '.join(map(repr, FORMATS))}, "
        f"or name yours with {columns_advice(row)}"
    )


def columns_advice(row: Mapping[str, Any]) -> str:
    """Return the `columns` that a recipe may need for a row whose keys have other names, as YAML."""
    guessed: dict[str, str] = {}
    for known, names in OTHER_NAMES.items():
        free = [key for key in row if key not in guessed.values() and present(row, key)]
        folded = {key.casefold(): key for key in free}
        if found := next((folded[name] for name in (known, *names) if name in folded), None):
            guessed[known] = found
    guessed = guessed or {"prompt": "question", "response": "answer"}
    return f"columns such as {{{', '.join(f'{known}: {column}' for known, column in guessed.items())}}}"


def conversation(row: Mapping[str, Any], *, may_be_empty: bool = False) -> tuple[list[Message], tuple[bool, ...]]:
    """Return the messages of a row, its answer last, and for each assistant message whether it is learned.

    All are, except those that OpenAI's `weight` 0 excludes, and those in a `prompt` that has a `completion`, all of
    which is the answer.
    may_be_empty: whether the answer may.
    """
    key = prompt_key(row, ("messages", "conversations", "instruction", "prompt"))
    messages = messages_before_answer(row, key, may_be_empty=may_be_empty)
    if key in ("prompt", "instruction"):
        answer_key = next((name for name in ANSWER_KEYS if present(row, name)), None)
        if answer_key is None:
            if null := next((name for name in ANSWER_KEYS if name in row), None):
                raise NothingToLearnError(f'"{key}" without an answer: {null} is null')
            expected = "output" if key == "instruction" else "completion"
            raise BadRowError(f'"{key}" without an answer: "{expected}" is missing{answer_hint(expected, row)}')
        require_end(messages, key, ("user", "tool"))
        said = row[answer_key]
        answered = answer(said, answer_key, may_be_empty=may_be_empty, whole=False)
        learned = learned_turns(as_list(said), answer_key) if isinstance(said, list | dict) else (True,)
        if not any(learned):
            raise NothingToLearnError(
                f"every assistant message in {answer_key} has weight 0, so there is nothing to learn"
            )
        return messages + answered, (key == "instruction",) * assistant_count(messages) + learned
    if not assistant_count(messages):
        raise NothingToLearnError(f"{key} has no assistant message, so there is nothing to learn")
    if messages[-1]["role"] != "assistant":
        raise NothingToLearnError(f"{key} ends with a message from {messages[-1]['role']}; expected assistant")
    learned = learned_turns(row[key], key)
    if not any(learned):
        raise NothingToLearnError(f"every assistant message in {key} has weight 0, so there is nothing to learn")
    return messages, learned


def as_list(value: object) -> object:
    """Return one message as a list of it, all else as it is."""
    return [value] if isinstance(value, dict) else value


def answer_hint(expected: str, row: Mapping[str, Any]) -> str:
    """Return what a missing answer may be called here: a key like it, or one that often holds an answer."""
    near = hint(expected, row)
    names = OTHER_NAMES["completion" if expected == "output" else expected]
    other = next((key for key in row if key.casefold() in names and present(row, key)), None)
    return near or (f"; is it {other!r}? Then set columns: {{{expected}: {other}}}" if other else "")


def assistant_count(messages: Sequence[Message]) -> int:
    return sum(message["role"] == "assistant" for message in messages)


def task(row: Mapping[str, Any]) -> list[Message]:
    """Return the prompt of a row: its messages without the final answer, if it has one."""
    key = prompt_key(row, ("prompt", "messages", "conversations", "instruction"))
    messages = messages_before_answer(row, key, may_be_empty=True)
    if messages[-1]["role"] == "assistant":
        messages = messages[:-1]
    if not messages:
        raise BadRowError(f"{key} holds only an answer; expected at least a user message before it")
    require_end(messages, key, ("user", "tool"))
    return messages


def task_answer(row: Mapping[str, Any]) -> str | None:
    """Return the answer that `task` leaves out of a row: its text; None where the row has none that can be read."""
    try:
        key = prompt_key(row, ("prompt", "messages", "conversations", "instruction"))
        answer_key = next((name for name in ANSWER_KEYS if present(row, name)), None)
        if key in ("messages", "conversations"):
            messages = messages_before_answer(row, key, may_be_empty=True)
        else:
            messages = answer(row[answer_key], answer_key) if answer_key is not None else []
    except BadRowError:
        return None
    content = messages[-1].get("content") if messages and messages[-1]["role"] == "assistant" else None
    return content if isinstance(content, str) else None


def messages_before_answer(row: Mapping[str, Any], key: str, *, may_be_empty: bool = False) -> list[Message]:
    """Return the messages under `key`; for Alpaca those made of instruction, input and history.

    may_be_empty: whether the last one may, if it is the assistant's.
    """
    if key == "instruction":
        messages = alpaca_messages(row)
    elif key == "prompt" and is_dialogue_prompt(row[key]):
        messages = dialogue_prompt(row[key])
        if not messages:
            raise NothingToLearnError(f"{key} is a dialogue in which nobody says anything")
    elif isinstance(row[key], str) and key == "prompt":
        messages = [message("user", row[key], key)]
    else:
        messages = read_messages(row[key], key, may_be_empty=may_be_empty)
    return with_system(row, messages)


def with_system(row: Mapping[str, Any], messages: list[Message]) -> list[Message]:
    """Return messages that begin with the row's own system prompt, unless they have one."""
    key = next((name for name in SYSTEM_KEYS if row.get(name)), None)
    if key is not None:
        given = message("system", row.get(key), key, may_be_empty=True)
        if messages[0]["role"] != "system":
            messages = [given, *messages]
        if messages[0]["content"] == given["content"]:
            use(row, key)
    return messages


def alpaca_messages(row: Mapping[str, Any]) -> list[Message]:
    messages = []
    history = parsed(row["history"], "history", "a list of [question, answer]") if row.get("history") else []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise BadRowError(f"history is {shown(history)}; expected a list of [question, answer]")
    for index, (question, reply) in enumerate(history):
        messages.append(message("user", question, f"history[{index}][0]"))
        messages.append(message("assistant", reply, f"history[{index}][1]"))
    input_key = next((key for key in ("input", "context") if row.get(key)), None)
    parts = {"instruction": row["instruction"]} | ({input_key: row[input_key]} if input_key else {})
    texts = [content_text(value, key, may_be_empty=len(parts) > 1) for key, value in parts.items()]
    return [*messages, message("user", "\n".join(text for text in texts if text.strip()), "instruction")]


def answer(value: object, key: str, *, may_be_empty: bool = False, whole: bool = True) -> list[Message]:
    """Return an answer as messages: text, one message, or a list of them.

    whole: whether it may be a whole conversation, from its question or system prompt on.
    """
    if not isinstance(value, list | dict):
        return [message("assistant", value, key, may_be_empty=may_be_empty)]
    first = ("system", "user", "assistant") if whole else ("assistant",)
    messages = read_messages(as_list(value), key, first=first, may_be_empty=may_be_empty)
    require_end(messages, key, ("assistant",))
    return messages
