"""Conversations to token ids through a model's own chat template.

- Templates run as transformers runs them (same filters, variables and reading of messages), in jinja2's immutable
  sandbox.
- Control tokens come from the template only. A message that holds the text `<|im_end|>` is encoded as that text.
- A prompt's ids are always an exact prefix of its conversation's ids, so that a model is trained on precisely
  what it sees when it generates, and a forest can share the prompt.
"""

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple, Required, TypedDict

from burnish.errors import CheckpointError
from burnish.text.templates import fill_template
from burnish.text.tokenizer import Tokenizer


class Message(TypedDict, total=False):
    """One turn, in the keys that OpenAI's format and the templates of open models share."""

    role: Required[str]
    content: Required[str | list[dict[str, Any]] | None]
    name: str
    reasoning_content: str
    tool_calls: list[dict[str, Any]]
    tool_call_id: str


Tools = Sequence[Mapping[str, Any]]


def render(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool = False,
    tools: Tools | None = None,
) -> str:
    """The text of a conversation, equal to transformers' `apply_chat_template(tokenize=False)`.

    `add_generation_prompt` appends what the template puts before an assistant's answer. Raises
    `CheckpointError` when the tokenizer has no usable template, `DataError` when the template refuses the messages.
    """
    return _render(tokenizer, messages, add_generation_prompt=add_generation_prompt, tools=tools)[0]


def encode_prompt(tokenizer: Tokenizer, messages: Sequence[Message], *, tools: Tools | None = None) -> list[int]:
    """Ids of the messages followed by the template's generation prompt, ready for the model to answer."""
    messages, tools = _guard(tokenizer, messages), _guard(tokenizer, tools)
    text = render(tokenizer, messages, add_generation_prompt=True, tools=tools)
    turns = _assistant_turns(tokenizer, messages, tools)
    # A template may rewrite earlier turns once a later one follows; then they are simply part of the prompt.
    cuts = [len(turn.prompt) for turn in turns if text.startswith(turn.prompt)]
    return _encode_at(tokenizer, text, cuts)[0]


def encode_conversation(
    tokenizer: Tokenizer, messages: Sequence[Message], *, tools: Tools | None = None
) -> tuple[list[int], list[bool]]:
    """Ids of a whole conversation and a mask, True on the tokens an assistant would have to generate.

    Where the template marks those with `{% generation %}`, the mask is transformers' `return_assistant_tokens_mask`,
    and reaches on to the token that ends the turn. Otherwise it is each assistant message's content and the token
    that ends its turn, but not what the template writes after that.

    Raises `CheckpointError` when the template rewrites earlier turns once later ones follow (their answers then
    have no fixed prompt) or ends the assistant's turn with no stop token.
    """
    messages, tools = _guard(tokenizer, messages), _guard(tokenizer, tools)
    text, marked = _render(tokenizer, messages, tools=tools)
    turns = list(_assistant_turns(tokenizer, messages, tools))
    for turn in turns:
        if not (text.startswith(turn.prompt) and text.startswith(turn.through)):
            raise CheckpointError(
                f"the chat template of {tokenizer.source} writes message {turn.number} of {len(messages)} (assistant), "
                "or the turns before it, differently depending on what follows, so that answer has no fixed "
                "prompt; train on conversations that end with their only assistant message"
            )
    ids, offsets, firsts = _encode_at(tokenizer, text, [len(turn.prompt) for turn in turns])
    mask = [False] * len(ids)
    for span in marked:
        first, end = _tokens_of(offsets, span)
        mask[first:end] = [True] * (end - first)
    for turn, first in zip(turns, firsts, strict=True):
        end = bisect_left(offsets, len(turn.through), lo=first)
        stops = [i for i in range(first, end) if ids[i] in tokenizer.stop_ids]
        if not stops:
            known = sorted(str(tokenizer.token(i)) for i in tokenizer.stop_ids)
            raise CheckpointError(
                f"the chat template of {tokenizer.source} ends an assistant's turn without a stop token (known: "
                f"{', '.join(known) or 'none'}), so a model trained on it would never stop"
            )
        if marked:
            if not any(mask[first:end]):
                continue  # an answer that the template leaves out, such as any but the last
            first = end - mask[first:end][::-1].index(True)
            if any(mask[stop] for stop in stops):
                continue
        mask[first : stops[-1] + 1] = [True] * (stops[-1] + 1 - first)
    return ids, mask


def _render(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool = False,
    tools: Tools | None = None,
    today: date | None = None,
) -> tuple[str, list[tuple[int, int]]]:
    """The text of a conversation, and from where to where the template marks it as generated."""
    return fill_template(
        tokenizer,
        [_as_template_reads(message) for message in messages],
        add_generation_prompt=add_generation_prompt,
        tools=tools,
        today=today or tokenizer.today or date.today(),
    )


def _as_template_reads(message: Message) -> dict[str, Any]:
    """A message as transformers hands it on: without keys that are null, and its reasoning under every name for it."""
    read = {key: value for key, value in message.items() if value is not None}
    reasoning = next((read[key] for key in _REASONING if key in read), None)
    return read if reasoning is None else {"thinking": reasoning, **read, "reasoning_content": reasoning}


_REASONING = ("reasoning_content", "thinking", "reasoning")


class _Turn(NamedTuple):
    """An assistant's turn: the text it answers and the text up to its end."""

    number: int
    prompt: str
    through: str


def _assistant_turns(tokenizer: Tokenizer, messages: Sequence[Message], tools: Tools | None) -> Iterator[_Turn]:
    for i, message in enumerate(messages):
        if message.get("role") == "assistant":
            yield _Turn(
                number=i + 1,
                prompt=render(tokenizer, messages[:i], add_generation_prompt=True, tools=tools),
                through=render(tokenizer, messages[: i + 1], tools=tools),
            )


def _encode_at(tokenizer: Tokenizer, text: str, cuts: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Ids of `text` such that the ids of each `text[:cut]` are a prefix of them.

    Returns ids, the character offset each starts at, and the index of the first id after each cut. The text is
    encoded in one piece, as transformers does, unless a token would reach over a cut (an answer that starts
    with a space, say, after a prompt that ends with one); only there it is encoded in two.
    """
    needed: list[int] = []
    firsts: list[int] = []
    ids, offsets = _encode_pieces(tokenizer, text, needed)
    for cut in cuts:
        prompt, _ = _encode_pieces(tokenizer, text[:cut], needed)
        if ids[: len(prompt)] != prompt:
            needed.append(cut)
            ids, offsets = _encode_pieces(tokenizer, text, needed)
        firsts.append(len(prompt))
    return ids, offsets, firsts


def _tokens_of(offsets: Sequence[int], span: tuple[int, int]) -> tuple[int, int]:
    """The first token, and the one behind the last, that hold any of the characters of `span`."""
    first = bisect_left(offsets, span[0])
    if first == len(offsets) or offsets[first] > span[0]:
        first -= 1  # a token that begins before the span and reaches into it
    return max(first, 0), bisect_left(offsets, span[1])


def _encode_pieces(tokenizer: Tokenizer, text: str, cuts: Sequence[int]) -> tuple[list[int], list[int]]:
    ids: list[int] = []
    offsets: list[int] = []
    for start, end in itertools.pairwise([0, *cuts, len(text)]):
        piece_ids, piece_offsets = tokenizer.encode_guarded(text[start:end], after=ids[-1] if ids else None)
        ids += piece_ids
        offsets += [start + offset for offset in piece_offsets]
    return ids, offsets


def _guard(tokenizer: Tokenizer, value: Any) -> Any:
    """A copy of JSON-like data in which no text can be taken for a control token."""
    if isinstance(value, str):
        return tokenizer.guard(value)
    if isinstance(value, Mapping):
        return {_guard(tokenizer, key): _guard(tokenizer, item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_guard(tokenizer, item) for item in value]
    return value
