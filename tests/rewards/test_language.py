"""The share of a language in a reasoning: scripts, sentences, what has no language, and what is not known."""

import pytest

from burnish.errors import BurnishError
from burnish.generation.answer import Answer
from burnish.rewards.language import LanguageConsistency, language_share
from burnish.text.languages import identifier

pytest.importorskip("py3langid")

ENGLISH = "First we add the two numbers, then we check the result."
LANGUAGES = ("de", "en", "ja", "ko", "ru", "zh")
GERMAN = "Zuerst addieren wir die beiden Zahlen, dann prüfen wir das Ergebnis."


@pytest.mark.parametrize(
    ("text", "language", "share"),
    [
        (ENGLISH, "en", 1.0),
        (ENGLISH, "de", 0.0),
        (GERMAN, "de", 1.0),
        (f"{ENGLISH} {GERMAN}", "en", 11 / 22),
        ("所以火车晚点了十分钟。让我再检查一遍。", "zh", 1.0),
        (f"{ENGLISH} 所以火车晚点了。", "en", 11 / 18),
        ("First we add the two numbers 因为 we have to know the sum of them.", "en", 13 / 15),
        ("Сначала сложим оба числа, а потом проверим результат.", "ru", 1.0),
        ("まず二つの数を足します。", "ja", 1.0),
        ("먼저 두 수를 더합니다.", "ko", 1.0),
        (f"{ENGLISH} $\\alpha + \\beta$ `für_alle(x)` 12 + 3 = 15. \\[x^2\\] https://a.example/de/und", "en", 1.0),
        ("12 + 3 = 15", "en", None),
        ("Ok.", "en", None),
        ("", "en", None),
    ],
)
def test_the_share_of_a_language(text: str, language: str, share: float | None) -> None:
    tell = identifier(LANGUAGES)
    assert language_share(text, language, tell) == (share if share is None else pytest.approx(share, abs=0.01))


def test_thoughts_are_read_where_there_are_any() -> None:
    judge, everything = (LanguageConsistency("en", among=LANGUAGES, thoughts_only=only) for only in (True, False))
    mixed = Answer([], f"<think>{ENGLISH}</think><answer>{GERMAN}</answer>")
    for one, share in ((judge, 1.0), (everything, 0.5)):
        (found,) = one([mixed])
        assert found.score == pytest.approx(share)
    plain, nothing = judge([Answer([], GERMAN), Answer([], "<think>12</think>5")])
    assert (plain.score, nothing.score, nothing.reason) == (0.0, 0.0, "no words")
    (by_row,) = LanguageConsistency(key="lang", among=LANGUAGES)([Answer([], GERMAN, {"lang": "de"})])
    assert by_row.score == 1.0


def test_a_language_that_is_not_known_is_an_error() -> None:
    with pytest.raises(BurnishError, match=r"no language 'klingon'; known are, by ISO 639: .* en "):
        identifier(("en", "klingon"))
