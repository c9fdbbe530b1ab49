"""Anonymization: what identifies a person or opens a door is replaced by what it is, or its document removed.

    Write to ann@example.org or bob@example.org; ann@example.org answers first.
    Write to <EMAIL_1> or <EMAIL_2>; <EMAIL_1> answers first.

Within a document a value has one number, however it is written (`+49 30 20932151` or `030 2093-2151`), and the numbers
follow the text's order. Nothing that was found is written into statistics: see `PreparationStep.secret`.
"""

from collections import Counter
from functools import partial
from typing import ClassVar, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from burnish.corpus.preparation.steps.identifiers import (
    NATIONAL,
    Finder,
    Found,
    cards,
    emails,
    find,
    ibans,
    ip_addresses,
    national_numbers,
    need,
    phones,
)
from burnish.corpus.preparation.steps.names import check_installed, names
from burnish.corpus.preparation.steps.secrets import secrets
from burnish.corpus.preparation.steps.step import BatchStep
from burnish.corpus.preparation.table import Outcome, remove

Kind = Literal["secret", "iban", "card", "national_number", "email", "ip", "phone", "name"]


class Anonymize(BatchStep):
    """Replace mail addresses, numbers, keys and names by typed placeholders, or remove the documents with them."""

    libraries: ClassVar[tuple[str, ...]] = (
        "phonenumbers",
        "python-stdnum",
        "schwifty",
        "detect-secrets",
        "presidio-analyzer",
    )

    type: Literal["anonymize"] = Field("anonymize", description="anonymize")
    kinds: list[Kind] = Field(
        ["secret", "iban", "card", "email", "ip", "phone"],
        min_length=1,
        description="what is searched for: secret, iban, card, national_number, email, ip, phone, name",
    )
    action: Literal["placeholder", "drop"] = Field(
        "placeholder", description="placeholder: <EMAIL_1> in its place; drop: the document is removed"
    )
    regions: list[str] = Field(
        [], description="countries whose telephone numbers may be written without +, such as [US, DE]"
    )
    countries: list[str] = Field([], description=f"whose national numbers are searched for: {', '.join(NATIONAL)}")
    name_models: dict[str, str] = Field({}, description="spaCy's model for each language, such as {en: en_core_web_lg}")

    secret: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if unknown := sorted({*self.countries} - {*NATIONAL}):
            raise ValueError(f"countries: {', '.join(unknown)}: known are {', '.join(NATIONAL)}")
        for kind, key in (("national_number", "countries"), ("name", "name_models")):
            if (kind in self.kinds) != bool(getattr(self, key)):
                raise ValueError(f"{kind!r} in kinds and {key} go together; set both or neither")
        if self.regions:
            known = need("phonenumbers").SUPPORTED_REGIONS
            if "phone" not in self.kinds or (unknown := sorted({*self.regions} - {*known})):
                why = (
                    f"{', '.join(unknown)}: not a country's two capital letters" if unknown else "need 'phone' in kinds"
                )
                raise ValueError(f"regions: {why}")
        for model in self.name_models.values():
            check_installed(model)
        return self

    def finders(self) -> list[tuple[str, Finder]]:
        """What searches for each kind; of values that overlap the earlier kind is meant."""
        every: list[tuple[Kind, Finder]] = [
            ("secret", secrets),
            ("iban", ibans),
            ("card", cards),
            ("national_number", partial(national_numbers, countries=tuple(self.countries))),
            ("email", emails),
            ("ip", ip_addresses),
            ("phone", partial(phones, regions=tuple(self.regions))),
            ("name", partial(names, models=self.name_models)),
        ]
        return [(kind, finder) for kind, finder in every if kind in self.kinds]

    def __call__(self, batch: pl.DataFrame) -> Outcome:
        finders = self.finders()
        found = [find(text, finders) for text in batch["text"]]
        counts = Counter(one.kind for of_one in found for one in of_one)
        if self.action == "placeholder":
            texts = [replaced(text, of_one) for text, of_one in zip(batch["text"], found, strict=True)]
            return Outcome(batch.with_columns(pl.Series("text", texts, pl.String)), counts=counts)
        reasons = ["personal data or secrets" if of_one else None for of_one in found]
        details = [_in_words(of_one) for of_one in found]
        outcome = remove(batch, pl.Series(reasons, dtype=pl.String), pl.Series(details, dtype=pl.String))
        return Outcome(outcome.kept, outcome.removed, counts)


def replaced(text: str, found: list[Found]) -> str:
    """The text with placeholders. found: in the text's order, none overlapping another."""
    numbers: dict[str, dict[str, int]] = {}
    parts, end = [], 0
    for one in found:
        of_kind = numbers.setdefault(one.kind, {})
        parts += [text[end : one.start], f"<{one.kind.upper()}_{of_kind.setdefault(one.value, len(of_kind) + 1)}>"]
        end = one.end
    return "".join([*parts, text[end:]])


def _in_words(found: list[Found]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(one.kind for one in found).items()))
