"""The graded format `<think>…</think><answer>…</answer>` (DeepSeek-R1, arXiv:2501.12948, section 2.2.2)."""

import re
from typing import Literal

Grade = Literal["full", "partial", "none"]

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_WHOLE = re.compile(r"\s*<think>(.*?)</think>\s*<answer>(.*?)</answer>\s*", re.DOTALL)


def grade_format(completion: str, *, think_opened: bool = False) -> Grade:
    """How well a completion keeps to the format.

    full: one block of thought and one answer behind it, neither empty, and nothing else but white space.
    partial: at least one of the two blocks is there whole, its tags once each and in order.
    think_opened: the prompt ends with `<think>` already, as some chat templates have it.
    """
    text = f"<think>{completion}" if think_opened else completion
    once = {tag: text.count(tag) == 1 for tag in TAGS}
    # Only with each tag there once is matching linear in the text's length.
    whole = _WHOLE.fullmatch(text) if all(once.values()) else None
    if whole and all(part.strip() for part in whole.groups()):
        return "full"
    blocks = (("<think>", "</think>"), ("<answer>", "</answer>"))
    if any(once[start] and once[end] and text.index(start) < text.index(end) for start, end in blocks):
        return "partial"
    return "none"


def answer_block(completion: str) -> str | None:
    """What the last `<answer>` holds, also where a cut completion never closes it; None where there is none."""
    _, tag, rest = completion.rpartition("<answer>")
    return rest.partition("</answer>")[0] if tag else None


def without_thoughts(completion: str) -> str:
    """What is said outside of `<think>…</think>`; of thoughts that never end, what is said before them.

    The first tag may be missing, where the prompt has it.
    """
    said = completion.rpartition("</think>")[2]
    return said.partition("<think>")[0]


def final_answer(completion: str) -> str:
    """What a completion gives as its answer: thoughts left out, and of `<answer>…</answer>` the inside."""
    said = without_thoughts(completion)
    block = answer_block(said)
    return said if block is None else block
