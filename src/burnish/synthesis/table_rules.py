"""Rules that read tables, recorded sessions and examples of code."""

import re
from collections.abc import Iterator
from itertools import pairwise

from burnish.synthesis.chunk import MAX_SHORT, DocumentChunk
from burnish.synthesis.names import looks, named
from burnish.synthesis.rows import Pair
from burnish.synthesis.sentences import sentences

_MAX_TABLE_ROWS = 300
_MAX_SESSION_LINES = 8


def table(at: DocumentChunk, max_answer: int) -> Iterator[Pair]:
    for block in at.section.blocks:
        if block.kind != "table" or not 2 < len(block.rows) <= _MAX_TABLE_ROWS:
            continue
        header, *body = block.rows
        keys = [row[0] for row in body if row]
        if len(set(keys)) < len(keys) or not all(keys) or not 2 <= len(header) <= 12:
            continue
        for column in range(1, len(header)):
            if not header[column]:
                continue
            for row in body:
                if column < len(row) and row[column] and len(row[column]) <= max_answer:
                    yield at.pair(
                        "table",
                        (
                            "{where}: what is the “{column}” of {key}?",
                            "In the table of {where}, what does the column “{column}” have for {key}?",
                        ),
                        row[column],
                        "short_answer" if len(row[column]) <= MAX_SHORT else "question_answering",
                        short=True,
                        alike=f"cell {looks(row[column])}",
                        near=f"{at.document} {at.of} {column} {block.rows[0]}",
                        restated=(
                            "{where}: {key} has {answer} as its “{column}”.",
                            "The “{column}” of {key} is {answer} ({where}).",
                            "{answer} is the “{column}” of {key}, says {where}.",
                        ),
                        column=header[column],
                        key=f"{header[0]} {row[0]}" if header[0] else row[0],
                    )


def session(at: DocumentChunk, max_answer: int) -> Iterator[Pair]:
    for block in at.section.blocks:
        if block.kind != "code" or ">>> " not in block.text:
            continue
        lines = block.text.split("\n")
        for number, line in enumerate(lines[:-1]):
            said, following = lines[number + 1], lines[number + 2] if number + 2 < len(lines) else ""
            one_line = not said.startswith((">>>", "...")) and (not following.strip() or following.startswith(">>>"))
            if not line.startswith(">>> ") or not one_line or not said.strip() or len(said) > MAX_SHORT:
                continue
            if re.search(r"0x[0-9A-F]{4}|Traceback|\.\.\.", said) or number > _MAX_SESSION_LINES:
                continue
            yield at.pair(
                "session",
                (
                    "{title}. What does the last line give?\n\n```\n{code}\n```",
                    "```\n{code}\n```\n\nWhich value is shown after the last line? ({title})",
                ),
                f"`{said.strip()}`",
                "code",
                short=True,
                alike=f"value {looks(said.strip())}",
                near=f"value {looks(said.strip())} {at.document}",
                restated=(
                    "{title}:\n\n```\n{code}\n{shown}\n```",
                    "The last of these lines gives {answer} ({title}):\n\n```\n{code}\n```",
                ),
                code="\n".join(lines[: number + 1]),
                shown=said.strip(),
            )


def example(at: DocumentChunk, max_answer: int) -> Iterator[Pair]:
    for before, block in pairwise(at.section.blocks):
        if block.kind != "code" or not 20 < len(block.text) <= 3 * max_answer or before.kind == "code":
            continue
        lead = sentences(before.text)[-1:]
        if not lead or not lead[0].endswith(":") or not 4 < len(lead[0].split()) < 50:
            continue
        what = named(before.term) if before.kind == "definition" else None
        yield at.pair(
            "example",
            ("{about}: show the example for this: “{lead}”", "Give the code of {about} for: “{lead}”"),
            f"```{block.language}\n{block.text}\n```",
            "code",
            about=at.where if what is None else what.shown,
            lead=lead[0].removesuffix(":"),
        )
