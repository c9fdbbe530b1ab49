"""A chat template as the fixed texts around its messages, for programs that do not read Jinja."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.errors import CheckpointError, DataError
from burnish.text.chat import Message, render
from burnish.text.tokenizer import Tokenizer

_SYSTEM, _ASKED, _ANSWERED, _AGAIN = "system0marker", "user1marker", "assistant2marker", "user3marker"


@dataclass(frozen=True, kw_only=True)
class Turns:
    """The texts before and after the content of each role; what `opened` or `system` begins is never rendered twice.

    opened: what a conversation without a system message begins with. Between a question and its answer stands
    `asked_end + answer`; a prompt ends with `asked_end`.
    """

    opened: str
    system: str
    system_end: str
    asked: str
    asked_end: str
    answer: str
    answer_end: str

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation, which ends with a question, as a prompt."""
        around = {
            "system": (self.system, self.system_end),
            "user": (self.asked, self.asked_end),
            "assistant": (self.answer, self.answer_end),
        }
        pieces = [] if messages[0]["role"] == "system" else [self.opened]
        for message in messages:
            before, after = around[message["role"]]
            pieces += [before, str(message["content"]), after]
        return "".join(pieces)


def turns(tokenizer: Tokenizer) -> Turns | None:
    """The fixed texts of a tokenizer's chat template; None where it does more than put texts around messages.

    They are those of a few conversations, and checked on others: with and without a system message, of one to three
    questions. The token that every text begins with is left out where the programs that read the model add it.
    """
    try:
        whole = _prompt(tokenizer, _SYSTEM, [_ASKED, _ANSWERED, _AGAIN])
        bare = _prompt(tokenizer, None, [_ASKED])
        found = _split(whole, bare)
        if found is not None and all(
            found.render(messages) == _rendered(tokenizer, messages) for messages in _conversations()
        ):
            return found
    except (CheckpointError, DataError):
        pass
    return None


def _split(whole: str, bare: str) -> Turns | None:
    places = [whole.find(marker) for marker in (_SYSTEM, _ASKED, _ANSWERED, _AGAIN)]
    if -1 in places or places != sorted(places) or _ASKED not in bare:
        return None
    system, rest = whole.split(_SYSTEM, 1)
    between_system, rest = rest.split(_ASKED, 1)
    between_asked, rest = rest.split(_ANSWERED, 1)
    between_answered, asked_end = rest.split(_AGAIN, 1)
    head, last = bare.split(_ASKED, 1)
    # What stands before a question is what all three places have in common; any such cut renders the same.
    asked = _common_end([between_system, between_answered, head])
    if last != asked_end or not between_asked.startswith(asked_end):
        return None
    return Turns(
        opened=head.removesuffix(asked),
        system=system,
        system_end=between_system.removesuffix(asked),
        asked=asked,
        asked_end=asked_end,
        answer=between_asked.removeprefix(asked_end),
        answer_end=between_answered.removesuffix(asked),
    )


def _common_end(texts: Sequence[str]) -> str:
    same = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*(text[::-1] for text in texts), strict=False))
    return "".join(column[0] for column in same)[::-1]


def _prompt(tokenizer: Tokenizer, system: str | None, contents: Sequence[str]) -> str:
    messages: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    roles = itertools.cycle(("user", "assistant"))
    messages += [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]
    return _rendered(tokenizer, messages)


def _rendered(tokenizer: Tokenizer, messages: Sequence[Message]) -> str:
    text = render(tokenizer, messages, add_generation_prompt=True)
    bos = tokenizer.token(tokenizer.bos_id)
    return text.removeprefix(bos) if tokenizer.add_bos and bos else text


def _conversations() -> list[list[Message]]:
    """Conversations that end with a question, of other contents than those that were split."""
    contents = ["How many?", "Three.\n\nAs of today.", "And {{ here }}?", "<b>Four</b>", 'Why \\ "so"?']
    found: list[list[Message]] = []
    for system in (None, "Be brief.\nBe exact."):
        for n in (1, 3, 5):
            messages: list[Message] = [] if system is None else [{"role": "system", "content": system}]
            roles = itertools.cycle(("user", "assistant"))
            messages += [{"role": role, "content": text} for role, text in zip(roles, contents[:n], strict=False)]
            found.append(messages)
    return found
