"""Multiple choice: which of a row's options an answer takes, or which one a model finds the most probable."""

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.rewards.format import R1_TAGS, Tags
from burnish.rewards.judgement import Judgement, verdict
from burnish.rewards.texts import CommonForm
from burnish.rewards.votes import Election, elect_equal

_NAMED = re.compile(r"\b(?:answer|choice|option)\b(?: is|:)?[ \n]?[\s(*\[]{0,4}([A-Za-z]|\d{1,2})\b", re.IGNORECASE)
_LEADING = re.compile(r"[\s(*\[]{0,4}([A-Za-z]|\d{1,2})[)\].:*]")
_FORM = CommonForm()


@dataclass(frozen=True)
class Options:
    """The options of a row: their labels, such as A to D, their texts, and the place of the right one."""

    labels: tuple[str, ...]
    texts: tuple[str, ...]
    right: int

    def taken(self, text: str, tags: Tags = R1_TAGS) -> int | None:
        """The place of the option that a text takes, by its label or its words; None where it takes none or several.

        Read are, in this order: nothing but a label or an option; the last "answer is B"; "B) …" at the beginning;
        the only option whose words are there.
        """
        said = tags.final_answer(text).strip()
        by_label = {label.casefold(): place for place, label in enumerate(self.labels)}
        whole = _FORM.of(said)
        if whole in by_label:
            return by_label[whole]
        forms = [_FORM.of(option) for option in self.texts]
        if forms.count(whole) == 1:
            return forms.index(whole)
        leading = _LEADING.match(said)
        for label in [*reversed(_NAMED.findall(said)), *([leading[1]] if leading else [])]:
            if label.casefold() in by_label:
                return by_label[label.casefold()]
        there = [
            place for place, form in enumerate(forms) if form and re.search(rf"(?<!\w){re.escape(form)}(?!\w)", whole)
        ]
        return there[0] if len(there) == 1 else None


def read_options(row: Mapping[str, Any], choices: str | Sequence[str], answer: str) -> Options:
    """The options of a row, as MMLU, ARC and others write them.

    choices: key of the texts: a list, an object of texts by label, or an object with the lists `text` and `label`; or
    several keys, each of one option's text and its label too.
    answer: key of the right one: its label, its place from 0, or its text. Raises DataError where that is not there.
    """
    right = row.get(answer)
    given: Any = row.get(choices) if isinstance(choices, str) else {key: row.get(key) for key in choices}
    if isinstance(given, Mapping) and isinstance(given.get("text"), list):
        said = given.get("label")
        labels, texts = list(said) if isinstance(said, list) else [], list(given["text"])
    elif isinstance(given, Mapping):
        labels, texts = list(given), list(given.values())
    else:
        texts = list(given) if isinstance(given, list) else []
        labels = list(string.ascii_uppercase[: len(texts)])
    if len(texts) < 2 or len(labels) != len(texts) or not all(isinstance(one, str) and one.strip() for one in texts):
        where = choices if isinstance(choices, str) else ", ".join(choices)
        raise DataError(
            f"'{where}': got {given!r:.80}; expected a list of at least two texts (26 at most without labels), or an "
            "object of texts by label"
        )
    named = [str(label) for label in labels]
    if len(set(named)) < len(named):
        raise DataError(f"the labels {', '.join(named)} are not all different, so that none says which option it is")
    if isinstance(right, str | int) and not isinstance(right, bool) and str(right) in named:
        return Options(tuple(named), tuple(texts), named.index(str(right)))
    if isinstance(right, int) and not isinstance(right, bool) and 0 <= right < len(texts):
        return Options(tuple(named), tuple(texts), right)
    if isinstance(right, str) and texts.count(right) == 1:
        return Options(tuple(named), tuple(texts), texts.index(right))
    raise DataError(
        f"'{answer}': got {right!r:.80}; expected one of the labels {', '.join(named)}, a place from 0 to "
        f"{len(texts) - 1}, or the text of an option"
    )


@dataclass(frozen=True)
class MultipleChoice:
    """An answer is right if it takes the right one of the row's options."""

    choices: str | tuple[str, ...] = "choices"
    answer: str = "answer"
    tags: Tags = R1_TAGS

    def __call__(self, answers: Sequence[Answer], /) -> list[Judgement]:
        """Judge each answer."""
        return [self._verify(answer) for answer in answers]

    def elect(self, answers: Sequence[Answer], /) -> Election:
        """The answer that takes the option which most take."""
        return elect_equal([self.options(answer.row).taken(answer.text, self.tags) for answer in answers])

    def options(self, row: Mapping[str, Any]) -> Options:
        """The options of a row. Raises DataError where it has none."""
        return read_options(row, self.choices, self.answer)

    def _verify(self, answer: Answer) -> Judgement:
        options = self.options(answer.row)
        place = options.taken(answer.text, self.tags)
        expected = f"{options.labels[options.right]}: {options.texts[options.right]}"
        if place is None:
            return verdict(False, "no choice", f"takes none of the options, or several; expected {expected[:80]}")
        if place == options.right:
            return verdict(True)
        return verdict(False, "other choice", f"took {options.labels[place]}, expected {expected[:80]}")
