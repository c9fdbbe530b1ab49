"""What is wrong with pairs as a whole: the same question twice, or twice with different answers."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.rewards.texts import CommonForm
from burnish.synthesis.rows import Pair

_FORM = CommonForm()


@dataclass(frozen=True, slots=True)
class Unused:
    """A pair that is not used, and why."""

    pair: Pair
    reason: str
    detail: str = ""


def distinct(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Unused]]:
    """Each question once, in the order of its first. A question with several answers is none that can be learned.

    Where answers differ, all of them are removed: which of them is right is for a person to say.
    """
    by_question: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_question[_FORM.of(pair.question)].append(pair)
    kept, removed = [], []
    for same in by_question.values():
        answers = {_FORM.of(pair.answer) for pair in same}
        if len(answers) > 1:
            said = " | ".join(sorted(pair.answer[:80] for pair in same)[:3])
            removed += [Unused(pair, "contradiction", said) for pair in same]
            continue
        kept.append(same[0])
        removed += [Unused(pair, "duplicate question", same[0].source.document) for pair in same[1:]]
    return kept, removed


def fresh(pairs: Sequence[Pair], known: Sequence[Pair]) -> list[Pair]:
    """Of the pairs the first with each question that none of the known ones has."""
    asked = {_FORM.of(pair.question) for pair in known}
    found = []
    for pair in pairs:
        if (form := _FORM.of(pair.question)) not in asked:
            asked.add(form)
            found.append(pair)
    return found


def unseen(questions: Sequence[Pair], taught: Sequence[Pair]) -> tuple[list[Pair], list[Unused]]:
    """The questions to measure by, without those that are taught, word for word or from a chunk of the same text."""
    asked = {_FORM.of(pair.question) for pair in taught}
    read = {pair.source.hash for pair in taught}
    kept, removed = [], []
    for pair in questions:
        if _FORM.of(pair.question) in asked:
            removed.append(Unused(pair, "also taught"))
        elif pair.source.hash in read:
            removed.append(Unused(pair, "from a text that is also taught"))
        else:
            kept.append(pair)
    return kept, removed
