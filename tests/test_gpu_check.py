"""`scripts/gpu_check.py` runs on a CPU, so that the minutes on a GPU are not spent on mistakes of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_every_section_runs_and_fills_the_page(tmp_path: Path) -> None:
    page, found = tmp_path / "gpu.md", tmp_path / "found.json"
    page.write_text((ROOT / "docs" / "gpu.md").read_text())
    options = ["--device", "cpu", "--quick", "--json", str(found), "--docs", str(page)]
    call = [sys.executable, str(ROOT / "scripts" / "gpu_check.py"), *options]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    sections = json.loads(found.read_text())["sections"]
    assert list(sections) == ["gpu tests", "logits", "sft", "decode", "dpo", "grpo"]
    assert sections["logits"]["largest_relative_difference"] < 1e-4
    assert all(sections[name]["tokens_per_second"] > 0 for name in ("sft", "dpo", "grpo"))
    assert "| sft | tokens per second" in page.read_text()
    assert "Not run yet" not in page.read_text()
