"""What one reads to understand a method is counted from imports, and is below its limits."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "reading_count.py"
FILES = {
    "recipes/stages/dpo.py": "from burnish.methods import dpo\n",
    "recipes/schema/keys.py": "",
    "methods/dpo.py": """
from typing import TYPE_CHECKING
from burnish.methods.training import fit
from burnish.methods.asking import ask
if TYPE_CHECKING:
    from burnish.methods.typed import Typed
def objective():
    from burnish.objectives.dpo import DPO
    from burnish.objectives.simpo import SimPO
""",
    "methods/asking.py": "import burnish.text.chat\n",
    "methods/typed.py": "",
    "methods/training.py": """
from burnish.training.config import TrainingConfig
from burnish.training.loop import train
""",
    "objectives/dpo.py": "from burnish.objectives.kl import kl\n",
    "objectives/kl.py": "",
    "objectives/simpo.py": "",
    "training/loop.py": "from burnish.training.state import save\n",
    "training/state.py": "",
    "training/config.py": "",
    "text/chat.py": "",
}


def counted(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True, check=False)


def test_methods_are_below_their_limits() -> None:
    done = counted()
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("more", "code"), [(0, 0), (790, 1)])
def test_what_is_counted(more: int, code: int, tmp_path: Path) -> None:
    for name in ("dpo", "grpo"):
        for path, text in FILES.items():
            file = tmp_path / "src" / "burnish" / path.replace("dpo", name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("dpo", name))
    with (tmp_path / "src" / "burnish" / "methods" / "training.py").open("a") as file:
        file.write("\n" * more)
    done = counted("--tree", str(tmp_path))
    assert done.returncode == code
    dpo = done.stdout.partition("grpo:")[0].splitlines()[1:]
    files = {line.split()[1]: "docstrings" in line for line in dpo}
    assert files == {
        "recipes/stages/dpo.py": False,
        "methods/dpo.py": False,
        "methods/training.py": False,
        "training/loop.py": False,
        "objectives/dpo.py": False,
        "methods/asking.py": True,
        "objectives/kl.py": True,
        "training/config.py": True,
    }
