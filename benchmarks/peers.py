"""Peers that do not fit into the environment of everything else, each in a folder of its own below `peers/` there."""

import sys
from pathlib import Path

from benchmarks.row import BenchmarkError

OLDER_TRL, DATATROVE = "trl-1.12.0", "datatrove-0.10.1"


def put_first(name: str, *beside: str) -> None:
    """Have `import` find a peer and what lies beside it. Raises BenchmarkError where it is not installed.

    beside: further packages that it needs, for the message.
    """
    folder = Path(sys.prefix) / "peers" / name
    if not folder.is_dir():
        wanted = " ".join([name.replace("-", "=="), *beside])
        no_deps = "" if beside else "--no-deps "
        raise BenchmarkError(f"{name} is not installed: pip install {no_deps}--target {folder} {wanted}")
    sys.path.insert(0, str(folder))
