"""The page of a preparation: what was read, what each step did, what is left. One file that needs nothing else.

Made from `preparation.json` alone, which has no text that a step took out for its secrecy: the page can be handed to
whoever has to agree to the use of the documents.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import DataError
from burnish.files import atomic_write_text
from burnish.report.template import page_environment

RECORD_FILE, PAGE_FILE = "preparation.json", "data_report.html"
TEMPLATE = "data_page.html.jinja"
_MAX_TEXT = 1_000
_MAX_ROWS = 12
"""Languages, sources and reasons that are named; rarer ones are counted together."""
_FEW_FILES = 5


@dataclass(frozen=True)
class Share:
    """A row of a table of counts: a name, how many before and after, and the larger one's share of the largest row."""

    name: str
    before: int | None
    after: int
    share: float


def write_data_page(folder: Path, title: str) -> Path:
    """Write `data_report.html` into the folder of a preparation, from its record; returns the file's path.

    Raises DataError where the record is missing or is not what `burnish data prepare` writes.
    """
    path = folder / RECORD_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        page = render(record, title)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: it is no record of a preparation ({error}); prepare the documents again") from error
    atomic_write_text(folder / PAGE_FILE, page)
    return folder / PAGE_FILE


def render(record: Mapping[str, Any], title: str) -> str:
    """The page's HTML. record: what `preparation.json` holds."""
    steps = record["steps"]
    per_token = record["characters_per_token"]
    most = max(one["documents_in"] for one in steps)
    environment = page_environment(_MAX_TEXT)
    environment.filters["tokens"] = lambda characters: about(characters / per_token)
    return environment.get_template(TEMPLATE).render(
        title=title,
        record=record,
        steps=[(one, one["documents_out"] / max(most, 1)) for one in steps],
        first=steps[0],
        last=steps[-1],
        per_token=per_token,
        languages=list(shares(record["kept"]["languages"])),
        lengths=list(_lengths(record["kept"]["lengths"])),
        sources=list(_sources(record["read"], record["kept"])),
        anonymized=[
            (name, count) for one in steps if one["step"] == "anonymize" for name, count in one["counts"].items()
        ],
        skipped=list(_skipped(record["skipped"])),
    )


def about(number: float) -> str:
    """Two significant digits: 1,234,567 -> "1.2 M"."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{float(f'{number / size:.2g}'):g} {unit}"
    return f"{float(f'{number:.2g}'):g}"


def shares(counts: Mapping[str, int], before: Mapping[str, int] | None = None) -> Iterator[Share]:
    """The largest counts, each as a share of the largest one; rarer ones together."""
    names = list(dict.fromkeys([*counts, *(before or {})]))
    largest = max([*counts.values(), *(before or {}).values()], default=1)

    def row(name: str, members: Sequence[str]) -> Share:
        after = sum(counts.get(member, 0) for member in members)
        earlier = None if before is None else sum(before.get(member, 0) for member in members)
        return Share(name, earlier, after, min(after / largest, 1.0))

    yield from (row(name, [name]) for name in names[:_MAX_ROWS])
    if rest := names[_MAX_ROWS:]:
        yield row(f"{len(rest)} others", rest)


def _lengths(counts: Mapping[str, int]) -> Iterator[Share]:
    """Every length between the shortest and the longest, also those that no document has."""
    powers = sorted(int(power).bit_length() - 1 for power in counts)
    largest = max(counts.values(), default=1)
    for power in range(powers[0], powers[-1] + 1) if powers else ():
        count = counts.get(str(1 << power), 0)
        yield Share(f"up to {1 << power:,}", None, count, count / largest)


def _sources(read: Mapping[str, Any], kept: Mapping[str, Any]) -> Iterator[tuple[Share, int, int]]:
    """Documents of each source, and its characters before and after."""
    for row in shares(kept["sources"], read["sources"]):
        yield row, read["characters"].get(row.name, 0), kept["characters"].get(row.name, 0)


def _skipped(files: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, int, Sequence[Mapping[str, str]]]]:
    """Each reason with how many files it concerns, and the first of them."""
    by_reason: dict[str, list[Mapping[str, str]]] = {}
    for file in files:
        by_reason.setdefault(file["reason"], []).append(file)
    for reason, found in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        yield reason, len(found), found[:_FEW_FILES]
