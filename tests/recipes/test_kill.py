"""`kill -9` at any moment, then the same command again: the same bits as a run that nothing disturbed."""

import hashlib
import multiprocessing
import random
import signal
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from burnish.console.display import Display
from burnish.recipes.runner.running import run
from burnish.training.events import read_events
from workshop import RECIPE, make_workshop

ON_THE_WAY = ("03-cpt/model/model.safetensors", "04-sft/model/model.safetensors")
"""What a run that keeps only what is needed has removed at its end."""


PRACTICE = RECIPE.partition("  - type: sample")[0].replace(
    "{<<: *training, batch_size: 8, epochs: 10}",
    "{<<: *training, batch_size: 8, epochs: 8, eval_steps: 2, patience: 6, keep_best: true, snapshot_steps: 7, "
    "attention_dropout: 0.1, residual_dropout: 0.1, embedding_dropout: 0.1, schedule: wsd}",
)
"""Training that looks at held-out text on the way, stops in time, ends with its best weights, and drops at random."""


def run_quietly(recipe: Path) -> None:
    run(recipe, runs=recipe.parent / "runs", display=Display(quiet=True))


@pytest.fixture(scope="module")
def server() -> ForkServerContext:
    """Forks processes that have torch imported already: what is to be killed is the run, not the start of Python."""
    context = multiprocessing.get_context("forkserver")
    slow_imports = ["burnish.recipes.runner.running", "burnish.checkpoints", "burnish.generation.engine"]
    # What torch imports with the first optimizer and the first event file.
    slow_imports += ["torch._dynamo", "torch.utils.tensorboard.writer"]
    context.set_forkserver_preload(slow_imports)
    return context


def run_folder(recipe: Path) -> Path:
    return recipe.parent / "runs" / "numbers"


def steps_done(recipe: Path) -> int:
    """Optimizer steps that the stages have written down so far; those that a resumed run does again are not counted."""
    return sum(len(read_events(file.parent)) for file in run_folder(recipe).glob("*/events.jsonl"))


def products(recipe: Path) -> dict[str, str]:
    """Content hash of everything that stages leave and that does not tell the time."""
    folder = run_folder(recipe)
    kinds = ("*.safetensors", "samples.jsonl", "pairs.jsonl", "answers-*.jsonl", "results.json", "*.gguf")
    files = [file for kind in kinds for file in folder.glob(f"[0-9]*/**/{kind}")]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def run_and_kill(recipe: Path, server: ForkServerContext, *, step: int, delay: float) -> bool:
    """Start the run, and kill it `delay` seconds after it reached a step; returns whether it was still running."""
    process = server.Process(target=run_quietly, args=(recipe,))
    process.start()
    while process.is_alive() and steps_done(recipe) < step:
        time.sleep(0.002)
    process.join(delay)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def run_to_the_end(recipe: Path, server: ForkServerContext) -> None:
    process = server.Process(target=run_quietly, args=(recipe,))
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, server: ForkServerContext) -> tuple[dict[str, str], int]:
    """Hashes of an uninterrupted run's products, and its number of steps."""
    recipe = make_workshop(tmp_path_factory.mktemp("undisturbed"))
    run_to_the_end(recipe, server)
    found = products(recipe)
    assert len([name for name in found if name.endswith("model.safetensors")]) == 4
    return found, steps_done(recipe)


def kill_often(recipe: Path, server: ForkServerContext, n_steps: int, *, seed: int, kills: int) -> None:
    """Kill at random points, from the start to after the last step, each time going on from where the last kill was.

    The last kills may find that the run has ended, but at most half of them.
    """
    draw = random.Random(seed)
    steps = sorted(draw.randrange(n_steps + 1) for _ in range(kills))
    killed = [run_and_kill(recipe, server, step=step, delay=draw.uniform(0, 0.3)) for step in steps]
    assert 2 * sum(killed) >= kills, "the kills came too late"


def workshop(folder: Path, expected: dict[str, str], *, keeps_all: bool) -> tuple[Path, dict[str, str]]:
    """A recipe that keeps all models, or those that are needed, and what its run leaves of the expected."""
    if keeps_all:
        return make_workshop(folder), expected
    left = {name: content for name, content in expected.items() if name not in ON_THE_WAY}
    assert len(left) == len(expected) - len(ON_THE_WAY)
    return make_workshop(folder, RECIPE.replace("keep: all\n", "")), left


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_run_ends_with_the_same_bits(
    seed: int, tmp_path: Path, server: ForkServerContext, undisturbed: tuple[dict[str, str], int]
) -> None:
    expected, n_steps = undisturbed
    recipe, left = workshop(tmp_path, expected, keeps_all=seed % 2 == 0)
    kill_often(recipe, server, n_steps, seed=seed, kills=4)
    run_to_the_end(recipe, server)
    assert products(recipe) == left


@pytest.mark.slow
def test_a_killed_run_with_all_that_training_can_do_on_the_way_ends_with_the_same_bits(
    tmp_path: Path, server: ForkServerContext
) -> None:
    undisturbed = make_workshop(tmp_path / "undisturbed", PRACTICE)
    run_to_the_end(undisturbed, server)
    expected, n_steps = products(undisturbed), steps_done(undisturbed)
    assert [name for name in expected if "snapshots" in name]
    for seed in range(4):
        recipe = make_workshop(tmp_path / str(seed), PRACTICE)
        kill_often(recipe, server, n_steps, seed=seed, kills=8)
        run_to_the_end(recipe, server)
        assert products(recipe) == expected, seed
        assert steps_done(recipe) == n_steps, seed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 22))
def test_a_run_killed_many_times_ends_with_the_same_bits(
    seed: int, tmp_path: Path, server: ForkServerContext, undisturbed: tuple[dict[str, str], int]
) -> None:
    expected, n_steps = undisturbed
    recipe, left = workshop(tmp_path, expected, keeps_all=seed % 2 == 0)
    kill_often(recipe, server, n_steps, seed=seed, kills=10)
    run_to_the_end(recipe, server)
    assert products(recipe) == left
