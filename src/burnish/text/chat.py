"""Conversations to token ids through a model's own chat template.

- Templates run as transformers runs them (`templates`), on messages read as it reads them.
- Control tokens come from the template only. A message that holds the text `<|im_end|>` is encoded as that text.
- A prompt's ids are always an exact prefix of its conversation's ids, so that a model is trained on precisely
  what it sees when it generates, and a forest can share the prompt.
- What a template leaves out of the messages is said with the ids (`carried`), never silent.
"""

import itertools
import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Required, TypedDict

from burnish.errors import CheckpointError, DataError
from burnish.text import carried
from burnish.text.carried import CarriedPart, RenderedText
from burnish.text.templates import expects_text_arguments, fill_template
from burnish.text.tokenizer import Tokenizer
from burnish.text.turns import Turn, endless, follow, is_marked, learned_length, moved, opened_block, same_answer


class Message(TypedDict, total=False):
    """One turn, in the keys that OpenAI's format and the templates of open models share."""

    role: Required[str]
    content: Required[str | list[dict[str, Any]] | None]
    name: str
    reasoning_content: str
    tool_calls: list[dict[str, Any]]
    tool_call_id: str


Tools = Sequence[Mapping[str, Any]]
Variables = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """Messages as token ids.

    mask: True on what the model would have to generate, one entry a token. n_prompt: the tokens before the last answer.
    answers: indices of the messages that are learned. lost: what of the messages the model does not read or learn.
    remarks: what else differs from what the messages say.
    """

    tokens: list[int]
    mask: list[bool]
    n_prompt: int
    answers: tuple[int, ...] = ()
    lost: tuple[CarriedPart, ...] = ()
    remarks: tuple[str, ...] = ()


def render(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool = False,
    tools: Tools | None = None,
    variables: Variables | None = None,
) -> str:
    """The text of a conversation, equal to transformers' `apply_chat_template(tokenize=False)`.

    `add_generation_prompt` appends what the template puts before an assistant's answer; `variables` are further ones of
    the template, such as `enable_thinking`. Raises `CheckpointError` when the tokenizer has no usable template,
    `DataError` when the template refuses the messages.
    """
    view = _View(tokenizer, messages, tools, variables)
    return view.render(len(messages), prompt=add_generation_prompt)[0]


def encode_prompt(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    tools: Tools | None = None,
    variables: Variables | None = None,
) -> list[int]:
    """Ids of the messages followed by the template's generation prompt, ready for the model to answer."""
    return _View.guarded(tokenizer, messages, tools, variables).prompt_ids()


def encode_question(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    tools: Tools | None = None,
    variables: Variables | None = None,
) -> Encoding:
    """As `encode_prompt`, with what the template leaves out of the messages."""
    view = _View.guarded(tokenizer, messages, tools, variables)
    tokens = view.prompt_ids()
    lost, remarks = view.losses(view.prompt(len(messages)), {})
    return Encoding(tokens=tokens, mask=[False] * len(tokens), n_prompt=len(tokens), lost=lost, remarks=remarks)


def assistant_turn(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    tools: Tools | None = None,
    variables: Variables | None = None,
) -> tuple[str, str]:
    """The text that the last message, the assistant's, answers, and what the template writes of it.

    Raises as `encode_answers`.
    """
    turn = _View.guarded(tokenizer, messages, tools, variables).turn(len(messages) - 1)
    return turn.prompt, turn.answer


def encode_continuation(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    more: Sequence[Message],
    *,
    after: int,
    tools: Tools | None = None,
    variables: Variables | None = None,
) -> list[int]:
    """Ids that stand between an assistant's turn, the last of `messages`, and the next one, with `more` between.

    They begin behind the token that ends the turn, and end with the generation prompt: put behind what a model has
    drawn, they go on from exactly its tokens. after: the last of these.

    Raises `DataError` where the template writes the turn differently once others follow.
    """
    whole = [*messages, *more]
    view = _View.guarded(tokenizer, whole, tools, variables)
    turn = view.turn(len(messages) - 1)
    length, text = view.length(turn), view.prompt(len(whole))
    if not same_answer(text, turn, length):
        raise DataError(
            f"the chat template of {tokenizer.source} writes message {len(messages)} (assistant), or the turns before "
            "it, differently once others follow, so no answer can go on from what the model has drawn"
        )
    return tokenizer.encode_guarded(text[len(turn.prompt) + length :], after=after)[0]


def encode_answers(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    tools: Tools | None = None,
    variables: Variables | None = None,
    learned: Sequence[bool] | None = None,
) -> list[Encoding]:
    """Encode a conversation for learning its assistant's answers: in one text, or in several.

    Each answer that is learned stands behind the prompt that the model would see. Where the template writes an answer
    differently once others follow, it is encoded with the conversation that ends there. An encoding goes on to the end
    of what the template writes after its last answer.

    Args:
        learned: one entry an assistant message, whether it is learned; None learns all.

    Raises:
        CheckpointError: the template cannot be used, or ends an answer with no stop token.
        DataError: the template refuses the messages, or no prompt fits an answer.
    """
    view = _View.guarded(tokenizer, messages, tools, variables)
    wanted = [i for i, each in zip(view.assistants, learned or itertools.repeat(True), strict=False) if each]
    turns = [view.turn(index) for index in wanted]
    found: list[Encoding] = []
    while turns:
        last = turns[-1]
        together = [turn for turn in turns if turn is last or view.covers(last, turn)]
        turns = [turn for turn in turns if turn not in together]
        found.append(view.encode(last.text, last.marks, last, together))
    return found[::-1]


def encode_conversation(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    tools: Tools | None = None,
    variables: Variables | None = None,
) -> tuple[list[int], list[bool]]:
    """Ids of a whole conversation and a mask, True on the tokens an assistant would have to generate.

    Where the template marks those with `{% generation %}`, the mask is transformers' `return_assistant_tokens_mask`,
    and reaches on to the token that ends the turn. Otherwise it is each assistant message's content and the token
    that ends its turn, but not what the template writes after that.

    Raises `CheckpointError` when the template rewrites earlier turns once later ones follow (their answers then
    have no fixed prompt; `encode_answers` makes a text for each) or ends the assistant's turn with no stop token.
    """
    view = _View.guarded(tokenizer, messages, tools, variables)
    text, marks = view.render(len(messages))
    turns: list[Turn] = []
    for index in view.assistants:
        try:
            turn: Turn | None = view.turn(index)
        except DataError:
            turn = None
        if turn is None or not same_answer(text, turn, view.length(turn)):
            raise CheckpointError(
                f"the chat template of {tokenizer.source} writes message {index + 1} of {len(messages)} (assistant), "
                "or the turns before it, differently depending on what follows, so that answer has no fixed "
                "prompt; train on conversations that end with their only assistant message"
            )
        turns.append(turn)
    encoding = view.encode(text, marks, turns[-1] if turns else None, turns)
    return encoding.tokens, encoding.mask


@dataclass(frozen=True, eq=False)
class _View:
    """A conversation and what it is rendered with, the date included."""

    tokenizer: Tokenizer
    messages: Sequence[Mapping[str, Any]]
    tools: Tools | None
    variables: Variables | None
    today: date | None = None
    _texts: dict[tuple[int, bool], Any] = field(default_factory=dict)
    _lengths: dict[int, int] = field(default_factory=dict)

    @classmethod
    def guarded(
        cls,
        tokenizer: Tokenizer,
        messages: Sequence[Mapping[str, Any]],
        tools: Tools | None,
        variables: Variables | None,
    ) -> "_View":
        """One in which no text of the messages can be taken for a control token."""
        today = tokenizer.today or date.today()
        return cls(
            tokenizer, _guard(tokenizer, messages), _guard(tokenizer, tools), _guard(tokenizer, variables), today
        )

    @property
    def assistants(self) -> list[int]:
        return [index for index, message in enumerate(self.messages) if message.get("role") == "assistant"]

    def render(self, n: int, *, prompt: bool = False) -> tuple[str, list[tuple[int, int]]]:
        """The text of the first `n` messages, and from where to where the template marks it as generated."""
        if (n, prompt) not in self._texts:
            messages = [_as_template_reads(message) for message in self.messages[:n]]
            if any(message.get("tool_calls") for message in messages) and expects_text_arguments(
                self.tokenizer, with_tools=self.tools is not None
            ):
                messages = [_with_text_arguments(message) for message in messages]
            self._texts[n, prompt] = fill_template(
                self.tokenizer,
                messages,
                add_generation_prompt=prompt,
                tools=self.tools,
                variables=self.variables,
                today=self.today or self.tokenizer.today or date.today(),
            )
        text: tuple[str, list[tuple[int, int]]] = self._texts[n, prompt]
        return text

    def prompt(self, n: int) -> str:
        """The text of the first `n` messages with the generation prompt."""
        return self.render(n, prompt=True)[0]

    def turn(self, index: int) -> Turn:
        """The assistant's turn that is message `index`."""
        through, marks = self.render(index + 1)
        prompt, message = self.prompt(index), self.messages[index]
        try:
            return follow(self.tokenizer, index, message, prompt, through, marks)
        except DataError:
            turn = self._turn_alone(index)
            if turn is None or not through.endswith(turn.answer):
                raise
            return moved(turn, prompt, through, marks)

    def _turn_alone(self, index: int) -> Turn | None:
        """The assistant's turn that is message `index` behind a question of no importance; None if that has none."""
        messages: list[Mapping[str, Any]] = [{"role": "user", "content": "a"}, self.messages[index]]
        view = _View(self.tokenizer, messages, self.tools, self.variables, self.today)
        try:
            return follow(self.tokenizer, index, messages[1], view.prompt(1), view.render(2)[0], [])
        except DataError:
            return None

    def length(self, turn: Turn) -> int:
        """How many characters of the turn's answer the model writes."""
        if turn.place not in self._lengths:
            self._lengths[turn.place] = learned_length(self.tokenizer, turn, self.messages[turn.place])
        return self._lengths[turn.place]

    def covers(self, last: Turn, turn: Turn) -> bool:
        """Whether an earlier turn is in the text of the last as the model would write it."""
        length = self.length(turn)
        return same_answer(last.text, turn, length) and (
            is_marked(turn, length, last.marks) == is_marked(turn, length, turn.marks)
        )

    def cuts(self, text: str, n: int) -> dict[int, int]:
        """Where the prompts of the assistant's turns among the first `n` messages end in `text`.

        A template may rewrite earlier turns once a later one follows; then they are simply part of the prompt.
        """
        found = {}
        for index in self.assistants:
            if index < n:
                try:
                    prompt = self.prompt(index)
                except DataError:  # nothing that the template would have answered
                    continue
                if text.startswith(prompt):
                    found[index] = len(prompt)
        return found

    def prompt_ids(self) -> list[int]:
        n = len(self.messages)
        text = self.prompt(n)
        return _encode_at(self.tokenizer, text, list(self.cuts(text, n).values()))[0]

    def encode(self, text: str, marks: list[tuple[int, int]], last: Turn | None, turns: Sequence[Turn]) -> Encoding:
        """A text with the answers of `turns`, all of which it has, to be learned; `last` is the last of them."""
        cuts = self.cuts(text, len(self.messages) if last is None else last.place + 1)
        ids, offsets, firsts = _encode_at(self.tokenizer, text, list(cuts.values()))
        first_of = dict(zip(cuts, firsts, strict=True))
        ends = {turn.place: len(turn.prompt) + self.length(turn) for turn in turns}
        mask = [False] * len(ids)
        for span in marks:
            if len(turns) == len(self.assistants) or any(
                span[0] < ends[turn.place] and span[1] > len(turn.prompt) for turn in turns
            ):
                first, end = _tokens_of(offsets, span)
                mask[first:end] = [True] * (end - first)
        for turn in turns:
            first, end = first_of[turn.place], bisect_left(offsets, ends[turn.place], lo=first_of[turn.place])
            if ids[end - 1] not in self.tokenizer.stop_ids:
                raise CheckpointError(endless(self.tokenizer, turn))
            if marks:
                if not any(mask[first:end]):
                    continue  # an answer that the template leaves out, such as any but the last
                if mask[end - 1]:
                    continue
                first = end - mask[first:end][::-1].index(True)
            mask[first:end] = [True] * (end - first)
        lost, remarks = self.losses(text, {turn.place: turn for turn in turns})
        said = tuple(turn.remark for turn in turns if turn.remark is not None)
        return Encoding(
            tokens=ids,
            mask=mask,
            n_prompt=len(ids) if last is None else first_of[last.place],
            answers=tuple(turn.place for turn in turns),
            lost=lost,
            remarks=said + remarks,
        )

    def losses(self, text: str, learned: Mapping[int, Turn]) -> tuple[tuple[CarriedPart, ...], tuple[str, ...]]:
        """What is not in a text of these messages, up to the last learned turn if there is one; and what to remark."""
        n = max(learned) + 1 if learned else len(self.messages)
        answers = {
            index: RenderedText(
                opened_block(turn.prompt) + text[len(turn.prompt) : len(turn.prompt) + self.length(turn)]
            )
            for index, turn in learned.items()
        }
        whole = RenderedText(text)
        read = [
            message if index in learned else _without_thoughts(self.tokenizer, message)
            for index, message in enumerate(self.messages[:n])
        ]
        lost = {*carried.lost(read, answers, whole), *self._lost_by_shape(n, answered=bool(learned))}
        if self.tools:
            lost |= set(carried.lost_tools(self.tools, whole))
        forgotten = {
            part
            for part in lost
            if part.what == carried.DESCRIPTIONS
            or (part.what == carried.THOUGHT and part.place not in learned and part.place >= 0)
        }
        remarks = []
        cut = [message for message, kept in zip(self.messages, read, strict=False) if message is not kept]
        if any(part.what == carried.THOUGHT for part in forgotten) or not all(
            whole.holds(text) for message in cut for text in carried.content_texts(message)
        ):
            remarks.append("the chat template leaves out the reasoning of turns that are only read")
        if any(part.what == carried.DESCRIPTIONS for part in forgotten):
            remarks.append("the chat template leaves out what is said of the tools, beyond their names")
        names = [message["name"] for message in self.messages[:n] if message.get("name") and message["role"] != "tool"]
        if not all(whole.holds(str(name)) for name in names):
            remarks.append("the chat template leaves out the names of those who speak")
        templates = [self.tokenizer.chat_template or "", *self.tokenizer.named_templates.values()]
        for name in self.variables or ():
            if not any(name in template for template in templates):
                remarks.append(f"the chat template never reads {name} of chat_template_kwargs")
        return tuple(sorted(lost - forgotten)), tuple(remarks)

    def _lost_by_shape(self, n: int, *, answered: bool) -> frozenset[CarriedPart]:
        """What is not in the text of another conversation of the same shape, whose words stand nowhere else."""
        memory, messages = self.tokenizer.memory, self.messages[:n]
        key = (answered, carried.shape(messages, self.tools), json.dumps(self.variables, default=str, sort_keys=True))
        if key not in memory:
            marked, tools = carried.marked(messages, self.tools)
            view = _View(self.tokenizer, marked, tools, self.variables, self.today)
            try:
                text = RenderedText(view.turn(n - 1).text if answered else view.prompt(n))
                found = {*carried.lost(marked, {}, text), *(carried.lost_tools(tools, text) if tools else ())}
            except DataError:  # a template that reads what the messages say
                found = set()
            if len(memory) > _MAX_SHAPES:
                memory.clear()
            memory[key] = frozenset(found)
        known: frozenset[CarriedPart] = memory[key]
        return known


_MAX_SHAPES = 10_000


def _as_template_reads(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as transformers hands it on: without keys that are null, and its reasoning under every name for it."""
    read = {key: value for key, value in message.items() if value is not None}
    reasoning = next((read[key] for key in carried.REASONING if key in read), None)
    return read if reasoning is None else {"thinking": reasoning, **read, "reasoning_content": reasoning}


def _with_text_arguments(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose calls have their arguments as JSON text, for templates that join them to other text."""
    calls = []
    for call in message.get("tool_calls") or ():
        function = call.get("function") or call
        if isinstance(function.get("arguments"), Mapping):
            function = {**function, "arguments": json.dumps(function["arguments"], ensure_ascii=False)}
        calls.append({**call, "function": function} if "function" in call else function)
    return {**message, "tool_calls": calls} if calls else message


def _without_thoughts(tokenizer: Tokenizer, message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message without the reasoning in its content, which templates leave out of earlier turns."""
    content, closing = message.get("content"), tokenizer.guard("</think>")
    if message.get("role") != "assistant" or not isinstance(content, str) or closing not in content:
        return message
    return {**message, "content": content.split(closing)[-1]}


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
