"""Tasks of reasoning-gym: made again as they were, scored, what solves nothing, and answers that attack the scorer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.errors import BurnishError, DataError
from burnish.generation.answer import Answer
from burnish.rewards.judgement import Judgement
from burnish.rewards.reasoning_tasks import GymVerifier, floor_of, made, make
from burnish.rewards.scorer import Scorer

pytest.importorskip("reasoning_gym")


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    with Scorer("reasoning-gym") as one:
        yield one


def score(scorer: Scorer, said: str, row: dict[str, object], *, partial: bool = True) -> Judgement:
    (judgement,) = GymVerifier(scorer, partial)([Answer([], said, row)])
    return judgement


@pytest.mark.parametrize("task", ["spell_backward", "letter_counting", "countdown", "n_queens", "gsm_symbolic"])
def test_a_task_is_solved_by_its_own_answer(task: str, scorer: Scorer) -> None:
    rows = make(scorer, task, {"seed": 3, "size": 4}, 4)
    assert rows == make(scorer, task, {"seed": 3, "size": 4}, 4)
    assert len({row["prompt"] for row in rows}) > 1
    for row in rows:
        right = score(scorer, f"<think>{row['answer']}?</think><answer>{row['answer']}</answer>", row)
        assert (right.score, right.correct) == (1.0, True)
        assert not score(scorer, "<answer>no</answer>", row).correct


def test_the_floor_is_what_answers_earn_that_solve_nothing(scorer: Scorer) -> None:
    rows = make(scorer, "countdown", {"seed": 0, "size": 5}, 5)
    floor = floor_of(GymVerifier(scorer), rows)
    assert (floor.empty, floor.is_zero) == (pytest.approx(0.01), False)
    assert floor.constant >= 1 / 5
    whole = floor_of(GymVerifier(scorer, partial=False), rows)
    assert (whole.empty, whole.random) == (0, 0)


@pytest.mark.parametrize(
    ("task", "attack"),
    [
        ("countdown", "__import__('os').system('touch FILE')"),
        ("countdown", "exec(chr(97))"),
        ("countdown", "open(1)"),
        ("puzzle24", "(1).__class__.__base__.__subclasses__()"),
        ("simple_integration", "x.__class__.__init__.__globals__['sys'].exit()"),
        ("polynomial_multiplication", 'sympify(\'__import__("os").system("touch FILE")\')'),
        ("n_queens", "[__import__('os').system('touch FILE')]"),
        ("binary_matrix", "[[open('FILE', 'w')]]"),
    ],
)
def test_an_answer_is_never_run(task: str, attack: str, scorer: Scorer, tmp_path: Path) -> None:
    (row,) = make(scorer, task, {"seed": 1, "size": 1}, 1)
    file = tmp_path / "made"
    assert score(scorer, attack.replace("FILE", str(file)), row).score < 0.2
    assert not file.exists()
    assert score(scorer, row["answer"], row).correct


def test_what_cannot_be_made_or_scored_is_said(scorer: Scorer) -> None:
    with pytest.raises(BurnishError, match="no task 'spell_backwards'; did you mean spell_backward"):
        make(scorer, "spell_backwards", {}, 1)
    with pytest.raises(BurnishError, match=r"cannot make 'spell_backward' with .*unexpected keyword argument 'words'"):
        make(scorer, "spell_backward", {"words": 3}, 1)
    with pytest.raises(BurnishError, match="cannot make 'spell_backward' with"):
        make(scorer, "spell_backward", {"min_word_len": -1}, 1)
    with pytest.raises(DataError, match="'reasoning_gym': got None; expected"):
        made({"answer": "5"})
    (row,) = make(scorer, "spell_backward", {"seed": 1, "size": 1}, 1)
    with pytest.raises(DataError, match="made by another version of reasoning-gym"):
        score(scorer, "", row | {"prompt": "Spell this"})


def test_a_formula_without_end_is_killed(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = make(scorer, "countdown", {"seed": 1, "size": 1}, 1)
    monkeypatch.setattr(scorer, "timeout_seconds", 0.5)
    assert score(scorer, "9**9**9**9**9", row).reason == "too slow"
