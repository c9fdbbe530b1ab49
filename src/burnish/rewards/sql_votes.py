"""Choosing one of several queries by what they return: execution-based self-consistency (Wang 2022, arXiv:2203.11171;
Shi 2022, arXiv:2204.11454, section 2)."""

from collections.abc import Sequence

from burnish.rewards.sql_results import Result, results_equal
from burnish.rewards.votes import Election, largest, parties_of


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
    parties = parties_of(voters, lambda a, b: results_equal(results[a], results[b], ordered=False))
    party = largest(parties)
    winner = largest(parties_of(party, lambda a, b: results_equal(results[a], results[b], ordered=True)))[0]
    return Election(winner, len(party), len(voters), parties)
