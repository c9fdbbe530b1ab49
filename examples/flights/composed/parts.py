"""Parts of questions about flights: what is measured, what it is grouped by, and how a noun carries its filters."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from composed.filters import PLANES, Filter
from composed.words import Voice, Ways, ways


@dataclass(frozen=True)
class Composed:
    """A question, its SQL, and the `combination` of parts that decides whether it is for training or for the test."""

    text: str
    sql: str
    combination: tuple[str, ...]
    ordered: bool = False


def select(
    columns: str,
    filters: Sequence[Filter] = (),
    *,
    table: str = "flights",
    joins: Sequence[str] = (),
    also: Sequence[str] = (),
    tail: str = "",
) -> str:
    """The query in the one dialect: conditions in a fixed order, each join once."""
    clauses = dict.fromkeys([*joins, *(item.join for item in sorted(filters, key=lambda item: item.rank))])
    conditions = [item.condition for item in sorted(filters, key=lambda item: item.rank)] + list(also)
    text = f"select {columns} from {table}"
    for clause in clauses:
        text += f" {clause}" if clause else ""
    if conditions:
        text += f" where {' and '.join(conditions)}"
    return f"{text} {tail}".rstrip()


def kinds(filters: Sequence[Filter]) -> tuple[str, ...]:
    """The kinds of `filters`, sorted."""
    return tuple(sorted(item.kind for item in filters))


# In a sentence filters mostly come in this order.
_SAID = (
    "carrier", "tailnum", "maker", "seats", "built", "origin", "dest", "cancelled", "flown", "left", "arrived",
    "distance", "air_time", "hour", "weekday", "date", "month", "months", "weather",
)  # fmt: skip
_BEFORE = ("cancelled", "left", "arrived", "month", "weekday", "origin", "tailnum", "carrier")
_NOUN = ways("flights|flights|flights|flights|flights|flights|departures|trips|services|flights")


def joined(voice: Voice, filters: Sequence[Filter], *, noun: bool = False) -> str:
    """The words of filters with a space before them: " from JFK in June"; `noun`: whether a noun stands before them."""
    said = sorted(filters, key=lambda item: _SAID.index(item.kind))
    if voice.chance(0.25):
        said = voice.sample(said, len(said))
    text, clause = "", False
    for item in said:
        words = item.post if noun else item.at or item.post
        if words.startswith("that ") and clause:
            words = f"and {words}"
        clause = clause or words.startswith("that ")
        text += f" {words}"
    return text


def phrase(voice: Voice, filters: Sequence[Filter], *, noun: str = "", anything: bool = True) -> str:
    """The noun with its filters: "cancelled Delta flights from JFK in June".

    `anything`: whether a noun without filters may be followed by words that filter nothing ("in 2013").
    """
    pre = [item for item in filters if item.pre and voice.chance(0.4)]
    pre = sorted(voice.sample(pre, min(2, len(pre))), key=lambda item: _BEFORE.index(item.kind))
    noun = noun or ("flights" if any(item.kind in ("arrived", "cancelled") for item in filters) else voice.say(_NOUN))
    text = " ".join([*(item.pre for item in pre), noun])
    text += joined(voice, [item for item in filters if item not in pre], noun=True)
    if not filters and anything and voice.chance(0.6):
        text += f" {voice.say(NOTHING)}"
    elif anything and not any(item.kind in ("month", "months", "date") for item in filters) and voice.chance(0.06):
        text += " in 2013"
    return text


NOTHING = ways(
    "in 2013|in total|altogether|overall|in the table|in the data|in the database|"
    "in the flights table|out of New York|during the year|from all airports|"
    "in the dataset|of all airlines|this year|on record|all together|in all|"
    "recorded here|over the whole year|that we know of|in here"
)


@dataclass(frozen=True)
class Measure:
    """An aggregate of a column, the nouns for it, and questions about it that need no noun (of {np})."""

    name: str
    sql: str
    nouns: Ways
    asked: Ways | None = None
    join: str = ""
    high: Ways = field(default_factory=lambda: ways("highest|largest|greatest|biggest|top"))
    low: Ways = field(default_factory=lambda: ways("lowest|smallest|least|minimal"))
    many: bool = True
    """Whether it tells groups apart: a maximum of few values is tied."""


MEASURES = (
    Measure(
        "avg dep_delay",
        "avg(dep_delay)",
        ways(
            "average departure delay|mean departure delay|average departure delay|"
            "avg departure delay|avg dep delay|average delay|average delay at departure|"
            "mean dep_delay|typical departure delay|average lateness at departure|average wait before departure|"
            "average delay of departure|average minutes of departure delay|mean delay"
        ),
        ways(
            "How late did {np} leave on average?|On average, how late did {np} depart?|"
            "How many minutes late did {np} leave on average?|"
            "How delayed were {np} on average?|"
            "By how many minutes were {np} delayed on average?|"
            "how late do {np} leave on average|"
            "How far behind schedule did {np} leave on average?|"
            "How many minutes were {np} held up on average?",
            "On average, by how much were {np} delayed?",
        ),
    ),
    Measure(
        "avg arr_delay",
        "avg(arr_delay)",
        ways(
            "average arrival delay|mean arrival delay|average arrival delay|"
            "avg arrival delay|avg arr delay|average delay on arrival|mean arr_delay|"
            "typical arrival delay|average lateness at arrival|average delay of arrival|average delay when landing|"
            "average minutes of arrival delay|mean delay on arrival"
        ),
        ways(
            "How late did {np} arrive on average?|On average, how late did {np} arrive?|"
            "How many minutes late did {np} land on average?|"
            "how late do {np} get in on average|"
            "How far behind schedule did {np} arrive on average?",
            "On average, how late were {np} in landing?",
        ),
    ),
    Measure(
        "max dep_delay",
        "max(dep_delay)",
        ways(
            "longest departure delay|maximum departure delay|worst departure delay|"
            "biggest departure delay|max departure delay|longest delay|"
            "highest departure delay|worst delay|greatest departure delay|"
            "largest departure delay|most extreme departure delay"
        ),
        ways("How late did the most delayed of the {np} leave?", "How long was the worst wait to leave among {np}?"),
        many=False,
    ),
    Measure(
        "max arr_delay",
        "max(arr_delay)",
        ways(
            "longest arrival delay|maximum arrival delay|worst arrival delay|"
            "biggest arrival delay|max arrival delay|highest arrival delay|"
            "greatest arrival delay|largest arrival delay"
        ),
        many=False,
    ),
    Measure(
        "median dep_delay",
        "median(dep_delay)",
        ways(
            "median departure delay|median delay|median dep delay|median of the departure delay|"
            "median lateness at departure"
        ),
        many=False,
    ),
    Measure(
        "median arr_delay",
        "median(arr_delay)",
        ways(
            "median arrival delay|median delay on arrival|median arr delay|"
            "median of the arrival delay|median delay at arrival"
        ),
        many=False,
    ),
    Measure(
        "min arr_delay",
        "min(arr_delay)",
        ways(
            "smallest arrival delay|minimum arrival delay|lowest arrival delay|least arrival delay|min arrival delay|"
            "shortest arrival delay|arrival delay at the least"
        ),
        many=False,
    ),
    Measure(
        "avg air_time",
        "avg(air_time)",
        ways(
            "average air time|average flight time|mean air time|average time in the air|"
            "average flying time|avg air time|typical flight time|"
            "mean time spent in the air|average flight duration"
        ),
        ways(
            "How long do {np} take on average?|How long were {np} in the air on average?|"
            "On average, how many minutes did {np} spend in the air?|"
            "how long is a flight {at} on average|How much time do {np} take on average?",
            "On average, how long are {np} airborne?",
        ),
    ),
    Measure(
        "max air_time",
        "max(air_time)",
        ways(
            "longest air time|longest flight time|maximum air time|longest time in the air|"
            "max air time|greatest air time|most minutes in the air|highest air time|longest flight duration|"
            "longest duration in the air"
        ),
        many=False,
    ),
    Measure(
        "min air_time",
        "min(air_time)",
        ways(
            "shortest air time|shortest flight time|minimum air time|quickest flight time|"
            "fastest flight time|least time in the air|lowest flight time|min air time|smallest air time|"
            "fewest minutes in the air|shortest time in the air"
        ),
        many=False,
    ),
    Measure(
        "avg distance",
        "avg(distance)",
        ways(
            "average distance|mean distance|average flight distance|average distance flown|"
            "avg distance|average length in miles|typical distance|average number of miles|average miles flown|"
            "mean flight distance|average trip length in miles"
        ),
        ways(
            "How far do {np} go on average?|How many miles do {np} cover on average?",
            "On average, how far did {np} fly?",
        ),
    ),
    Measure(
        "max distance",
        "max(distance)",
        ways(
            "longest distance|greatest distance|maximum distance|longest flight in miles|"
            "largest distance|farthest distance|longest trip in miles|highest distance|max distance|"
            "most miles of a flight|"
            "length of the longest flight in miles"
        ),
        ways("How far did the longest of the {np} go?", "How many miles was the longest of the {np}?"),
        many=False,
    ),
    Measure(
        "min distance",
        "min(distance)",
        ways(
            "shortest distance|smallest distance|minimum distance|shortest flight in miles|"
            "least distance|shortest trip in miles|min distance|lowest distance|fewest miles of a flight|"
            "length of the shortest flight in miles"
        ),
        many=False,
    ),
    Measure(
        "sum distance",
        "sum(distance)",
        ways(
            "total distance|total miles|total distance flown|sum of the distances|"
            "total mileage|total number of miles flown|combined distance|overall mileage|total miles flown|"
            "overall distance|sum of the miles"
        ),
        ways(
            "How many miles did {np} cover in total?|"
            "How many miles did {np} fly altogether?|how many miles were flown {at}",
            "What do the miles of {np} add up to?",
        ),
    ),
    Measure(
        "sum air_time",
        "sum(air_time)",
        ways(
            "total air time|total time in the air|total minutes in the air|combined air time|sum of the air times|"
            "overall air time|total flight time|total number of minutes in the air"
        ),
        ways(
            "How many minutes did {np} spend in the air in total?|How many minutes were {np} in the air altogether?|"
            "In total, how long were {np} in the air?"
        ),
    ),
    Measure(
        "sum dep_delay",
        "sum(dep_delay)",
        ways(
            "total departure delay|total minutes of departure delay|"
            "sum of the departure delays|combined departure delay|overall departure delay|sum of departure delay|"
            "total delay at departure|total minutes late at departure"
        ),
    ),
    Measure(
        "avg seats",
        "avg(seats)",
        ways(
            "average number of seats|average seats|mean number of seats|"
            "average plane size in seats|typical number of seats|average seat count|mean seats|avg number of seats"
        ),
        ways(
            "How many seats do the planes of {np} have on average?|"
            "On average, how many seats do the planes of {np} have?|"
            "How big are the planes of {np} on average, in seats?"
        ),
        join=PLANES,
    ),
    Measure(
        "count carriers",
        "count(distinct carrier)",
        ways(
            "number of different carriers|number of airlines|number of distinct carriers|"
            "number of carriers|count of airlines|number of different airlines|count of different carriers|"
            "number of separate carriers"
        ),
        ways(
            "How many carriers have {np}?|How many airlines fly {at}?|"
            "How many different carriers flew {at}?|how many airlines operate {at}|"
            "How many carriers serve flights {at}?|"
            "How many distinct airlines can you fly {at} with?",
            "How many separate carriers operated {np}?",
        ),
        many=False,
    ),
    Measure(
        "count dests",
        "count(distinct dest)",
        ways(
            "number of destinations|number of different destinations|"
            "number of distinct destinations|number of airports served|"
            "count of different destinations|number of separate destinations"
        ),
        ways(
            "How many destinations can you reach {at}?|"
            "How many different places can you fly to {at}?|"
            "To how many different airports did {np} go?|"
            "How many destinations are served {at}?|"
            "how many different destinations do {np} have|"
            "How many cities can you fly to {at}?|How many separate places did {np} go to?",
            "How many different airports can be reached {at}?",
        ),
    ),
    Measure(
        "count planes",
        "count(distinct tailnum)",
        ways(
            "number of different planes|number of distinct tail numbers|"
            "number of planes used|number of different aircraft|count of separate planes|number of individual planes|"
            "count of different planes|number of aircraft used"
        ),
        ways(
            "How many different planes flew {at}?|"
            "How many distinct tail numbers appear in {np}?|"
            "How many planes were used for {np}?|How many different aircraft made {np}?|"
            "How many individual planes were there in {np}?",
            "How many separate aircraft flew {at}?",
        ),
    ),
)
COUNTED = {"count carriers": "carrier", "count dests": "dest", "count planes": "tailnum"}
"""Kinds of filter that would make a count of different values 1."""


@dataclass(frozen=True)
class Key:
    """What rows are grouped by: its columns, its nouns, and the filters that leave it one value."""

    name: str
    columns: str
    singular: Ways
    plural: Ways
    without: tuple[str, ...]
    join: str = ""
    also: tuple[str, ...] = ()
    place: str = "in"
    """Preposition of "in which month", "from which airport"."""
    top: int = 10
    """The most groups that "the top few" can be: fewer than there are."""

    @property
    def group(self) -> str:
        """What follows `group by`."""
        return "1" if "(" in self.columns else self.columns

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.columns.count(",") + 1 if "(" not in self.columns else 1


_TIME = ("month", "months", "date")
KEYS = {
    "carrier": Key(
        "carrier",
        "carrier",
        ways("carrier|carrier|carrier code|airline code|carrier's code"),
        ways("carriers|carriers|carrier codes|airline codes"),
        ("carrier", "tailnum"),
        place="for",
    ),
    "airline": Key(
        "airline",
        "name",
        ways("airline|airline|airline name|airline by name|company"),
        ways("airlines|airlines|airline names|companies"),
        ("carrier", "tailnum"),
        join="join airlines using (carrier)",
        place="for",
    ),
    "origin": Key(
        "origin",
        "origin",
        ways("origin|departure airport|origin airport|airport|New York airport|airport of departure|starting airport"),
        ways("origins|departure airports|airports|starting airports"),
        ("origin", "weather"),
        place="from",
        top=2,
    ),
    "dest": Key(
        "dest",
        "dest",
        ways("destination|destination|destination airport|place|arrival airport"),
        ways("destinations|destinations|destination airports|places|arrival airports"),
        ("dest", "distance"),
        place="to",
    ),
    "month": Key("month", "month", ways("month"), ways("months"), (*_TIME, "weather")),
    "weekday": Key(
        "weekday",
        "dayname(time_hour)",
        ways("day of the week|weekday"),
        ways("days of the week|weekdays"),
        ("weekday", "date"),
        place="on",
        top=5,
    ),
    "hour": Key(
        "hour", "hour", ways("hour|hour of the day|scheduled hour"), ways("hours|hours of the day"), ("hour", "weather")
    ),
    "date": Key(
        "date",
        "month, day",
        ways("date|day of the year|calendar day|month and day|day of the calendar"),
        ways("dates|days of the year|calendar days"),
        (*_TIME, "weekday", "weather"),
        place="on",
    ),
    "tailnum": Key(
        "tailnum",
        "tailnum",
        ways("plane|aircraft|tail number|airplane"),
        ways("planes|tail numbers|aircraft|airplanes"),
        ("tailnum", "maker", "seats", "built"),
        also=("tailnum is not null",),
        place="with",
    ),
    "route": Key(
        "route",
        "origin, dest",
        ways("route|route|pair of origin and destination"),
        ways("routes"),
        ("origin", "dest", "distance", "weather"),
        place="on",
    ),
    "maker": Key(
        "maker",
        "manufacturer",
        ways("manufacturer|plane manufacturer|maker of the plane|plane maker"),
        ways("manufacturers|plane manufacturers"),
        ("maker", "seats", "built", "weather", "tailnum", "cancelled"),
        join=PLANES,
    ),
}
DAY = Key("day", "day", ways("day"), ways("days"), ("date", "months", "weekday", "weather"), place="on")
"""Days of one month: asked only together with a month."""
