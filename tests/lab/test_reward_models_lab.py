"""`burnish lab reasoning --experiment reward-models`: exact labels, the best of N, and proxies beside what is right."""

from collections.abc import Sequence
from itertools import combinations
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.generation.answer import Answer
from burnish.lab.reasoning.arithmetic import Addition, tasks, written
from burnish.lab.reasoning.choosing import best_of, voted
from burnish.lab.reasoning.judged import final
from burnish.lab.reasoning.judged_tables import SAYS, Choosing, Reinforced
from burnish.lab.reasoning.overoptimization import Look, Reinforcing, earned
from burnish.lab.reasoning.reward_models import labelled, step_labels, stepwise
from burnish.rewards.judgement import Judgement

PROBLEM = Addition(457, 86, 3)
RIGHT = "760=13;581=14;401=05;543"


def answer(text: str, *, finished: bool = True) -> Answer:
    (task,) = tasks([PROBLEM])
    return Answer(task.prompt, text, task.row, finished=finished)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (RIGHT, [1, 1, 1, 1]),
        ("760=13;581=04;400=04;443", [1, 0, 0, 0]),
        ("760=03;581=14;401=05;543", [0, 1, 1, 1]),
        ("543", [0]),
        (RIGHT + ";543", [1, 1, 1, 1, 0]),
        ("760=13", [1]),
    ],
)
def test_a_step_is_right_where_it_is_what_stands_there(text: str, labels: list[int]) -> None:
    assert written(PROBLEM, "columns") == RIGHT
    assert step_labels(PROBLEM, text.split(";")) == labels
    (row,) = stepwise([answer(text)])
    assert (row.steps, row.labels) == (text.split(";"), labels)


def test_outcomes_are_those_of_the_rule() -> None:
    rows = labelled([answer(RIGHT), answer("1"), answer(RIGHT, finished=False)])
    assert [row.desired for row in rows] == [True, False, False]
    assert stepwise([answer("")]) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=7), st.data())
def test_best_of_n_is_the_mean_over_all_subsets(found: list[tuple[int, int]], data: st.DataObject) -> None:
    scores, values = [float(score) for score, _ in found], [float(value) for _, value in found]
    n = data.draw(st.integers(1, len(found)))

    def best(places: Sequence[int]) -> float:
        top = max(scores[place] for place in places)
        return mean(values[place] for place in places if scores[place] == top)

    expected = mean(best(places) for places in combinations(range(len(found)), n))
    assert best_of(scores, values, n) == pytest.approx(expected)


def test_there_is_no_best_of_more_than_there_are() -> None:
    with pytest.raises(ValueError, match="best of 3: there are 2"):
        best_of([1.0, 2.0], [0.0, 1.0], 3)


def test_votes_are_elections_and_may_weigh() -> None:
    said: list[str | None] = ["a", "a", "b", None]
    values = [0.0, 0.0, 1.0, 0.0]
    assert voted(said, values, 4, seed=0) == 0.0
    assert voted(said, values, 4, weights=[0.1, 0.2, 0.9, 5.0], seed=0) == 1.0
    # One answer alone is a vote for itself: the mean over draws of one.
    assert 0 < voted(said, values, 1, seed=1) < 1


def test_what_is_cut_comes_to_nothing() -> None:
    assert final(answer(RIGHT)) == "543"
    assert final(answer("543")) == "543"
    assert final(answer(RIGHT, finished=False)) is None


def test_what_is_earned_is_the_sum_of_what_tokens_score() -> None:
    assert earned(None) == 0.0
    assert earned(0.5) == 0.5
    assert earned(Judgement(0.2)) == 0.2
    assert earned(Judgement(0.2, token_scores=[None, 0.5, 0.25])) == 0.75


def look(right: int, proxy: float, kl: float) -> Look:
    return Look(proxy, [right] * 6, 4, kl, 25.0, "1+1=2")


@pytest.mark.parametrize(
    ("ends", "proxy", "verdict"),
    [(1, 0.9, "is exploited"), (3, 0.9, "is not seen"), (1, 0.1, "is not seen")],
)
def test_a_proxy_is_exploited_where_it_rises_and_the_gold_falls(ends: int, proxy: float, verdict: str) -> None:
    way = [look(1, 0.4, 0.0), look(3, 0.7, 1.0), look(ends, proxy, 9.0)]
    found = Reinforced({"rules": [way], "ORM": [way]}, 0)
    (line,) = found.findings()
    assert f"the proxy {verdict}" in line
    assert [row[0] for row in found.table().rows] == ["rules", "ORM"]
    gold, _ = found.panels()
    assert [x for x, _ in gold.series["ORM"]] == [0.0, 1.0, 3.0]


def test_process_and_outcome_are_compared_on_the_same_problems() -> None:
    def ways(orm: float, prm: float) -> dict[str, dict[str, list[float]]]:
        of = {"votes": 0.5, "rules": 1.0, "ORM, 8 answers": orm, "PRM, 8 answers": prm}
        said = {name + SAYS: 0.9 for name in of if name[1:3] == "RM"}
        return {name: {"1": [0.3] * 4, "4": [value] * 4} for name, value in {**of, **said}.items()}

    found = Choosing([ways(0.6, 0.8)] * 2, (1, 4), 0)
    process, votes = found.findings()
    assert "better than outcome supervision holds with 8 answers: of 4, 80 % right beside 60 %" in process.replace(
        "\u202f", " "
    ).replace("\xa0", " ")
    assert "PRM, 8 answers, to 80" in votes
    assert found.judges == ["ORM, 8 answers", "PRM, 8 answers"]
    reverse = Choosing([ways(0.8, 0.6)], (1, 4), 0).findings()[0]
    assert "is reversed with" in reverse


def test_policies_are_looked_at_from_the_start_to_the_end() -> None:
    settings = Reinforcing(rollouts=25, learning_rate=1e-3, looks=10, problems=1, samples=1)
    assert settings.steps()[0] == 0
    assert settings.steps()[-1] == 25
    assert len(settings.steps()) == 11
