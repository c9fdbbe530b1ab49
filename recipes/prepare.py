"""A file of preferences to what the alignment recipes read: answers to imitate, pairs, prompts, and held-out pairs.

    python prepare.py --out FOLDER PAIRS

PAIRS is a JSON, JSONL or Parquet file with a prompt, a chosen and a rejected answer in each row, in any format that
docs/data-files.md lists: triples, ShareGPT pairs, Anthropic's HH dialogues. The same file gives the same bytes.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from burnish.datasets.rows import Preference, read_preferences
from burnish.errors import BurnishError


def main() -> None:
    arguments, parser = _arguments()
    if arguments.pairs is None:
        parser.error("name your file of preferences: burnish run RECIPE --set 'prepare.arguments=[PAIRS]'")
    try:
        rows = read_preferences(arguments.pairs)
    except BurnishError as error:
        parser.exit(1, f"{error}\n")
    if len(rows) <= arguments.heldout:
        parser.exit(1, f"{arguments.pairs}: {len(rows)} rows, of which --heldout {arguments.heldout} leaves none\n")
    training, heldout = rows[: len(rows) - arguments.heldout], rows[len(rows) - arguments.heldout :]
    used = [row for row in training if row.fault is None and _characters(row) <= arguments.longest_prompt]
    if not used:
        parser.exit(
            1, f"{arguments.pairs}: no prompt has at most --longest-prompt {arguments.longest_prompt} characters\n"
        )
    kept = [row for row in heldout if row.fault is None]
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "sft.jsonl", ({**_asked(row), "completion": row.chosen} for row in used))
    _write(out / "pairs.jsonl", map(_pair, used))
    _write(out / "heldout.jsonl", map(_pair, kept))
    _write(out / "prompts.jsonl", map(_asked, used))
    unusable = len(rows) - sum(row.fault is None for row in rows)
    print(
        f"{len(used)} of {len(training)} rows for training, without prompts of over {arguments.longest_prompt} "
        f"characters; {len(kept)} of the last {len(heldout)} held out; {unusable} with equal or empty answers -> {out}"
    )


def _arguments() -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", metavar="PAIRS", nargs="?", help="file of preferences; relative to where you are")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--heldout", type=int, default=50, help="last rows to measure on (default 50)")
    parser.add_argument(
        "--longest-prompt", type=int, default=1200, help="characters of the longest prompt to train on (default 1200)"
    )
    return parser.parse_args(), parser


def _characters(row: Preference) -> int:
    return sum(len(message["content"]) for message in row.prompt)


def _asked(row: Preference) -> dict[str, Any]:
    """The prompt as messages, with the tools that it offers."""
    return {"prompt": row.prompt} | ({"tools": row.tools} if row.tools else {})


def _pair(row: Preference) -> dict[str, Any]:
    return {**_asked(row), "chosen": row.chosen, "rejected": row.rejected}


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    main()
