"""Choosing one of several answers: by what they come to, by what judges say of them, or by both.

- votes: what most of them come to (self-consistency: Wang 2022, arXiv:2203.11171);
- best: the one that scores highest (best-of-N: Stiennon 2020, arXiv:2009.01325);
- weighted_votes: every vote counts as much as its answer scores (Li 2023, arXiv:2206.02336).

A judge whose answers can be compared with each other, without a look at what is expected, has `elect`.
"""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.rewards.judgement import JudgedAnswer, WeightedJudge

Choose = Literal["votes", "best", "weighted_votes"]
VOTE_TEMPERATURE = 0.7
"""At which answers that vote are sampled unless said otherwise."""


@dataclass(frozen=True)
class Election:
    """Which answer was chosen: its place, how many answers come to the same, and how many come to anything at all.

    parties: the places of those that come to the same, by party.
    """

    winner: int
    votes: int
    voters: int
    parties: Sequence[Sequence[int]] = field(default=(), compare=False)

    def weighted(self, weights: Sequence[float]) -> "Election":
        """The same election where an answer has as many votes as it weighs (Li 2023, arXiv:2206.02336).

        The best answer of the heaviest party wins; of equal ones the first.
        """
        if not self.parties:
            return self
        heaviest = max(self.parties, key=lambda party: sum(weights[place] for place in party))
        return replace(self, winner=max(heaviest, key=weights.__getitem__), votes=len(heaviest))


@runtime_checkable
class Electing(Protocol):
    """A judge that can tell which answers to one prompt come to the same."""

    def elect(self, answers: Sequence[Answer], /) -> Election:
        """The first answer of the largest party."""


def elect_equal(values: Sequence[Any], equal: Callable[[Any, Any], bool] = operator.eq) -> Election:
    """The first answer with the value that most answers have; None has no vote.

    Of equally many votes those of the earlier answer win; where no answer has a value, the first one does, unvoted.
    """
    if not values:
        raise ValueError("an election needs at least one answer")
    voters = [place for place, value in enumerate(values) if value is not None]
    if not voters:
        return Election(0, 0, 0)
    parties = parties_of(voters, lambda one, other: equal(values[one], values[other]))
    party = largest(parties)
    return Election(party[0], len(party), len(voters), parties)


def largest(parties: Sequence[list[int]]) -> list[int]:
    """The largest party; of equally large ones the first."""
    return max(parties, key=len)


def parties_of(voters: Sequence[int], equal: Callable[[int, int], bool]) -> list[list[int]]:
    """The voters, those that are equal to each other together."""
    parties: list[list[int]] = []
    for voter in voters:
        for party in parties:
            if equal(voter, party[0]):
                party.append(voter)
                break
        else:
            parties.append([voter])
    return parties


def elector(judges: Sequence[WeightedJudge], answer: Answer) -> Electing | None:
    """The first of the judges that applies to an answer's row and can hold an election."""
    for one in judges:
        if (one.applies is None or one.applies(answer.row)) and isinstance(one.judge, Electing):
            return one.judge
    return None


def choose_answer(
    judges: Sequence[WeightedJudge], answers: Sequence[Answer], choose: Choose, scores: Sequence[float] = ()
) -> Election:
    """Of answers to one prompt the one that is given; equal ones go by their log-probability.

    scores: of each answer, for all but `votes`. Raises DataError where no judge can hold an election, or a vote would
    count less than nothing.
    """
    order = sorted(range(len(answers)), key=lambda place: -answers[place].logp)
    ordered = [scores[place] for place in order] if scores else []
    if choose == "best":
        winner = max(range(len(order)), key=ordered.__getitem__)
        return Election(order[winner], 1, len(order))
    electing = elector(judges, answers[0])
    if electing is None:
        raise DataError("no judge of these answers can tell which come to the same, so they cannot vote")
    election = electing.elect([answers[place] for place in order])
    if choose == "weighted_votes":
        if min(ordered) < 0:
            raise DataError(f"votes that weigh {min(ordered):g}; expected judges with scores of 0 or more, or `best`")
        election = election.weighted(ordered)
    return replace(election, winner=order[election.winner])


def guidance(judges: Sequence[WeightedJudge], one: JudgedAnswer, choose: Choose) -> float:
    """What an answer scores with the judges that do not tell right from wrong: those may know what is expected.

    The weighted sum; where answers vote by it, a score that is a log-odds counts as its probability. Raises DataError
    where no judge says such a thing.
    """
    said = [
        (judge, one.judgements[judge.name].score)
        for judge in judges
        if judge.name in one.judgements and one.judgements[judge.name].correct is None
    ]
    if not said:
        raise DataError(
            f"no judge scores an answer to {one.answer.question[:80]!r} without telling right from wrong, so none can "
            "choose among several; add one, such as a reward model"
        )
    weighing = choose == "weighted_votes"
    return sum(judge.weight * (_sigmoid(score) if weighing and judge.log_odds else score) for judge, score in said)


def _sigmoid(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -500 else 0.0
