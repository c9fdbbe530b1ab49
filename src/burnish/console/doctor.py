"""What `burnish doctor` finds: the machine, the number format and its reason, versions, missing extras."""

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil

from burnish.errors import BurnishError
from burnish.hardware import available_cores, choose_device, device_name, explain_compute_dtype, set_threads
from burnish.runs.environment import GIB, versions

_EXTRAS = {
    "pyarrow": ("data", "Parquet data files"),
    "duckdb": ("sql", "running SQL answers: sql verifiers, and the results in `burnish chat`"),
    "tensorboard": ("report", "TensorBoard event files beside events.jsonl"),
    "starlette": ("serve", "`burnish serve`"),
    "matplotlib": ("lab", "the plots of `burnish lab`"),
}
"""Module: the extra that brings it, and what it is for."""


def findings() -> Iterator[tuple[str, str]]:
    """Topic and finding, a pair a line."""
    memory = psutil.virtual_memory()
    device = choose_device()
    threads = set_threads(None)
    yield "versions", ", ".join(f"{name} {version}" for name, version in versions().items())
    yield "system", platform.platform()
    yield "device", f"{device} ({device_name(device)})"
    yield "cores", f"{available_cores()} usable of {os.cpu_count()}, {threads} threads"
    yield "memory", f"{memory.available / GIB:.1f} GiB free of {memory.total / GIB:.1f} GiB"
    yield "disk", f"{shutil.disk_usage(Path.cwd()).free / GIB:.1f} GiB free in {Path.cwd()}"
    choice = explain_compute_dtype("auto", device)
    yield "compute dtype", f"{str(choice.dtype).removeprefix('torch.')}: {choice.reason}"
    yield "sandbox", _sandbox()
    missing = [(extra, use) for module, (extra, use) in _EXTRAS.items() if find_spec(module) is None]
    for extra, use in missing:
        yield "missing", f"{use}: pip install 'burnish[{extra}]'"
    if not missing:
        yield "extras", "all there"


def _sandbox() -> str:
    """What keeps programs that a model wrote apart from this machine, or why nothing does."""
    from burnish.rewards.programs.sandbox import ProgramSandbox

    try:
        with ProgramSandbox() as sandbox:
            return f"{sandbox.isolation} (for Python that a model wrote)"
    except BurnishError as error:
        return str(error)
