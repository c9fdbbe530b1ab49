"""An assistant's turns in a chat template: the prompt that each answers, and what the model would have to write then.

Most templates write the generation prompt and then the answer as they write both in a conversation. Four things differ
in real ones, and each is met here:

- a template that writes a turn differently once another follows it (Qwen3's empty `<think>` block, the `eos_token` at
  the end of Phi-3's) is right for the turn that is last, so that each such answer has a text of its own;
- one whose generation prompt opens a block that its conversations do not have (DeepSeek's R1 distillations open
  `<think>` and drop it from every turn) is answered from within the block: the row's reasoning, what closes the block,
  then the turn as the template writes it;
- one that writes what comes before an answer in another way once it is answered (Hermes closes the last result of a
  tool differently, Mistral puts the system prompt into a question only where that is last) is right in its prompt: the
  answer, which stands at the end as it does behind any question, is put behind what the model sees;
- one may write several tokens that can end a turn: the model stops at the first that has all of the answer before it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from burnish.errors import CheckpointError, DataError
from burnish.text.carried import RenderedText, lost, reasoning_of
from burnish.text.tokenizer import Tokenizer

_OPENED = re.compile(r"<([A-Za-z_]+)>\s*\Z")


class Turn(NamedTuple):
    """An assistant's turn.

    place: of its message. prompt: the text that it answers, with the generation prompt. answer: what follows that in a
    conversation that ends with the turn, to the end. marks: from where to where in `prompt + answer` the template marks
    text as generated. remark: what the answer has that the row does not say.
    """

    place: int
    prompt: str
    answer: str
    marks: list[tuple[int, int]]
    remark: str | None = None

    @property
    def text(self) -> str:
        """The conversation up to the end of the turn."""
        return self.prompt + self.answer


def follow(
    tokenizer: Tokenizer,
    place: int,
    message: Mapping[str, Any],
    prompt: str,
    through: str,
    marks: list[tuple[int, int]],
) -> Turn:
    """The turn whose conversation a template writes as `through`, in answer to `prompt`.

    Raises `DataError` where it writes the answer in a way that does not follow its own generation prompt.
    """
    if through.startswith(prompt):
        return Turn(place, prompt, through[len(prompt) :], marks)
    opened = _OPENED.search(prompt)
    if opened is None or not through.startswith(prompt[: opened.start()]):
        raise DataError(
            f"the chat template of {tokenizer.source} writes message {place + 1} (assistant) in a way that does not "
            "follow its own generation prompt, so the answer has no prompt that it could be learned for"
        )
    opening, closing = f"<{opened[1]}>", f"</{opened[1]}>"
    rest = through[opened.start() :].lstrip()
    if rest.startswith(opening):
        return Turn(place, prompt, rest.removeprefix(opening).lstrip("\n"), [])
    if closing in rest:
        return Turn(place, prompt, rest, [])
    thought = reasoning_of(message) or _before(tokenizer, message, opening, closing)
    remark = None
    if not thought:
        remark = f"the generation prompt opens {opening} and the row has no reasoning: the answer closes it at once"
    return Turn(place, prompt, f"{thought.strip(chr(10))}\n{closing}\n\n{rest}", [], remark)


def moved(turn: Turn, prompt: str, through: str, marks: Sequence[tuple[int, int]]) -> Turn:
    """The turn in answer to another prompt. marks: those of `through`, a conversation that ends with its answer."""
    start = len(through) - len(turn.answer)
    shift = len(prompt) - start
    return turn._replace(
        prompt=prompt, marks=[(max(first, start) + shift, end + shift) for first, end in marks if end > start]
    )


def _before(tokenizer: Tokenizer, message: Mapping[str, Any], opening: str, closing: str) -> str:
    """What a message's content has before the closing tag."""
    content = message.get("content")
    opening, closing = tokenizer.guard(opening), tokenizer.guard(closing)
    if not isinstance(content, str) or closing not in content:
        return ""
    return content.split(closing)[0].strip().removeprefix(opening).strip("\n")


def learned_length(tokenizer: Tokenizer, turn: Turn, message: Mapping[str, Any]) -> int:
    """How many characters of the turn's answer the model writes before it stops, with the token at which it does.

    Raises `CheckpointError` where there is no such token.
    """
    ends = [found.end() for found in tokenizer.stop_pattern.finditer(turn.answer)]
    if not ends:
        raise CheckpointError(endless(tokenizer, turn))
    if len(ends) == 1:
        return ends[0]
    missing = [set(lost([message], {}, RenderedText(turn.answer[:end]))) for end in ends]
    return ends[missing.index(missing[-1])]


def opened_block(prompt: str) -> str:
    """The tag at the end of a generation prompt that opens a block which the answer closes, else an empty text."""
    found = _OPENED.search(prompt)
    return found[0] if found else ""


def endless(tokenizer: Tokenizer, turn: Turn) -> str:
    """What is wrong with an answer that nothing ends, and how to mend it."""
    known = ", ".join(sorted(str(tokenizer.token(i)) for i in tokenizer.stop_ids)) or "none"
    said = (
        f"the chat template of {tokenizer.source} ends an assistant's turn without a stop token (known: {known}), so a "
        "model trained on it would never stop"
    )
    ids = tokenizer.encode(turn.answer, special=True)
    last = next((token for token in reversed(ids) if token in tokenizer.control_ids), None)
    if last is None:
        return f"{said}; end each of its turns with {{{{ eos_token }}}}"
    where = "tokenizer.ggml.eot_token_id" if tokenizer.source.endswith(".gguf") else "generation_config.json"
    key = "set it to" if where.startswith("tokenizer") else "add to its list eos_token_id"
    return f"{said}; it ends the turn with {tokenizer.token(last)!r}: {key} {last} ({where})"


def same_answer(text: str, turn: Turn, length: int) -> bool:
    """Whether a text that goes on after the turn has its prompt and its answer as the model would write it."""
    return text.startswith(turn.prompt) and text.startswith(turn.answer[:length], len(turn.prompt))


def is_marked(turn: Turn, length: int, marks: Sequence[tuple[int, int]]) -> bool:
    """Whether the template marks any of the answer as generated."""
    start, end = len(turn.prompt), len(turn.prompt) + length
    return any(first < end and last > start for first, last in marks)
