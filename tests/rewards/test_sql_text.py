"""The query is found in what models write around it, in time that grows with the length alone."""

import time
from collections.abc import Callable

import pytest

from burnish.rewards.format import grade_format, without_thoughts
from burnish.rewards.numbers import answer_number
from burnish.rewards.sql_text import extract_sql


@pytest.mark.parametrize(
    ("completion", "sql"),
    [
        ("select 1", "select 1"),
        ("  select 1;\n", "select 1;"),
        ("```sql\nselect 1\n```", "select 1"),
        ("Here it is:\n```SQL\nselect 1\n```\nand\n```sql\nselect 2\n```", "select 2"),
        ("```\nselect 1\n```", "select 1"),
        ("```sql\nselect 1 from t\nwhere", "select 1 from t\nwhere"),
        ("", ""),
        # Fences of every kind.
        ("```postgresql\nselect 1\n```", "select 1"),
        ("```sql title=answer\nselect 1\n```", "select 1"),
        ("```text/x-sql\r\nselect 1\r\n```\r\n", "select 1"),
        ("````sql\nselect '```'\n````", "select '```'"),
        ("~~~sql\nselect 1\n~~~", "select 1"),
        ("~~~\nselect 1", "select 1"),
        ("  ~~~~ duckdb\nselect 'a' ~~~ 'b'\n  ~~~~\nDone.", "select 'a' ~~~ 'b'"),
        ("select name\n~~~ 'a*' from t", "select name\n~~~ 'a*' from t"),  # the operator, not a fence
        ("```sql select 1```", "select 1"),
        ("```select 1```", "select 1"),
        ("The query is ```select 1```.", "select 1"),
        ("```sql select 1", "select 1"),
        ("```select 1\nfrom t\n```", "select 1\nfrom t"),
        ("```sql select 1\nfrom t\n```", "select 1\nfrom t"),
        ("```select\n  1\n```", "select\n  1"),
        ("`select 1`", "select 1"),
        ("1. Count:\n   ```sql\n   select 1\n   ```", "select 1"),
        # The last query of several blocks.
        ("```sql\nselect 1\n```\nIt returns:\n```\n| 1 |\n|---|\n```", "select 1"),
        ("```sql\nselect 1\n```\n```table\n| a |\n```", "select 1"),
        ("```sql\nselect 1\n```\n```python\nprint(1)\n```", "select 1"),
        ("```sql\nselect 1\n```\n~~~sql\nselect 2\n~~~", "select 2"),
        ("```sql\ndrop table t\n```", "drop table t"),
        ("```\n\n```\n```sql\nselect 1\n```\n```\n```", "select 1"),
        ("```sql\n-- the count\n/* of all */ (select 1)\n```\n```\n5\n```", "-- the count\n/* of all */ (select 1)"),
        # Thoughts and answers.
        ("<think>\nselect 1?\n</think>\nselect 2", "select 2"),
        ("select 1?</think>select 2", "select 2"),
        ("<think>```sql\nselect 1\n```</think>\n```sql\nselect 2\n```", "select 2"),
        ("<think>```sql\nselect 1\n```", ""),
        ("<think>select 1</think>", ""),
        ("<think>a</think><answer>select 1</answer> I hope.", "select 1"),
        ("<answer>\n```sql\nselect 1\n```\n</answer>", "select 1"),
        # Tags that stand for a fence.
        ("<sql>select 1</sql>", "select 1"),
        ("Here:\n<SQL>\nselect 1 < 2\n</SQL>\nIt compares.", "select 1 < 2"),
        ("<query>select 1</query> or <sql>select 2</sql>", "select 2"),
        ("[SQL] select a[1] from t [/SQL]", "select a[1] from t"),
        ("[SQL]select 1", "select 1"),
        ("<sql>\n```sql\nselect 1\n```\n</sql>", "select 1"),
        ("<sql>select 1</query>", "<sql>select 1</query>"),
        ("<sql>drop table t</sql>", "<sql>drop table t</sql>"),
        # Words before and behind.
        ("**Answer:** select 1", "select 1"),
        ("**SQL query**: select 1", "select 1"),
        ("select 1; This counts them.", "select 1;"),
        ("select ';' as a; -- said;\nThis counts them.", "select ';' as a;"),
        ("select 1;\n\nThis counts them.", "select 1;"),
        ("select 1\n\nThis counts them, I think.", "select 1"),
        (
            "select $$;$$ as a, E'\\';' as b, \"a;\" /* ; */ from t; Done.",
            "select $$;$$ as a, E'\\';' as b, \"a;\" /* ; */ from t;",
        ),
        ("select 1;;", "select 1;"),
        ("select a\n\nfrom t\n\nWhere b = 1.", "select a\n\nfrom t\n\nWhere b = 1."),
        ("select a -- It is so.\n\nfrom t", "select a -- It is so.\n\nfrom t"),
        ("select (select\n\nA thing is it.\n)", "select (select\n\nA thing is it.\n)"),
        ("Here is the query:\nselect 1\nfrom t", "select 1\nfrom t"),
        ("SQL: select 1", "select 1"),
        ("The answer is 42.", "The answer is 42."),
        ("Answer: `select 1`", "select 1"),
        ("The query is `select 1`; it counts the rows of `t`.", "select 1"),
        ("Not `select 2` but `select\n 1`.", "select\n 1"),
        ("Use `select`:\n\nselect 1", "select 1"),
        ("select `a` from `t`", "select `a` from `t`"),
        ("With this query you get it:\n\nselect 1", "select 1"),
        ("/* select 2:\n*/ select 1", "/* select 2:\n*/ select 1"),
        ("With this you get\nselect 1", "select 1"),
        ("Select all rows of the table:\n\nselect 1", "select 1"),
        ("From the table we count:\n\nwith a as (select 1) from a", "with a as (select 1) from a"),
        ('with recursive "a b"(x) as (select 1) from "a b"', 'with recursive "a b"(x) as (select 1) from "a b"'),
        ("with a\nas (select 1)\n\nfrom a", "with a\nas (select 1)\n\nfrom a"),
        ("select 1\n\nNote: this returns one.", "select 1"),
        ("select 1\n\n### Explanation\n\nOne row", "select 1"),
        ("select 1\n\n**Explanation:** one row", "select 1"),
        # Nothing that the sandbox should see and refuse is hidden from it.
        ("select 1; drop table t", "select 1; drop table t"),
        ("select 1; select 2", "select 1; select 2"),
        ("create table u as\nselect 1", "create table u as\nselect 1"),
        ("delete from t;\nselect 1", "delete from t;\nselect 1"),
        ("explain\nselect 1", "explain\nselect 1"),
        # A fence in a quotation, and what stands in a query that looks like one.
        ("So:\n> ```sql\n> select 1\n> from t\n> ```\nDone.", "select 1\nfrom t"),
        ("> ~~~\n> select a\n> > 1 from t\n> ~~~", "select a\n> 1 from t"),
        ("> Quoted.\n```\nselect a\n> 1 from t\n```", "select a\n> 1 from t"),
        # Introduced in Chinese.
        ("查询语句：SELECT 1;", "SELECT 1;"),
        ("以下是查询：\nSELECT 1", "SELECT 1"),
        # Everything that reads.
        ("```\npivot t on a using sum(b)\n```\nor\n```\n5\n```", "pivot t on a using sum(b)"),
        *(
            (f"{query};\nDone, as asked.", f"{query};")
            for query in ("from t", "values (1)", "table t", "summarize t", "describe t")
        ),
        ("unpivot t on a into name b value c; Done.", "unpivot t on a into name b value c;"),
        ("with a as (select 1) from a; Done.", "with a as (select 1) from a;"),
    ],
)
def test_extract_sql(completion: str, sql: str) -> None:
    assert extract_sql(completion) == sql


SLOW = {
    "spaces behind a fence": lambda n: "```" + " " * n,
    "spaces": lambda n: " " * n + "x",
    "spaces behind a query": lambda n: "select 1" + " " * n + "x",
    "spaces in lines": lambda n: (" " * 99 + "\n") * (n // 100) + "x",
    "spaces behind tildes": lambda n: "~~~" + " " * n + "x",
    "backticks": lambda n: "`" * n,
    "inline code": lambda n: "`a` " * (n // 4),
    "inline queries": lambda n: "a `select 1` " * (n // 13) + "`",
    "withs": lambda n: "with a " * (n // 7),
    "withs in lines": lambda n: "a\n" + "with\n" * (n // 5),
    "quoted withs": lambda n: "a\n" + 'with "' * (n // 6),
    "tags": lambda n: "<sql>" * (n // 5),
    "tags and ends": lambda n: "<sql></query>" * (n // 13),
    "brackets": lambda n: "[sql]" * (n // 5),
    "bold": lambda n: "**" * (n // 2),
    "bold words": lambda n: "**a b" * (n // 5),
    "fences": lambda n: "```a" * (n // 4),
    "growing fences": lambda n: "".join("`" * k + "a" for k in range(3, int((2 * n) ** 0.5))),
    "tildes": lambda n: "~~~\n" * (n // 4),
    "quotes": lambda n: "select " + "'" * n,
    "open quotes": lambda n: "select " + "\"'" * (n // 2),
    "escapes": lambda n: "select e'" + "\\" * n,
    "comments": lambda n: "/*" * (n // 2),
    "comments behind a query": lambda n: "select 1 " + "/* *" * (n // 4),
    "stars": lambda n: "/*" + "*" * n,
    "dashes": lambda n: "-" * n,
    "comment lines": lambda n: "--\n" * (n // 3),
    "dollars": lambda n: "select " + "".join(f"$a{k}$" for k in range(n // 8)),
    "parentheses": lambda n: "(" * n,
    "spaced parentheses": lambda n: "( " * (n // 2),
    "semicolons": lambda n: "select 1" + ";" * n,
    "blank lines": lambda n: "select 1" + "\n" * n + "a",
    "blank spaced lines": lambda n: "select 1" + "\n \n" * (n // 3) + "a",
    "paragraphs": lambda n: "select 1" + "\n\nWord a" * (n // 8),
    "labels": lambda n: "word " * (n // 5),
    "one word": lambda n: "x" * n,
    "thoughts": lambda n: "<think>" * (n // 7),
    "thoughts in pairs": lambda n: "<think></think>" * (n // 15),
    "answers": lambda n: "<think>" + "</think><answer>" * (n // 16),
    "closed answers": lambda n: "<think></think>" + "<answer></answer>" * (n // 17),
    "spaced thoughts": lambda n: "<think>a</think>" + " " * n + "<answer>",
    "digits": lambda n: "9" * n,
    "groups": lambda n: "9" + ",999" * (n // 4),
    "a fraction": lambda n: "1/" + "9" * n + ".9",
    "fractions": lambda n: "1/" * (n // 2),
    "fractions of TeX": lambda n: "\\frac{1" * (n // 7),
    "a fraction of TeX": lambda n: "\\frac{" + "1" * n,
    "points": lambda n: "1." * (n // 2),
    "commas": lambda n: "1," * (n // 2),
    "signs": lambda n: "- " * (n // 2),
    "currency": lambda n: "$ " * (n // 2),
    "exponents": lambda n: "1e" * (n // 2),
    "marks": lambda n: "####" * (n // 4),
    "opened numbers": lambda n: "(1 " * (n // 3),
    "powers": lambda n: "1 x 10^" * (n // 7),
}


@pytest.mark.parametrize("read", [extract_sql, grade_format, without_thoughts, answer_number])
@pytest.mark.parametrize("name", SLOW)
def test_reading_is_linear(name: str, read: Callable[[str], object]) -> None:
    """Of a text as long as no answer is; were any of it quadratic, it would take minutes to hours."""
    text = SLOW[name](200_000)
    started = time.process_time()
    read(text)
    assert time.process_time() - started < 10
