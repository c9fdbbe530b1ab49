"""Long thoughts of several sources, cleaned and written in the format of the cold start.

    python cold_start.py --out FOLDER SOURCE.jsonl ...

A source has conversations whose last turn thinks in `<think>` and answers in `<answer>`, all of them right already.
Kept is the question without the examples before it, and

    <|reasoning|> the thought <|summary|> 543

Left out, and counted by reason: thoughts with letters of other scripts, with slips that a reader stumbles over, longer
than `--longest` words, and what is there already.
"""

import argparse
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

BLOCKS = re.compile(r"\s*<think>(.+?)</think>\s*<answer>\s*(.+?)\s*</answer>\s*", re.DOTALL)
ASKED_TO_CHECK = " and check"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--longest", type=int, default=80, help="words of the longest thought (default 80)")
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help="JSONL with `messages`")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    with (arguments.out / "cold_start.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for source in arguments.sources:
            counts: Counter[str] = Counter()
            for question, answer in _conversations(source):
                reason, row = cleaned(question, answer, arguments.longest)
                line = json.dumps(row, ensure_ascii=False)
                reason = "twice there" if not reason and line in seen else reason
                counts[reason or "kept"] += 1
                if not reason:
                    seen.add(line)
                    file.write(line + "\n")
            found = ", ".join(f"{count} {reason}" for reason, count in counts.most_common()) or "empty"
            print(f"{source.parent.name}: {found}")
    if not seen:
        parser.exit(1, "no thought is left: nothing to start from; sample more answers, or from a better model\n")


def _conversations(source: Path) -> Iterator[tuple[str, str]]:
    """The last question of each line, and the answer to it."""
    for line in source.read_text(encoding="utf-8").splitlines():
        *_, question, answer = json.loads(line)["messages"]
        yield question["content"], answer["content"]


def cleaned(question: str, answer: str, longest: int) -> tuple[str, dict[str, str]]:
    """Why an answer is left out, empty where it is not; and the row that it becomes."""
    found = BLOCKS.fullmatch(answer)
    if found is None:
        return "without the tags", {}
    thought = found[1].strip()
    if any(letter.isalpha() and not unicodedata.name(letter).startswith("LATIN") for letter in thought):
        return "in another language", {}
    if " wait " in f" {thought} ":
        return "with slips", {}
    if len(thought.split()) > longest:
        return "too long", {}
    return "", {
        "prompt": question.removesuffix(ASKED_TO_CHECK),
        "completion": f"<|reasoning|> {thought} <|summary|> {found[2]}",
    }


if __name__ == "__main__":
    main()
