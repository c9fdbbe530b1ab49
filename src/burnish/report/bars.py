"""A score as the report draws it: a bar of its model's colour, with a whisker for the interval."""

from dataclasses import dataclass

SERIES_COLOURS = 6
"""Colours that the stylesheet defines; models beyond that start again."""


@dataclass(frozen=True)
class ScoreBar:
    """A score with its interval, all in shares of 1."""

    label: str
    colour: int
    score: float
    interval: tuple[float, float] | None
