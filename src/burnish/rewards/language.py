"""Language consistency: the share of the reasoning that is in the wanted language (DeepSeek-R1, section 2.3.2).

The paper's reward is the share of the target language's words. Notable choices:
- the reasoning is cut into sentences, and these where the script changes, so that a Chinese word in an English one is
  found; each part is told by py3langid, as a whole, and weighs as much as it has words: a character of Han, Hiragana,
  Katakana or Thai script, which sets no spaces, is one;
- a script that the language is not written in is another language, however short the part;
- in the right script a part of fewer than `MIN_LETTERS` letters is too short to be told, and is passed over;
- numbers, formulas, code, addresses and tags have no language.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import regex

from burnish.generation.answer import Answer
from burnish.rewards.format import R1_TAGS, Tags
from burnish.rewards.judgement import Judgement
from burnish.text.languages import identifier

MIN_LETTERS = 12
"""Of 72 sentences in 18 languages py3langid told every one right that has so many letters, but two Slavic ones."""

_SCRIPTS = {
    "am": "Ethiopic", "ar": "Arabic", "as": "Bengali", "be": "Cyrillic", "bg": "Cyrillic", "bn": "Bengali",
    "bo": "Tibetan", "dz": "Tibetan", "el": "Greek", "fa": "Arabic", "gu": "Gujarati", "he": "Hebrew",
    "hi": "Devanagari", "hy": "Armenian", "ja": "Han|Hiragana|Katakana", "ka": "Georgian", "kk": "Cyrillic",
    "km": "Khmer", "kn": "Kannada", "ko": "Hangul", "ky": "Cyrillic", "lo": "Lao", "mk": "Cyrillic",
    "ml": "Malayalam", "mn": "Cyrillic", "mr": "Devanagari", "my": "Myanmar", "ne": "Devanagari", "or": "Oriya",
    "pa": "Gurmukhi", "ps": "Arabic", "ru": "Cyrillic", "si": "Sinhala", "sr": "Cyrillic|Latin", "ta": "Tamil",
    "te": "Telugu", "th": "Thai", "ug": "Arabic", "uk": "Cyrillic", "ur": "Arabic", "zh": "Han",
}  # fmt: skip
_NO_WORDS = regex.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|\\\[.*?\\\]|\\\(.*?\\\)|\\[A-Za-z]+|https?://\S+|<[^<>\n]{1,40}>",
    regex.DOTALL,
)
_SENTENCE = regex.compile(r"[^.!?。！？…;；\n]+")
# Scripts that one text mixes are one here: a Japanese sentence is not to be cut at each particle.
_RUN = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}ー]+|\p{Hangul}+|\p{Latin}+|\p{Cyrillic}+|\p{Greek}+|\p{Arabic}+|\p{Hebrew}+"
    r"|\p{Thai}+|[^\P{L}\p{Latin}\p{Cyrillic}\p{Greek}\p{Arabic}\p{Hebrew}\p{Thai}\p{Han}\p{Hiragana}\p{Katakana}"
    r"\p{Hangul}][\p{L}\p{M}]*"
)
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]")
_LETTER = regex.compile(r"\p{L}")


def language_share(text: str, language: str, tell: Callable[[str], str]) -> float | None:
    """The share of a text's words that are in a language, from 0 to 1; None where no word can be told."""
    own = regex.compile("|".join(f"\\p{{{script}}}" for script in _SCRIPTS.get(language, "Latin").split("|")))
    there = right = 0
    for sentence in _SENTENCE.findall(_NO_WORDS.sub(" ", text)):
        for part in _parts(sentence):
            words = _words(part)
            if not own.search(part):
                there += words
            elif _letters(part) >= MIN_LETTERS or _UNSPACED.search(part):
                there += words
                right += words * (tell(part) == language)
    return right / there if there else None


def _parts(sentence: str) -> list[str]:
    """A sentence, cut where its script changes."""
    parts: list[tuple[str, list[str]]] = []
    for word in _RUN.findall(sentence):
        script = _script(word)
        if not parts or parts[-1][0] != script:
            parts.append((script, []))
        parts[-1][1].append(word)
    return [" ".join(words) for _, words in parts]


def _script(word: str) -> str:
    """A name for the script of a word; Han and the kanas are one."""
    for name in ("Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Thai", "Hangul"):
        if regex.match(rf"\p{{{name}}}", word):
            return name
    return "East Asian" if regex.match(r"[\p{Han}\p{Hiragana}\p{Katakana}ー]", word) else "another"


def _letters(part: str) -> int:
    """How many letters a part has; a syllable of Hangul is two or three."""
    return len(_LETTER.findall(unicodedata.normalize("NFD", part)))


def _words(part: str) -> int:
    unspaced = len(_UNSPACED.findall(part))
    return unspaced + len(_UNSPACED.sub(" ", part).split())


@dataclass(frozen=True)
class LanguageConsistency:
    """The share of the wanted language in the thoughts of a completion, or in all of it.

    language: the wanted one, or None: the row's, under `key`. among: the languages that are told apart besides; all if
    empty. thoughts_only: nothing outside of thoughts counts, where there are any.
    """

    language: str | None = None
    key: str = "language"
    among: tuple[str, ...] = ()
    thoughts_only: bool = True
    tags: Tags = R1_TAGS

    def __call__(self, answers: Sequence[Answer], /) -> list[Judgement]:
        """Judge each answer; one without a word that could be told earns 0."""
        return [self._judge(answer) for answer in answers]

    def wanted(self, row: Any) -> str:
        """The language that is wanted of answers to a row."""
        return self.language if self.language is not None else str(row[self.key])

    def tell(self, language: str) -> Callable[[str], str]:
        """What tells languages apart, where this one is wanted."""
        return identifier(tuple(sorted({*self.among, language})) if self.among else ())

    def _judge(self, answer: Answer) -> Judgement:
        language = self.wanted(answer.row)
        thoughts = self.tags.thoughts(answer.text) if self.thoughts_only else None
        share = language_share(answer.text if thoughts is None else thoughts, language, self.tell(language))
        return Judgement(0.0, reason="no words") if share is None else Judgement(share)
