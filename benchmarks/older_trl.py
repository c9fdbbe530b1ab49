"""The last TRL with a PPOTrainer and a PRMTrainer, which `make bench` keeps beside the environment's own."""

import sys
from pathlib import Path

from benchmarks.row import BenchmarkError

NAME = "trl-1.12.0"


def put_first() -> None:
    """Have `import trl` find the older one. Raises BenchmarkError where it is not installed."""
    folder = Path(sys.prefix) / "peers" / NAME
    if not folder.is_dir():
        raise BenchmarkError(
            f"the older TRL is not installed: pip install --no-deps --target {folder} {NAME.replace('-', '==')}"
        )
    sys.path.insert(0, str(folder))
