"""The files of a folder that are documents, and for every other one the reason why it is not read.

Notable choices:
- every file of a folder is either yielded or told with a reason: nothing is passed over in silence;
- a hidden folder, such as `.git`, is told as one, not file by file;
- links to files are followed, links to folders are not: they can lead round in circles, or out of the folder.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
TEXT_SUFFIXES = (".txt", ".md", ".markdown", ".rst", ".text")
MARKUP_SUFFIXES = (".adoc", ".org", ".tex")
CODE_SUFFIXES = (
    *MARKUP_SUFFIXES,
    *(".py", ".pyi", ".js", ".jsx", ".ts", ".tsx", ".vue", ".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".cs"),
    *(".java", ".kt", ".scala", ".go", ".rs", ".rb", ".php", ".pl", ".pm", ".lua", ".r", ".jl", ".swift", ".m", ".hs"),
    *(".ml", ".clj", ".ex", ".exs", ".erl", ".sh", ".bash", ".ps1", ".sql", ".proto", ".f90", ".cmake"),
)
"""Source code and marked-up text, which are text as they are."""
TABLE = "table"
PARSED_SUFFIXES = {
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    ".pdf": "pdf",
    ".docx": "docx",
    ".epub": "epub",
    ".ipynb": "notebook",
    ".eml": "mail",
    ".mbox": "mbox",
    ".csv": TABLE,
    ".tsv": TABLE,
    ".warc": "warc",
}
"""What is read by `burnish.corpus.readers`, and as what."""
ROW_SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet")

TO_TEXT = "convert it to Markdown or text first (for example `pandoc -t plain`)"
UNPACK = "unpack it first"
NOT_READ = {
    **dict.fromkeys((".odt", ".rtf"), TO_TEXT),
    ".doc": "save it as .docx",
    **dict.fromkeys((".pptx", ".ppt"), "export its text first"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "convert it to JSON lines with a `text` key"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".rar", ".tbz2", ".txz"), UNPACK),
}
"""What to do about files that are often met among documents and are not read."""
READ_SUFFIXES = (*TEXT_SUFFIXES, *CODE_SUFFIXES, *PARSED_SUFFIXES, *ROW_SUFFIXES)

EXAMPLES = 3
"""Files that are named for each reason in a summary."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file of a folder that is not read. kind: what is counted together. advice: what to do about it, or nothing."""

    path: Path
    name: str
    kind: str
    advice: str = ""


def walk(folder: Path) -> Iterator[tuple[Path, str] | Skipped]:
    """Every file below a folder in a fixed order, with its name relative to it; or why it is not read."""
    pending = _entries(folder, "")
    while pending:
        entry, name = pending.pop()
        path = Path(entry.path)
        if isinstance(entry, _Unreadable):
            yield Skipped(path, name, f"unreadable folder ({entry.why})")
        elif not _is_folder(entry):
            why = _why_not(entry, path)
            yield (path, name) if why is None else Skipped(path, name, *why)
        elif entry.name.startswith("."):
            yield Skipped(path, name + "/", "hidden folder")
        elif entry.is_symlink():
            yield Skipped(path, name + "/", "link to a folder", "name the folder itself")
        else:
            pending += _entries(path, name + "/")


def suffix_of(file: Path) -> str:
    """Return the suffix that tells the kind of a file: that before `.gz` and the like, in small letters."""
    return Path(file.stem).suffix.lower() if file.suffix.lower() in PACKED_SUFFIXES else file.suffix.lower()


def counts(skipped: Sequence[Skipped]) -> dict[str, int]:
    """How many files were skipped for each reason, the most frequent first."""
    return dict(Counter(one.kind for one in skipped).most_common())


def describe(skipped: Sequence[Skipped]) -> str:
    """One line a reason: how many files, the first of them by name, and what to do about them."""
    lines = []
    for kind, count in counts(skipped).items():
        of_kind = [one for one in skipped if one.kind == kind]
        names = ", ".join(shown_name(one.name) for one in of_kind[:EXAMPLES]) + (", …" if count > EXAMPLES else "")
        lines.append(f"{count:,} {kind}: {names}" + (f"; {of_kind[0].advice}" if of_kind[0].advice else ""))
    return "\n".join(lines)


def rows(skipped: Sequence[Skipped]) -> list[dict[str, str]]:
    """All of them, as values that JSON can hold."""
    return [
        {"file": shown_name(one.name), "path": shown_name(str(one.path)), "reason": one.kind, "advice": one.advice}
        for one in skipped
    ]


def shown_name(name: str) -> str:
    """A file's name as text: bytes that are not UTF-8 become their escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class _Unreadable:
    path: str
    why: str


def _entries(folder: Path, prefix: str) -> "list[tuple[os.DirEntry[str] | _Unreadable, str]]":
    """What a folder holds, the last name first, each with its name below the folder that is walked."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name, reverse=True)
    except OSError as error:
        return [(_Unreadable(str(folder), error.strerror or str(error)), prefix or ".")]
    return [(entry, prefix + entry.name) for entry in entries]


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a folder or a link to one; a link that leads nowhere is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _why_not(entry: "os.DirEntry[str]", path: Path) -> tuple[str, ...] | None:
    """Reason and advice for a file that is not opened; None for one that is."""
    if entry.name.startswith("."):
        return ("hidden file",)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return ("broken link",) if entry.is_symlink() else ("file that has vanished",)
    except OSError as error:
        loop = "link that leads round in a circle"
        return (loop if entry.is_symlink() else f"unreadable file ({error.strerror})",)
    if not stat.S_ISREG(mode):
        return ("special file (pipe, socket or device)",)
    suffix = suffix_of(path)
    if suffix == ".json":
        return (".json file", "in a folder they are mostly settings; name the file itself to read it")
    if suffix in READ_SUFFIXES:
        return None
    if suffix in NOT_READ:
        return f"{suffix} file", NOT_READ[suffix]
    return (f"{suffix} file" if suffix else "file without a suffix",)
