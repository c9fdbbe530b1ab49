"""The grammar of a database's queries: what it lets through parses, and names only what is there."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from llguidance import LLMatcher, LLTokenizer

from burnish.checkpoints.facts import load_tokenizer
from burnish.errors import BurnishError
from burnish.generation.engine import generate
from burnish.generation.grammar import Grammars
from burnish.generation.sampling import Sampling
from burnish.rewards.sql_grammar import named, schema_grammar, sql_grammar
from burnish.rewards.sql_sandbox import SqlSandbox
from burnish.rewards.sql_schema import SqlSchema, read_schema
from tiny_models import tiny_decoder
from workshop import tiny_tokenizer

TABLES = (
    "create table flights (year int, carrier text, dep_delay double, tailnum text)",
    "create table airlines (carrier text, name text)",
    'create table planes (tailnum text, year int, "order" int, "Seat Count" int, "a""b/c" text)',
    "create schema other",
    "create table other.airports (faa text)",
)
BYTES = LLTokenizer("byte")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sql") / "some.duckdb"
    with duckdb.connect(str(file)) as connection:
        for statement in TABLES:
            connection.execute(statement)
    return file


@pytest.fixture(scope="module")
def schema(database: Path) -> SqlSchema:
    with SqlSandbox(database) as sandbox:
        return read_schema(sandbox)


@pytest.fixture(scope="module")
def connection(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(database), read_only=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def matcher(schema: SqlSchema) -> Any:
    return LLMatcher(BYTES, sql_grammar(schema), log_level=0)


def _accepts(matcher: Any, text: str) -> bool:
    tokens, copy = BYTES.tokenize_str(text), matcher.deep_copy()
    return copy.try_consume_tokens(tokens) == len(tokens) and copy.is_accepting()


GOOD = (
    "select * from flights",
    "SELECT Count(*) FROM Flights;",
    "```sql\nselect year from planes\n```",
    "select count(distinct carrier) from flights where dep_delay > -3.5 and carrier in ('AA', 'it''s') limit 3",
    "select name, count(*) from flights join airlines using (carrier) group by name having count(*) > 2 order by 2",
    "select f.carrier, a.name from flights f left join airlines as a on f.carrier = a.carrier",
    "select flights.year from flights, planes where flights.tailnum = planes.tailnum",
    'select "order", "Seat Count", "a""b/c" from planes order by "Seat Count" desc nulls last',
    "select faa from other.airports",
    "select carrier from flights where carrier not in (select carrier from airlines where name like '%Air%')",
    "select 100 * avg((dep_delay is null)::int) from flights where year between 2010 and 2013 or not year = 3",
    "select carrier, rank() over (partition by year order by sum(dep_delay) desc) from flights group by carrier, year",
    "select case when year > 3 then 'a' else 'b' end, cast(year as varchar), extract(month from date '2013-01-01') "
    "from flights",
    "select carrier from flights qualify row_number() over (order by dep_delay) = 1",
    "select count(*) filter (where year = 3) from flights",
    "select carrier from flights union all select carrier from airlines order by 1",
    "select name from flights join airlines using (carrier) join planes using (tailnum) where seat = 1".replace(
        "seat = 1", 'planes.year = 1 and "Seat Count" = 2'
    ),
    "select date '2013-01-01' + interval 3 days, coalesce(year, 0) from flights",
)
BAD = (
    "select nam from flights",
    "select name from flights",
    "select name from flights join planes using (tailnum)",
    "select carrier from flight",
    "select sume(year) from flights",
    "select order from planes",
    "select f.carrier from flights",
    "select yearfrom flights",
    "select name from airlines where carrier in (select carrier from planes)",
    "select read_csv('/etc/passwd') from flights",
    "select * from read_csv('/etc/passwd')",
    "select faa from airports",
    "select nextval('a') from flights",
    "select year from flights; drop table flights",
    "insert into flights values (1)",
    "select count(*) as n from flights order by n",
)


def test_queries_of_the_database_are_let_through_and_run(matcher: Any, connection: Any) -> None:
    for query in GOOD:
        assert _accepts(matcher, query), query
        connection.execute(query.removeprefix("```sql\n").removesuffix("\n```"))


def test_others_are_not(matcher: Any, schema: SqlSchema, connection: Any) -> None:
    for query in BAD:
        assert not _accepts(matcher, query), query
    assert not connection.execute("select 1 where false").fetchall()
    named_once = LLMatcher(BYTES, sql_grammar(schema, ["n"]), log_level=0)
    assert _accepts(named_once, BAD[-1])
    assert not _accepts(named_once, "select count(*) as m from flights order by m")


def test_names_that_a_query_gives() -> None:
    assert named("select count(*) as n, cast(x as int) as Total from t") == ("n", "total")
    assert named("select a as b") == ()


COLUMNS = (
    "carrier",
    "year",
    "name",
    "tailnum",
    "dep_delay",
    '"order"',
    "f.year",
    "flights.year",
    "nam",
    "f.name",
    "faa",
)
TABLE_NAMES = ("flights", "airlines", "planes", "flights f", "other.airports", "airports", "flight")
FORMS = (
    "select {c} from {t}",
    "select {c}, count(*) from {t} where {c} is not null and {c} = {c} group by {c}, {c} order by 2 desc limit 3",
    "select max({c}), {f}({c}) from {t} join {t} using (carrier)",
    "select count(*) from {t} join {t} on {c} = {c} where {c} in (select {c} from {t})",
    "select distinct {c}::text || 'a' from {t} union all select {f}(1) from {t} order by 1",
    "select case when {c} > 3 then 1 else {f}({c}) end from {t}",
)
FUNCTIONS = ("abs", "lower", "coalesce", "round", "rount", "read_text")


def test_a_query_is_let_through_if_the_database_finds_its_names(matcher: Any, connection: Any) -> None:
    choice, counts = random.Random(1), {True: 0, False: 0}
    for number in range(180):
        query = FORMS[number % len(FORMS)]
        for place, names in (("{c}", COLUMNS), ("{t}", TABLE_NAMES), ("{f}", FUNCTIONS)):
            while place in query:
                wrong_is_rare = names[: choice.choice([2, 3, len(names)])]
                query = query.replace(place, choice.choice(wrong_is_rare), 1)
        error = ""
        try:
            connection.execute(f"explain {query}")
        except duckdb.Error as raised:
            error = str(raised)
        accepted = _accepts(matcher, query)
        counts[accepted] += 1
        if accepted:  # what else may be wrong is of types, of what is grouped, of a column that two tables have
            assert not error.startswith(("Parser", "Catalog")), (query, error)
            assert "not found" not in error, (query, error)
        else:  # a subquery may refer to the query around it, which the grammar leaves out
            assert error or " in (" in query, query
    assert min(counts.values()) > 30


def test_a_model_that_knows_nothing_writes_queries_that_run(schema: SqlSchema) -> None:
    tokenizer = replace(tiny_tokenizer(), stop_ids=tiny_tokenizer().stop_ids or frozenset([0]))
    decoder = tiny_decoder(scale=8, vocab_size=tokenizer.vocab_size)
    grammar = schema_grammar(Grammars(tokenizer, tokenizer.vocab_size), schema)
    sampling = Sampling(temperature=1, max_new_tokens=40, stop=tokenizer.stop_ids)
    ((*written,),) = generate(decoder, [[1, 2]], sampling, n=3, tokenizer=tokenizer, grammar=grammar)
    for one in written:
        text = tokenizer.decode(one.tokens)
        tokens = BYTES.tokenize_str(text)
        assert LLMatcher(BYTES, sql_grammar(schema, named(text)), log_level=0).try_consume_tokens(tokens) == len(tokens)
        assert len(text) > 5


def test_a_name_may_be_used_once_it_is_given(schema: SqlSchema) -> None:
    tokenizer = tiny_tokenizer()
    grammar = schema_grammar(Grammars(tokenizer, tokenizer.vocab_size), schema)
    for query, there in (
        ("select count(*) as n, carrier from flights group by carrier order by n", True),
        ("select count(*) as m, carrier from flights group by carrier order by n", False),
    ):
        following, allowed = grammar.follow(), True
        for token in tokenizer.encode(query):
            if not following.allowed()[token]:
                allowed = False
                break
            following.take(token)
        assert (allowed and bool(following.allowed()[list(tokenizer.stop_ids)].any())) == there


FLIGHTS = {
    "airlines": "carrier name",
    "airports": "faa name lat lon alt tz dst tzone",
    "flights": "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay carrier flight "
    "tailnum origin dest air_time distance hour minute time_hour",
    "planes": "tailnum year type manufacturer model engines seats speed engine",
    "weather": "origin year month day hour temp dewp humid wind_dir wind_speed wind_gust precip pressure visib "
    "time_hour",
}


def test_a_schema_and_a_vocabulary_of_real_size_are_followed_to_the_end(smollm2_path: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "flights.duckdb")) as connection:
        for table, columns in FLIGHTS.items():
            connection.execute(f"create table {table} ({', '.join(f'{name} int' for name in columns.split())})")
    with SqlSandbox(tmp_path / "flights.duckdb") as sandbox:
        schema = read_schema(sandbox)
    tokenizer = load_tokenizer(smollm2_path)
    following = schema_grammar(Grammars(tokenizer, tokenizer.vocab_size), schema).follow()
    query = (
        "select name, count(*) as late from flights join airlines using (carrier) where arr_delay > 60 "
        "and origin = 'JFK' group by name order by late desc limit 3"
    )
    for token in tokenizer.encode(query):
        assert following.allowed()[token], tokenizer.decode([token])
        following.take(token)
    assert following.allowed()[list(tokenizer.stop_ids)].all()
    assert not following.failed


def test_many_tables_share_a_scope(schema: SqlSchema) -> None:
    many = replace(schema, tables={f"t{number}": [f"c{number}", "id"] for number in range(80)})
    matcher = LLMatcher(BYTES, sql_grammar(many), log_level=0)
    assert _accepts(matcher, "select c7 from t7 join t8 using (id)")
    assert not _accepts(matcher, "select c7 from t7 join t8 using (c7)")
    assert not _accepts(matcher, "select c99 from t7")


def test_a_database_without_tables_is_refused(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "none.duckdb")).close()
    with SqlSandbox(tmp_path / "none.duckdb") as sandbox, pytest.raises(BurnishError, match="no table in it"):
        read_schema(sandbox)
