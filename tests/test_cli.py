"""The command line as a user meets it: help, messages, exit statuses, a run stopped and gone on with."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as Backend

from burnish import cli
from burnish.cli import streams
from burnish.console.display import Display
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import preview, run
from workshop import RECIPE, make_workshop, tiny_tokenizer

USER = {"role": "user", "content": "a"}
COMMANDS = [
    ("run",),
    ("plan",),
    ("init",),
    ("chat",),
    ("eval",),
    ("export",),
    ("convert",),
    ("doctor",),
    ("data", "check"),
    ("lab", "attention"),
    ("lab", "frontier"),
    ("lab", "kl"),
    ("lab", "norm"),
]


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `burnish ARGUMENTS`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["burnish", *map(str, arguments)])
        patch.setenv("COLUMNS", "200")
        patch.setenv("NO_COLOR", "1")
        status: str | int | None = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code
    captured = capsys.readouterr()
    return int(status or 0), captured.out, captured.err


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of a finished run, whose folder is `runs/numbers` beside it."""
    recipe = make_workshop(tmp_path_factory.mktemp("cli"))
    run(recipe, runs=recipe.parent / "runs", display=Display(quiet=True))
    return recipe


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_shows_an_example(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, *command, "--help")
    assert status == 0
    assert f"Example: burnish {' '.join(command)}" in out


def test_help_needs_neither_torch_nor_the_recipes() -> None:
    program = (
        "import sys; sys.argv = ['burnish', '--help']\n"
        "from burnish.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'burnish.recipes', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Run a recipe" in done.stdout
    assert done.stderr.strip() == "[]"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "--version")[:2] == (0, f"burnish {cli.__version__}\n")


def test_a_mistake_is_one_message_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = make_workshop(tmp_path, RECIPE.replace("seed: 3", "sed: 3"))
    status, out, err = call(capsys, "run", recipe)
    assert status == 1
    assert out == ""
    assert err.startswith(f"error: {recipe}:2: sed: unknown key; did you mean 'seed'?")
    assert "Traceback" not in err


def test_a_bug_shows_its_traceback_and_where_to_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_arguments: Any, **_options: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("burnish.recipes.plan.planned.make_plan", broken)
    status, _, err = call(capsys, "run", tmp_path / "recipe.yaml", "--dry-run")
    assert status == 1
    assert "Traceback" in err
    assert "ZeroDivisionError: a bug" in err
    assert "This is a bug in Burnish" in err


def panicking() -> str:
    """A `tokenizer.json` that makes the Rust library behind it panic, which is no Exception."""
    values = json.loads(tiny_tokenizer().backend.to_str())
    values["model"] |= {"continuing_subword_prefix": "##", "byte_fallback": True}
    return json.dumps(values)


def test_a_file_that_makes_a_library_panic_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_workshop(tmp_path)
    (tmp_path / "model" / "tokenizer.json").write_text(panicking())
    status, _, err = call(capsys, "export", tmp_path / "model", "--output", tmp_path / "out")
    assert status == 1
    assert "tokenizer.json is not a tokenizer that can be read: the library that reads it failed: slice" in err
    assert "Traceback" not in err


def test_a_panic_that_nobody_has_foreseen_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("burnish.recipes.plan.planned.make_plan", lambda *_, **__: Backend.from_str(panicking()))
    status, _, err = call(capsys, "run", tmp_path / "recipe.yaml", "--dry-run")
    assert status == 1
    assert err.startswith("error: a library has failed on what it was given, such as a damaged file: slice index")
    assert "Traceback" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_output_that_has_no_room_is_no_bug(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    command = [sys.executable, "-m", "burnish", "data", "check", "rows.jsonl"]
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)
    assert found.returncode == 1
    assert found.stderr.startswith("error: cannot write: No space left on device; ")
    assert len(found.stderr.splitlines()) == 1


class Closed:
    """Standard output or error as a pipe whose reader has gone."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __enter__(self) -> None:
        self.patch, self.streams = pytest.MonkeyPatch(), []
        for name in self.names:
            reading, writing = os.pipe()
            os.close(reading)
            self.streams.append(os.fdopen(writing, "w"))
            self.patch.setattr(sys, name, self.streams[-1])

    def __exit__(self, *_: object) -> None:
        self.patch.undo()
        for stream in self.streams:
            stream.close()


def test_a_run_that_nobody_reads_is_finished(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = finished.parent / "runs"
    with Closed("stdout"):
        status, _, err = call(capsys, "run", finished, "--runs", runs, "--yes")
    assert status == 0, err
    assert err.endswith(
        "nobody reads the output any more; the work was finished: "
        f"{runs / 'numbers/summary.json'}, {runs / 'numbers/report.html'}\n"
    )
    with Closed("stdout", "stderr"):
        status, out, err = call(capsys, "run", finished, "--runs", runs, "--yes")
    assert (status, out, err) == (0, "", "")


@pytest.mark.parametrize("command", ["run --dry-run", "plan --json", "data check", "eval"])
def test_what_prints_much_is_no_failure_when_its_reader_has_enough(
    command: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "a", "completion": "b"}) + "\n")
    recipe = (finished, "--runs", finished.parent / "runs")
    arguments = {"data check": (rows,), "eval": (finished.parent / "runs/numbers", "--tasks", rows)}
    with Closed("stdout"):
        status, out, err = call(capsys, *command.split(), *arguments.get(command, recipe))
    assert (status, out) == ((1, "") if command == "eval" else (0, ""))
    assert ("error: " in err) == (command == "eval"), "what is wrong is still told, on standard error"


def test_nobody_is_answered_who_has_stopped_reading() -> None:
    asked = []
    with Closed("stdout"):
        streams.steady_streams()
        for question in streams.while_read(iter(lambda: "again?", "")):
            print("an answer to", question)
            asked.append(question)
    assert asked == ["again?"]


def test_a_wrong_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capsys, "run", "recipe.yaml", "--dryrun")
    assert status == 2
    assert "--dry-run" in err


def test_a_dry_run_says_what_would_be_done(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = finished.parent / "runs"
    status, out, _ = call(capsys, "run", finished, "--runs", runs, "--dry-run", "--set", "dpo.beta=0.5")
    assert status == 0
    lines = out.splitlines()
    assert [line.rpartition("/")[2] for line in lines[4:7]] == [
        "05-sample: cached (unchanged)",
        "06-dpo: run (beta changed)",
        "07-evaluate: run (@dpo changed)",
    ]
    _, out, _ = call(capsys, "run", finished, "--runs", runs, "--dry-run", "--from", "export")
    assert out.splitlines()[7].endswith("08-export: run (--from export)")


def test_a_run_ends_with_its_tables(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "run", finished, "--runs", finished.parent / "runs", "--yes")
    assert status == 0
    assert out.count("cached") == 16
    for part in (
        "peak memory",
        "execution accuracy",
        "final unseen intents",
        "perplexity",
        "→",
        "report.html",
    ):
        assert part in out


def test_chat_answers_with_the_query_and_its_result(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(
        capsys, "chat", finished.parent / "runs" / "numbers", "--ask", "1 mod 3?", "--ask", "2 mod 3?"
    )
    assert status == 0
    assert out.count("SELECT") == 2
    assert "─" in out or "Error" in out


def test_chat_reads_questions_from_a_pipe(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("0 mod 3?\n\n1 mod 3?\n"))
    status, out, _ = call(capsys, "chat", finished.parent / "runs" / "numbers")
    assert status == 0
    assert out.count("SELECT") == 2


@pytest.mark.parametrize("closed", [True, False])
def test_chat_with_input_that_is_no_text(
    finished: Path, closed: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = io.TextIOWrapper(io.BytesIO(b"4 mod 3?\ncaf\xe9?\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", None if closed else odd)
    status, out, err = call(capsys, "chat", finished.parent / "runs" / "numbers")
    assert status == (0 if closed else 1)
    assert "Traceback" not in err
    if not closed:
        assert "SELECT" in out, "the first question is answered"
        assert err.startswith("error: standard input, line 2: not text in UTF-8")


def test_chat_by_votes(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = finished.parent / "runs" / "numbers"
    status, out, _ = call(capsys, "chat", folder, "--ask", "1 mod 3?", "--votes", "4")
    assert status == 0
    assert "of 4 answers agree:" in out
    status, _, err = call(capsys, "chat", folder, "--ask", "?", "--votes", "4", "--temperature", "0")
    assert status == 1
    assert "expected one above 0" in err
    status, _, err = call(capsys, "chat", folder / "04-sft" / "model", "--ask", "?", "--votes", "4")
    assert status == 1
    assert "has none in `chat.judges`" in err


def test_chat_with_a_bare_model(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = finished.parent / "runs" / "numbers" / "04-sft" / "model"
    status, out, _ = call(capsys, "chat", folder, "--ask", "1 mod 3?", "--system", "Answer in SQL.")
    assert status == 0
    assert "SELECT" in out
    assert "─" not in out, "without a run there is no database"


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_chat_with_nothing_is_explained(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capsys, "chat", tmp_path / path, "--ask", "?")
    assert status == 1
    assert "run" in err
    assert "model" in err


def test_chat_with_an_unfinished_run_says_how_to_finish_it(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text((finished.parent / "runs" / "numbers" / "run.json").read_text())
    status, _, err = call(capsys, "chat", tmp_path, "--ask", "?")
    assert status == 1
    assert f"go on with: burnish run {finished}" in err


def test_export_writes_what_was_asked_for(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_folder = finished.parent / "runs" / "numbers"
    status, out, _ = call(capsys, "export", run_folder, "--gguf", "Q8_0", "-o", tmp_path / "out")
    assert status == 0
    assert out.split() == [str(tmp_path / "out" / "numbers-Q8_0.gguf")]
    assert (tmp_path / "out" / "numbers-Q8_0.gguf").stat().st_size > 1000
    status, out, _ = call(
        capsys, "export", tmp_path / "out" / "numbers-Q8_0.gguf", "-o", tmp_path / "again", "--dtype", "bfloat16"
    )
    assert status == 0
    assert (tmp_path / "again" / "model" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [{"messages": [USER, {"role": "assistant", "content": "b"}]}],
            "1 conversation (OpenAI",
        ),
        ([{"messages": [USER], "sql": "SELECT 1"}], "1 task (OpenAI"),
        ([{"instruction": "a", "output": "b"}] * 2, "2 conversations (Alpaca"),
        ([{"prompt": "a", "chosen": "b", "rejected": "c"}] * 3, "3 preferences (prompt"),
        ([{"prompt": "a", "completion": "b", "label": True}], "1 labelled answer, 1 of them desired"),
        ([{"prompt": "a", "sql": "SELECT 1"}], "1 task (prompt"),
        ([{"text": "a b c"}], "1 document"),
    ],
)
def test_data_check_recognises(
    rows: list[dict[str, Any]], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, out, _ = call(capsys, "data", "check", file)
    assert status == 0
    assert out.startswith(f"{file}: {expected}")


def test_data_check_names_bad_rows_of_all_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, worse = (tmp_path / f"{name}.jsonl" for name in ("good", "bad", "worse"))
    good.write_text('{"text": "a document"}\n')
    bad.write_text('{"instruction": "a", "output": "b"}\n{"instruction": "a"}\n')
    worse.write_text("{]\n")
    status, out, err = call(capsys, "data", "check", good, bad, worse)
    assert status == 1
    assert f"{good}: 1 document" in out
    assert f"{bad}:2" in err
    assert f"{worse}:1" in err


def test_doctor_says_what_is_here_and_what_is_missing_for_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from burnish.console import doctor

    monkeypatch.setattr(doctor, "find_spec", lambda module: None if module == "duckdb" else object())
    status, out, _ = call(capsys, "doctor")
    assert status == 0
    for part in (
        "burnish 0.",
        "torch",
        "cores",
        "memory",
        "GFLOP/s",
        "sandbox",
        "pip install 'burnish[sql]'",
        "running SQL",
    ):
        assert part in out
    assert "Parquet" not in out


@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stopped_run_says_how_to_go_on_and_does(sent: signal.Signals, tmp_path: Path) -> None:
    recipe = make_workshop(tmp_path)
    runs = tmp_path / "runs"
    program = "import sys; from burnish.cli import main; sys.argv = ['burnish', *sys.argv[1:]]; main()"
    command = [
        sys.executable,
        "-c",
        program,
        "run",
        str(recipe),
        "--runs",
        str(runs),
        "--yes",
        "--set",
        "sft.training.epochs=500",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    events = runs / "numbers" / "04-sft" / "events.jsonl"
    deadline = time.monotonic() + 120
    while not (events.exists() and events.stat().st_size > 500):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Run the same command again to go on" in err
    assert "Traceback" not in err
    running = json.loads((runs / "numbers" / "04-sft" / "running.json").read_text())
    assert running["attempts"] == 1
    assert running["wall_seconds"] > 0
    plan = make_plan(recipe, overrides=["sft.training.epochs=500"], runs=runs)
    assert [status.state for _, status in preview(plan)][2:5] == ["cached", "resume", "run"]


def test_progress_on_a_terminal(finished: Path) -> None:
    """Bars and colours reach a terminal, and only a terminal."""
    parent, child = pty.openpty()
    program = (
        "from burnish.console.display import Display\n"
        "with Display().bar('sft', 3, 'steps') as bar:\n"
        "    for step in (1, 2, 3):\n"
        "        bar.update(step, loss=0.5, tokens_per_second=1234.0)\n"
        "        import time; time.sleep(0.15)\n"
    )
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen([sys.executable, "-c", program], stdout=child, stderr=child, env=environment)
    process.wait(30)
    os.close(child)
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
    assert process.returncode == 0
    for part in (b"sft", b"3/3", b"steps", b"loss 0.5", b"tokens per second 1,234", b"\x1b["):
        assert part in shown
