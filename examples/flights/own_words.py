"""The test questions that people wrote in their own words: `own_words.jsonl`, a `question` and its `sql` a line.

No generator made them, nothing is trained or tuned on them. They were written before the composed questions were
built; where words leave it open what is meant, the answer follows the conventions in README.md.
"""

import json
from pathlib import Path

FILE = Path(__file__).parent / "own_words.jsonl"


def rows() -> list[dict[str, str]]:
    """The questions with their gold SQL, in the order of the file."""
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def task(row: dict[str, str], system: str) -> dict[str, object]:
    """The row of the test file."""
    return {
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": row["question"]},
            {"role": "assistant", "content": row["sql"]},
        ],
        "sql": row["sql"],
        "ordered": False,
        "split": "own_words",
    }
