"""Run the tests as on machines where either number format is the faster one.

    python scripts/each_dtype.py [PYTEST ARGUMENTS]

`auto` measures float32 against bfloat16 and keeps the rates in the user's cache (burnish.hardware). Here that cache
is a temporary one which says that one format is ten times as fast as the other, first the one, then the other; the
tests are those of `make test` unless arguments say otherwise. Exits with 1 if any of the two runs fails.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from burnish.hardware import DTYPES, available_cores, rates_key


def main() -> int:
    arguments = sys.argv[1:] or ["-n", str(available_cores()), "-m", "not slow"]
    failed = []
    for faster in DTYPES:
        with tempfile.TemporaryDirectory() as cache:
            _pretend(Path(cache) / "burnish" / "matmul.json", faster)
            print(f"the tests where `auto` is {faster}", flush=True)
            environment = {**os.environ, "XDG_CACHE_HOME": cache}
            if subprocess.run([sys.executable, "-m", "pytest", *arguments], env=environment).returncode:
                failed.append(faster)
    print(f"failed where `auto` is {' and '.join(failed)}" if failed else "passed in both formats")
    return 1 if failed else 0


def _pretend(file: Path, faster: str) -> None:
    """Write rates for every number of threads that the tests may take."""
    rates = {name: 1000.0 if name == faster else 100.0 for name in DTYPES}
    device = torch.device("cpu")
    file.parent.mkdir(parents=True)
    kept = {rates_key(device, threads): rates for threads in range(1, (os.cpu_count() or 1) + 1)}
    file.write_text(json.dumps(kept), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
