"""Writes what recipes/r1-zero reads: texts for pre-training, tasks to learn from, and held-out tasks.

    python prepare.py --out FOLDER

texts.jsonl: questions with answers, `--whole` of them several in the paper's template; most additions are answered at
once, `--thinking` of them after a thought in the paper's tags, and `--talk` of all are small talk.
tasks.jsonl, heldout.jsonl: {"prompt", "answer", "digits"}; no problem is in two of the three files' sides.
"""

import argparse
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from additions import CHECK, LONGEST, Addition, Thinking, drawn, thought
from jinja2.sandbox import ImmutableSandboxedEnvironment
from talk import PROMPTS, answered

TURNS = 3
"""Questions with answers behind the template's introduction."""
ASKED_TO_CHECK = 0.1
"""Share of the thoughts that were asked to check each column."""
END_OF_TURN = "<|im_end|>"
"""Which the template writes behind an answer, and a base model has not read."""


def main() -> None:
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    template = ImmutableSandboxedEnvironment().from_string(
        (Path(__file__).parent / "template.jinja").read_text(encoding="utf-8")
    )
    draw = random.Random(arguments.seed)

    def text() -> str:
        whole = draw.random() < arguments.whole
        messages = [message for _ in range(TURNS if whole else 1) for message in _turn(draw, arguments)]
        written = template.render(messages=messages).replace(END_OF_TURN, "")
        return written if whole else written[written.rindex("User: ") :]

    texts = [{"text": text()} for _ in range(arguments.texts)]
    _write(arguments.out / "texts.jsonl", texts)
    for name, count, heldout in (("tasks", arguments.tasks, False), ("heldout", arguments.heldout, True)):
        digits = arguments.digits
        problems = [drawn(draw, digits[number % len(digits)], heldout=heldout) for number in range(count)]
        _write(arguments.out / f"{name}.jsonl", map(_task, problems))
    print(
        f"{arguments.texts} texts with additions of {' and '.join(map(str, arguments.digits))} digits, "
        f"{arguments.thinking:.0%} of them thought through; {arguments.tasks} tasks and {arguments.heldout} held out"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--texts", type=int, default=45000, help="texts for pre-training (default 45000)")
    parser.add_argument("--whole", type=float, default=0.03, help="share that the template introduces (default 0.03)")
    parser.add_argument("--thinking", type=float, default=0.4, help="share of additions thought through (default 0.4)")
    parser.add_argument("--talk", type=float, default=0.05, help="share of texts that are small talk (default 0.05)")
    parser.add_argument("--tasks", type=int, default=4000, help="problems to learn from (default 4000)")
    parser.add_argument("--heldout", type=int, default=40, help="problems to measure on (default 40)")
    parser.add_argument("--digits", type=int, nargs="+", default=[2, 3], help="digits of all problems (default 2 3)")
    parser.add_argument("--seed", type=int, default=0, help="where all draws start (default 0)")
    arguments = parser.parse_args()
    if not all(1 <= digits <= LONGEST for digits in arguments.digits):
        parser.error(f"--digits {arguments.digits}: expected 1 to {LONGEST}, for which there are words")
    return arguments


def _turn(draw: random.Random, arguments: argparse.Namespace) -> list[dict[str, str]]:
    """A question with an answer."""
    if draw.random() < arguments.talk:
        prompt = draw.choice(PROMPTS)
        return _messages(prompt, answered(prompt, draw, helpful=draw.random() < 0.5))
    problem = drawn(draw, draw.choice(arguments.digits), heldout=False)
    if draw.random() >= arguments.thinking:
        return _messages(problem.question, str(problem.answer))
    asks = draw.random() < ASKED_TO_CHECK
    said = thought(problem, draw, Thinking(), checked=True if asks else None)
    return _messages(problem.question + CHECK * asks, said)


def _messages(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _task(problem: Addition) -> dict[str, Any]:
    return {"prompt": problem.question, "answer": problem.answer, "digits": problem.digits}


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    main()
