"""What keeps a program that a model wrote apart from the machine, and whether this machine has it.

There are two ways to the same cell: new user, mount, process, network, IPC, host name and cgroup namespaces, an empty
temporary root with the interpreter read-only in it, no capabilities.

- `bubblewrap`, which systems that keep namespaces from users may still allow, makes one as an ordinary user. Root runs
  it as nobody, and can do so only where nobody may read the interpreter.
- `namespaces`: Burnish asks the kernel itself (see `inside/namespaces.py`), as root or as an ordinary user.

Within it, resource limits, Landlock and a filter of system calls confine each program once more
(`inside/confinement.py`). A cell proves at its start that they hold.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from burnish.errors import BurnishError

Kind = Literal["bubblewrap", "namespaces"]
KINDS: tuple[Kind, ...] = ("bubblewrap", "namespaces")
NOBODY = 65534

_SYSTEM_FOLDERS = ("/lib", "/lib32", "/lib64", "/libx32", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32")
"""Where shared libraries are, which the interpreter and its modules load."""
_ASK = (
    "import json, sys, sysconfig; print(json.dumps([sys.base_prefix, sys.base_exec_prefix, "
    "sysconfig.get_path('stdlib'), sysconfig.get_path('platstdlib')]))"
)


class NoIsolationError(BurnishError):
    """This machine cannot keep a program apart; the message says why, and what to install or allow."""


@dataclass(frozen=True)
class Interpreter:
    """A Python and what a cell has to show of the machine for it to run.

    readable: files and folders. links: symbolic links at the root, and what they lead to. hidden: folders within the
    readable ones that hold other packages, and stay empty.
    """

    file: str
    readable: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]


@lru_cache
def interpreter(file: str = "") -> Interpreter:
    """What there is to know of the Python in `file`; of this one, without its virtual environment, if it is empty."""
    real = os.path.realpath(file or sys.executable)
    try:
        asked = subprocess.run([real, "-I", "-S", "-c", _ASK], capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise BurnishError(f"{real}: cannot be run as the interpreter of the sandbox: {error}") from error
    prefix, exec_prefix, *libraries = json.loads(asked.stdout)
    links = {folder: os.fspath(Path(folder).readlink()) for folder in _SYSTEM_FOLDERS if Path(folder).is_symlink()}
    wanted = [
        real,
        *(folder for folder in _SYSTEM_FOLDERS if folder not in links),
        *(f"{base}/{name}" for base in (prefix, exec_prefix) for name in ("lib", "lib64")),
        *libraries,
        "/etc/ld.so.cache",
    ]
    if real.startswith(("/nix/store/", "/gnu/store/")):
        wanted.append("/".join(real.split("/")[:3]))
    paths = sorted({os.path.realpath(path) for path in wanted if Path(path).exists()})
    readable = [path for path in paths if not any(str(parent) in paths for parent in Path(path).parents)]
    return Interpreter(real, tuple(readable), tuple(links.items()), tuple(_other_packages(readable)))


def _other_packages(folders: list[str]) -> Iterator[str]:
    """The folders of installed packages in the folders that a cell shows."""
    for folder in folders:
        for versioned in sorted(Path(folder).glob("python3*")):
            for name in ("site-packages", "dist-packages"):
                for found in (versioned / name, *([Path(folder) / name] if versioned.name == "python3" else [])):
                    if found.is_dir() and not found.is_symlink():
                        yield str(found)
        if Path(folder).name.startswith("python3"):
            yield from (str(found) for found in sorted(Path(folder).glob("*-packages")) if found.is_dir())


def command(kind: Kind, python: Interpreter, boot: str, disk: int) -> tuple[list[str], dict[str, Any] | None, bool]:
    """How a cell is started.

    Returns the command line; what the cell is told to make of itself, None where bubblewrap does it; and whether it is
    to be started as nobody. boot: the text of `inside/boot.py`. disk: bytes that its folder holds.
    """
    inner = [python.file, "-P", "-S", "-s", "-B", "-c", boot]
    if kind == "namespaces":
        enter = {"readable": python.readable, "links": dict(python.links), "hidden": python.hidden, "size": disk}
        return inner, enter, False
    line = [
        "bwrap", "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts",
        "--unshare-cgroup-try", "--as-pid-1", "--hostname", "cell",
    ]  # fmt: skip
    for path in python.readable:
        line += ["--ro-bind", path, path]
    for path, target in python.links:
        line += ["--symlink", target, path]
    for path in python.hidden:
        line += ["--size", "4096", "--tmpfs", path, "--remount-ro", path]
    line += ["--dev-bind", os.devnull, os.devnull, "--size", str(disk), "--tmpfs", "/tmp"]
    return [*line, "--remount-ro", "/", "--chdir", "/tmp", "--", *inner], None, os.geteuid() == 0


def missing(kind: Kind) -> str | None:
    """Why there can be no cell of a kind, as far as can be said without starting one."""
    if sys.platform != "linux":
        return "it needs Linux"
    if platform.machine() not in ("x86_64", "aarch64"):
        return f"there is no filter of system calls for {platform.machine()}"
    if kind == "bubblewrap" and shutil.which("bwrap") is None:
        return "bwrap is not installed"
    return None


def refusal(reasons: dict[Kind, str]) -> NoIsolationError:
    """The error for a machine on which no kind of cell works."""
    tried = "".join(f"\n  {kind}: {reason}" for kind, reason in reasons.items())
    if sys.platform != "linux":
        advice = "run this on Linux, in a virtual machine for example"
    else:
        advice = (
            "install bubblewrap (`apt-get install bubblewrap`, `dnf install bubblewrap`), or allow user namespaces: "
            "`sysctl -w user.max_user_namespaces=10000`, on Ubuntu also `sysctl -w "
            "kernel.apparmor_restrict_unprivileged_userns=0`; in a container, start it with `--security-opt "
            "seccomp=unconfined --security-opt apparmor=unconfined`"
        )
    return NoIsolationError(
        f"programs that a model wrote are run only in a sandbox, and this machine offers none:{tried}\n{advice}"
    )
