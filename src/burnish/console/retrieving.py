"""`burnish index` and `burnish search`: an index made and looked into."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from burnish.console.display import Display
from burnish.corpus.folders import describe
from burnish.errors import BurnishError
from burnish.retrieval import Changes, Hit, Index, IndexSettings
from burnish.terminal import duration, printable

SHOWN_CHARACTERS = 400
"""Of a passage; `--json` shows all of it."""


def make_index(
    documents: Sequence[Path],
    folder: Path,
    *,
    size: int | None = None,
    overlap: int | None = None,
    language: str | None = None,
) -> Index:
    """Make an index, and say what is in it and what is not."""
    display = Display()
    began = time.monotonic()
    try:
        settings = IndexSettings().changed(size=size, overlap=overlap, language=language)
    except ValidationError as error:
        raise BurnishError("; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())) from None
    index, changes = Index.build(documents, folder, settings, display=display)
    _say(display, folder, changes, time.monotonic() - began)
    return index


def _say(display: Display, folder: Path, changes: Changes, seconds: float) -> None:
    if changes.skipped:
        display.say(f"not indexed:\n{describe(changes.skipped)}", style="dim")
    display.say(
        f"{folder}: {changes.passages:,} passages of {changes.added + changes.kept:,} documents in {duration(seconds)}"
    )


def show_hits(folder: Path, queries: Iterable[str], console: Console, *, k: int, as_json: bool = False) -> None:
    """Search an index for each question, and show what is found."""
    index = Index.open(folder)
    for query in queries:
        hits = index.search(query, k=k)
        if as_json:
            for hit in hits:
                print(json.dumps({"query": query, **asdict(hit)}))
            continue
        console.print(Text(printable(query), style="bold"))
        if not hits:
            console.print("  nothing in the index has a word of it", style="yellow")
        for number, hit in enumerate(hits, start=1):
            console.print(citation(number, hit), soft_wrap=True)
            console.print(Text(_shown(hit.text), style="dim"), soft_wrap=True)


def citation(number: int, hit: Hit) -> Text:
    """A passage's number and place, and how well it matches."""
    return Text.assemble((f"[{number}] ", "cyan"), printable(hit.place), (f"  {hit.score:.3g}", "dim"))


def _shown(text: str) -> str:
    flat = " ".join(text.split())
    shown = flat if len(flat) <= SHOWN_CHARACTERS else f"{flat[: SHOWN_CHARACTERS - 1]}…"
    return f"    {printable(shown)}"
