"""Prepare the flights' tools: the database and names beside tools.py, traces to learn from, tasks and tests.

    python prepare.py --out DIR

No teacher writes the traces. A composed question has its SQL; the names in it, and their codes in the SQL, say what is
looked up; what every tool returns is asked of the tools themselves. Questions that the tools fail at
are left out, and counted.
"""

import argparse
import json
import random
import re
import shutil
import sys
from itertools import islice
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import database  # noqa: E402
import duckdb  # noqa: E402
import own_words  # noqa: E402
from composed import Composer, names  # noqa: E402

SYSTEM = "Answer with tools."
PLOTS = ("Plot {}", "Draw a {} plot: {}", "{} as a {} chart", "Make a {} chart. {}")
TEST_PLOT = "Show me a {} plot of this: {}"
_LITERAL = re.compile(r"'([A-Z0-9]{2,3})'")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1, help="questions depend on it (default 1)")
    parser.add_argument("--rows", type=int, nargs=3, default=(1500, 100, 100), metavar=("TRAIN", "TASKS", "TEST"))
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    database.build(out / "flights.duckdb")
    (out / "names.json").write_text(json.dumps(entries(), ensure_ascii=False), encoding="utf-8")
    shutil.copyfile(HERE / "tools.py", out / "tools.py")
    (out / "system.txt").write_text(SYSTEM, encoding="utf-8")
    rng = random.Random(arguments.seed)
    own = own_words.rows()
    with duckdb.connect(str(out / "flights.duckdb"), read_only=True, config={"threads": 1}) as connection:
        composer = Composer(connection, arguments.seed, forbidden=frozenset(row["question"] for row in own))
        drawn, n = composer.train(), arguments.rows
        train, tasks = ([asked(row.text, row.sql, row.ordered, rng, PLOTS) for row in islice(drawn, k)] for k in n[:2])
        test = [asked(row.text, row.sql, row.ordered, rng, (TEST_PLOT,)) for row in islice(composer.test(), n[2])]
    test += [{**asked(row["question"], row["sql"], False, None, ()), "split": "own_words"} for row in own]
    definitions, traced = traces(out / "tools.py", train)
    write(out / "traces.jsonl", traced)
    for name, rows in (("tasks", tasks), ("test", test)):
        write(out / f"{name}.jsonl", [question(row, definitions) for row in rows])
    lookups, plots = (sum(bool(row[key]) for row in train) for key in ("lookups", "kind"))
    print(f"{len(traced)} traces of {len(train)} questions; {lookups} have a look-up, {plots} a plot")
    print(f"{len(tasks)} tasks, {len(test)} test questions -> {out}")


def entries() -> list[dict[str, Any]]:
    """What people call airlines and airports, by code."""
    found: dict[tuple[str, str], list[str]] = {}
    for code, words in names.CARRIERS.items():
        found.setdefault(("carrier", code), []).extend(words)
    for code, words in names.ORIGINS.items():
        found.setdefault(("origin", code), []).extend(words)
    for city, codes in names.CITIES.items():
        for code in codes:
            found.setdefault(("dest", code), []).append(city)
    return [
        {"column": column, "code": code, "names": sorted({word.lower() for word in words})}
        for (column, code), words in found.items()
    ]


def asked(text: str, sql: str, ordered: bool, rng: "random.Random | None", plots: tuple[str, ...]) -> dict[str, Any]:
    """A question, its query, the names that are looked up for it, and the kind of plot that it asks for."""
    codes, lower = set(_LITERAL.findall(sql)), text.lower()
    known = sorted(((word, entry) for entry in entries() for word in entry["names"]), key=lambda one: -len(one[0]))
    lookups: list[str] = []
    for word, entry in known:
        if entry["code"] in codes and re.search(rf"\b{re.escape(word)}\b", lower) and word.upper() != entry["code"]:
            codes.discard(entry["code"])
            lookups.append(word)
    kind = None
    if rng is not None and " group by " in sql and "limit" not in sql and rng.random() < 0.6:
        kind = rng.choice(("bar", "line"))
        form = rng.choice(plots)
        text = form.format(*([kind, text] if form.count("{}") == 2 and form.index("{}") < 12 else [text, kind]))
    return {
        "text": text,
        "sql": sql,
        "ordered": ordered,
        "lookups": list(dict.fromkeys(lookups)),
        "kind": kind,
        "split": "composed",
    }


def traces(file: Path, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the tools are, and each question answered with them: calls with what they really return."""
    from burnish.agents.functions import ToolsFile
    from burnish.agents.tool import ToolBox
    from burnish.agents.traces import trace_row
    from burnish.text.tool_calls.values import ToolCall

    loaded = ToolsFile(file)
    found, definitions = [], [dict(one) for one in ToolBox(loaded.open()).definitions]
    for row in rows:
        box = ToolBox(loaded.open())
        calls = [("find_code", {"name": name}) for name in row["lookups"]] + [("query", {"sql": row["sql"]})]
        calls += [("plot", {"kind": row["kind"]})] if row["kind"] else []
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": row["text"]},
        ]
        failed = False
        for number, (name, arguments) in enumerate(calls, 1):
            _, result = box.call(ToolCall(name, arguments))
            failed = failed or result.failed or result.text == "none"
            call = {"type": "function", "id": f"call{number:05}", "function": {"name": name, "arguments": arguments}}
            messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
            messages.append({"role": "tool", "content": result.text, "name": name, "tool_call_id": call["id"]})
        if failed:
            continue
        messages.append({"role": "assistant", "content": "Done."})
        found.append(trace_row(messages, definitions))
    return definitions, found


def question(row: dict[str, Any], definitions: list[dict[str, Any]]) -> dict[str, Any]:
    """A task: what is asked, and what the judges read."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": row["text"]}]
    calls = ["query", *(["plot"] if row["kind"] else [])]
    own = {key: row[key] for key in ("sql", "ordered", "split")}
    return {"prompt": messages, **own, "calls": calls, "kind": row["kind"] or "", "tools": definitions}


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
