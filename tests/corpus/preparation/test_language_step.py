"""Documents of other languages are removed; code has none."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from burnish.corpus.preparation.steps.language import Language
from burnish.corpus.preparation.table import SCHEMA, Outcome
from burnish.errors import BurnishError

pytest.importorskip("py3langid")

ENGLISH = "The people of the town have to be at home before the rain begins."
GERMAN = "Die Leute der Stadt müssen zu Hause sein, bevor der Regen beginnt."
FRENCH = "Les gens de la ville doivent être à la maison avant que la pluie ne commence."
CODE = "```python\nfor name in names:\n    print(name)\n```\n"
DOCUMENTS = [
    ("a.md", ENGLISH, "en"),
    ("b.md", GERMAN, "de"),
    ("c.md", FRENCH, "fr"),
    ("d.md", CODE, None),
    ("e.md", f"{GERMAN}\n\n{CODE * 30}", "de"),
    ("f.md", "12 + 34 = 46", None),
    ("g.py", f"# {ENGLISH}\nprint(1)", None),
    ("h.tex", GERMAN, "de"),
    ("i.md", "Hello world", None),
    ("j.md", "", None),
]


def applied(documents: Sequence[tuple[str, str, Any]], **keys: Any) -> Outcome:
    rows = [dict.fromkeys(SCHEMA, "") | {"origin": origin, "text": text} for origin, text, _ in documents]
    return Language.model_validate(keys)(pl.DataFrame(rows, schema=SCHEMA))


def test_languages_are_told_by_prose_alone() -> None:
    outcome = applied(DOCUMENTS)
    assert outcome.kept["language"].to_list() == [language for *_, language in DOCUMENTS]
    assert outcome.kept["text"].to_list() == [text for _, text, _ in DOCUMENTS]


@pytest.mark.parametrize(
    ("keys", "kept", "reasons"),
    [
        ({"keep": ["en", "de"]}, "abdefghj", {"c": "another language", "i": "language not certain"}),
        ({"keep": ["fr"], "keep_undetermined": False}, "c", None),
        ({"keep": ["en"], "min_confidence": 0}, "adfgj", None),
        ({"keep": ["en"], "among": ["de", "fr"]}, "adfgij", None),
        ({"keep_undetermined": False}, "abcehi", dict.fromkeys("dfgj", "no language")),
    ],
)
def test_other_languages_are_removed(keys: dict[str, Any], kept: str, reasons: dict[str, str] | None) -> None:
    outcome = applied(DOCUMENTS, **keys)
    assert outcome.removed is not None
    assert "".join(origin[0] for origin in outcome.kept["origin"]) == kept
    found = {origin[0]: reason for origin, reason in outcome.removed.select("origin", "reason").iter_rows()}
    assert sorted([*kept, *found]) == [origin[0] for origin, *_ in DOCUMENTS]
    assert reasons is None or found == reasons


def test_the_detail_says_what_was_told() -> None:
    outcome = applied([("c.md", FRENCH, "fr")], keep=["en"])
    assert outcome.removed is not None
    assert outcome.removed["detail"].to_list() == ["fr, confidence 1.00"]


def test_a_language_that_is_not_known_is_named() -> None:
    with pytest.raises(BurnishError, match="no language 'english'; known are"):
        applied(DOCUMENTS, keep=["english"])
