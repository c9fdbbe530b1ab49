"""`burnish lab`: the experiments behind the claims, a command each."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from burnish.cli.saying import INTERRUPTED, made

if TYPE_CHECKING:
    from burnish.lab.experiment import Experiment

lab_commands = typer.Typer(help="Repeat the experiments behind the claims on this machine.", no_args_is_help=True)

# The options that all experiments share.
_Minutes = Annotated[float, typer.Option(min=0.1, help="About how long it may take; trainings are sized by it.")]
_Text = Annotated[
    Path | None, typer.Option(help="Text to learn from, instead of the standard library's.", show_default=False)
]
_LabRuns = Annotated[Path, typer.Option(help="Folder of all runs; results go to RUNS/lab.")]
_Seed = Annotated[int, typer.Option(min=0, help="Where all randomness starts.")]
_Seeds = Annotated[int, typer.Option(min=1, help="How often each training is repeated, each time with the next seed.")]
_Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores if left out.")]
_Again = Annotated[bool, typer.Option("--again", help="Measure anew what is kept of an earlier call.")]


@lab_commands.command("attention", epilog="Example: burnish lab attention --minutes 15")
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


@lab_commands.command("dpo", epilog="Example: burnish lab dpo")
def lab_dpo(
    runs: _LabRuns = Path("runs"),
    seeds: _Seeds = 3,
    seed: _Seed = 0,
    threads: _Threads = None,
    again: _Again = False,
) -> None:
    """Check DPO's equations where answers can be enumerated, and train a decoder on sampled pairs towards them."""
    from burnish.lab.dpo.experiment import DpoExperiment

    _conduct(DpoExperiment(seed=seed, seeds=seeds), runs, threads, again)


@lab_commands.command("forgetting", epilog="Example: burnish lab forgetting --experiment replay --seeds 1")
def lab_forgetting(
    runs: _LabRuns = Path("runs"),
    experiment: Annotated[
        list[str] | None,
        typer.Option(help="replay or on-policy; may be repeated. Both, if left out.", show_default=False),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Models that learn next to nothing, a minute: to see that it works.")
    ] = False,
    seeds: _Seeds = 3,
    seed: _Seed = 0,
    threads: _Threads = None,
    again: _Again = False,
) -> None:
    """Measure what training on something new makes a model forget: remedies, and SFT against GRPO at equal accuracy."""
    from burnish.lab.forgetting.catalogue import chosen

    for one in chosen(experiment or (), seed=seed, seeds=seeds, quick=quick):
        _conduct(one, runs, threads, again)


@lab_commands.command("frontier", epilog="Example: burnish lab frontier --minutes 60")
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


@lab_commands.command("kl", epilog="Example: burnish lab kl")
def lab_kl(
    runs: _LabRuns = Path("runs"),
    seed: _Seed = 0,
    threads: _Threads = None,
) -> None:
    """Compare the KL estimators k1, k2 and k3: bias and noise, and what each does as a loss or in the reward."""
    from burnish.lab.kl.experiment import KlExperiment

    _conduct(KlExperiment(seed=seed), runs, threads)


@lab_commands.command("norm", epilog="Example: burnish lab norm --minutes 15")
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


@lab_commands.command("reasoning", epilog="Example: burnish lab reasoning --experiment r1-zero --seeds 1")
def lab_reasoning(
    runs: _LabRuns = Path("runs"),
    experiment: Annotated[
        list[str] | None,
        typer.Option(
            help="r1-zero, formats, search, smollm2, smollm2-started, distillation, methods or reward-models; may be "
            "repeated.",
            show_default="all",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Models that learn nothing, a minute: to see that it works.")
    ] = False,
    seeds: _Seeds = 3,
    seed: _Seed = 0,
    threads: _Threads = None,
    again: _Again = False,
) -> None:
    """Train small models on sums, searches and reasoning tasks, and see what a reward of the answer makes of it."""
    from burnish.lab.reasoning.catalogue import chosen

    for one in chosen(experiment or (), seed=seed, seeds=seeds, is_quick=quick):
        _conduct(one, runs, threads, again)


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
    made(files)
