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
from burnish.text.chat import Message, Tools, encode_conversation, encode_prompt, render
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
    Raises DropError where the row has a fault, the template refuses it, or an answer is not in what it writes.
    """
    if row.fault is not None:
        raise DropError(row.fault)
    try:
        prompt = encode_prompt(tokenizer, row.prompt, tools=row.tools)
        tokens = [
            answer_tokens(tokenizer, prompt, row.prompt, answer, row.tools, whole=whole) for answer in answers.values()
        ]
        for name, answer in answers.items():
            _check_carried(row, name, answer, tokenizer, account)
    except DataError as error:
        raise DropError(str(error)) from error
    return prompt, tokens


def fit_answers(
    prompt: list[int],
    names: Iterable[str],
    answers: Sequence[list[int]],
    account: Account,
    max_length: int,
    on_long: OnLong,
) -> list[list[int]]:
    """Return the answers, cut where the longest does not fit. Raises DropError where they cannot be told apart."""
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
    return list(answers)


def answer_tokens(
    tokenizer: Tokenizer,
    prompt_tokens: list[int],
    prompt: list[Message],
    answer: list[Message],
    tools: Tools | None,
    *,
    whole: bool = False,
) -> list[int]:
    """Return the tokens that the model would have to generate after the prompt to give this answer.

    whole: also those that the chat template writes after the token that ends it.
    """
    tokens, mask = encode_conversation(tokenizer, [*prompt, *answer], tools=tools)
    if tokens[: len(prompt_tokens)] != prompt_tokens:
        raise AssertionError("the tokens of a prompt must begin its conversation; the chat encoding is broken")
    return tokens[len(prompt_tokens) : None if whole else learned_length(mask)]


def _check_carried(row: Judged, name: str, answer: list[Message], tokenizer: Tokenizer, account: Account) -> None:
    """Compare an answer with what the chat template makes of it; white space may differ, which is noted."""
    content = answer[-1]["content"]
    if not isinstance(content, str) or not content:
        return
    before = render(tokenizer, row.prompt, add_generation_prompt=True, tools=row.tools)
    written = render(tokenizer, [*row.prompt, *answer], tools=row.tools).removeprefix(before)
    if content in written:
        return
    if "".join(content.split()) not in "".join(written.split()):
        raise DropError(f"the chat template leaves out a part of the {name} answer")
    account.note(f"the chat template changes the white space of the {name} answer")


def learned_length(mask: list[bool]) -> int:
    """Return the number of tokens up to and including the last one that is learned."""
    return next((index for index in range(len(mask), 0, -1) if mask[index - 1]), 0)
