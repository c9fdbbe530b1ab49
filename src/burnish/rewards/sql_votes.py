"""Choosing one of several queries by what they return: execution-based self-consistency (Wang 2022, arXiv:2203.11171;
Shi 2022, arXiv:2204.11454, section 2)."""

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.rewards.sql_results import Result, results_equal

VOTE_TEMPERATURE = 0.7
"""At which answers that vote are sampled unless said otherwise."""


@dataclass(frozen=True)
class Election:
    """Which answer was chosen: its place, how many answers have its result, and how many have any result at all."""

    winner: int
    votes: int
    voters: int


def elect(results: Sequence[Result]) -> Election:
    """The first answer with the result that most answers have; a query that failed has no vote.

    Results are equal as the judge compares them, whatever the order of their rows; among those of the winning result
    the order that most have is preferred. Of equally many votes those of the earlier answer win; where no query has a
    result, the first answer does, with no vote.
    """
    if not results:
        raise ValueError("an election needs at least one answer")
    voters = [place for place, result in enumerate(results) if result.error is None]
    if not voters:
        return Election(0, 0, 0)
    party = _largest_party(voters, results, ordered=False)
    return Election(_largest_party(party, results, ordered=True)[0], len(party), len(voters))


def _largest_party(voters: Sequence[int], results: Sequence[Result], *, ordered: bool) -> list[int]:
    """Those of the voters whose results are equal to each other's and the most; of equally many the first."""
    parties: list[list[int]] = []
    for voter in voters:
        for party in parties:
            if results_equal(results[voter], results[party[0]], ordered=ordered):
                party.append(voter)
                break
        else:
            parties.append([voter])
    return max(parties, key=len)
