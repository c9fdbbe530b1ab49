"""Judging a number: whether a completion ends with the one that the row gives, as in GSM8K.

Notable choices:
- numbers are compared exactly, as fractions: 0.5, 1/2, .50 and 50% are one number, 0.333 is not 1/3;
- a number is read whole or not at all: 2.5e16, 1 1/2, 1.234,50 and 1.5k are one each, and 3,5 and 3.2.1 are none;
- what the digits run into without a space is a unit or a factor such as k, or they are no number: 0x10, 3x, 2π;
- nothing is evaluated: an answer is the number that is written, never an expression that has to be computed;
- the unit does not count, and percent and million are units where the other side has none: 25% is 25 and 1/4, 3 million
  is 3 and 3,000,000; parentheses are no minus;
- the text is read once from left to right, since what a model writes may be long.
"""

import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.rewards.format import R1_TAGS, Tags
from burnish.rewards.judgement import Judgement, verdict
from burnish.rewards.number_suffixes import HAN_FACTORS, UNSPACED, WORDS, factor
from burnish.rewards.reasoning import equations
from burnish.rewards.votes import Election, elect_equal

_MARK = "####"
_LONGEST = 100
"""Characters of the longest number that is read: a model may write digits without end."""
_LARGEST_POWER = 400
"""Powers of ten beyond this are not read; a double has 308."""
_MINUS = "\u2010\u2011\u2013\u2212\ufe63\uff0d-"  # hyphens, the en dash, and the minus sign with its forms
_GROUP = "[,'\u2019_\u00a0\u2009\u202f]"  # what thousands are set apart by: 1,234 1'234 1_234 1\u202f234
_HAN = "".join(HAN_FACTORS)
_POWER = rf"[{{(]?(?:[+{_MINUS}]\s?)?\d{{1,9}}+[}})]?"
_NUMBER = re.compile(
    rf"""(?=[\d.+$€£¥₹√{_MINUS}])(?<![^\W{UNSPACED}])(?<![.,^])  # not inside a word, another number or an exponent
         (?:(?<![\w)%])(?P<sign>[+{_MINUS}])(?P<gap>[ \u00a0])?)?  # a sign, unless something is subtracted from
         (?P<currency>[$€£¥₹]\s?(?P<inner>[+{_MINUS}])?)?   # -$5 and $-5
         (?P<root>√\s?(?:\[\d\])?\s?[{{(]?)?
         (?:(?P<whole>\d{{1,3}})[ \u00a0](?=\d{{1,3}}\s?[/\u2044]\s?\d))?  # 1 1/2
         (?P<value>
             (?:(?P<grouped>\d{{1,3}}(?:{_GROUP}\d{{3}}){{1,40}}(?:\.\d++)?
                           |\d{{1,2}}(?:,\d\d){{1,40}},\d{{3}}(?:\.\d++)?)   # 12,34,567 in India
               |(?P<comma>[1-9]\d{{0,2}}(?:\.\d{{3}}){{1,40}},\d++|[1-9]\d{{0,2}}(?:\.\d{{3}}){{2,40}})
               |\d++(?:\.\d++)?+|\.\d++)(?!{_GROUP}?\d|\.\d)
         )
         (?:[eE](?P<e>[+{_MINUS}]?\d{{1,9}}+)(?!\w|\.\w)
           |\s?(?:[x×*·⋅]|\\times|\\cdot)\s?10\s?(?:\^|\*\*)\s?(?P<times>{_POWER})
           |\s?(?:\^|\*\*)\s?(?P<power>{_POWER})
           |\s?[/\u2044]\s?(?P<over>\d++)(?![.,]?\d))?      # 3/4
         (?:(?P<percent>\s?\\?%|\s?(?i:per\ ?cent|pct)\b)
           |(?P<words>(?:\s(?i:{"|".join(WORDS)})s?\b){{1,3}})
           |(?P<glued>\s?π|[^\W{UNSPACED}]++|(?!千[克米瓦卡焦])[{_HAN}]++(?:\d[\d{_HAN}]*+)?
                     |√\s?(?:\[\d\])?\s?[{{(]?[\d.,]*+))?""",
    re.VERBOSE,
)
_SPACED = re.compile(r"(?<![\d.,^/])\d{1,3}(?: \d{3})++(?!\d|[,/]\d)")
_FRACTION = re.compile(r"\\[dt]?frac\s*+(?:\{\s*+(-?\d++)\s*+\}\s*+\{\s*+(\d++)\s*+\}|(\d)\s*+(\d))")
_OTHER_FRACTION = re.compile(r"\\[dt]?frac\s*+(?=\{)")
_NO_NUMBER = " 1/0 "
_VULGAR = {
    character: f" {numerator}/{denominator}"
    for character, numerator, denominator in zip("½⅓⅔¼¾⅕⅛⅜⅝⅞", "1121311357", "2334458888", strict=True)
}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_RAISED_POWER = re.compile("(?<=10)[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]++")


@dataclass(frozen=True)
class Number:
    """A number as it was written. scale: what a percent sign or a word such as million multiplies it with."""

    value: Fraction
    scale: Fraction = Fraction(1)

    def equals(self, other: "Number") -> bool:
        """The same number; where one side alone has a scale it may be a unit: 25% is 25 and 1/4, but not 25 million."""
        if self.value == other.value and (self.scale == other.scale or 1 in (self.scale, other.scale)):
            return True
        return self.value * self.scale == other.value * other.scale

    def __str__(self) -> str:
        return f"{self.value}" if self.scale == 1 else f"{self.value} × {self.scale}"


def last_number(text: str) -> Number | None:
    """The last number in a text, or None, also where it is too long to be read or no number at all, such as 1/0."""
    text = _plain(text)
    last = deque(_NUMBER.finditer(text), maxlen=1)
    return _read(last[0]) if last else None


def answer_number(completion: str, tags: Tags = R1_TAGS) -> Number | None:
    """The number that a completion gives as its answer, thoughts left out.

    That is the last number of `<answer>…</answer>`, or of what `tags` are; without the tag the first one after the last
    `####`; without that the last one of all.
    """
    said = tags.without_thoughts(completion)
    answer = tags.answer_block(said)
    if answer is not None:
        return last_number(answer)
    _, mark, after = said.rpartition(_MARK)
    if not mark:
        return last_number(said)
    match = _NUMBER.search(_plain(after))
    return None if match is None else _read(match)


@dataclass(frozen=True)
class NumberVerifier:
    """A completion is right if the number it answers with is that of the row's `key`.

    The row's value is a number or a text as `answer_number` reads it, such as GSM8K's answers, which end in `#### N`.
    """

    key: str = "answer"
    tags: Tags = R1_TAGS

    def verify(self, completion: str, row: Mapping[str, Any]) -> Judgement:
        """Judge one completion."""
        expected = self.gold(row)
        found = answer_number(completion, self.tags)
        if found is None:
            return verdict(False, "no number", "the completion has no number")
        if found.equals(expected):
            return verdict(True, "correct")
        return verdict(False, "wrong number", f"answered {found}, expected {expected}")

    def __call__(self, answers: Sequence[Answer], /) -> list[Judgement]:
        """Judge each answer."""
        return [self.verify(answer.text, answer.row) for answer in answers]

    def elect(self, answers: Sequence[Answer], /) -> Election:
        """The answer whose number most of them give."""
        return elect_equal([answer_number(answer.text, self.tags) for answer in answers], Number.equals)

    def reasoning(self, answer: Answer, /) -> tuple[str, ...] | None:
        """The equations that an answer computes its number with, its thoughts included; None where it shows none."""
        return equations(answer.text) or None

    def gold(self, row: Mapping[str, Any]) -> Number:
        """The row's number. Raises DataError where it has none."""
        value = row.get(self.key)
        number = answer_number(value) if isinstance(value, str) else _exact(value)
        if number is None:
            raise DataError(
                f"'{self.key}': no number in {value!r:.80}; expected one, such as 1234.5, or a text that ends with "
                "`#### N`"
            )
        return number


def _exact(value: object) -> Number | None:
    """A number of a data file. A float is the decimal that it is written as, in full: 0.1 is 1/10, 5e-05 is 1/20000."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return Number(Fraction(repr(value))) if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return Number(Fraction(value)) if value.is_finite() and abs(value.adjusted()) <= _LARGEST_POWER else None
    return Number(Fraction(value)) if isinstance(value, int) else None


def _plain(text: str) -> str:
    """The text with what TeX and typography write of a number as plain characters."""
    text = _SPACED.sub(_unspaced, text)
    text = _FRACTION.sub(lambda found: f" {found[1] or found[3]}/{found[2] or found[4]}", text)
    text = _without_other_fractions(text)
    text = _RAISED_POWER.sub(lambda found: "^" + found[0].translate(_RAISED), text)
    for written, plain in (("{,}", ","), ("\\,", "\u2009"), ("\\pi", "π"), ("\\sqrt", "√"), *_VULGAR.items()):
        text = text.replace(written, plain)
    return text


def _unspaced(found: re.Match[str]) -> str:
    """Digits in groups of three: one number where a group begins with 0, or nothing else is said, else several."""
    groups = found[0].split(" ")
    alone = found[0] == found.string.strip()
    return "\u2009".join(groups) if alone or any(group[0] == "0" for group in groups[1:]) else found[0]


def _without_other_fractions(text: str) -> str:
    """The text with fractions of something else than whole numbers as no number: neither of their parts is one."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for brace in re.finditer(r"[{}]", text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            ends[opened.pop()] = brace.end()
    parts, done = [], 0
    for fraction in _OTHER_FRACTION.finditer(text):
        end = ends.get(fraction.end())
        if fraction.start() < done or end is None:
            continue  # inside another one, or cut off
        parts += [text[done : fraction.start()], _NO_NUMBER]
        while text[end : end + 1].isspace():
            end += 1
        done = ends.get(end, end + 1)  # the divisor may be a single character
    return "".join([*parts, text[done:]])


def _read(match: re.Match[str]) -> Number | None:
    """The number that was found.

    None where it is too long, divided by zero, a root, a power of another base than ten, or goes on as a word.
    """
    times = _factor(match)
    if (
        times is None
        or match["root"] is not None
        or len(match["value"]) > _LONGEST
        or len(match["over"] or "") > _LONGEST
    ):
        return None
    value = Fraction(_digits(match))
    power = 0
    if match["over"] is not None:
        over = int(match["over"])
        if not over:
            return None
        value /= over
    elif match["power"] is not None:
        if value != 10:
            return None
        value, power = Fraction(1), _integer(match["power"])
    elif match["e"] is not None or match["times"] is not None:
        power = _integer(match["e"] or match["times"])
    if abs(power) > _LARGEST_POWER:
        return None
    value *= times * Fraction(10) ** power
    if match["whole"] is not None:
        if value >= 1:
            return None
        value += int(match["whole"])
    negative = _is_minus(match["inner"]) != (_is_minus(match["sign"]) and not _is_dash(match))
    return Number(-value if negative else value, _scale(match))


def _factor(match: re.Match[str]) -> int | None:
    """What the letters right behind the digits multiply them with; None if they make them no number."""
    glued = match["glued"]
    if glued is None:
        return 1
    money, plain = (factor(glued, money=money) for money in (True, False))
    behind = match.string[match.end() :].partition("\n")[0]
    if match["currency"] is None or behind.startswith("$"):
        return plain
    # With another $ in the line the first one may begin a formula.
    return money if money == plain or "$" not in behind else None


def _scale(match: re.Match[str]) -> Fraction:
    if match["percent"] is not None:
        return Fraction(1, 100)
    words = (match["words"] or "").casefold().split()
    return Fraction(math.prod(WORDS[word if word in WORDS else word.removesuffix("s")] for word in words))


def _digits(match: re.Match[str]) -> str:
    """The number's digits with a point, without what sets thousands apart."""
    if match["comma"] is not None:
        return match["comma"].replace(".", "").replace(",", ".")
    return re.sub(_GROUP, "", match["value"]) if match["grouped"] is not None else match["value"]


def _integer(text: str) -> int:
    digits = text.strip("{}()")
    return -int(digits[1:]) if _is_minus(digits[0]) else int(digits)


def _is_minus(sign: str | None) -> bool:
    return sign is not None and sign != "" and sign in _MINUS


def _is_dash(match: re.Match[str]) -> bool:
    """Whether the sign stands apart as the dash of a list's item, or between two numbers: `5 - 3` ends with 3."""
    if match["gap"] is None:
        return False
    before = match.string[max(0, match.start("sign") - _LONGEST) : match.start("sign")]
    line = before.rpartition("\n")
    told = line[2].rstrip()
    return bool(line[1]) if not told else told[-1].isdigit() or told[-1] in ")%"
