"""Runs one side of a row in a fresh process and reads its answer."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks.row import BenchmarkError, Config

ROOT = Path(__file__).parents[1]
_SHOWN_LINES, _SHOWN_COLUMNS = 15, 300


def call(module: str, side: str, config: Config) -> Config:
    """What `python -m MODULE SIDE CONFIG` answers, a JSON object on its standard output.

    `config` holds at least `threads` and `folder`. Raises BenchmarkError with the end of the worker's standard error.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, side, json.dumps(config)],
        cwd=ROOT,
        env=_environment(config),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            return answer
    raise BenchmarkError(
        f"{module} {side} {_fate(done.returncode)}; its configuration was {json.dumps(config)}\n"
        + _end_of(done.stderr or done.stdout)
    )


def _environment(config: Config) -> dict[str, str]:
    """The same for both sides: so many threads, no GPU, no network, caches in the row's own folder."""
    threads = str(config["threads"])
    return os.environ | {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "CUDA_VISIBLE_DEVICES": "",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HOME": str(Path(config["folder"]) / "huggingface"),
        "XDG_CACHE_HOME": str(Path(config["folder"]) / "cache"),  # so that `auto` is measured with the row
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }


def _fate(status: int) -> str:
    if status >= 0:
        return "answered with something else than a JSON object" if status == 0 else f"ended with status {status}"
    name = signal.Signals(-status).name
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _end_of(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(f"  {line[:_SHOWN_COLUMNS]}" for line in lines[-_SHOWN_LINES:]) or "  (it wrote nothing)"
