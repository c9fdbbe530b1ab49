"""Judged answers as tokens: what follows the prompt, checked against what the row says, cut where it is too long.

Notable choices:
- one answer that cannot be used (empty, refused or left out by the chat template) costs its row, not the run;
- white space at the ends of an answer, which many templates strip, is no reason to drop it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from burnish.datasets.report import Account, DropError
from burnish.datasets.rows import Labelled, Preference, Ranking
from burnish.errors import DataError
from burnish.text.carried import CONTENT, TOOLS
from burnish.text.chat import Encoding, Message, encode_answers
from burnish.text.tokenizer import Tokenizer

OnLong = Literal["drop", "cut"]
Judged = Preference | Labelled | Ranking


def judged_tokens(
    row: Judged,
    answers: Mapping[str, list[Message]],
    tokenizer: Tokenizer,
    account: Account,
    *,
    whole: bool = False,
) -> tuple[list[int], list[list[int]]]:
    """Return the tokens of a row's prompt and of its answers, which have names for the report.

    whole: with what the chat template writes after the token that ends an answer.
    Raises DropError where the row has a fault, the template refuses it, or a part of it is not in what it writes.
    """
    if row.fault is not None:
        raise DropError(row.fault)
    prompt: list[int] = []
    tokens = []
    remarks: dict[str, None] = {}
    for name, answer in answers.items():
        try:
            encoding = _encode_last(row, answer, tokenizer)
        except DataError as error:
            raise DropError(str(error)) from error
        check_carried(encoding, [*row.prompt, *answer], answer_name=name)
        prompt = encoding.tokens[: encoding.n_prompt]
        length = len(encoding.tokens) if whole else learned_length(encoding.mask)
        tokens.append(encoding.tokens[encoding.n_prompt : length])
        remarks |= dict.fromkeys(encoding.remarks)
        if not _verbatim(answer[-1], tokenizer.decode(tokens[-1], skip_special=False)):
            remarks[f"the chat template changes the white space of {_called(name)}"] = None
    for remark in remarks:
        account.note(remark)
    return prompt, tokens


def check_carried(encoding: Encoding, messages: Sequence[Message], *, answer_name: str | None = None) -> None:
    """Raise DropError if the chat template leaves out a part of the messages; the last may be an answer with a name."""
    if not encoding.lost:
        return
    said = []
    for part in encoding.lost:
        owner = f"message {part.place + 1} ({messages[part.place]['role']})"
        if answer_name is not None and part.place == len(messages) - 1:
            owner = _called(answer_name)
        what = "a part" if part.what == CONTENT else f"the {part.what}"
        said.append(f"the {part.what}" if part.what == TOOLS else f"{what} of {owner}")
    raise DropError(f"the chat template leaves out {', '.join(said)}")


def _called(name: str) -> str:
    """What an answer is called in the report, by its name in the row."""
    return "the answer" if name == "answer" else f"the {name} answer"


def _encode_last(row: Judged, answer: list[Message], tokenizer: Tokenizer) -> Encoding:
    """The prompt of a row and one answer to it, which alone is learned."""
    messages = [*row.prompt, *answer]
    learned = [False] * (sum(message["role"] == "assistant" for message in messages) - 1) + [True]
    (encoding,) = encode_answers(tokenizer, messages, tools=row.tools, variables=row.template_kwargs, learned=learned)
    return encoding


def _verbatim(answer: Message, written: str) -> bool:
    """Whether an answer's content stands in what the model is to write as it is in the row."""
    content = answer["content"]
    return not isinstance(content, str) or content in written


def fit_answers(
    prompt: list[int],
    names: Iterable[str],
    answers: Sequence[list[int]],
    account: Account,
    max_length: int,
    on_long: OnLong,
    context: int | None,
) -> list[list[int]]:
    """Return the answers, cut where the longest does not fit. Raises DropError where they cannot be told apart.

    context: tokens that the model has learned to read, where that is known.
    """
    room = max_length - len(prompt)
    longest = max(map(len, answers))
    if room < 1:
        raise DropError(
            f"the prompt has {len(prompt)} tokens and leaves no room for an answer in max_length {max_length}"
        )
    reason = ""
    if longest > room:
        which = "its longest answer" if len(answers) > 2 else "its longer answer" if len(answers) > 1 else "its answer"
        reason = f"{len(prompt) + longest} tokens with {which}, more than max_length {max_length}"
        if on_long == "drop":
            raise DropError(reason)
        answers = [answer[:room] for answer in answers]
    same = "the answers are the same"
    if len({tuple(answer) for answer in answers}) < len(answers):
        raise DropError(f"{reason}, and {same} up to there" if reason else f"{same} tokens in the chat template")
    if reason:
        at_limit = [name for name, answer in zip(names, answers, strict=True) if len(answer) == room]
        account.cut(f"{reason}: {', '.join(at_limit)} cut to {room} tokens")
    note_beyond_context(len(prompt) + max(map(len, answers)), context, account)
    return list(answers)


def note_beyond_context(length: int, context: int | None, account: Account) -> None:
    """Say of an example of `length` tokens that it is longer than what the model has learned to read."""
    if context is not None and length > context:
        account.note(f"longer than the model's context of {context} tokens; a max_length of {context} cuts or drops it")


def learned_length(mask: list[bool]) -> int:
    """Return the number of tokens up to and including the last one that is learned."""
    return next((index for index in range(len(mask), 0, -1) if mask[index - 1]), 0)
