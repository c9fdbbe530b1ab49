"""`burnish data`: a look at data files, documents prepared, and questions and answers made of them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from burnish.cli.saying import say
from burnish.errors import BurnishError

data_commands = typer.Typer(help="Look at data files; prepare documents, and make rows of them.", no_args_is_help=True)


class ReadingStage(StrEnum):
    """Stages that read data files."""

    corpus = "corpus"
    cpt = "cpt"
    sft = "sft"
    dpo = "dpo"
    reward_model = "reward_model"
    process_reward_model = "process_reward_model"
    outcome_reward_model = "outcome_reward_model"
    kto = "kto"
    distill = "distill"
    sample = "sample"
    grpo = "grpo"
    ppo = "ppo"
    rft = "rft"
    evaluate = "evaluate"


class PreparationEngine(StrEnum):
    """Who runs the shards of a preparation."""

    processes = "processes"
    ray = "ray"


class TaskJudge(StrEnum):
    """What can judge the answers to tasks by the rows alone."""

    sql = "sql"
    numbers = "numbers"
    exact = "exact"
    contains = "contains"
    choice = "choice"
    unit_tests = "unit_tests"


@data_commands.command("check", epilog="Example: burnish data check train.jsonl pairs.parquet")
def data_check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="JSONL, JSON or Parquet files.")],
    stage: Annotated[
        ReadingStage | None, typer.Option("--for", help="Say whether this stage can use the files.", show_default=False)
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=COLUMN", help="A column's name, as in the stage's columns; may be repeated."),
    ] = None,
    judge: Annotated[
        TaskJudge | None, typer.Option(help="What will judge the answers to tasks.", show_default=False)
    ] = None,
) -> None:
    """Validate data files: the format is recognised, and every bad row named with its line and the reason.

    Keys that nothing reads are counted and named. With --for it is checked that a stage can use the files.
    """
    from burnish.console.data_check import describe, describe_for

    renamed = dict(column.partition("=")[::2] for column in columns or ())
    if not all(renamed.values()) or (stage is None and (renamed or judge)):
        raise BurnishError("--columns is KEY=COLUMN, such as prompt=question, and like --judge needs --for STAGE")
    failures = []
    for file in files:
        try:
            if stage is None:
                say(f"{file}: {describe(file)}")
            else:
                say(f"{file}: {describe_for(file, stage.value, columns=renamed, judge=judge)}")
        except BurnishError as error:
            failures.append(str(error))
    if failures:
        raise BurnishError("\n".join(failures))


@data_commands.command("prepare", epilog="Example: burnish data prepare our-docs --output runs/our-docs")
def data_prepare(
    named: Annotated[
        list[Path],
        typer.Argument(
            metavar="SETTINGS.yaml | DOCUMENTS...",
            help="A file of sources and steps, or files and folders of documents.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the documents and what became of them.")],
    processes: Annotated[int, typer.Option(min=1, help="How many processes share the work.")] = 1,
    engine: Annotated[
        PreparationEngine, typer.Option(help="Processes of this machine, or the workers of a Ray cluster.")
    ] = PreparationEngine.processes,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Say how many tokens of this model there are; a folder, a .gguf file or package:NAME/FILE.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Read, clean and deduplicate documents into Parquet, and say what each step did and removed.

    An interrupted call goes on where it was, and a second one redoes only what has changed.
    """
    from burnish.console.preparation import prepare

    prepare(named, output, processes=processes, on_ray=engine is PreparationEngine.ray, tokenizer=tokenizer)


@data_commands.command("synthesize", epilog="Example: burnish data synthesize our-docs --output runs/our-questions")
def data_synthesize(
    named: Annotated[
        list[Path],
        typer.Argument(
            metavar="SETTINGS.yaml | DOCUMENTS...",
            help="A file of documents and settings, or files and folders of documents.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the rows and what became of them.")],
) -> None:
    """Make questions and answers of documents: rows to learn from, and held-out questions to measure by.

    Without a teacher they are taken from the documents' structure: headings, definitions, tables, docstrings, examples.
    """
    from burnish.console.synthesis import synthesize

    synthesize(named, output)


@data_commands.command("agreement", epilog="Example: burnish data agreement anna.jsonl judge.jsonl")
def data_agreement(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Preference or labelled files.")],
    key: Annotated[
        str | None,
        typer.Option(help="Key of the label; a preference's chosen answer, or a usual key, if left out."),
    ] = None,
) -> None:
    """Compare the labels that several gave to the same rows: Cohen's kappa, duplicates, contradictions."""
    from burnish.console.agreement import compare

    compare(files, key)
