"""Where a text holds what identifies a person or opens a door: addresses, numbers with their checksums, and secrets.

A finder yields candidates by an expression and keeps those that a library that knows the numbers calls valid.

Notable choices:
- where a check digit alone decides little, the context has to speak too: a run of bare digits is a telephone number
  only behind a word such as "Tel.", and four numbers with dots behind "version" are no address;
- addresses of this machine, of nobody and of a whole network's mask identify nobody and stay;
- expressions have bounded or possessive repeats: a line of many megabytes costs a multiple of its length.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from burnish.errors import BurnishError

Spans = Iterator[tuple[int, int, str]]
"""Beginning, end, and the value in its plain form, by which it is recognized again."""
Finder = Callable[[str], Spans]


@dataclass(frozen=True, slots=True)
class Found:
    """A value in a text. value: its plain form."""

    start: int
    end: int
    kind: str
    value: str


def need(module: str, extra: str = "anonymization") -> ModuleType:
    """Import what an extra brings.

    Raises:
        BurnishError: it is not installed; the error names the extra.
    """
    try:
        return import_module(module)
    except ImportError:
        message = f"anonymize needs {module.partition('.')[0]}; install it with `pip install 'burnish[{extra}]'`"
        raise BurnishError(message) from None


def find(text: str, finders: Iterable[tuple[str, Finder]]) -> list[Found]:
    """What the finders see, in the text's order.

    Values that overlap are one, from the beginning of the first to the end of the last, of the kind that comes first
    among the finders: so nothing of a value is left beside another.
    """
    rank = {kind: number for number, (kind, _) in enumerate(finders)}
    found = [Found(start, end, kind, value) for kind, finder in finders for start, end, value in finder(text)]
    merged: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, one.end)):
        if not merged or one.start >= merged[-1].end:
            merged.append(one)
            continue
        last = merged[-1]
        first = min(last, one, key=lambda each: rank[each.kind])
        start, end = last.start, max(last.end, one.end)
        whole = (start, end) == (first.start, first.end)
        merged[-1] = Found(start, end, first.kind, first.value if whole else text[start:end])
    return merged


_EMAIL = re.compile(
    r"(?<!\w)\w[\w.%+'-]{0,63}@((?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+(?:xn--[a-z0-9]{2,59}|[^\W\d_]{2,24}))(?![^\W_])"
)
_NO_EMAIL = re.compile(r"\d+\.\d+\.|\d+x\.(?:png|jpe?g|gif|svg|webp)$", re.IGNORECASE)


def emails(text: str) -> Spans:
    """Mail addresses; not `git@host:path`, nor a package's version or an image for fine screens (`logo@2x.png`)."""
    for match in _EMAIL.finditer(text) if "@" in text else ():
        of_git = match[0].startswith("git@") and re.match(r":[\w~/]", text[match.end() : match.end() + 2])
        if not of_git and not _NO_EMAIL.match(match[1]):
            yield match.start(), match.end(), match[0].lower()


_PHONE = re.compile(r"\d(?:[^\w\n]{0,4}\d){6}")
_PHONE_CUE = re.compile(
    r"(?:\b(?:tel|fon|fax|cell|call|ring|sms|appel|llam|contact|kontakt|portable|anruf)|"
    r"phone|telefon|téléph|teléf|handy|mobil|móvil|rufnummer|whatsapp)\w*\W{0,3}(?:\w+\W{1,2}){0,2}$",
    re.IGNORECASE,
)
_NO_PHONE = re.compile(r"\d{7,}|\d+[.,]\d+|\d{1,2}([./-])\d{1,2}\1(?:19|20)\d\d")
"""Bare digits, a decimal number, a date."""


def phones(text: str, regions: tuple[str, ...]) -> Spans:
    """Telephone numbers that exist by the plans of the `regions`, and those with a `+` and a country's code."""
    numbers = need("phonenumbers")
    for found in re.finditer(r"[^\n]+", text):
        line, offset = found[0], found.start()
        if not _PHONE.search(line):
            continue
        seen: set[tuple[int, int]] = set()
        for region in regions or (None,):
            # The matcher gives up after some wrong tries, by default 65,535.
            for match in numbers.PhoneNumberMatcher(line, region, max_tries=len(line) + 1):
                if (match.start, match.end) not in seen and _is_phone(line, match.start, match.end):
                    seen.add((match.start, match.end))
                    value = numbers.format_number(match.number, numbers.PhoneNumberFormat.E164)
                    yield offset + match.start, offset + match.end, value


def _is_phone(line: str, start: int, end: int) -> bool:
    """Whether what has the digits of a telephone number is one where it stands."""
    if not _PHONE.search(line, start, end) or re.search(r"\d[.,]$|\w-$", line[max(0, start - 2) : start]):
        return False
    if re.match(r"[.,]\d|-\w", line[end : end + 2]):
        return False
    return not _NO_PHONE.fullmatch(line, start, end) or bool(_PHONE_CUE.search(line[max(0, start - 40) : start]))


_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?<=:)(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])")
_VERSION_CUE = re.compile(
    r"(?:\bv|versions?|versión|release|build|firmware|section|sección|abschnitt|kapitel|chapter|chapitre|§|==|>=)\W{0,2}$",
    re.IGNORECASE,
)
_IPV6_NETWORKS = [ipaddress.IPv6Network(name) for name in ("2000::/3", "fc00::/7", "fe80::/10")]


def ip_addresses(text: str) -> Spans:
    """Addresses of IPv4 and IPv6, without those of this machine, of nobody, of groups and of masks."""
    for match in _IPV4.finditer(text):
        try:
            address = ipaddress.IPv4Address(match[0])
        except ValueError:
            continue
        general = address.is_loopback or address.is_multicast or match[0].startswith(("0.", "255."))
        if not general and not _VERSION_CUE.search(text[max(0, match.start() - 16) : match.start()]):
            yield match.start(), match.end(), str(address)
    for match in _IPV6.finditer(text):
        try:
            address6 = ipaddress.IPv6Address(match[0])
        except ValueError:
            continue
        if any(address6 in network for network in _IPV6_NETWORKS) and re.search(r"\d", match[0]):
            yield match.start(), match.end(), str(address6)


_IBAN = re.compile(r"(?<![^\W_])[A-Za-z]{2}\d{2}(?=[ \u00a0-]?[A-Za-z0-9])")


def ibans(text: str) -> Spans:
    """Account numbers whose country, length, form and check digits are right."""
    schwifty = need("schwifty")
    for match in _IBAN.finditer(text):
        country = match[0][:2].upper()
        try:
            length = _iban_length(country)
        except schwifty.exceptions.InvalidCountryCode:
            continue
        written = re.compile(rf"(?:[ \u00a0-]?[A-Za-z0-9]){{{length - 4}}}(?![^\W_])").match(text, match.end())
        if not written:
            continue
        value = re.sub(r"[ \u00a0-]", "", text[match.start() : written.end()]).upper()
        if schwifty.IBAN(value, allow_invalid=True).is_valid:
            yield match.start(), written.end(), value


@cache
def _iban_length(country: str) -> int:
    return int(need("schwifty.registry").get_iban_spec(country).iban_length)


_CARD = re.compile(
    r"(?<![\w.,-])(?:\d{13,19}|\d{4}([ \u00a0-])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|"
    r"\d{4}([ \u00a0-])\d{6}\2\d{4,5})(?![\w-]|[.,]\d)"
)
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|"
    r"6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|(?:5[0678]|6\d)\d{14,17}"
)
"""Visa; Mastercard, old and new; American Express; Discover; JCB; Diners Club; Maestro and UnionPay."""


def cards(text: str) -> Spans:
    """Numbers of payment cards: an issuer's first digits and length, the usual groups, and Luhn's check digit."""
    luhn = need("stdnum.luhn")
    for match in _CARD.finditer(text):
        value = re.sub(r"\D", "", match[0])
        if _ISSUERS.fullmatch(value) and luhn.is_valid(value):
            yield match.start(), match.end(), value


NATIONAL: dict[str, tuple[tuple[str, str, str | None], ...]] = {
    "BE": (("be.nn", r"\d{2}\.?\d{2}\.?\d{2}[- ]?\d{3}[. ]?\d{2}", None),),
    "BR": (("br.cpf", r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}", None),),
    "CH": (("ch.ssn", r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}", None),),
    "CN": (("cn.ric", r"\d{17}[\dXx]", None),),
    "DE": (("de.idnr", r"[1-9]\d ?\d{3} ?\d{3} ?\d{3}", None),),
    "ES": (("es.dni", r"\d{8}[- ]?[A-Z]", None), ("es.nie", r"[XYZ][- ]?\d{7}[- ]?[A-Z]", None)),
    "FI": (("fi.hetu", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", None),),
    "FR": (("fr.nir", r"[12] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}", None),),
    "GB": (("gb.nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}", r"\bnhs\b"),),
    "IT": (("it.codicefiscale", r"[A-Za-z]{6}\d{2}[A-Za-z]\d{2}[A-Za-z]\d{3}[A-Za-z]", None),),
    "NL": (("nl.bsn", r"\d{4}\.?\d{2}\.?\d{3}", r"\bbsn\b|burgerservice|sofi"),),
    "NO": (("no.fodselsnummer", r"\d{6} ?\d{5}", None),),
    "PL": (("pl.pesel", r"\d{11}", None),),
    "SE": (("se.personnummer", r"(?:\d{2})?\d{6}[-+]\d{4}", None),),
    "US": (("us.ssn", r"\d{3}-\d{2}-\d{4}", None),),
}
"""A country's numbers of persons: the module of `stdnum` that checks them, how they are written, and the word that has
to stand before where the check digit alone lets one of eleven numbers through. That of the US has no check digit; its
rules and the written form decide."""


def national_numbers(text: str, countries: tuple[str, ...]) -> Spans:
    """Numbers that states give to persons, by the form and checksum of each country."""
    for country in countries:
        for module, written, cue in NATIONAL[country]:
            number: Any = need(f"stdnum.{module}")
            for match in _delimited(written).finditer(text):
                before = text[max(0, match.start() - 40) : match.start()]
                if number.is_valid(match[0]) and (cue is None or re.search(cue, before, re.IGNORECASE)):
                    yield match.start(), match.end(), number.compact(match[0])


@cache
def _delimited(written: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.,+-])(?:{written})(?![\w-]|[.,]\d)")
