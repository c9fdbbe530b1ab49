"""`burnish eval`: a model measured on tasks."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from burnish.cli.saying import INTERRUPTED, agree, aside, made, say
from burnish.errors import BurnishError

commands = typer.Typer()


@commands.command(
    "eval", epilog="Example: burnish eval runs/flights --samples 64 --k 1,8,64 --grid temperature=0.3,0.7,1"
)
def evaluate(
    model: Annotated[
        Path, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder, model or adapter, or a .gguf.")
    ],
    tasks: Annotated[
        Path | None, typer.Option(help="JSONL, JSON or Parquet file; the run's own if left out.", show_default=False)
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(help="What judges: a type, or keys as in a recipe; may be repeated; the run's own if left out."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Answers to each task; 1 answers greedily; 8 if left out.")
    ] = None,
    k: Annotated[
        str | None, typer.Option(metavar="K,K", help="Of pass@k and cons@k; 1 and the samples if left out.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Compare with this model, or label of the run's stage.")
    ] = None,
    retrieve: Annotated[
        Path | None,
        typer.Option(metavar="INDEX", help="Ask a second time, with passages of this index before each question."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many of the first tasks.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0.0, help="Of the samples; 0.7 if left out.")] = None,
    top_p: Annotated[
        float | None, typer.Option(min=0.01, max=1.0, help="Draw from the fewest tokens that hold it.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(min=0, help="Draw from so many tokens; 0 from all.")] = None,
    min_p: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Draw from tokens so many times as probable as the first.")
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option(min=0.01, help="Above 1, what was said is less likely.")
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=V,V", help="Values of a decoding key to try as well; may be repeated."),
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer, in tokens.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End an answer before this string; may be repeated.")] = None,
    system: Annotated[str | None, typer.Option(help="System prompt of tasks that have none.")] = None,
    columns: Annotated[
        list[str] | None, typer.Option(metavar="KEY=COLUMN", help="A column's name; may be repeated.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Continue the prompts' text as it is, without the chat template.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the run; eval-MODEL-TASKS if left out.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    seed: Annotated[int | None, typer.Option(min=0, help="Where sampling starts.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores if left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Trust what judges import or send; do not ask.")] = False,
) -> None:
    """Measure a model on tasks: pass@k and cons@k of sampled answers, with intervals; against another with --against.

    Of a run's folder the tasks, judges and prompts are those of its own `evaluate` stage. It is a run itself: with a
    report and `results.json`, and the same command goes on where it was interrupted.
    """
    from burnish.console.evaluating import EvalOptions, evaluation_recipe

    renamed = dict(column.partition("=")[::2] for column in columns or ())
    if not all(renamed.values()):
        raise BurnishError("--columns is KEY=COLUMN, such as prompt=question")
    settings = {
        "samples": samples,
        "k": None if k is None else _numbers(k),
        "retrieval": None if retrieve is None else {"index": str(retrieve.absolute())},
        "limit": limit,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "max_new_tokens": max_new_tokens,
        "stop": stop,
        "system": system,
        "apply_chat_template": False if plain else None,
    }
    options = EvalOptions(
        tasks=tasks,
        judges=judge or (),
        against=against,
        name=name,
        grid=grid or (),
        settings=settings | ({"columns": renamed} if renamed else {}),
        header={"seed": seed, "threads": threads},
    )
    recipe, said = evaluation_recipe(model, options)
    from burnish.console.display import Display
    from burnish.console.tables import difference_lines, result_table
    from burnish.recipes.plan.planned import make_plan
    from burnish.recipes.runner.running import execute
    from burnish.runs.names import REPORT_FILE, RESULTS_FILE

    console = Console(highlight=False, stderr=as_json)
    for line in said:
        console.print(line, style="dim", markup=False, soft_wrap=True)
    plan = make_plan(recipe, runs=runs, notice=aside)
    try:
        agree(plan, yes=yes)
        summary = execute(plan, display=Display(console))
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept. Run the same command again to go on.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    results = plan.stages[-1].folder / RESULTS_FILE
    found = json.loads(results.read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps(found, indent=2))
        return
    console.print(result_table(summary))
    for line in difference_lines(found):
        say(line)
    made((results, plan.folder / REPORT_FILE))


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise BurnishError(f"--k {text}: expected numbers such as 1,8,64") from error
