"""Scripts that start the servers of llama.cpp and vLLM, which read the chat template from the model."""

import shlex
from collections.abc import Callable, Sequence

from burnish.deployment.exported import PORT, Exported


def llama_server(exported: Exported, say: Callable[[str], None]) -> tuple[str, str]:
    """A script that starts llama.cpp's server: https://github.com/ggml-org/llama.cpp/tree/master/tools/server."""
    gguf = exported.gguf_for("llama.cpp")
    command = [
        "llama-server",
        *("--model", _beside(gguf.name)),
        *("--alias", shlex.quote(exported.name)),
        *("--ctx-size", str(exported.context)),
        "--jinja",
        *("--host", "127.0.0.1"),
        *("--port", str(PORT)),
    ]
    return "llama-server.sh", _script(exported, command)


def vllm_serve(exported: Exported, say: Callable[[str], None]) -> tuple[str, str]:
    """A script that starts vLLM's server: https://docs.vllm.ai/en/latest/cli/serve."""
    model = exported.folder_for("vllm")
    command = [
        "vllm serve",
        _beside(model.name),
        *("--served-model-name", shlex.quote(exported.name)),
        *("--max-model-len", str(exported.context)),
        *("--dtype", "auto"),
        *("--host", "127.0.0.1"),
        *("--port", str(PORT)),
    ]
    return "vllm-serve.sh", _script(exported, command)


def _script(exported: Exported, command: Sequence[str]) -> str:
    """A shell script of a command, which takes further options; an option and its value share a line."""
    lines = ["#!/bin/sh", "# Options given to this script are added, and win over those below."]
    if exported.system:
        lines += ["# The model was trained with this system prompt, which the client sends with each conversation:"]
        lines += [f"#     {line}".rstrip() for line in exported.system.splitlines()]
    lines += ['here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd) || exit', f"exec {command[0]} \\"]
    rest = list(command[1:])
    while rest:
        words = [rest.pop(0)]
        if rest and words[0].startswith("--") and not rest[0].startswith("--"):
            words.append(rest.pop(0))
        lines.append(f"  {' '.join(words)} \\")
    return "\n".join([*lines, '  "$@"']) + "\n"


def _beside(name: str) -> str:
    return f'"$here"/{shlex.quote(name)}'
