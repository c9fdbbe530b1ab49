"""What the machine has and which number format it is fastest with.

The compute dtype `auto` is measured, not looked up: bfloat16 products run 2.6 times as fast as float32 on a CPU
with AVX512-BF16 and several times slower on one with AVX2 alone. The measurement is kept for each processor and
version of PyTorch, so that a resumed run computes in the format that it started with.
"""

import ctypes
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import torch

from burnish.errors import BurnishError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h

_WORTHWHILE = 1.2
"""bfloat16 must be this many times as fast as float32: below that its rounding buys too little."""


@dataclass(frozen=True)
class DtypeChoice:
    """A compute dtype and the sentence that says why."""

    dtype: torch.dtype
    reason: str


def choose_device(name: str = "auto") -> torch.device:
    """`auto`: CUDA, else Apple's MPS, else the CPU. Raises BurnishError for a device that is not there."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BurnishError(f"device '{name}' is not known; use auto, cpu, cuda, cuda:N or mps") from None
    there = {
        "cpu": True,
        "cuda": (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if device.type not in there:
        raise BurnishError(f"device '{name}' is not supported; use auto, cpu, cuda, cuda:N or mps")
    if not there[device.type]:
        raise BurnishError(f"device '{name}' was asked for, but PyTorch {torch.__version__} finds none here; use auto")
    return device


def choose_compute_dtype(name: str, device: torch.device) -> torch.dtype:
    """`float32`, `bfloat16`, on a GPU `float16`, or for `auto` the one that measures faster on `device`."""
    return explain_compute_dtype(name, device).dtype


def explain_compute_dtype(name: str, device: torch.device) -> DtypeChoice:
    """As `choose_compute_dtype`, with the reason."""
    if name == "float16":
        if device.type == "cpu":
            raise BurnishError(
                "compute dtype 'float16' was asked for, but a CPU computes it slower than float32; use auto, float32, "
                "bfloat16, or a GPU"
            )
        return DtypeChoice(torch.float16, "float16 was asked for; the loss is scaled in training")
    if name in DTYPES:
        return DtypeChoice(DTYPES[name], f"{name} was asked for")
    if name != "auto":
        raise BurnishError(f"compute dtype '{name}' is not known; use auto, float32, bfloat16 or float16")
    rates = _measured_rates(device)
    ratio = rates["bfloat16"] / rates["float32"]
    chosen = "bfloat16" if ratio >= _WORTHWHILE else "float32"
    return DtypeChoice(
        DTYPES[chosen],
        f"matrix products here: {rates['float32']:.0f} GFLOP/s in float32, {rates['bfloat16']:.0f} in bfloat16 "
        f"({ratio:.2f} times; bfloat16 is chosen from {_WORTHWHILE} times on)",
    )


def memory_bytes(device: torch.device) -> int:
    """Memory of the GPU, or of the machine where the device is another."""
    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else psutil.virtual_memory().total


def set_threads(threads: int | None) -> int:
    """Use `threads` CPU threads for tensor work, or all cores this process may run on; returns the number."""
    count = threads or available_cores()
    torch.set_num_threads(count)
    return count


def keep_freed_memory() -> None:
    """Let the C allocator keep freed memory for the next tensor instead of returning it to the system.

    Each training step frees and takes the same gigabytes again; the page faults of taking them anew cost up to a
    quarter of a step on two cores. Only glibc has these settings; elsewhere nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for parameter, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 256 * 2**20)):
        mallopt(parameter, value)


def available_cores() -> int:
    """Cores this process may run on: fewer than the machine's inside a container or under taskset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device_name(device: torch.device) -> str:
    """The device as its maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"{_processor()} ({torch.backends.cpu.get_cpu_capability()})"
    return f"{device.type} ({platform.machine()})"


def cache_folder() -> Path:
    """Where measurements of this machine are kept: `$XDG_CACHE_HOME/burnish` or `~/.cache/burnish`.

    For a user without a home, as containers have them, that is a place where nothing can be kept.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "burnish"
    except RuntimeError:
        return Path(os.devnull) / "burnish"


def rates_key(device: torch.device, threads: int) -> str:
    """What the rates of `auto` are kept under: they depend on the device, on PyTorch and on the number of threads."""
    return f"{device_name(device)} | torch {torch.__version__} | {threads} threads"


@cache
def onednn_leads() -> bool:
    """Whether this CPU computes float32 products faster by oneDNN than by MKL, which PyTorch takes for them.

    MKL is at its best on Intel's processors alone. Both have to be there. It is looked up, not measured, so that a run
    that goes on adds up in the same order.
    """
    there = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    return there and "intel" not in _processor().lower()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _measured_rates(device: torch.device) -> dict[str, float]:
    """GFLOP/s of a matrix product in each dtype, from the cache or measured now."""
    key = rates_key(device, torch.get_num_threads())
    file = cache_folder() / "matmul.json"
    kept: Any = {}
    try:
        kept = json.loads(file.read_text())
        rates = {name: float(kept[key][name]) for name in DTYPES}
        if all(rate > 0 for rate in rates.values()):
            return rates
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # those of other devices and numbers of threads stay
    rates = {name: _matmul_rate(device, dtype) for name, dtype in DTYPES.items()}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps({**(kept if isinstance(kept, dict) else {}), key: rates}, indent=2))
        temporary.replace(file)
    except OSError:
        pass  # A read-only home only means measuring again next time.
    return rates


def _matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Best of several timed products of a training step's shape, in GFLOP/s."""
    rows, inner, columns = (1024, 576, 1536) if device.type == "cpu" else (4096, 4096, 4096)
    a = torch.ones(rows, inner, device=device, dtype=dtype)
    b = torch.ones(columns, inner, device=device, dtype=dtype)
    synchronize = _synchronizer(device)
    best = float("inf")
    for _ in range(6):
        synchronize()
        start = time.perf_counter()
        torch.nn.functional.linear(a, b)
        synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * rows * inner * columns / best / 1e9


def _synchronizer(device: torch.device) -> Callable[[], None]:
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return torch.mps.synchronize if device.type == "mps" else lambda: None
