"""One of several answers: by what most come to, by scores, or by both; who knows the right answer has no say."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.rewards.judgement import JudgedAnswer, Judgement, WeightedJudge, verdict
from burnish.rewards.numbers import NumberVerifier
from burnish.rewards.votes import Choose, Election, choose_answer, elect_equal, guidance

JUDGES = [WeightedJudge("numbers", NumberVerifier())]


def answers(*texts: str) -> list[Answer]:
    """The later, the more probable."""
    return [Answer([], text, logp=float(place)) for place, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("choose", "texts", "scores", "winner", "votes"),
    [
        ("votes", "5 6 6 5 5", [], 4, 3),
        ("best", "5 6 7", [0.2, 0.9, 0.9], 2, 1),  # of equal ones the most probable
        ("best", "5 6 7", [-2.0, -1.0, -3.0], 1, 1),
        ("weighted_votes", "5 6 6 5 5", [0.1, 0.9, 0.8, 0.2, 0.3], 1, 2),
        ("weighted_votes", "5 6 6 5 5", [0.5, 0.5, 0.5, 0.5, 0.5], 4, 3),
        ("weighted_votes", "no words five", [0.5, 0.9, 0.1], 2, 0),
    ],
)
def test_an_answer_is_chosen(choose: Choose, texts: str, scores: Sequence[float], winner: int, votes: int) -> None:
    election = choose_answer(JUDGES, answers(*texts.split()), choose, scores)
    assert (election.winner, election.votes) == (winner, votes)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8).map(lambda n: n / 8)), min_size=1, max_size=9))
def test_weighted_votes_are_the_argmax_of_the_summed_scores(drawn: list[tuple[int, float]]) -> None:
    values, weights = [value for value, _ in drawn], [weight for _, weight in drawn]
    chosen = elect_equal(values).weighted(weights).winner
    sums = {value: sum(w for v, w in drawn if v == value) for value in values}
    assert sums[values[chosen]] == max(sums.values())
    assert weights[chosen] == max(w for v, w in drawn if v == values[chosen])


def test_what_cannot_be_chosen_is_said() -> None:
    with pytest.raises(DataError, match="votes that weigh -1; expected judges with scores of 0 or more"):
        choose_answer(JUDGES, answers("5", "6"), "weighted_votes", [-1.0, 2.0])
    with pytest.raises(DataError, match="cannot vote"):
        choose_answer([], answers("5", "6"), "votes")
    assert Election(0, 0, 0).weighted([1.0]) == Election(0, 0, 0)


def test_judges_that_know_the_right_answer_have_no_say() -> None:
    judges = [
        WeightedJudge("numbers", NumberVerifier()),
        WeightedJudge("share", lambda _: [], weight=2.0),
        WeightedJudge("reward_model", lambda _: [], log_odds=True),
    ]
    said = {"numbers": verdict(True), "share": Judgement(0.25), "reward_model": Judgement(0.0)}
    one = JudgedAnswer(Answer([{"role": "user", "content": "6?"}], "6"), verdict(True), said)
    assert guidance(judges, one, "best") == 0.5
    assert guidance(judges, one, "weighted_votes") == 2 * 0.25 + 0.5
    alone = JudgedAnswer(one.answer, one.verdict, {"numbers": verdict(True)})
    with pytest.raises(DataError, match=r"no judge scores an answer to '6\?' without telling right from wrong"):
        guidance(judges, alone, "best")
