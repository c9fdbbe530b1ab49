"""A file or an answer of a hundred thousand brackets: a clear error, or computed anew, and never a traceback."""

from pathlib import Path

import pytest

from burnish import hardware
from burnish.errors import DataError
from burnish.lab.notebook import Notebook
from burnish.recipes.schema import gold
from burnish.runs import lock
from burnish.runs.lineage import stages_behind
from burnish.runs.record import read_run, require_object

DEEP = "[" * 100_000


def test_a_run_folder_says_which_file_it_is(tmp_path: Path) -> None:
    stage = tmp_path / "01-sft"
    (stage / "model").mkdir(parents=True)
    for file in (tmp_path / "summary.json", stage / "stage.json"):
        file.write_text(DEEP)
        with pytest.raises(DataError, match=rf"{file.name}: cannot be read"):
            require_object(file)
    with pytest.raises(DataError, match=r"stage\.json: cannot be read"):
        stages_behind(stage / "model")
    with pytest.raises(DataError, match=r"summary\.json: cannot be read"):
        read_run(tmp_path)


def test_what_is_only_remembered_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(hardware, "_matmul_rate", lambda *_: 1.0)
    file = hardware.cache_folder() / "matmul.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(DEEP)
    assert set(hardware._measured_rates(hardware.choose_device("cpu")).values()) == {1.0}
    (tmp_path / "piece.json").write_text(DEEP)
    assert Notebook(tmp_path, {}).piece("piece", lambda: 7) == 7
    (tmp_path / "known.json").write_text(DEEP)
    assert gold._read(tmp_path / "known.json") == set()
    (tmp_path / lock.HOLDER_FILE).write_text(DEEP)
    assert lock._holder(tmp_path) == "another run"
