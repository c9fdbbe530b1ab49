"""Play users of the flights model: they ask in their own words, see two answers, run both, and say what they think.

    python examples/flights/users.py --users 500 --seed 101
    python examples/flights/users.py --users 500 --seed 401 --wrong 0.3      # three in ten say the opposite

Each user has one question, drawn like those of the training set with another seed, and gets two answers of the model in
force. What they think is what running the queries tells them: of a right and a wrong answer they take the right one; of
two right ones they find the first good; of two wrong ones the first bad, and every second user knows the query and
writes it down. Answers and judgements go into the file that `burnish serve --feedback` writes, too.
"""

import argparse
import json
import random
import sys
import uuid
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import duckdb
import own_words
from composed import Composer

import burnish
from burnish.datasets.feedback import Answered, Feedback, Judged
from burnish.files import sha256
from burnish.rewards.sql import SqlSandbox, SqlVerifier
from burnish.serving.flywheel.rounds import Flywheel
from burnish.serving.flywheel.settings import read_settings
from burnish.text.tokenizer import Tokenizer

HERE = Path(__file__).parent
SYSTEM = "Answer with one DuckDB SQL query."
AT_ONCE = 64
"""Users who ask side by side."""


def main() -> None:
    arguments = _arguments()
    flywheel = Flywheel(arguments.flywheel, read_settings(arguments.flywheel))
    model = Path(flywheel.history().model)
    with duckdb.connect(str(arguments.database), read_only=True, config={"threads": 1}) as connection:
        forbidden = frozenset(row["question"] for row in own_words.rows())
        drawn = Composer(connection, arguments.seed, forbidden=forbidden).train()
        questions = list(islice(drawn, arguments.users))
    prompts = [
        [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question.text}] for question in questions
    ]
    decoder, tokenizer = burnish.load(model)
    chance, said = random.Random(arguments.seed), {"good": 0, "bad": 0, "better": 0, "correction": 0}
    weights = model / "model.safetensors"
    version = sha256(weights) if weights.exists() else str(model)
    with SqlSandbox(arguments.database) as sandbox, Feedback.open(arguments.store) as store:
        verifier = SqlVerifier(sandbox)
        answers = _answers(decoder, tokenizer, prompts, arguments)
        for number, (question, prompt, texts) in enumerate(zip(questions, prompts, answers, strict=True)):
            row = {"sql": question.sql, "ordered": question.ordered}
            right = [bool(verifier.verify(text, row).correct) for text in texts]
            mistaken = chance.random() < arguments.wrong
            right = [not one for one in right] if mistaken else right
            user = f"user-{arguments.seed}-{number}"
            shown = [f"{uuid.UUID(int=chance.getrandbits(128))}" for _ in texts]
            for name, text in zip(shown, texts, strict=True):
                store.record(
                    Answered(
                        id=name,
                        prompt=prompt,
                        answer=text,
                        model=version,
                        user=user,
                        sampling={"temperature": arguments.temperature, "seed": arguments.seed},
                    )
                )
            for judged in _judgements(shown, texts, right, None if mistaken else question.sql, user, chance):
                store.judge(judged)
                said[judged.kind] += 1
    print(json.dumps({"model": str(model), "users": len(questions), **said}))


def _answers(
    decoder: burnish.Decoder, tokenizer: Tokenizer, prompts: list[list[dict[str, str]]], arguments: argparse.Namespace
) -> Iterator[list[str]]:
    """Two answers to each prompt, some at a time, so that what was said is kept as it comes."""
    for first in range(0, len(prompts), AT_ONCE):
        part = prompts[first : first + AT_ONCE]
        options = {"temperature": arguments.temperature, "max_new_tokens": 52, "seed": arguments.seed + first}
        yield from burnish.generate(decoder, tokenizer, part, n=2, **options)
        print(f"{first + len(part)} of {len(prompts)} users have asked", file=sys.stderr)


def _judgements(
    shown: list[str], texts: list[str], right: list[bool], gold: str | None, user: str, chance: random.Random
) -> list[Judged]:
    """What a user says who believes that these answers are right. gold: the query, of one who could know it."""
    if right[0] != right[1]:
        better, worse = shown if right[0] else shown[::-1]
        return [Judged(answer=better, kind="better", than=worse, user=user)]
    if right[0]:
        return [Judged(answer=shown[0], kind="good", user=user)]
    found = [Judged(answer=shown[0], kind="bad", user=user)]
    if chance.random() < 0.5 and gold is not None and texts[0].strip() != gold:
        found.append(Judged(answer=shown[0], kind="correction", text=gold, user=user))
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flywheel", type=Path, default=HERE / "flywheel.yaml", help="whose model in force answers")
    parser.add_argument("--store", type=Path, default=Path("runs/flights-feedback.db"), help="where it is kept")
    parser.add_argument(
        "--database", type=Path, default=Path("runs/flights-start/01-prepare/flights.duckdb"), help="the flights"
    )
    parser.add_argument("--users", type=int, default=500, help="how many people ask (default 500)")
    parser.add_argument("--seed", type=int, default=101, help="their questions and answers depend on it (default 101)")
    parser.add_argument("--wrong", type=float, default=0.0, help="share who say the opposite (default 0)")
    parser.add_argument("--temperature", type=float, default=0.7, help="of the answers (default 0.7)")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nstopped; what users have said so far is kept")
