"""Pieces are kept, and only those of the same experiment."""

from pathlib import Path

import pytest

from burnish.lab.notebook import Notebook, affordable, fastest


def test_a_piece_is_done_once(tmp_path: Path) -> None:
    done: list[int] = []

    def work() -> dict[str, float]:
        done.append(1)
        return {"loss": 0.1 + 0.2}

    for _ in range(2):
        assert Notebook(tmp_path, {"size": 1}).piece("a", work) == {"loss": 0.1 + 0.2}
    assert len(done) == 1
    Notebook(tmp_path, {"size": 2}).piece("a", work)
    assert len(done) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"identity": "x"}'])
def test_what_is_damaged_is_done_again(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    assert Notebook(tmp_path, {}).piece("a", lambda: 7) == 7


def test_an_interrupted_piece_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    notebook = Notebook(tmp_path, {})
    with pytest.raises(KeyboardInterrupt):
        notebook.piece("a", interrupted)
    assert notebook.piece("a", lambda: 3) == 3


def test_discard_forgets(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / "experiment", {})
    notebook.piece("a", lambda: 1)
    notebook.discard()
    assert notebook.piece("a", lambda: 2) == 2


def test_affordable() -> None:
    assert affordable(10, 0.5, least=1, most=100) == 20
    assert affordable(10, 0.3, least=1, most=100, multiple=10) == 30
    assert affordable(10, 100, least=3, most=100) == 3
    assert affordable(10, 0.001, least=1, most=100) == 100
    with pytest.raises(ValueError, match="positive time"):
        affordable(10, 0, least=1, most=100)


def test_fastest_calls_at_least_so_often() -> None:
    calls: list[int] = []
    assert 0 < fastest(lambda: calls.append(1), seconds=0.0, least=4) < 1
    assert len(calls) == 5
