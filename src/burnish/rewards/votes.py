"""Choosing one of several answers by what they come to (self-consistency: Wang 2022, arXiv:2203.11171).

A judge whose answers can be compared with each other, without a look at what is expected, has `elect`.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from burnish.generation.answer import Answer
from burnish.rewards.judgement import WeightedJudge

VOTE_TEMPERATURE = 0.7
"""At which answers that vote are sampled unless said otherwise."""


@dataclass(frozen=True)
class Election:
    """Which answer was chosen: its place, how many answers come to the same, and how many come to anything at all."""

    winner: int
    votes: int
    voters: int


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
    party = largest_party(voters, lambda one, other: equal(values[one], values[other]))
    return Election(party[0], len(party), len(voters))


def largest_party(voters: Sequence[int], equal: Callable[[int, int], bool]) -> list[int]:
    """Those of the voters that are equal to each other and the most; of equally many the first."""
    parties: list[list[int]] = []
    for voter in voters:
        for party in parties:
            if equal(voter, party[0]):
                party.append(voter)
                break
        else:
            parties.append([voter])
    return max(parties, key=len)


def elector(judges: Sequence[WeightedJudge], answer: Answer) -> Electing | None:
    """The first of the judges that applies to an answer's row and can hold an election."""
    for one in judges:
        if (one.applies is None or one.applies(answer.row)) and isinstance(one.judge, Electing):
            return one.judge
    return None
