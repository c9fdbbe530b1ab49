"""Anonymization: what is found and what is not, consistent placeholders, and no secret in any file."""

import importlib.metadata
import json
import sys
import types
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from burnish.corpus.preparation.pipeline import prepare
from burnish.corpus.preparation.sources import DocumentSource
from burnish.corpus.preparation.steps import anonymize
from burnish.corpus.preparation.steps.anonymize import Anonymize
from burnish.corpus.preparation.steps.basic import ExactDuplicates, MinCharacters, Normalize
from burnish.corpus.preparation.steps.identifiers import Found, find
from burnish.corpus.preparation.steps.step import PreparationStep
from burnish.corpus.preparation.table import SCHEMA
from burnish.errors import BurnishError

EVERYTHING = Anonymize(
    kinds=["secret", "iban", "card", "national_number", "email", "ip", "phone"],
    regions=["US", "DE", "FR"],
    countries=["DE", "FR", "US", "GB", "ES", "IT", "NL", "PL", "SE", "CN", "FI"],
)
# Put together here, so that no scanner of this repository takes them for real ones.
AWS = "AKIA" + "QYLPMN5HHHFPZAM2"
GITHUB = "ghp_" + "1234567890abcdefghijklmnopqrstuvwxyz"
JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow+IBAAK/CAQEA\nabc==\n-----END RSA " + "PRIVATE KEY-----"


def batch(texts: list[str]) -> pl.DataFrame:
    rows = [{name: str(number) for name in SCHEMA} | {"text": text} for number, text in enumerate(texts)]
    return pl.DataFrame(rows, schema=SCHEMA)


def anonymized(text: str, step: Anonymize = EVERYTHING) -> str:
    return str(step(batch([text])).kept["text"][0])


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Write to ann.lee+news@mail.example.org.", "Write to <EMAIL_1>."),
        ("<mailto:O'Neil@example.co.uk>", "<mailto:<EMAIL_1>>"),
        ("An jürgen@bücher.example und x@163.com", "An <EMAIL_1> und <EMAIL_2>"),
        ("...ann@example.org", "...<EMAIL_1>"),
        ("Call +49 30 2093-2151 today", "Call <PHONE_1> today"),
        ("Büro: 030 2093-2151 (Mo-Fr)", "Büro: <PHONE_1> (Mo-Fr)"),
        ("(202) 456-1111", "<PHONE_1>"),
        ("Tél. 01 42 68 53 00", "Tél. <PHONE_1>"),
        ("Tel. 03020932152", "Tel. <PHONE_1>"),
        ("from 203.0.113.7 port 22", "from <IP_1> port 22"),
        ("2001:db8::8a2e:370:7334/64", "<IP_1>/64"),
        ("to fe80::1ff:fe23:4567:890a%eth0.", "to <IP_1>%eth0."),
        ("IBAN: DE89 3704 0044 0532 0130 00 BIC COBADEFF", "IBAN: <IBAN_1> BIC COBADEFF"),
        ("fr1420041010050500013m02606", "<IBAN_1>"),
        ("Visa 4111 1111 1111 1111, 12/27", "Visa <CARD_1>, 12/27"),
        ("3782-822463-10005", "<CARD_1>"),
        ("5555555555554444", "<CARD_1>"),
        ("Steuer-ID 36 574 261 809", "Steuer-ID <NATIONAL_NUMBER_1>"),
        ("NIR 2 95 10 99 126 111 93", "NIR <NATIONAL_NUMBER_1>"),
        ("SSN 536-90-4399", "SSN <NATIONAL_NUMBER_1>"),
        ("NHS number: 943 476 5870", "NHS number: <NATIONAL_NUMBER_1>"),
        ("DNI 54362315-K", "DNI <NATIONAL_NUMBER_1>"),
        ("RCCMNL83S18D969H", "<NATIONAL_NUMBER_1>"),
        ("BSN 111222333", "BSN <NATIONAL_NUMBER_1>"),
        ("PESEL 44051401359", "PESEL <NATIONAL_NUMBER_1>"),
        ("880320-0016", "<NATIONAL_NUMBER_1>"),
        ("360426199101010071", "<NATIONAL_NUMBER_1>"),
        ("131052-308T", "<NATIONAL_NUMBER_1>"),
        (f"key {AWS} of AWS", "key <SECRET_1> of AWS"),
        (f"token={GITHUB}", "token=<SECRET_1>"),
        (f"Bearer {JWT}", "Bearer <SECRET_1>"),
        (f"a\n{PEM}\nb", "a\n<SECRET_1>\nb"),
        ("postgres://app:s3cr3tpw@db.example.org/x", "postgres://app:<SECRET_1>/x"),
        ('db_password = "hunter2"', 'db_password = "<SECRET_1>"'),
        ("password: Tr0ub4dor&3 and so on", "password: <SECRET_1> and so on"),
    ],
)
def test_what_identifies_is_replaced(text: str, clean: str) -> None:
    assert anonymized(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "@dataclass, a@b, ann@localhost, git@github.com:org/repo.git, logo@2x.png, react@18.2.0-beta.next",
        "Order 4930123456 of 2024-05-06 12:30:45, due 12.05.2024, 1,234,567.89 EUR",
        "2024-05-06T12:30:45.123456, 20240506123045, pages 100-200, 3.14159265358979",
        "version 1.2.3.4, v10.0.19045.1, Section 3.1.2.4, 127.0.0.1, 0.0.0.0, 255.255.255.0, 300.1.2.3, 1.2.3.4.5",
        "12:30:45, std::vector, a::b, ::, ::1, 00:1A:2B:3C:4D:5E, face::babe",
        "DE88 3704 0044 0532 0130 00, DE89370400440532013, XX89370400440532013000",
        "4111 1111 1111 1112, 4111-1111 11111111, 1234567890123452, 79927398713",
        "Steuer-ID 36 574 261 808, 666-12-3456, 111222333, 54362315-A, RCCMNL83S18D969I",
        "9434765870, NHS 9434765871, PESEL 44051401358, 880320-0018, 360426199101010072, 131052-308U",
        "2 95 10 99 126 111 94",
        "The password: must be eight characters. password = <password>, secret: ${SECRET}, api_key = os.environ['X']",
        "-----BEGIN PUBLIC KEY-----, ghp_short, AKIA123, eyJhbGci.eyJ.x, https://example.org:8080/a@b",
        "ISBN 978-3-16-148410-0, EAN 4006381333931, sha256 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b'",
    ],
)
def test_near_misses_stay(text: str) -> None:
    assert anonymized(text) == text


def test_a_value_has_one_number_however_it_is_written() -> None:
    text = (
        "b@x.org, a@x.org, B@X.org; 030 20932151, +49 30 2093-2151; DE89370400440532013000 DE89 3704 0044 0532 0130 00"
    )
    assert anonymized(text) == "<EMAIL_1>, <EMAIL_2>, <EMAIL_1>; <PHONE_1>, <PHONE_1>; <IBAN_1> <IBAN_1>"
    kept = EVERYTHING(batch(["a@x.org b@x.org", "b@x.org"])).kept
    assert kept["text"].to_list() == ["<EMAIL_1> <EMAIL_2>", "<EMAIL_1>"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8), st.sampled_from("abc")), max_size=8))
def test_overlapping_values_leave_nothing_of_either(spans: list[tuple[int, int, str]]) -> None:
    text = "0123456789" * 3

    def finder(kind: str) -> Any:
        return lambda text: ((start, start + length, "") for start, length, of in spans if of == kind)

    found = find(text, [(kind, finder(kind)) for kind in "abc"])
    hidden = [place for one in found for place in range(one.start, one.end)]
    assert hidden == sorted({place for start, length, _ in spans for place in range(start, start + length)})
    for one in found:
        inside = [kind for start, length, kind in spans if one.start <= start and start + length <= one.end]
        assert one.kind == min(inside)


def test_documents_may_be_dropped_and_are_counted() -> None:
    outcome = EVERYTHING.model_copy(update={"action": "drop"})(batch(["nothing", "a@x.org, b@x.org, 203.0.113.7"]))
    assert outcome.removed is not None
    assert outcome.kept["text"].to_list() == ["nothing"]
    assert outcome.removed["reason"].to_list() == ["personal data or secrets"]
    assert outcome.removed["detail"].to_list() == ["2 email, 1 ip"]
    assert outcome.counts == {"email": 2, "ip": 1}


VALUES = ("ann@example.org", "203.0.113.7", "DE89370400440532013000", "hunter2x")
SECRETS = f"Mail {VALUES[0]} from {VALUES[1]}.\r\nPay to {VALUES[2]}.\npassword = '{VALUES[3]}'\n"


@pytest.mark.parametrize("action", ["placeholder", "drop"])
@pytest.mark.parametrize("before", [[], [Normalize(), MinCharacters(characters=100)], [Normalize(), ExactDuplicates()]])
def test_no_file_tells_what_was_found(tmp_path: Path, action: str, before: list[PreparationStep]) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in {
        "long": SECRETS + "And more of the same. " * 9,
        "twin": SECRETS + "And more of the  same. " * 9,
        "short": SECRETS,
        "clean": "Here is nothing that anybody could want to hide from somebody else. " * 3,
    }.items():
        (folder / f"{name}.txt").write_bytes(text.encode())
    steps = [*before, Anonymize.model_validate({"action": action})]
    out = tmp_path / "out"
    # First without: what was written then is not taken over.
    prepare([DocumentSource(name="docs", paths=[str(folder)])], [*before, Normalize()], out)
    record = prepare([DocumentSource(name="docs", paths=[str(folder)])], steps, out)
    n_hit = record.steps[-1].documents_in - 1
    assert record.steps[-1].counts == {"email": n_hit, "iban": n_hit, "ip": n_hit, "secret": n_hit}
    if action == "drop":
        assert record.steps[-1].reasons == {"personal data or secrets": n_hit}
    else:
        assert "<EMAIL_1>" in record.steps[-1].changed[0]["after"]
    has_text_before = {
        # What a step that must see everything has before it is its input, and kept until `work/` is deleted.
        out / "work" / "phase-0" / "00000.parquet"
    }
    for file in out.rglob("*"):
        if file.is_dir() or (any(isinstance(one, ExactDuplicates) for one in before) and file in has_text_before):
            continue
        content = (
            json.dumps(pl.read_parquet(file).to_dicts(), default=str)
            if file.suffix == ".parquet"
            else file.read_text(encoding="utf-8")
        )
        assert [value for value in VALUES if value in content] == [], file
    written = json.loads((out / "preparation.json").read_text(encoding="utf-8"))["steps"]
    assert [one["texts"] for one in written] == ["none"] * (len(steps)) + ["after"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"kinds": ["national_number"]}, "'national_number' in kinds and countries go together"),
        ({"countries": ["DE"]}, "go together"),
        ({"kinds": ["national_number"], "countries": ["XX"]}, "countries: XX: known are BE"),
        ({"regions": ["Germany"]}, "regions: Germany: not a country's two capital letters"),
        ({"kinds": ["email"], "regions": ["DE"]}, "need 'phone' in kinds"),
        ({"kinds": ["name"]}, "name_models go together"),
        ({"kinds": []}, "at least 1 item"),
    ],
)
def test_settings_that_would_find_nothing_are_errors(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Anonymize.model_validate(keys)


def test_names_need_a_model_that_is_really_there(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"kinds": ["name"], "name_models": {"en": "en_core_web_sm"}}
    versions: dict[str, str] = {}

    def version(package: str) -> str:
        if package not in versions:
            raise importlib.metadata.PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr(anonymize.check_installed.__module__ + ".version", version)
    with pytest.raises(BurnishError, match="presidio-analyzer is not installed"):
        Anonymize.model_validate(named)
    versions |= {"presidio-analyzer": "2.2.360", "spacy": "3.8.0", "en-core-web-sm": "999.9.9"}
    with pytest.raises(BurnishError, match="not spaCy's model but a package that took its name"):
        Anonymize.model_validate(named)
    versions["en-core-web-sm"] = "3.8.0"

    class Engine:
        def __init__(self, **_: Any) -> None: ...

        def create_engine(self) -> None: ...

        def analyze(self, text: str, language: str, entities: list[str]) -> list[Any]:
            assert (language, entities) == ("en", ["PERSON"])
            start = text.find("Ann Lee")
            return [types.SimpleNamespace(start=start, end=start + 7)] if start >= 0 else []

    presidio: Any = types.ModuleType("presidio_analyzer")
    engines: Any = types.ModuleType("presidio_analyzer.nlp_engine")
    presidio.AnalyzerEngine = engines.NlpEngineProvider = Engine
    monkeypatch.setitem(sys.modules, "presidio_analyzer", presidio)
    monkeypatch.setitem(sys.modules, "presidio_analyzer.nlp_engine", engines)
    assert anonymized("Here is Ann Lee.", Anonymize.model_validate(named)) == "Here is <NAME_1>."


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "schwifty", None)
    with pytest.raises(BurnishError, match=r"anonymize needs schwifty; install it with `pip install 'burnish"):
        Anonymize(kinds=["iban"])(batch(["DE89370400440532013000"]))


def test_replaced_reads_as_the_text_around() -> None:
    assert anonymize.replaced("ab", []) == "ab"
    assert anonymize.replaced("abc", [Found(0, 1, "ip", "x"), Found(1, 3, "ip", "x")]) == "<IP_1><IP_1>"
