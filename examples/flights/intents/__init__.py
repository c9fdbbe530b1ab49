"""What can be asked: every intent with its phrasings and its gold SQL, by subject.

The SQL keeps to one dialect, so that a small model learns one way to say each thing:

- lower case; `select .. from .. join .. where .. group by .. having .. qualify .. order by .. limit ..`;
- conditions in the order origin, dest, carrier, tailnum, month, day, hour, then the rest;
- grouping by the name of the column; a sort key that is shown is named by its position, one that is not by itself;
- joins are `join airlines using (carrier)`, `join planes using (tailnum)`, `join airports on dest = faa` and
  `join weather using (origin, time_hour)`, without aliases.
"""

from intents import aggregates, airports, counts, groups, planes, rankings, unseen, weather, windows
from intents.intent import Intent

SEEN: tuple[Intent, ...] = (
    *counts.INTENTS,
    *aggregates.INTENTS,
    *groups.INTENTS,
    *rankings.INTENTS,
    *airports.INTENTS,
    *planes.INTENTS,
    *weather.INTENTS,
    *windows.INTENTS,
)
UNSEEN: tuple[Intent, ...] = unseen.INTENTS

__all__ = ["SEEN", "UNSEEN", "Intent"]
