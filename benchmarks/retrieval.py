"""Retrieval on a real manual: `python -m benchmarks.retrieval`, into `runs/bench/retrieval.json`.

The manual is Python's, as Debian's `python3.11-doc` has it in reStructuredText. Its FAQ has questions that people
wrote, each with its answer: here every question is taken out of the FAQ, and its answer is to be found again among all
passages of FAQ, tutorial, how-tos, language and library reference.

- found: the answer, whose passages the FAQ itself marks as such;
- linked: what the answer relies on: the library reference of a function, class or module that the answer names. A
  question seldom has a word of it: two steps lead there.

Recall at 10 is the share of questions of which one such passage is among the first ten. Searches are timed one by one
on one thread, the questions' embedding included.
"""

import json
import random
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from burnish.console.display import Display
from burnish.corpus.embeddings import DEFAULT_ENCODER
from burnish.files import atomic_write_text
from burnish.hardware import device_name
from burnish.retrieval import Index, IndexSettings, Ranking

MANUAL = Path("/usr/share/doc/python3.11/html/_sources")
PARTS = ("faq", "tutorial", "howto", "reference", "library")
K = 10
SEED = 0
RESAMPLES = 2000

_QUESTION = re.compile(r"^(?P<title>.*\?)[ ]*\n(?P<line>([=\-~^])\3+)[ ]*$", re.MULTILINE)
_ROLE = re.compile(r":(?:func|class|meth|mod|exc|data):`[~!]?(?:[^`<]*<)?([\w.]+)(?:\(\))?>?`")
_MODULE = re.compile(r"^\.\. (?:module|currentmodule):: ([\w.]+)", re.MULTILINE)
_DOCUMENTED = re.compile(r"^ *\.\. (?:function|class|exception|data|method|module|decorator):: +([\w.]+)", re.MULTILINE)


@dataclass(frozen=True)
class Question:
    """A question of the FAQ. place: document and heading of its answer. names: what the answer names."""

    text: str
    document: str
    heading: str
    names: frozenset[str]


def without_questions(manual: Path, folder: Path, parts: Sequence[str] = PARTS) -> list[Question]:
    """Copy parts of the manual into `folder`, every question of its FAQ replaced by a number; returns the questions."""
    questions: list[Question] = []
    for part in dict.fromkeys(("faq", *parts)):
        shutil.copytree(manual / part, folder / part)
    for file in sorted((folder / "faq").glob("*.txt")):
        text = file.read_text(encoding="utf-8")
        found = list(_QUESTION.finditer(text))
        for number, match in reversed(list(enumerate(found, start=1))):
            heading = f"Question {number}"
            end = found[number].start() if number < len(found) else len(text)
            names = frozenset(_ROLE.findall(text[match.end() : end]))
            title = re.sub(r"[`*]|:\w+:", "", match["title"]).strip()
            questions.append(Question(title, f"{file.parent.name}/{file.name}", heading, names))
            text = f"{text[: match.start()]}{heading}\n{match[3] * len(heading)}{text[match.end() :]}"
        file.write_text(text, encoding="utf-8")
    return questions


def documented(index: Index, manual: Path) -> dict[str, set[int]]:
    """The passages of the library reference that document a name, by the name with its module."""
    places: dict[str, set[int]] = {}
    for number, document in enumerate(index.documents):
        if not document.source.startswith("library/"):
            continue
        module = _MODULE.search((manual / document.source).read_text(encoding="utf-8"))
        for passage in index.passages_of(number):
            for name in _DOCUMENTED.findall(index.passage(passage).text):
                inside = module is None or name == module[1] or name.startswith(f"{module[1]}.")
                places.setdefault(name if inside or module is None else f"{module[1]}.{name}", set()).add(passage)
    return places


def answers_of(question: Question, index: Index) -> set[int]:
    """The passages of a question's answer."""
    (number,) = (i for i, document in enumerate(index.documents) if document.source == question.document)
    return {
        passage
        for passage in index.passages_of(number)
        if index.passage(passage).heading.split(" > ")[-1] == question.heading
    }


def measured(index: Index, questions: list[Question], linked: list[set[int]], ranking: Ranking) -> dict[str, Any]:
    """Recall at 10 of a ranking, and how fast it is."""
    index.search("warm up", ranking=ranking)
    seconds, hits = [], []
    for question in questions:
        began = time.perf_counter()
        found = index.search(question.text, k=K, ranking=ranking)
        seconds.append(time.perf_counter() - began)
        hits.append({hit.passage for hit in found})
    found_answers = [bool(of & answers_of(question, index)) for of, question in zip(hits, questions, strict=True)]
    found_linked = [bool(of & there) for of, there in zip(hits, linked, strict=True) if there]
    return {
        "found": _share(found_answers),
        "linked": _share(found_linked),
        "queries_per_second": len(seconds) / sum(seconds),
        "milliseconds_median": 1000 * statistics.median(seconds),
    }


def _share(values: list[bool]) -> dict[str, Any]:
    """A share with the 95 % interval of a bootstrap over questions; without questions the share of none."""
    if not values:
        return {"recall": None, "interval": None, "questions": 0}
    draw = random.Random(SEED)
    means = sorted(sum(draw.choices(values, k=len(values))) / len(values) for _ in range(RESAMPLES))
    return {
        "recall": sum(values) / len(values),
        "interval": [means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]],
        "questions": len(values),
    }


def main(
    manual: Annotated[Path, typer.Option(help="The manual's sources, of Debian's python3.11-doc.")] = MANUAL,
    encoder: Annotated[str, typer.Option(help="As for `burnish index`; `none` for BM25 alone.")] = DEFAULT_ENCODER,
    parts: Annotated[list[str] | None, typer.Option(help="Folders of the manual beside faq; may be repeated.")] = None,
    size: Annotated[int, typer.Option(help="Tokens of a passage.")] = 192,
    work: Annotated[Path, typer.Option(help="Folder of the index, which a second call takes over.")] = Path(
        "runs/bench/retrieval-index"
    ),
    output: Annotated[Path, typer.Option(help="File of the results.")] = Path("runs/bench/retrieval.json"),
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
) -> None:
    """Measure BM25, embeddings, both fused and the graph on the questions of a manual's FAQ."""
    import torch

    if not (manual / "faq").is_dir():
        raise typer.BadParameter(
            f"{manual} has no faq: `apt-get download python3.11-doc` and `dpkg -x` unpack one anywhere",
            param_hint="--manual",
        )
    torch.set_num_threads(threads)
    display = Display(Console(highlight=False))
    with tempfile.TemporaryDirectory() as folder:
        questions = without_questions(manual, Path(folder), parts or PARTS)
        began = time.perf_counter()
        index, changes = Index.build(
            folder,
            work,
            IndexSettings(size=size, overlap=size // 6, graph=True),
            encoder=None if encoder == "none" else encoder,
            display=display,
        )
        seconds = time.perf_counter() - began
        places = documented(index, Path(folder))
    linked = [
        {passage for name in question.names for passage in places.get(name, ())} - answers_of(question, index)
        for question in questions
    ]
    rankings: tuple[Ranking, ...] = ("bm25", "graph")
    if index.vectors is not None:
        rankings = ("bm25", "embeddings", "fused", "graph")
    results = {ranking: measured(index, questions, linked, ranking) for ranking in rankings}
    record = {
        "manual": manual.parent.parent.name,
        "parts": parts or PARTS,
        "documents": len(index.documents),
        "passages": len(index),
        "kept_documents": changes.kept,
        "build_seconds": seconds,
        "size": size,
        "encoder": None if index.encoder is None else index.encoder.reference,
        "threads": threads,
        "machine": device_name(torch.device("cpu")),
        "rankings": results,
    }
    atomic_write_text(output, json.dumps(record, indent=2) + "\n")
    table = Table("ranking", "found", "linked", "queries/s", box=box.SIMPLE_HEAD)
    for ranking, one in results.items():
        shares = [one[name] for name in ("found", "linked")]
        cells = [f"{of['recall']:.1%} of {of['questions']}" if of["questions"] else "" for of in shares]
        table.add_row(ranking, *cells, f"{one['queries_per_second']:,.0f}")
    display.show(table)
    display.say(f"{len(index):,} passages of {len(index.documents):,} documents; {output}")


if __name__ == "__main__":
    typer.run(main)
