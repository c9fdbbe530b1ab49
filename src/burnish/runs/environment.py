"""What a run ran with: versions and hardware."""

import importlib.metadata
import platform
from typing import Any

import torch

from burnish import __version__
from burnish.hardware import choose_compute_dtype, choose_device, device_name

GIB = 2**30
_PACKAGES = ("torch", "numpy", "safetensors", "tokenizers", "gguf", "pydantic", "duckdb", "pyarrow")


def versions() -> dict[str, str]:
    """Versions of Burnish, Python and the packages whose results a stage depends on."""
    found = {"burnish": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def computing(device: str, compute_dtype: str) -> dict[str, Any]:
    """What the last bits of a result depend on besides seed and data."""
    found = hardware(device, compute_dtype)
    return {"PyTorch": torch.__version__, **{name: found[name] for name in ("device", "compute_dtype", "threads")}}


def hardware(device: str, compute_dtype: str) -> dict[str, Any]:
    """What the run computed on."""
    chosen = choose_device(device)
    return {
        "device": device_name(chosen),
        "compute_dtype": str(choose_compute_dtype(compute_dtype, chosen)).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
    }
