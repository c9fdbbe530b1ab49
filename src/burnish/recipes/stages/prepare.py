"""prepare: runs a Python script that writes the data files of the stages after it."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal

from pydantic import Field

from burnish.errors import BurnishError
from burnish.files import reported, sha256
from burnish.recipes.language.places import KeyPath, did_you_mean
from burnish.recipes.runner import supervisor
from burnish.recipes.schema.python_files import imported_files, imported_packages
from burnish.recipes.schema.stage import Action, FileReference, Metrics, StageConfig, StageContext, exists

LOG_FILE = "prepare.log"
SHOWN_LINES = 15
MAX_WATCHED = 1000
MAX_PATTERN_STEPS = 20


class PrepareStage(StageConfig):
    """Runs `python SCRIPT --out FOLDER ARGUMENTS...` with a new folder; what it writes there is the product.

    Hidden files are not kept."""

    type: Literal["prepare"] = Field("prepare", description="prepare")
    script: str = Field(description="Python file, relative to the recipe")
    arguments: list[str] = Field(
        [],
        description="further arguments of the script; one that is also in `inputs`, such as @sample/chosen.jsonl, is "
        "given as its path",
    )
    watch: list[str] = Field(
        ["**/*.py"],
        description="patterns, relative to the script, of files whose change makes the stage run again; the "
        "script and what it imports from beside it always are",
    )
    inputs: list[FileReference] = Field(
        [], description="files and folders that the script reads, such as those of `arguments`: a change runs it again"
    )
    packages: list[str] = Field(
        [],
        description="Python packages the script needs; must be installed, and a new version makes the stage run again",
    )

    seeded: ClassVar[bool] = False

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        script = folder / self.script
        if not exists(script) or not script.is_file():
            scripts = [str(path.relative_to(folder)) for path in sorted(folder.glob("*.py"))]
            yield ("script",), f"got '{self.script}'; no such file in {folder}{did_you_mean(self.script, scripts)}"
            return
        wrong = [(index, text) for index, pattern in enumerate(self.watch) if (text := _pattern_problem(pattern))]
        for index, text in wrong:
            yield ("watch", index), f"got {self.watch[index]!r}; {text}"
        try:
            too_many = not wrong and len(self._watched(folder)) > MAX_WATCHED
        except (OSError, ValueError) as error:
            yield ("watch",), f"cannot be looked for: {error}"
            return
        if too_many:
            yield ("watch",), f"more than {MAX_WATCHED} files match; name fewer, for example ['*.py']"
        for index, package in enumerate(self.packages):
            if _version(package) is None:
                yield ("packages", index), f"got '{package}'; not installed here: pip install {package}"

    def notes(self, producers: Mapping[str, StageConfig]) -> Iterator[str]:
        declared = {Path(path).name for path in self.inputs}
        for index, argument in enumerate(self.arguments):
            if argument.startswith("@") and argument not in self.inputs:
                yield f"arguments[{index}] is {argument}: name it in `inputs` too, or the script gets this text itself"
            if argument not in ("", ".", "..") and exists(Path(argument)) and Path(argument).name not in declared:
                yield (
                    f"arguments[{index}] is the path {argument}: name it in `inputs` too, or a change there does not "
                    "run the stage again"
                )

    def actions(self, folder: Path) -> Iterator[Action]:
        script = folder / self.script
        command = shlex.join([str(script), *self.arguments])
        packages = sorted({*imported_packages(script), *self.packages})
        using = f", which uses {', '.join(packages)}" if packages else ""
        yield Action("runs", command + using, [self.arguments, self._contents(folder)])

    def fingerprints(self, folder: Path) -> dict[str, str]:
        return self._contents(folder) | {f"package {package}": str(_version(package)) for package in self.packages}

    def run(self, context: StageContext) -> Metrics:
        script = (context.recipe_folder / self.script).resolve()
        log = context.folder / LOG_FILE
        # The script of a run that was killed may still be alive and writing: each attempt gets a folder of its own.
        for left_behind in context.folder.parent.glob(f".{context.folder.name}-*"):
            shutil.rmtree(left_behind, ignore_errors=True)
        with reported("write", context.folder):
            out = Path(tempfile.mkdtemp(prefix=f".{context.folder.name}-", dir=context.folder.parent)).resolve()
            try:
                command = [sys.executable, "-u", str(script), "--out", str(out), *self._given(context)]
                with log.open("wb") as output:
                    status = _stream(command, output, context)
                if status != 0:
                    raise BurnishError(_failure(script.name, status, log))
                files = [file for file in out.rglob("*") if file.is_file()]
                size = sum(file.stat().st_size for file in files)
                for made in list(out.iterdir()):
                    if not made.name.startswith("."):
                        made.rename(context.folder / made.name)
            finally:
                shutil.rmtree(out, ignore_errors=True)
        return {"files": len(files), "bytes": size}

    def _given(self, context: StageContext) -> list[str]:
        """The arguments, those that are references of `inputs` as paths."""
        read = {one for one in self.inputs if one.startswith("@")}
        return [str(context.path(one).resolve()) if one in read else one for one in self.arguments]

    def _contents(self, folder: Path) -> dict[str, str]:
        """SHA-256 of the watched files, by their path from the script's folder."""
        root = (folder / self.script).resolve().parent
        return {str(file.relative_to(root)): sha256(file) for file in self._watched(folder)}

    def _watched(self, folder: Path) -> list[Path]:
        """The script, what it imports from beside it, and the files matching `watch`, not those in hidden folders."""
        script = (folder / self.script).resolve()
        root = script.parent
        found = {script, *imported_files(script)}
        for pattern in self.watch:
            for file in root.glob(pattern):
                if len(found) > MAX_WATCHED:
                    break
                if file.is_file() and not any(part.startswith(".") for part in file.relative_to(root).parts):
                    found.add(file)
        return sorted(found)


def _pattern_problem(pattern: str) -> str | None:
    """What keeps a text from being a pattern of files below the script's folder."""
    steps = pattern.split("/")
    if not pattern.strip() or "" in steps[:1]:
        return "expected a pattern relative to the script, for example '*.py'"
    if ".." in steps:
        return "leads out of the script's folder"
    if len(steps) > MAX_PATTERN_STEPS or steps.count("**") > 1:
        return f"expected at most {MAX_PATTERN_STEPS} folders and one '**'"
    return None


def _failure(script: str, status: int, log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LINES:]
    how = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
    shown = "\n".join(f"  {line}" for line in lines)
    return f"{script} failed ({how}); its last lines:\n{shown}\nThe whole output is in {log}."


def _stream(command: list[str], log: BinaryIO, context: StageContext) -> int:
    """Run the command, copying its output to the log and the terminal; returns its exit status."""
    # A script that iterates over a set would otherwise write other bytes each time.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    process = subprocess.Popen(
        [sys.executable, "-P", supervisor.__file__, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        for line in process.stdout:
            log.write(line)
            context.display.say("  " + line.decode(errors="replace").rstrip(), style="dim")
        return process.wait()
    except BaseException:
        # The supervisor now ends the script and all that it has started.
        process.stdin.close()
        try:
            process.wait(2 * supervisor.GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    finally:
        process.stdin.close()
        process.stdout.close()


def _version(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return version(package)
    except (PackageNotFoundError, ValueError):
        return None
