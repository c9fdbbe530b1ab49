"""Wrong options for multiple choice: right answers to other questions of the same kind, from the same documents.

An option of the same table, function or document is a better one than any other, so those are taken first. Which are
taken, and where the right one stands, is drawn by a hash of the question.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from burnish.rewards.texts import CommonForm
from burnish.synthesis.rows import Pair, place

LETTERS = "ABCDEFGHIJ"
_FORM = CommonForm()
_WORD = re.compile(r"[^\W_]{3,}")
_STRIDE = 7919
_TRIED = 8
"""Candidates that are looked at for each option that is wanted."""


class WrongOptions:
    """The answers of all pairs by kind, from which wrong options are drawn."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        near: dict[str, dict[str, str]] = defaultdict(dict)
        alike: dict[str, dict[str, str]] = defaultdict(dict)
        for pair in pairs:
            if pair.alike:
                form = _FORM.of(pair.answer)
                near[pair.near].setdefault(form, pair.answer)
                alike[pair.alike].setdefault(form, pair.answer)
        self._pools = [{key: list(found.values()) for key, found in pool.items()} for pool in (near, alike)]

    def of(self, pair: Pair, n: int) -> list[str] | None:
        """`n` options with the right one among them; None where too few differ, or it gives itself away."""
        wrong: list[str] = []
        taken = {_FORM.of(pair.answer)}
        for pool, key in zip(self._pools, (pair.near, pair.alike), strict=True):
            for candidate in _drawn(pool.get(key, []), pair.question, _TRIED * n):
                form = _FORM.of(candidate)
                if form in taken or (form in _FORM.of(pair.question) and len(form) > 3):
                    continue
                taken.add(form)
                wrong.append(candidate)
                if len(wrong) == n - 1:
                    if _gives_away(pair, wrong):
                        return None
                    right = place(pair.question, "right") % n
                    return [*wrong[:right], pair.answer, *wrong[right:]]
        return None


def _drawn(answers: Sequence[str], question: str, n: int) -> Iterable[str]:
    """Up to `n` of the answers, from a place that the question decides."""
    start = place(question, "wrong") % max(1, len(answers))
    stride = _STRIDE if len(answers) % _STRIDE else 1  # a prime reaches every place before one comes twice
    for step in range(min(n, len(answers))):
        yield answers[(start + step * stride) % len(answers)]


def _gives_away(pair: Pair, wrong: Sequence[str]) -> bool:
    """Whether only the right option has a word of the question in it."""
    asked = set(_WORD.findall(pair.question.casefold()))
    told = asked & set(_WORD.findall(pair.answer.casefold()))
    return bool(told) and not any(told & set(_WORD.findall(option.casefold())) for option in wrong)


def with_choices(pair: Pair, options: Sequence[str]) -> Pair:
    """The pair as a question of multiple choice that shows its options; the answer is one of them, by its letter.

    Taught is the letter with the option, so that either is a good beginning.
    """
    shown = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    letter = LETTERS[list(options).index(pair.answer)]
    question = f"{pair.question}\n\n{shown}\n\nAnswer with the letter of the right option."
    turns = ({"role": "user", "content": question}, {"role": "assistant", "content": f"{letter}. {pair.answer}"})
    kind = pair.task_type if pair.task_type == "classification" else "multiple_choice"
    return replace(
        pair,
        question=question,
        answer=letter,
        task_type=kind,
        choices=tuple(options),
        messages=turns,
        bare=pair.question,
    )
