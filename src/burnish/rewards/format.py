"""The graded format `<think>…</think><answer>…</answer>` (DeepSeek-R1, arXiv:2501.12948, section 2.2.2)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

Grade = Literal["full", "partial", "none"]


@dataclass(frozen=True)
class Tags:
    """What begins and ends a block of thought, and an answer."""

    think: tuple[str, str] = ("<think>", "</think>")
    answer: tuple[str, str] = ("<answer>", "</answer>")

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Finds every tag; where one begins another, the longer one."""
        tags = sorted({*self.think, *self.answer}, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, tags)))

    def thoughts(self, text: str) -> str | None:
        """What stands in blocks of thought, also in one that never ends or whose start the prompt has; None: nothing.

        Blocks are joined by lines.
        """
        start, end = self.think
        if start not in text:
            before, tag, _ = text.rpartition(end)
            return before if tag else None
        return "\n".join(part.partition(end)[0] for part in text.split(start)[1:])

    def without_thoughts(self, text: str) -> str:
        """What is said outside of thoughts; of thoughts that never end, what is said before them.

        The first tag may be missing, where the prompt has it.
        """
        said = text.rpartition(self.think[1])[2]
        return said.partition(self.think[0])[0]

    def answer_block(self, text: str) -> str | None:
        """What the last answer holds, also where a cut completion never closes it; None where there is none."""
        _, tag, rest = text.rpartition(self.answer[0])
        return rest.partition(self.answer[1])[0] if tag else None

    def final_answer(self, text: str) -> str:
        """What a completion gives as its answer: thoughts left out, and of an answer's block the inside."""
        said = self.without_thoughts(text)
        block = self.answer_block(said)
        return said if block is None else block


R1_TAGS = Tags()


def grade_format(completion: str, *, tags: Tags = R1_TAGS, think_opened: bool = False) -> Grade:
    """How well a completion keeps to the format.

    none: it fails the basic check, that blocks of both kinds are there, that each is closed, and that none begins
    inside of another: without them the format earns nothing.
    full: one block of thought and one answer behind it, neither empty, and nothing else but white space.
    partial: all between: text around the blocks, an empty one, a second one, the answer first.
    think_opened: the prompt ends with `<think>` already, as some chat templates have it.
    """
    text = f"{tags.think[0]}{completion}" if think_opened else completion
    found = list(tags.pattern.finditer(text))
    blocks = [(start[0], end[0]) for start, end in _pairs(found)]
    closed = len(found) % 2 == 0 and all(block in (tags.think, tags.answer) for block in blocks)
    if not closed or not {tags.think, tags.answer} <= set(blocks):
        return "none"
    inside = [text[start.end() : end.start()].strip() for start, end in _pairs(found)]
    ends = [0, *(place for tag in found for place in tag.span()), len(text)]
    around = [text[start:end] for number, (start, end) in enumerate(pairwise(ends)) if number % 4 == 0]
    if blocks == [tags.think, tags.answer] and all(inside) and not "".join(around).strip():
        return "full"
    return "partial"


def _pairs(found: Sequence[re.Match[str]]) -> list[tuple[re.Match[str], re.Match[str]]]:
    """The first tag with the second, the third with the fourth, and so on."""
    return list(zip(found[::2], found[1::2], strict=False))


def answer_block(completion: str) -> str | None:
    """What the last `<answer>` holds; None where there is none."""
    return R1_TAGS.answer_block(completion)


def without_thoughts(completion: str) -> str:
    """What is said outside of `<think>…</think>`."""
    return R1_TAGS.without_thoughts(completion)


def final_answer(completion: str) -> str:
    """What a completion gives as its answer: thoughts left out, and of `<answer>…</answer>` the inside."""
    return R1_TAGS.final_answer(completion)
