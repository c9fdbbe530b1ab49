"""The command line: parse, call, print.

torch and everything that needs it is imported inside the commands, so that `burnish --help` answers at once.
"""

import io
import json
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from burnish import __version__
from burnish.errors import BurnishError
from burnish.terminal import printable

if TYPE_CHECKING:
    from burnish.lab.experiment import Experiment

INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended

app = typer.Typer(
    name="burnish",
    help="From open language-model weights and your own documents to an aligned, domain-specific model.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
data_app = typer.Typer(help="Look at data files.", no_args_is_help=True)
app.add_typer(data_app, name="data")
lab_app = typer.Typer(help="Repeat the experiments behind the claims on this machine.", no_args_is_help=True)
app.add_typer(lab_app, name="lab")


class Quantization(StrEnum):
    """Number formats of a GGUF file, from the largest to the smallest."""

    F32 = "F32"
    F16 = "F16"
    BF16 = "BF16"
    Q8_0 = "Q8_0"
    Q5_1 = "Q5_1"
    Q5_0 = "Q5_0"
    Q4_1 = "Q4_1"
    Q4_0 = "Q4_0"


class ReadingStage(StrEnum):
    """Stages that read data files."""

    corpus = "corpus"
    cpt = "cpt"
    sft = "sft"
    dpo = "dpo"
    reward_model = "reward_model"
    kto = "kto"
    sample = "sample"
    grpo = "grpo"
    ppo = "ppo"
    evaluate = "evaluate"


class TaskJudge(StrEnum):
    """What can judge the answers to tasks by the rows alone."""

    sql = "sql"
    numbers = "numbers"
    exact = "exact"
    contains = "contains"
    choice = "choice"


class StoredDtype(StrEnum):
    """Number formats of a Hugging Face folder."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class Starter(StrEnum):
    """What `burnish init` writes."""

    documents = "documents"
    database = "database"


class PoolingChoice(StrEnum):
    """What becomes of the key/value heads of a group."""

    mean = "mean"
    first = "first"
    random = "random"


RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="STAGE.KEY=VALUE", help="Change a value of the recipe; may be repeated."),
]
RunsFolder = Annotated[Path, typer.Option(help="Folder of all runs.")]


def main() -> None:
    """Run the command line; an error that the user can mend is one message and exit status 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal or file that knows fewer letters gets escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except BurnishError as error:
        message = printable(f"error: {error}")
        Console(stderr=True, highlight=False).print(message, style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    except Exception:
        print(printable(traceback.format_exc()), file=sys.stderr)
        print(
            f"\nThis is a bug in Burnish {__version__}. Please report it on the project's issue page, with the lines "
            "above and the output of `burnish doctor`.",
            file=sys.stderr,
        )
        sys.exit(1)


def _announce(lines: list[str]) -> bool:
    """Show what a recipe does besides computing, which --yes has agreed to."""
    console = Console(stderr=True, highlight=False)
    console.print("This recipe is new here, or changed. It", style="bold")
    for line in lines:
        console.print(printable(f"  {line}"), markup=False, soft_wrap=True)
    return True


def _ask(lines: list[str]) -> bool:
    """Show what a recipe would do, and return whether the person at the terminal agrees."""
    _announce(lines)
    console = Console(stderr=True, highlight=False)
    console.print("with all that you may do on this machine. Look at it first if you do not know it.")
    try:
        return console.input("Trust it? [bold]y[/]es or [bold]n[/]o: ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _say(line: object) -> None:
    """Print one line for a person or a pipe, unwrapped; names of files and the like cannot steer the terminal."""
    print(printable(str(line)))


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        print(f"burnish {__version__}")
        raise typer.Exit


@app.command(epilog="Example: burnish init assistant --template documents --docs handbook/")
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write into.")] = Path("assistant"),
    template: Annotated[
        Starter | None,
        typer.Option(help="What the model is to know: documents, or a database that it queries.", show_default=False),
    ] = None,
    docs: Annotated[
        Path | None, typer.Option(help="Documents: a folder of text or Markdown; an example if left out.")
    ] = None,
    database: Annotated[
        Path | None, typer.Option(help="Database: a DuckDB or SQLite file; an example if left out.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model to start from; SmolLM2-135M where it is installed.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Start a project: a recipe with comments and a few rows of data, which run as they are and are yours to edit.

    What is not given is asked for on a terminal.
    """
    from burnish.recipes import starters

    asks = sys.stdin.isatty() and sys.stderr.isatty()
    if template is None and (docs is None) != (database is None):
        template = Starter.documents if database is None else Starter.database
    if template is None:
        if not asks:
            raise BurnishError("say --template documents or --template database")
        template = Starter(_choice("Is it to know documents, or to query a database?", list(Starter)))
    if asks and template is Starter.documents and docs is None:
        docs = _path("Folder of your documents (empty: an example)")
    if asks and template is Starter.database and database is None:
        database = _path("Your DuckDB or SQLite file (empty: an example)")
    if asks and model is None and starters.installed_model() is None:
        model = str(_path("Model: a Hugging Face folder or .gguf file") or "") or None
    written = starters.create(folder, template.value, starters.Answers(docs, database, model), force=force)
    for file in written:
        _say(file)
    _say(f"Look at {written[0]}, replace the example rows, then: burnish run {shlex.quote(str(written[0]))}")


def _choice(question: str, choices: list[Starter]) -> str:
    """One of the choices, asked for until it is one."""
    console = Console(stderr=True, highlight=False)
    while True:
        answer = console.input(f"{question} ({'/'.join(choices)}): ", markup=False).strip().lower()
        matching = [choice for choice in choices if answer and choice.startswith(answer)]
        if len(matching) == 1:
            return matching[0]


def _path(question: str) -> Path | None:
    """A path that a person types; None for an empty line."""
    answer = Console(stderr=True, highlight=False).input(f"{question}: ", markup=False).strip()
    try:
        return Path(answer).expanduser() if answer else None
    except RuntimeError:  # `~name` of nobody
        return Path(answer)


@app.command(epilog="Example: burnish run recipe.yaml --set sft.training.learning_rate=1e-4")
def run(
    recipe: RecipeFile,
    overrides: Overrides = None,
    runs: RunsFolder = Path("runs"),
    start: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Run this stage and all after it again.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the recipe and show what would be done.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Trust what the recipe executes, imports and sends; do not ask.")
    ] = False,
) -> None:
    """Run a recipe: stages that are done are not run again, an interrupted one goes on.

    A new or changed recipe that executes scripts, imports functions or sends to other machines is asked about once.
    """
    from burnish.recipes.plan.planned import make_plan

    console = Console(highlight=False)
    plan = make_plan(recipe, overrides=overrides or (), runs=runs)  # before PyTorch, which takes seconds to import
    if dry_run:
        from burnish.recipes.plan.dry_run import describe

        _show_dry_run(describe(plan, start))
        return
    from burnish.console.display import Display
    from burnish.console.tables import result_table, stage_table
    from burnish.recipes.runner.running import execute
    from burnish.recipes.runner.trust import ask_once
    from burnish.runs.names import REPORT_FILE, SUMMARY_FILE

    try:
        terminal = sys.stdin.isatty() and sys.stderr.isatty()
        ask_once(plan, _announce if yes else _ask if terminal else None)
        summary = execute(plan, start=start, display=Display(console))
    except KeyboardInterrupt as stop:
        what = getattr(stop, "what", "stopped; what is finished is kept")
        again = f"Run the same command again to go on{', without --from' if start else ''}."
        with suppress(OSError):  # the terminal may be what has gone
            print(f"\n{what}. {again}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    console.print(stage_table(summary))
    results = result_table(summary)
    if results is not None:
        console.print(results)
    folder = runs / summary["name"]
    for name in (SUMMARY_FILE, REPORT_FILE):
        _say(folder / name)


@app.command(epilog="Example: burnish plan recipe.yaml")
def plan(
    recipe: RecipeFile,
    overrides: Overrides = None,
    runs: RunsFolder = Path("runs"),
    start: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="As if this stage and all after it ran again.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Check a recipe as --dry-run does, and say what each stage will take: steps, tokens, time, memory and disk.

    Times come from a few seconds of the same work on this machine; of answers the longest are assumed.
    """
    from burnish.recipes.plan.planned import make_plan

    planned = make_plan(recipe, overrides=overrides or (), runs=runs)  # before PyTorch, which takes seconds to import
    from burnish.console.tables import estimate_table
    from burnish.recipes.plan.dry_run import estimated

    found = estimated(planned, start)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    Console(highlight=False).print(estimate_table(found))
    for line in [*found["asks"], *(f"note: {note}" for note in found["notes"])]:
        _say(line)
    for line in found["unchecked"]:
        _say(f"not checked yet: {line}")


def _show_dry_run(found: dict[str, Any]) -> None:
    """Print what a run would do, a line each."""
    for stage in found["stages"]:
        verb = {"cached": "cached", "resume": "go on", "run": "run"}[stage["state"]]
        _say(f"{found['folder']}/{stage['folder']}: {verb} ({stage['reason']})")
    for line in found["asks"]:
        _say(line)
    for note in found["notes"]:
        _say(f"note: {note}")
    for line in found["unchecked"]:
        _say(f"not checked yet: {line}")


@app.command(epilog="Example: burnish chat runs/flights --ask 'How many flights left JFK in May?'")
def chat(
    target: Annotated[
        Path, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder, a model folder or a .gguf file.")
    ],
    ask: Annotated[list[str] | None, typer.Option(help="Answer this question and stop; may be repeated.")] = None,
    system: Annotated[str | None, typer.Option(help="System prompt, instead of the recipe's.")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0.0, help="0 always takes the most probable token; 0, or 0.7 with --votes.")
    ] = None,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="Draw from the fewest tokens that hold this.")] = 1.0,
    top_k: Annotated[int, typer.Option(min=0, help="Draw from so many tokens; 0 from all.")] = 0,
    repetition_penalty: Annotated[
        float | None, typer.Option(min=0.01, help="Above 1, what was said is less likely; the recipe's if left out.")
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(help="End an answer before this string; may be repeated; the recipe's if left out."),
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer, in tokens; the recipe's, or 256, if left out.")
    ] = None,
    memory: Annotated[
        bool | None, typer.Option("--memory/--no-memory", help="Whether a question sees the turns before it.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Where sampling starts; another one each time.")] = None,
    votes: Annotated[
        int, typer.Option(min=1, help="For SQL: sample so many answers, and give the one whose result most have.")
    ] = 1,
) -> None:
    """Ask a model. With a run's folder its recipe decides how: for SQL the query and its result are shown.

    Questions come from --ask, from a pipe (one a line), or from the keyboard, where /help lists the commands.
    """
    from burnish.console.chat import ChatOptions, find_target, hold_chat

    console = Console(highlight=False)
    try:
        options = ChatOptions(
            system=system,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            repetition_penalty=repetition_penalty,
            stop=tuple(stop) if stop else None,
            max_new_tokens=max_new_tokens,
            memory=memory,
            seed=seed,
            votes=votes,
            keyboard=not ask and sys.stdin.isatty(),
        )
        hold_chat(find_target(target), ask if ask else _questions(console), console, options)
    except KeyboardInterrupt:
        console.print()
        raise typer.Exit(INTERRUPTED) from None


def _questions(console: Console) -> Iterator[str]:
    """Lines of standard input, with a prompt where that is a keyboard."""
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin if line.strip())
        return
    with suppress(ImportError):
        import readline  # noqa: F401 (its import gives input() a history and line editing)
    console.print("Ask a question; /help lists commands, Ctrl-D ends.", style="dim")
    while True:
        try:
            question = console.input("[bold cyan]> [/]").strip()
        except EOFError:
            console.print()
            return
        if question:
            yield question


@app.command(epilog="Example: burnish export runs/flights --gguf Q8_0 -o exported")
def export(
    model: Annotated[
        Path, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder, model or adapter, or a .gguf.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write into.", show_default=False)],
    gguf: Annotated[list[Quantization] | None, typer.Option(help="Write a GGUF file; may be repeated.")] = None,
    folder: Annotated[
        bool, typer.Option("--folder", help="Write a Hugging Face folder, also beside GGUF files.")
    ] = False,
    dtype: Annotated[StoredDtype, typer.Option(help="Numbers of the Hugging Face folder.")] = StoredDtype.float32,
    context_length: Annotated[
        int | None, typer.Option(min=1, help="Longest text of the GGUF files in tokens, if shorter than the model's.")
    ] = None,
) -> None:
    """Write a model in other formats: a Hugging Face folder (the default), GGUF files for llama.cpp, or both."""
    import burnish
    from burnish.checkpoints.formats import write_formats
    from burnish.console.chat import find_target
    from burnish.runs.names import MODEL_FOLDER

    written = write_formats(
        *burnish.load(find_target(model).model),
        output,
        name=model.resolve().stem,
        gguf=[quantization.value for quantization in gguf or ()],
        context_length=context_length,
        dtype=dtype.value,
        model=output / MODEL_FOLDER if folder or not gguf else None,
    )
    for path in written:
        _say(path)


@app.command(epilog="Example: burnish convert models/SmolLM2-135M --kv-heads 1 -o models/SmolLM2-135M-mqa")
def convert(
    model: Annotated[
        Path, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder, model or adapter, or a .gguf.")
    ],
    kv_heads: Annotated[
        int,
        typer.Option(min=1, help="Key/value heads afterwards, a divisor of the present number.", show_default=False),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.", show_default=False)],
    pooling: Annotated[
        PoolingChoice, typer.Option(help="A group's heads become their mean, the first of them, or new random ones.")
    ] = PoolingChoice.mean,
    seed: Annotated[int, typer.Option(min=0, help="Where random heads start.")] = 0,
    dtype: Annotated[StoredDtype, typer.Option(help="Numbers of the Hugging Face folder.")] = StoredDtype.float32,
) -> None:
    """Write a model with fewer key/value heads: less memory and time for every token, after some up-training.

    See the page on attention for what it costs and wins; `examples/gqa` up-trains.
    """
    from burnish.console.chat import find_target
    from burnish.methods.convert import convert_model

    config = convert_model(
        find_target(model).model, output, kv_heads=kv_heads, pooling=pooling.value, seed=seed, dtype=dtype.value
    )
    numbers = config.n_layers * config.head_dim * 2
    print(f"key/value heads: {config.n_kv_heads} -> {kv_heads} in each of {config.n_layers} layers")
    print(f"KV cache: {numbers * config.n_kv_heads:,} -> {numbers * kv_heads:,} numbers a token")
    _say(output)


@app.command(epilog="Example: burnish clean runs/flights --dry-run")
def clean(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")] = False,
) -> None:
    """Remove what a run can make again: caches, rollouts, models that only a later training began from.

    The final model, adapters, exports, records, answers and the report stay.
    """
    from burnish.recipes.runner.clean import clean as remove

    removed = remove(run, dry_run=dry_run)
    for one in removed:
        if one.touched is not None:
            _say(f"{one.path}: stays, since {one.touched.name} is not as its stage made it")
        else:
            _say(f"{one.path}: {one.n_bytes:,} bytes")
    total = sum(one.n_bytes for one in removed if one.touched is None)
    _say(f"{'would remove' if dry_run else 'removed'} {total:,} bytes")


@data_app.command("check", epilog="Example: burnish data check train.jsonl pairs.parquet")
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
                _say(f"{file}: {describe(file)}")
            else:
                _say(f"{file}: {describe_for(file, stage.value, columns=renamed, judge=judge)}")
        except BurnishError as error:
            failures.append(str(error))
    if failures:
        raise BurnishError("\n".join(failures))


# The options that all experiments share.
_Minutes = Annotated[float, typer.Option(min=0.1, help="About how long it may take; trainings are sized by it.")]
_Text = Annotated[
    Path | None, typer.Option(help="Text to learn from, instead of the standard library's.", show_default=False)
]
_LabRuns = Annotated[Path, typer.Option(help="Folder of all runs; results go to RUNS/lab.")]
_Seed = Annotated[int, typer.Option(min=0, help="Where all randomness starts.")]
_Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores if left out.")]
_Again = Annotated[bool, typer.Option("--again", help="Measure anew what is kept of an earlier call.")]


@lab_app.command("attention", epilog="Example: burnish lab attention --minutes 15")
def lab_attention(
    runs: _LabRuns = Path("runs"),
    minutes: _Minutes = 15,
    quick: Annotated[
        bool, typer.Option("--quick", help="A small model and two minutes: to see that it works.")
    ] = False,
    text: _Text = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Model to convert too; SmolLM2-135M where it is installed.", show_default=False),
    ] = None,
    seed: _Seed = 0,
    threads: _Threads = None,
    again: _Again = False,
) -> None:
    """Compare MHA, GQA and MQA: speed, KV cache, quality after equal training, and conversion with up-training."""
    from burnish.lab.attention import experiment as attention

    _conduct(
        attention.AttentionExperiment(
            minutes=attention.QUICK_MINUTES if quick else minutes,
            seed=seed,
            scale=attention.QUICK if quick else attention.FULL,
            text_file=text,
            checkpoint=None if quick else checkpoint or attention.installed_checkpoint(),
        ),
        runs,
        threads,
        again,
    )


@lab_app.command("frontier", epilog="Example: burnish lab frontier --minutes 60")
def lab_frontier(
    runs: _LabRuns = Path("runs"),
    minutes: _Minutes = 60,
    quick: Annotated[
        bool, typer.Option("--quick", help="One short training a method, half a minute: to see that it works.")
    ] = False,
    text: Annotated[
        Path | None,
        typer.Option(help="Text whose sentences are continued, instead of the standard library's.", show_default=False),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Model to train; SmolLM2-135M where it is installed.", show_default=False)
    ] = None,
    seed: _Seed = 0,
    threads: _Threads = None,
    again: _Again = False,
) -> None:
    """Compare DPO, IPO, PPO, best-of-N and SFT by reward against KL, where the reward is known: sentiment."""
    from burnish.console.chat import find_target
    from burnish.lab.frontier import experiment as frontier

    _conduct(
        frontier.FrontierExperiment(
            minutes=frontier.QUICK_MINUTES if quick else minutes,
            seed=seed,
            scale=frontier.QUICK if quick else frontier.FULL,
            text_file=text,
            model=None if model is None else find_target(model).model,
        ),
        runs,
        threads,
        again,
    )


@lab_app.command("kl", epilog="Example: burnish lab kl")
def lab_kl(
    runs: _LabRuns = Path("runs"),
    seed: _Seed = 0,
    threads: _Threads = None,
) -> None:
    """Compare the KL estimators k1, k2 and k3: bias and noise, and what each does as a loss or in the reward."""
    from burnish.lab.kl.experiment import KlExperiment

    _conduct(KlExperiment(seed=seed), runs, threads)


@lab_app.command("norm", epilog="Example: burnish lab norm --minutes 15")
def lab_norm(
    runs: _LabRuns = Path("runs"),
    minutes: _Minutes = 15,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two small depths and half a minute: to see that it works.")
    ] = False,
    text: _Text = None,
    seed: _Seed = 0,
    threads: _Threads = None,
    again: _Again = False,
) -> None:
    """Compare norms and their placements: time, gradient by depth, trainings with and without warm-up, BatchNorm."""
    from burnish.lab.norm import experiment as norm

    _conduct(
        norm.NormExperiment(
            minutes=norm.QUICK_MINUTES if quick else minutes,
            seed=seed,
            scale=norm.QUICK if quick else norm.FULL,
            text_file=text,
        ),
        runs,
        threads,
        again,
    )


def _conduct(experiment: "Experiment", runs: Path, threads: int | None, again: bool = False) -> None:
    """Run an experiment and print the files it wrote."""
    from burnish.console.display import Display
    from burnish.lab.experiment import conduct

    try:
        display = Display(Console(highlight=False))
        files = conduct(experiment, runs / "lab", threads=threads, again=again, display=display)
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept. Run the same command again to go on.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    for file in files:
        _say(file)


@app.command(epilog="Example: burnish doctor")
def doctor() -> None:
    """Show what this machine has, which number format is used and why, and which extras are missing for what."""
    from burnish.console.doctor import findings

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, finding in findings():
        table.add_row(name, Text(printable(finding)))
    Console(highlight=False).print(table)
