"""Which language a text is in, told offline by py3langid (Lui and Baldwin 2012, langid.py)."""

from collections.abc import Callable
from copy import copy
from functools import cache, lru_cache
from typing import Any

from burnish.errors import BurnishError


def identifier(among: tuple[str, ...] = ()) -> Callable[[str], str]:
    """Tells the language of a text, of all that py3langid knows or of those named.

    Raises BurnishError where the package is missing or does not know one of them.
    """
    tell = sure_identifier(among)
    return lambda text: tell(text)[0]


@lru_cache(maxsize=8)
def sure_identifier(among: tuple[str, ...] = ()) -> Callable[[str], tuple[str, float]]:
    """Tells the language of a text and how sure that is, from 0 to 1; otherwise as `identifier`."""
    known = copy(_model())
    unknown = sorted(set(among) - set(known.labels))
    if unknown:
        raise BurnishError(
            f"no language {', '.join(map(repr, unknown))}; known are, by ISO 639: {' '.join(sorted(known.labels))}"
        )
    if among:
        known.set_languages(list(among))

    def tell(text: str) -> tuple[str, float]:
        language, confidence = known.classify(text)
        return str(language), float(confidence)

    return tell


@cache
def _model() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise BurnishError("telling languages needs py3langid: pip install 'burnish[reasoning]'") from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
