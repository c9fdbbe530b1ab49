"""Writes what recipes/r1 reads beside the models of recipes/r1-zero: prompts, tasks, preferences, small talk.

    python prepare.py --out FOLDER

few_shot.jsonl, reflective.jsonl, plain.jsonl: tasks for the three sources of long thoughts, the first with two examples
before the question.
reasoning.jsonl, all.jsonl: tasks of reinforcement learning, the latter with small talk; heldout.jsonl and
talk_heldout.jsonl: those to measure on.
preferences.jsonl: the helpful answer of small talk against the curt one. talk.jsonl: helpful answers to imitate;
talk_tasks.jsonl: the requests alone, of which no answer is given.

With `--questions FILE` tasks are of your own instead of additions, such as GSM8K's (`--prompt question`): its last rows
are held out, the others drawn from, each with all its keys, and with `kind: reasoning`. Examples before a question are
of rows whose `answer` ends in `#### N`.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "r1-zero"))
from additions import LONGEST, Addition, Thinking, drawn, tagged, thought
from talk import PROMPTS, answered

ENGLISH_ONLY = Thinking(chinese=0.0, mixed=0.0, checked=0.0, slips=0.0)
SOLUTION = "####"
"""What GSM8K has between a solution and its number."""
Tasks = Callable[..., list[dict[str, Any]]]
"""So many tasks, held-out ones if `heldout`."""
Example = Callable[[dict[str, Any]], tuple[str, str] | None]
"""A question for a row to stand behind, with its thought; None where there is none."""
HELDOUT_TALK = 5
"""One request of so many is only for measuring."""


def main() -> None:
    arguments = _arguments()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    draw = random.Random(arguments.seed)

    tasks, example = _own(arguments, draw) if arguments.questions else _additions(arguments, draw)

    _write(out / "few_shot.jsonl", [_with_examples(row, example) for row in tasks(arguments.few_shot)])
    _write(out / "reflective.jsonl", tasks(arguments.reflective))
    _write(out / "plain.jsonl", tasks(arguments.plain))
    reasoning = tasks(arguments.tasks)
    talk = [{"prompt": prompt, "kind": "talk"} for number, prompt in enumerate(PROMPTS) if number % HELDOUT_TALK]
    _write(out / "reasoning.jsonl", reasoning)
    _write(out / "more_reasoning.jsonl", tasks(arguments.further))
    _write(out / "all.jsonl", _alternating(tasks(arguments.tasks), talk, draw))
    _write(out / "heldout.jsonl", tasks(arguments.heldout, heldout=True))
    _write(out / "talk_heldout.jsonl", [{"prompt": p, "kind": "talk"} for p in PROMPTS[::HELDOUT_TALK]])
    _write(out / "talk_tasks.jsonl", talk)
    pairs = [_pair(row["prompt"], draw) for row in talk for _ in range(4)]
    _write(out / "preferences.jsonl", pairs)
    _write(out / "talk.jsonl", [{"prompt": pair["prompt"], "completion": pair["chosen"]} for pair in pairs[::4]])
    thoughts = arguments.few_shot + arguments.reflective + arguments.plain
    print(f"{thoughts} prompts for thoughts, {arguments.tasks} tasks of each RL, {len(pairs)} preferences")


def _additions(arguments: argparse.Namespace, draw: random.Random) -> tuple[Tasks, Example]:
    """Tasks that are drawn, and an example as long as a row's problem."""
    digits = arguments.digits

    def tasks(count: int, *, heldout: bool = False) -> list[dict[str, Any]]:
        return [_task(drawn(draw, digits[number % len(digits)], heldout=heldout)) for number in range(count)]

    def example(row: dict[str, Any]) -> tuple[str, str] | None:
        problem = drawn(draw, row["digits"], heldout=False)
        return problem.question, thought(problem, draw, ENGLISH_ONLY)

    return tasks, example


def _own(arguments: argparse.Namespace, draw: random.Random) -> tuple[Tasks, Example]:
    """Tasks of a file of one's own, and an example that has a solution written out."""
    lines = arguments.questions.read_text(encoding="utf-8").splitlines()
    rows = [
        {**(row := json.loads(line)), "prompt": row[arguments.prompt], "kind": "reasoning"} for line in lines if line
    ]
    if len(rows) < arguments.heldout + 2:
        raise SystemExit(f"{arguments.questions}: {len(rows)} rows; {arguments.heldout} are held out, and more needed")
    held, others = rows[len(rows) - arguments.heldout :], rows[: len(rows) - arguments.heldout]
    solved = [row for row in others if SOLUTION in str(row.get("answer"))]

    def tasks(count: int, *, heldout: bool = False) -> list[dict[str, Any]]:
        return held[:count] if heldout else draw.sample(others, min(count, len(others)))

    def example(row: dict[str, Any]) -> tuple[str, str] | None:
        chosen = draw.choice([one for one in solved if one is not row] or [None])
        if chosen is None:
            return None
        written, _, answer = chosen["answer"].rpartition(SOLUTION)
        return chosen["prompt"], tagged(written.strip(), answer.strip())

    return tasks, example


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    for name, count, what in (
        ("few-shot", 200, "questions behind two examples"),
        ("reflective", 100, "questions of whose many answers those that check are kept"),
        ("plain", 800, "questions to R1-Zero"),
        ("tasks", 400, "tasks of each reinforcement"),
        ("further", 1200, "tasks of rejection sampling, and of the teacher"),
    ):
        parser.add_argument(f"--{name}", type=int, default=count, help=f"{what} (default {count})")
    parser.add_argument("--heldout", type=int, default=40, help="problems to measure on (default 40)")
    parser.add_argument("--questions", type=Path, help="JSONL of tasks of your own, instead of additions")
    parser.add_argument("--prompt", default="prompt", help="key of their question (default prompt)")
    parser.add_argument("--digits", type=int, nargs="+", default=[2, 3], help="digits, in turn (default 2 3)")
    parser.add_argument("--seed", type=int, default=1, help="where all draws start (default 1)")
    arguments = parser.parse_args()
    if not 1 <= max(arguments.digits) <= LONGEST:
        parser.error(f"--digits go up to {LONGEST}, for which there are words")
    return arguments


def _task(problem: Addition) -> dict[str, Any]:
    return {
        "prompt": problem.question, "answer": problem.answer, "digits": problem.digits, "kind": "reasoning",
    }  # fmt: skip


def _with_examples(row: dict[str, Any], example: Example) -> dict[str, Any]:
    """The task behind two others, each with a long thought in English; alone where there are none."""
    messages = []
    for question, answer in filter(None, (example(row), example(row))):
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return row | {"prompt": [*messages, {"role": "user", "content": row["prompt"]}]}


def _alternating(
    reasoning: Sequence[dict[str, Any]], talk: Sequence[dict[str, Any]], draw: random.Random
) -> list[dict[str, Any]]:
    """Two tasks of reasoning for each of small talk."""
    requests = [draw.choice(talk) for _ in range(len(reasoning) // 2)]
    return [*reasoning, *requests]


def _pair(prompt: str, draw: random.Random) -> dict[str, str]:
    chosen, rejected = (answered(prompt, draw, helpful=helpful) for helpful in (True, False))
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    main()
