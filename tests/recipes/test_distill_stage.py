"""The distill stage: a killed run ends with the same bits, a plan knows its cost, mistakes are named at first."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import burnish
from burnish.checkpoints.facts import count_parameters
from burnish.console.display import Bar, Display
from burnish.errors import BurnishError, RecipeError
from burnish.nn.decoder import Decoder
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import check, run, works
from burnish.training.events import read_events
from workshop import make_workshop, tiny_tokenizer

TRAINING = {"learning_rate": 5e-3, "batch_size": 4, "epochs": 2, "micro_batch_tokens": 100, "checkpoint_seconds": 0}
STAGE: dict[str, Any] = {"type": "distill", "data": "rows.jsonl", "teacher": "teacher", "training": TRAINING}


def workshop(folder: Path, **changes: Any) -> Path:
    """A folder with a recipe of one stage, its rows, and a wider teacher with an unused row in its output layer."""
    recipe = {
        "name": "numbers",
        "seed": 3,
        "model": "model",
        "device": "cpu",
        "compute_dtype": "float32",
        "threads": 1,
        "stages": [{key: value for key, value in (STAGE | changes).items() if value is not None}],
    }
    file = make_workshop(folder, yaml.safe_dump(recipe))
    student, tokenizer = burnish.load(folder / "model", compute_dtype="float32", device="cpu")
    shape = {**vars(student.config), "d_model": 40, "vocab_size": student.config.vocab_size + 1}
    teacher = Decoder(type(student.config)(**shape))
    generator = torch.Generator().manual_seed(1)
    for parameter in teacher.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(std=0.3, generator=generator)
    burnish.save(teacher, tokenizer, folder / "teacher")
    rows = ({"prompt": f"{i} mod 3?", "completion": f"SELECT {i % 3}"} for i in range(9))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def trained(recipe: Path, display: Display | None = None) -> Path:
    run(recipe, runs=recipe.parent / "runs", display=display or Display(quiet=True))
    return recipe.parent / "runs" / "numbers" / "01-distill"


def products(folder: Path) -> dict[str, str]:
    """Content hash of all that the stage leaves and that does not tell the time."""
    files = [*folder.glob("model/*.safetensors"), *folder.glob("adapter/*.safetensors"), *folder.glob("rollouts/*")]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


class Killed(BaseException):
    """Ends the process as far as the stage can tell: nothing catches it."""


class KillingDisplay(Display):
    """Kills the run when a bar of this title is at a step, before the state after it is saved."""

    def __init__(self, title: str, step: int) -> None:
        super().__init__(quiet=True)
        self.title, self.step = title, step

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        step = self.step if title == self.title else -1

        class Killing:
            def update(self, completed: int, **_numbers: float) -> None:
                if completed == step:
                    raise Killed

        yield Killing()


OPTIONS: dict[str, dict[str, Any]] = {
    "mixed": {"max_new_tokens": 6, "seq_kd": True, "beta": 1.0},
    "stored": {"lmbda": 0.0, "teacher_top_k": 4, "heldout": 2, "temperature": 2.0},
    "base": {
        "teacher": None,
        "teacher_system": "prose",
        "lora": {"rank": 2, "dropout": 0.2},
        "max_new_tokens": 6,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["mixed", *(pytest.param(name, marks=pytest.mark.slow) for name in ("stored", "base"))]
)
def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between two shards of what the teacher says, and after several steps."""
    monkeypatch.setattr("burnish.methods.teachers.SHARD", 3)
    expected = products(trained(workshop(tmp_path / "whole", **OPTIONS[name])))
    assert expected
    recipe = workshop(tmp_path / "cut", **OPTIONS[name])
    if name == "stored":
        with pytest.raises(Killed):
            trained(recipe, KillingDisplay("teacher", 3))
        assert len(list(tmp_path.glob("cut/runs/numbers/cache/teacher_top_k/*"))) == 1
    for step in (1, 3):
        with pytest.raises(Killed):
            trained(recipe, KillingDisplay("01-distill", step))
    assert products(trained(recipe)) == expected


def test_a_plan_knows_what_it_costs(tmp_path: Path) -> None:
    def work(**changes: Any) -> Any:
        plan = make_plan(workshop(tmp_path, **changes), runs=tmp_path / "runs")
        ((_, found),) = works(plan)
        return found

    given = work(lmbda=0.0)
    sizes = [
        count_parameters(burnish.load(tmp_path / name, compute_dtype="float32", device="cpu")[0].config)
        for name in ("model", "teacher")
    ]
    assert given.beside == sizes[1]
    assert given.scored == round(given.trained * sizes[1] / sizes[0])
    assert (given.decoded, given.disk, given.steps) == (0, 0, 5)
    tokens = [event["tokens"] for event in read_events(trained(tmp_path / "recipe.yaml"))]
    assert (len(tokens), sum(tokens)) == (given.steps, pytest.approx(given.trained, rel=0.02))
    kept = work(lmbda=0.0, teacher_top_k=4)
    assert kept.disk > 0
    assert kept.scored == pytest.approx(given.scored / 2, rel=0.1)  # once, of two epochs
    own = work(lmbda=1.0, max_new_tokens=20)
    assert own.decoded == 9 * 2 * 20
    assert own.trained > given.trained
    both = work(lmbda=0.5, seq_kd=True, max_new_tokens=20, num_generations=2)
    assert both.decoded == round(9 * 2 * 20 * (1 + sizes[1] / sizes[0]))
    assert both.rows == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": None}, r"teacher: is missing; name a model, or set `lora`"),
        ({"teacher": None, "lora": {}}, r"teacher_system: is missing"),
        ({"teacher": "nobody"}, r"teacher.*nobody"),
        ({"beta": 1.5}, r"beta.*1"),
        ({"lmbda": 1.0, "seq_kd": True}, r"seq_kd: got true with `lmbda: 1`"),
        ({"teacher_top_k": 8}, r"teacher_top_k: got 8"),
    ],
)
def test_mistakes_in_the_recipe_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=f"(?s){message}"):
        make_plan(workshop(tmp_path, **changes), runs=tmp_path / "runs")


def test_a_teacher_of_another_vocabulary_is_refused_before_anything_runs(tmp_path: Path) -> None:
    recipe = workshop(tmp_path)
    file = tmp_path / "teacher" / "tokenizer.json"
    number = tiny_tokenizer().backend.token_to_id("Z")
    file.write_text(file.read_text().replace('"Z"', '"Ω"'))
    with pytest.raises(BurnishError, match=rf"distill\.teacher: its vocabulary .*token {number} is 'Z'"):
        check(make_plan(recipe, runs=tmp_path / "runs"))
