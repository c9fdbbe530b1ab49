"""What a recipe executes, imports and sends is named, asked about once, and asked about again when it changes."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.errors import BurnishError, RecipeError
from burnish.recipes.plan.plan import Plan
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from burnish.recipes.runner.trust import ask_once, requests, state_folder
from burnish.recipes.schema.python_files import check_function, imported_files, imported_packages
from workshop import RECIPE, make_workshop

GRPO = """
  - type: grpo
    tasks: "@prepare/train.jsonl"
    rewards: [{type: python, file: reward.py}]
  - type: sample
    name: judged
    tasks: "@prepare/train.jsonl"
    judges: [{type: chat, address: 'https://judge.example/v1', model: m, api_key_env: JUDGE_KEY}]
"""


@pytest.fixture(autouse=True)
def nothing_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = make_workshop(tmp_path / "work", RECIPE + GRPO)
    (file.parent / "reward.py").write_text("import numpy, json\ndef reward(prompt, completion, row): return 1.0\n")
    return file


def plan(recipe: Path, *overrides: str) -> Plan:
    return make_plan(recipe, overrides=overrides, runs=recipe.parent / "runs")


def asked(planned: Plan) -> list[str]:
    """What is asked about, and agreed to."""
    lines: list[str] = []

    def agree(new: list[str]) -> bool:
        lines.extend(new)
        return True

    ask_once(planned, agree)
    return lines


def test_everything_is_named(recipe: Path) -> None:
    folder = recipe.parent
    assert [request.line for request in requests(plan(recipe))] == [
        f"runs    {folder}/prepare.py, which uses duckdb (stage prepare)",
        f"imports {folder}/reward.py, function reward, which imports numpy (stage grpo)",
        "sends   prompts and answers to https://judge.example/v1, with the key in the environment variable JUDGE_KEY "
        "(stage judged)",
    ]


def test_what_is_agreed_to_is_asked_once(recipe: Path) -> None:
    assert len(asked(plan(recipe))) == 3
    assert asked(plan(recipe)) == []
    assert asked(plan(recipe, "dpo.beta=0.3", "seed=9")) == [], "a setting is nothing to trust"


@pytest.mark.parametrize(
    ("change", "overrides", "kinds"),
    [
        (("prepare.py", "# more\n"), [], ["runs"]),
        (("beside.py", "# imported by the script\n"), [], ["runs"]),
        (("reward.py", "# beside the script too\n"), [], ["runs", "imports"]),
        (None, ["prepare.arguments=[--fast]"], ["runs"]),
        (None, ["grpo.rewards.0.function=other"], ["imports"]),
        (None, ["judged.judges.0.address=https://elsewhere.example/v1"], ["sends"]),
        (None, ["judged.judges.0.api_key_env=OTHER_KEY"], ["sends"]),
    ],
)
def test_what_changed_is_asked_again(
    recipe: Path, change: tuple[str, str] | None, overrides: list[str], kinds: list[str]
) -> None:
    asked(plan(recipe))
    if change is not None:
        with (recipe.parent / change[0]).open("a") as file:
            file.write(change[1])
    assert [line.split()[0] for line in asked(plan(recipe, *overrides))] == kinds


def test_nobody_to_ask_is_a_refusal_that_names_all(recipe: Path) -> None:
    with pytest.raises(BurnishError, match=r"(?s)prepare\.py.*reward\.py.*judge\.example.*JUDGE_KEY.*--yes"):
        run(recipe, runs=recipe.parent / "runs", trust=False)
    assert not (recipe.parent / "runs").exists()
    with pytest.raises(BurnishError, match="you do not trust"):
        ask_once(plan(recipe), lambda _: False)
    with pytest.raises(BurnishError, match="--yes"):
        ask_once(plan(recipe))


def test_a_recipe_of_data_alone_asks_nothing(tmp_path: Path) -> None:
    text = RECIPE[: RECIPE.index("  - type: prepare")].partition("chat:")[0]
    recipe = make_workshop(tmp_path / "work", text + "stages: [{type: export}]\n")
    ask_once(plan(recipe))


def test_where_nothing_can_be_kept_it_is_asked_again(recipe: Path) -> None:
    state_folder().parent.mkdir(parents=True)
    state_folder().write_text("a file where the folder should be")
    assert len(asked(plan(recipe))) == 3
    assert len(asked(plan(recipe))) == 3


@pytest.mark.parametrize(("answer", "status"), [pytest.param("y", 0, marks=pytest.mark.slow), ("n", 1)])
def test_a_terminal_is_asked(tmp_path: Path, answer: str, status: int) -> None:
    text = RECIPE[: RECIPE.index("  - type: corpus")]
    recipe = make_workshop(tmp_path / "work", text)
    parent, child = pty.openpty()
    program = "import sys; from burnish.cli import main; sys.argv = ['burnish', *sys.argv[1:]]; main()"
    command = [sys.executable, "-c", program, "run", str(recipe), "--runs", str(tmp_path / "runs")]
    process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env={**os.environ, "COLUMNS": "200"})
    os.close(child)
    os.write(parent, f"{answer}\n".encode())
    shown = b""
    while True:
        try:
            chunk = os.read(parent, 4096)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(parent)
    assert process.wait(60) == status, shown.decode()
    assert b"prepare.py, which uses duckdb" in shown
    assert (tmp_path / "runs" / "numbers" / "01-prepare" / "stage.json").exists() == (status == 0)


@pytest.mark.parametrize(
    "written",
    [
        "package:numpy//etc/passwd",
        "package:numpy/../../../../../etc/passwd",
        "package:this.x/y",
        *(
            pytest.param(written, marks=pytest.mark.slow)
            for written in (
                "package:numpy/./__init__.py",
                "package:antigravity.x/y",
                "package:../numpy/x",
                "package:numpy/a//b",
                "package:numpy/a\\\\..\\\\b",
            )
        ),
    ],
)
def test_a_package_gives_its_own_files_only_and_is_not_imported(tmp_path: Path, written: str) -> None:
    (tmp_path / "recipe.yaml").write_text(f'name: x\nmodel: "{written}"\nstages: [{{type: export}}]\n')
    program = (
        "import sys\nfrom pathlib import Path\nfrom burnish.errors import RecipeError\n"
        "from burnish.recipes.plan.planned import make_plan\n"
        "before = set(sys.modules)\n"
        "try:\n    make_plan(Path('recipe.yaml'))\n"
        "except RecipeError as error:\n    print(error)\nelse:\n    raise SystemExit('accepted')\n"
        "assert not {'this', 'antigravity'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "Beautiful is better" not in done.stdout
    assert "recipe.yaml:2: model: got 'package:" in done.stdout


def test_a_link_out_of_a_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "carrier"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "own.gguf").write_text("own")
    (package / "out.gguf").symlink_to("/etc/passwd")
    (package / "in.gguf").symlink_to("own.gguf")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    file = tmp_path / "recipe.yaml"
    for name, fine in (("own", True), ("in", True), ("out", False)):
        file.write_text(f"name: x\nmodel: package:carrier/{name}.gguf\nstages: [{{type: export}}]\n")
        if fine:
            make_plan(file)
        else:
            with pytest.raises(RecipeError, match="leads out of the package"):
                make_plan(file)


@pytest.mark.parametrize(
    ("address", "fine"),
    [
        ("https://judge.example/v1", True),
        ("http://localhost:8000/v1", True),
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.5.5.5/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://model.localhost/v1", True),
        ("http://judge.example/v1", False),
        ("http://10.0.0.5:8000/v1", False),
        ("http://0.0.0.0:8000/v1", False),
        ("http://127.0.0.1.evil.example/v1", False),
        ("http://localhost.evil.example/v1", False),
        ("HTTP://judge.example/v1", False),
    ],
)
def test_no_key_over_plain_http_except_to_this_machine(tmp_path: Path, address: str, fine: bool) -> None:
    judge = f"{{type: chat, address: '{address}', model: m, api_key_env: KEY}}"
    stage = f"{{type: sample, tasks: tasks.jsonl, judges: [{judge}]}}"
    (tmp_path / "tasks.jsonl").write_text("{}")
    (tmp_path / "recipe.yaml").write_text(f"name: x\nmodel: tasks.jsonl\nstages:\n- {stage}\n")
    if fine:
        make_plan(tmp_path / "recipe.yaml")
    else:
        with pytest.raises(RecipeError, match=r"stages\[0\]\.judges\[0\]\.(api_key_env|address)"):
            make_plan(tmp_path / "recipe.yaml")


def test_a_file_is_read_without_running_it(tmp_path: Path) -> None:
    file = tmp_path / "reward.py"
    (tmp_path / "beside.py").write_text("")
    file.write_text("import numpy.linalg, json, beside\nfrom rich import box\nraise SystemExit\nother = len\n")
    assert imported_packages(file) == {"numpy", "rich"}
    check_function(file, "other", ["prompt"])
    with pytest.raises(BurnishError, match=r"has no function 'reward'.*other"):
        check_function(file, "reward", ["prompt"])
    for text, problem in (
        ("def reward(:\n", r"fails when it is loaded.*line 1"),
        ("x = 1\0", "fails when it is loaded"),
    ):
        file.write_text(text)
        with pytest.raises(BurnishError, match=problem):
            check_function(file, "reward", ["prompt"])


def test_what_a_script_imports_from_beside_it_belongs_to_it(recipe: Path) -> None:
    folder = recipe.parent
    (folder / "parts").mkdir()
    for name, text in (
        ("helper.py", "import numpy\nfrom parts import one\n"),
        ("parts/__init__.py", ""),
        ("parts/one.py", "from . import two\nfrom .... import above\n"),
        ("parts/two.py", f"import {'x' * 5000}\nimport helper\n"),
        ("other.py", ""),
    ):
        (folder / name).write_text(text)
    script = folder / "prepare.py"
    script.write_text("def late():\n    import helper\n" + script.read_text())
    assert {str(file.relative_to(folder)) for file in imported_files(script)} == {
        *("helper.py", "parts/__init__.py", "parts/one.py", "parts/two.py")
    }
    nothing_watched = "prepare.watch=[]"
    before = plan(recipe, nothing_watched).stage("prepare").key
    assert asked(plan(recipe, nothing_watched))
    assert not asked(plan(recipe, nothing_watched))
    (folder / "other.py").write_text("import os\n")
    assert plan(recipe, nothing_watched).stage("prepare").key == before
    (folder / "parts/two.py").write_text("import os\n")
    assert plan(recipe, nothing_watched).stage("prepare").key != before
    assert asked(plan(recipe, nothing_watched)), "another content is asked about again"
