"""Names of persons in a text, by Presidio over a model of spaCy, where both are installed."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from burnish.corpus.preparation.steps.identifiers import Spans
from burnish.errors import BurnishError

SQUATTED = "999.9.9"
"""The version of packages on public registries that bear the name of a model of spaCy and are not it."""
_LONGEST = 100_000
"""Characters that are analyzed at once; spaCy refuses a million."""


def names(text: str, models: Mapping[str, str]) -> Spans:
    """Persons that a model of any of the languages sees. models: a model of spaCy for each language."""
    for language, model in models.items():
        engine = _engine(language, model)
        for begin in range(0, len(text), _LONGEST):
            part = text[begin : begin + _LONGEST]
            for found in engine.analyze(text=part, language=language, entities=["PERSON"]):
                start, end = begin + found.start, begin + found.end
                yield start, end, " ".join(text[start:end].casefold().split())


@cache
def _engine(language: str, model: str) -> Any:
    check_installed(model)
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    settings = {"nlp_engine_name": "spacy", "models": [{"lang_code": language, "model_name": model}]}
    engine = NlpEngineProvider(nlp_configuration=settings).create_engine()
    return AnalyzerEngine(nlp_engine=engine, supported_languages=[language])


def check_installed(model: str) -> None:
    """Whether Presidio, spaCy and the model are there.

    Raises:
        BurnishError: one of them is not, or the model is a package of that name only.
    """
    for package in ("presidio-analyzer", "spacy", model.replace("_", "-")):
        try:
            found = version(package)
        except PackageNotFoundError:
            raise BurnishError(
                f"anonymize finds names with presidio-analyzer, spacy and spaCy's model {model!r}, and {package} is "
                "not installed; install it, the model from spaCy's own releases, or take `name` out of `kinds`"
            ) from None
        if found == SQUATTED:
            raise BurnishError(f"{package} {found} is not spaCy's model but a package that took its name; uninstall it")
