"""`burnish data agreement`: do annotators or judges agree, and does each agree with itself."""

from itertools import combinations
from pathlib import Path

from rich.table import Table

from burnish.console.display import Display
from burnish.datasets.annotations import Annotations, read_annotations, together
from burnish.errors import DataError
from burnish.evaluation.agreement import agreement

SHOWN = 3


def compare(files: list[Path], key: str | None) -> None:
    """Print Cohen's kappa of each two files, and what is twice or contradicts itself in each."""
    display = Display()
    read = [read_annotations(file, key=key) for file in files]
    for one in read:
        display.say(f"{one.file}: {one.rows:,} rows, {len(one.labels):,} items")
        _list(display, one, "twice", one.duplicates)
        _list(display, one, "with several labels", one.contradictions)
    if len(read) < 2:
        return
    table = Table("annotators", title="Cohen's kappa")
    for name in ("items", "agree", "by chance", "kappa", "95 %"):
        table.add_column(name, justify="right")
    for first, second in combinations(read, 2):
        items, (mine, theirs) = together([first, second])
        if not items:
            raise DataError(
                f"{first.file} and {second.file} have no item in common: the same prompt and answers, or the same row "
                "without its label; name the label's key with --key"
            )
        found = agreement(mine, theirs)
        shown = "–" if found.kappa is None else f"{found.kappa:.2f}"
        interval = "–" if found.low is None else f"{found.low:.2f} to {found.high:.2f}"
        names = f"{first.file.stem}, {second.file.stem}"
        table.add_row(names, f"{found.items:,}", f"{found.observed:.0%}", f"{found.expected:.0%}", shown, interval)
    display.show(table)


def _list(display: Display, one: Annotations, what: str, items: list[str]) -> None:
    if items:
        shown = "; ".join(one.lines(item) for item in items[:SHOWN]) + ("; …" if len(items) > SHOWN else "")
        display.say(f"  {len(items):,} items are there {what}: {shown}")
