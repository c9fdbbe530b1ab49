"""K-quants: GGUF files of two to six bits a weight, made by llama.cpp's own code where llama-cpp-python is installed.

The `gguf` package reads these formats and does not write them. A matrix whose rows are no multiple of 256 numbers gets
one of the plain formats, as llama.cpp decides.
"""

import ctypes
import importlib.util
import os
from pathlib import Path
from typing import Any

from gguf import LlamaFileType

from burnish.errors import BurnishError
from burnish.files import atomic_file

K_QUANTS = {
    "Q6_K": LlamaFileType.MOSTLY_Q6_K,
    "Q5_K_M": LlamaFileType.MOSTLY_Q5_K_M,
    "Q4_K_M": LlamaFileType.MOSTLY_Q4_K_M,
    "Q3_K_M": LlamaFileType.MOSTLY_Q3_K_M,
    "Q2_K": LlamaFileType.MOSTLY_Q2_K,
}


def require_llama_cpp(quantization: str) -> None:
    """Raise BurnishError where llama-cpp-python is not installed."""
    if importlib.util.find_spec("llama_cpp") is None:
        raise BurnishError(
            f"{quantization} is written by llama.cpp's own code: pip install llama-cpp-python (it needs a C++ "
            "compiler), or choose one of F16, Q8_0, Q5_1, Q5_0, Q4_1, Q4_0"
        )


def quantize_file(source: Path, target: Path, quantization: str) -> None:
    """Write `target` from `source`, a GGUF file that is not quantized, such as F16.

    quantization: a key of `K_QUANTS`.

    Raises BurnishError where llama.cpp is not installed or refuses the file.
    """
    require_llama_cpp(quantization)
    import llama_cpp

    said: list[str] = []

    def keep(level: int, text: bytes, _: Any) -> None:
        said.append(text.decode("utf-8", "replace").strip())

    callback = llama_cpp.llama_log_callback(keep)  # kept by this name as long as llama.cpp may call it
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = int(K_QUANTS[quantization])
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    with atomic_file(target) as path:
        failed = llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(path), ctypes.byref(parameters))
        llama_cpp.llama_log_set(llama_cpp.llama_log_callback(0), ctypes.c_void_p(0))  # to the terminal again
        if failed:
            why = next((line for line in reversed(said) if line), "no reason given")
            raise BurnishError(f"{source}: llama.cpp could not write it as {quantization}: {why}")
