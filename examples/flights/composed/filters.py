"""Conditions on flights, each with its SQL and the places of a sentence where it can be said."""

from collections.abc import Callable
from dataclasses import dataclass

from composed.names import (
    CARRIERS,
    CITIES,
    DAYS_IN_MONTH,
    HOLIDAYS,
    MAKERS,
    MONTHS,
    NUMBERS,
    ORIGINS,
    PARTS_OF_YEAR,
    WEEKDAYS,
)
from composed.words import Voice, Ways, ways

PLANES = "join planes using (tailnum)"
WEATHER = "join weather using (origin, time_hour)"

# Where conditions stand in the SQL; sentences say them in an order of their own.
_ORDER = (
    "origin", "dest", "carrier", "tailnum", "month", "months", "date", "weekday", "hour",
    "cancelled", "flown", "left", "arrived", "distance", "air_time", "maker", "seats", "built", "weather",
)  # fmt: skip


@dataclass(frozen=True)
class Filter:
    """One condition and its words.

    They stand before the noun (`pre`: "June flights"), after it (`post`: "flights in June"), as the verb of a question
    (`verb`: "how many flights left in June") or before the sentence (`lead`: "In June, ..."). `direct`: whether it can
    follow something else than the noun ("average delay in June"), which it then does in the shorter words of `at`.
    """

    kind: str
    condition: str
    post: str
    pre: str = ""
    verb: str = ""
    lead: str = ""
    direct: bool = False
    at: str = ""
    join: str = ""
    name: str = ""

    @property
    def rank(self) -> int:
        """Place of the condition in the SQL."""
        return _ORDER.index(self.kind)


def _quoted(codes: tuple[str, ...], column: str) -> str:
    if len(codes) == 1:
        return f"{column} = '{codes[0]}'"
    return f"{column} in ({', '.join(repr(code) for code in codes)})"


_ORIGIN_POST = ways(
    "from {n}|from {n}|out of {n}|leaving {n}|departing {n}|that left {n}|"
    "departing from {n}|at {n}|leaving from {n}|taking off from {n}|originating in {n}|that set out from {n}|"
    "that start from {n}|which departed from {n}|that begin at {n}|with {n} as origin",
    "starting at {n}|that took off from {n}",
)
_ORIGIN_VERB = ways(
    "left {n}|left from {n}|departed from {n}|departed {n}|took off from {n}|"
    "leave {n}|went out of {n}|flew out of {n}|set off from {n}|started from {n}|originated in {n}|"
    "began at {n}|go from {n}|lifted off from {n}",
    "depart from {n}|leave from {n}",
)
_ORIGIN_LEAD = ways(
    "From {n}|Out of {n}|At {n}|For {n}|Starting from {n}|Departing {n}|For departures from {n}", "Leaving {n}"
)


_ORIGIN_AT = ways("from {n}|from {n}|out of {n}|at {n}|leaving {n}|starting in {n}|departing {n}", "leaving from {n}")
_DEST_AT = ways("to {n}|to {n}|to {n}|into {n}|going to {n}|bound for {n}|headed for {n}", "flying to {n}")
_CARRIER_AT = ways("for {n}|of {n}|on {n}|by {n}|with {n}|at {n}|when flying with {n}")
_MONTH_AT = ways("in {n}|in {n}|in {n}|during {n}|in {n} 2013|over {n}|in the month of {n}|for {n}", "throughout {n}")


def origin(voice: Voice) -> Filter:
    """The airport of departure."""
    code = voice.one(tuple(ORIGINS))
    name = ORIGINS[code][0] if voice.chance(0.5) else voice.one(ORIGINS[code])
    return Filter(
        "origin",
        f"origin = '{code}'",
        post=voice.say(_ORIGIN_POST, n=name),
        pre=name,
        verb=voice.say(_ORIGIN_VERB, n=name),
        lead=voice.say(_ORIGIN_LEAD, n=name),
        direct=True,
        at=voice.say(_ORIGIN_AT, n=name),
        name=name,
    )


_DEST_POST = ways(
    "to {n}|to {n}|to {n}|going to {n}|bound for {n}|headed to {n}|into {n}|"
    "that went to {n}|arriving in {n}|flying to {n}|headed for {n}|landing in {n}|with destination {n}|"
    "whose destination was {n}|on the way to {n}|that landed in {n}|that arrived at {n}|ending in {n}",
    "that flew to {n}|with {n} as the destination",
)
_DEST_VERB = ways(
    "went to {n}|flew to {n}|landed in {n}|were headed to {n}|arrived in {n}|"
    "go to {n}|fly to {n}|were bound for {n}|ended up in {n}|landed at {n}|were going to {n}|"
    "had {n} as their destination|are going to {n}",
    "head to {n}|flew into {n}",
)
_DEST_LEAD = ways("To {n}|For {n}|For flights to {n}|Into {n}|On the way to {n}|Going to {n}", "Flying to {n}")


# Cities stand in the order of their flights; those with many are asked about more often.
_POPULAR = {name: 1 / (7 + place) for place, name in enumerate(CITIES)}


def dest(voice: Voice, codes: tuple[str, ...]) -> Filter:
    """The destination, by one of the `codes` or by a city's name."""
    if voice.chance(0.4):
        code = voice.one(codes)
        name, chosen = code, (code,)
    else:
        name = voice.part(_POPULAR, "city")
        chosen = CITIES[name]
    return Filter(
        "dest",
        _quoted(chosen, "dest"),
        post=voice.say(_DEST_POST, n=name),
        verb=voice.say(_DEST_VERB, n=name),
        lead=voice.say(_DEST_LEAD, n=name),
        direct=True,
        at=voice.say(_DEST_AT, n=name),
        name=name,
    )


_CARRIER_POST = ways(
    "by {n}|operated by {n}|of {n}|on {n}|flown by {n}|with {n}|for {n}|run by {n}|belonging to {n}|"
    "that {n} operated|that {n} had|made by {n}|offered by {n}|with {n} as the carrier",
    "that {n} flew",
)
_CARRIER_VERB = ways(
    "were operated by {n}|were by {n}|were flown by {n}|were run by {n}|were made by {n}|were with {n}|are from {n}",
    "belong to {n}",
)
_CARRIER_LEAD = ways("For {n}|With {n}|On {n}|At {n}|In the case of {n}", "Flying {n}")


def carrier(voice: Voice) -> Filter:
    """The airline, by name, nickname or code."""
    code = voice.one(tuple(CARRIERS))
    if voice.chance(0.7):
        name = voice.one(CARRIERS[code])
    else:
        name = voice.say(ways("{c}|{c}|carrier {c}|airline {c}"), c=code)
    return Filter(
        "carrier",
        f"carrier = '{code}'",
        post=voice.say(_CARRIER_POST, n=name),
        pre=name,
        verb=voice.say(_CARRIER_VERB, n=name),
        lead=voice.say(_CARRIER_LEAD, n=name),
        direct=True,
        at=voice.say(_CARRIER_AT, n=name),
        name=name,
    )


_IN_POST = ways(
    "in {n}|in {n}|during {n}|in {n} 2013|over the course of {n}|throughout {n}|over {n}|in the month of {n}|"
    "across {n}",
    "within {n}",
)
_IN_VERB = ways(
    "were in {n}|took place in {n}|were there in {n}|happened in {n}|went out in {n}|were flown in {n}|departed in {n}",
    "occurred in {n}",
)
_IN_LEAD = ways("In {n}|In {n}|During {n}|For {n}|Over {n}|In the month of {n}|Looking at {n}", "Throughout {n}")


def month(voice: Voice) -> Filter:
    """A month by its name or its abbreviation."""
    number = voice.between(1, 12)
    name = MONTHS[number - 1][0] if voice.chance(0.75) else MONTHS[number - 1][1]
    return Filter(
        "month",
        f"month = {number}",
        post=voice.say(_IN_POST, n=name),
        pre=name,
        verb=voice.say(_IN_VERB, n=name),
        lead=voice.say(_IN_LEAD, n=name),
        direct=True,
        at=voice.say(_MONTH_AT, n=name),
    )


_RANGE = ways(
    "from {a} through {b}|from {a} to {b}|between {a} and {b}|{a} through {b}|"
    "{a} to {b}|from {a} until {b}|{a} till {b}|in {a} through {b}|during {a} to {b}|"
    "starting in {a} and ending in {b}|between the months of {a} and {b}",
    "in the months {a} to {b}",
)


def months(voice: Voice) -> Filter:
    """A part of the year."""
    if voice.chance(0.5):
        part = voice.one(tuple(PARTS_OF_YEAR))
        first, last = PARTS_OF_YEAR[part]
        text = f"in {part}"
        verb = f"were {text}"
    else:
        first = voice.between(1, 11)
        last = voice.between(first + 1, 12)
        text = voice.say(_RANGE, a=MONTHS[first - 1][0], b=MONTHS[last - 1][0])
        verb = f"were there {text}"
    return Filter(
        "months",
        f"month between {first} and {last}",
        post=text,
        verb=verb,
        lead=text[0].upper() + text[1:],
        direct=True,
    )


_DATE = ways(
    "on {m} {d}|on {m} {d}|on {m} {th}|on {d} {m}|on the {th} of {m}|on {s} {d}|"
    "on {m} {d}, 2013|on 2013-{mm:02}-{d:02}|on the {th} {m}|on {s} {th}|for {m} {d}|on {d} {s}|on {mm}/{d}/2013|"
    "on {m} the {th}|on the day of {m} {d}",
    "on {d} {m} 2013",
)


def date(voice: Voice) -> Filter:
    """A day of 2013, as a date or by its name."""
    if voice.chance(0.2):
        name = voice.one(tuple(HOLIDAYS))
        number, day = HOLIDAYS[name]
        text = f"on {name}"
    else:
        number = voice.between(1, 12)
        day = voice.between(1, DAYS_IN_MONTH[number - 1])
        text = voice.say(_DATE, m=MONTHS[number - 1][0], s=MONTHS[number - 1][1], d=day, th=ordinal(day), mm=number)
    return Filter(
        "date",
        f"month = {number} and day = {day}",
        post=text,
        verb=f"were there {text}",
        lead=text[0].upper() + text[1:],
        direct=True,
    )


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, ..., 11th, ..., 21st, ..."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


_WEEKDAY = ways("on {n}s|on a {n}|on {n}s|on any {n}|on every {n}|every {n}", "falling on a {n}")
_WEEKDAY_VERB = ways("were on a {n}|were on {n}s|took place on a {n}|left on a {n}", "fell on a {n}")
_WEEKEND = ways(
    "on weekends|on the weekend|at the weekend|on Saturdays and Sundays|on a weekend|on a Saturday or Sunday",
    "over weekends",
)


def weekday(voice: Voice) -> Filter:
    """A day of the week, or weekends."""
    if voice.chance(0.2):
        text = voice.say(_WEEKEND)
        return Filter(
            "weekday",
            "dayname(time_hour) in ('Saturday', 'Sunday')",
            post=text,
            pre="weekend",
            verb=f"were {text}",
            lead=text[0].upper() + text[1:],
            direct=True,
        )
    name = voice.one(WEEKDAYS)
    text = voice.say(_WEEKDAY, n=name)
    return Filter(
        "weekday",
        f"dayname(time_hour) = '{name}'",
        post=text,
        pre=name,
        verb=voice.say(_WEEKDAY_VERB, n=name),
        lead=f"On {name}s",
        direct=True,
    )


_HOURS = {
    "before": ways(
        "before {h}|scheduled before {h}|earlier than {h}|scheduled for earlier than {h}|prior to {h}|"
        "any time before {h}|until {h}",
        "ahead of {h}",
    ),
    "after": ways(
        "after {h}|scheduled after {h}|from {h} on|later than {h}|from {h} onwards|at {h} or later|any time after {h}",
        "past {h}",
    ),
    "morning": ways("in the morning|before noon|during the morning|of a morning|in the a.m.", "in the mornings"),
    "afternoon": ways(
        "in the afternoon|between noon and 6 pm|during the afternoon|of an afternoon", "in the afternoons"
    ),
    "evening": ways("in the evening|after 6 pm|during the evening|of an evening", "in the evenings"),
    "at": ways(
        "in the {h} hour|scheduled in the hour of {h}|between {h} and {next}|in the hour from {h}|"
        "in the hour after {h}",
        "from {h} to {next}",
    ),
}
_PARTS_OF_DAY = {"morning": "hour < 12", "afternoon": "hour between 12 and 17", "evening": "hour >= 18"}


def clock(voice: Voice, hour: int) -> str:
    """A full hour as people write it."""
    if hour == 12:
        return voice.say(ways("noon|12 pm"))
    half = "am" if hour < 12 else "pm"
    shown = hour if hour < 13 else hour - 12
    return voice.say(
        ways("{h} {half}|{h} {half}|{h}{half}|{hh}:00|{h} o'clock {half}|{h} {half}", "{h}:00 {half}"),
        h=shown,
        half=half,
        hh=hour,
    )


def hour(voice: Voice) -> Filter:
    """The scheduled hour of departure."""
    kind = voice.weighted({"before": 3, "after": 3, "morning": 1, "afternoon": 1, "evening": 1, "at": 1})
    if kind in _PARTS_OF_DAY:
        text, condition = voice.say(_HOURS[kind]), _PARTS_OF_DAY[kind]
    else:
        at = voice.between(6, 12) if kind == "before" else voice.between(6, 21)
        if kind == "at" and at == 11:
            at = 10
        text = voice.say(_HOURS[kind], h=clock(voice, at), next=clock(voice, at + 1))
        condition = f"hour {'<' if kind == 'before' else '>=' if kind == 'after' else '='} {at}"
    verb = f"left {text}" if not text.startswith("scheduled") else f"were {text}"
    return Filter("hour", condition, post=text, verb=verb, direct=True)


_CANCELLED_PRE = ways("cancelled|cancelled|canceled")
_CANCELLED_POST = ways(
    "that were cancelled|that got canceled|that never took off|which were cancelled|that never left the ground|"
    "that did not take place",
    "that were called off",
)
_CANCELLED_VERB = ways(
    "were cancelled|were canceled|got cancelled|never left the ground|did not fly at all|"
    "never took off|ended up cancelled|were called off|were dropped|had to be cancelled|did not take place",
    "were scrapped|have been cancelled",
)


def cancelled(voice: Voice) -> Filter:
    """Flights that never left."""
    return Filter(
        "cancelled",
        "dep_time is null",
        post=voice.say(_CANCELLED_POST),
        pre=voice.say(_CANCELLED_PRE),
        verb=voice.say(_CANCELLED_VERB),
    )


def flown(voice: Voice) -> Filter:
    """Flights that left."""
    text = voice.say(
        ways(
            "were not cancelled|actually left|actually departed|weren't cancelled|really took off|were flown|"
            "went ahead",
            "did leave",
        )
    )
    return Filter("flown", "dep_time is not null", post=f"that {text}", verb=text)


_LATE = {
    ("left", ">"): (
        ways("late|delayed|late-departing"),
        ways(
            "left late|departed late|were delayed|had a departure delay|were late leaving|"
            "left behind schedule|took off late|were late to depart|left later than planned|departed behind schedule|"
            "started late|were late|did not leave on time|were delayed at departure",
            "were held up on departure",
        ),
    ),
    ("arrived", ">"): (
        ways("late-arriving"),
        ways(
            "arrived late|landed late|got in late|had an arrival delay|were late arriving|"
            "arrived behind schedule|came in late|reached their destination late|landed behind schedule|"
            "were delayed on arrival|touched down late|were late in landing|did not arrive on time",
            "were late to arrive",
        ),
    ),
    ("left", "<"): (
        ways("early-departing"),
        ways(
            "left early|departed early|left ahead of schedule|departed before schedule|took off early|"
            "left before their time|set off early|were early leaving|departed earlier than scheduled",
            "left ahead of time",
        ),
    ),
    ("arrived", "<"): (
        ways("early"),
        ways(
            "arrived early|landed early|got in early|arrived ahead of schedule|"
            "landed before schedule|came in early|got there early|were early arriving|touched down early|"
            "reached their destination early|arrived earlier than scheduled",
            "arrived ahead of time",
        ),
    ),
    ("left", "<="): (
        ways(""),
        ways(
            "left on time|departed on time|were not delayed leaving|left punctually|were on time|set off on time",
            "took off on time",
        ),
    ),
    ("arrived", "<="): (
        ways(""),
        ways(
            "arrived on time|landed on time|got in on time|arrived punctually|were on time at arrival|"
            "got there on time",
            "came in on time",
        ),
    ),
}
_MUCH = {
    "left": ways(
        "left {t} late|departed {t} late|were delayed {t}|were delayed by {t}|"
        "had a departure delay of {t}|left {t} behind schedule|were {t} late leaving|"
        "were {t} late|took off {t} late|were held up for {t}|were delayed for {t}|departed {t} behind schedule|"
        "left with a delay of {t}|were {t} behind schedule|started {t} late|were delayed at departure by {t}",
        "were late by {t}|had departure delays of {t}",
    ),
    "arrived": ways(
        "arrived {t} late|landed {t} late|got in {t} late|had an arrival delay of {t}|"
        "arrived {t} behind schedule|were {t} late arriving|came in {t} late|"
        "were {t} late on arrival|landed {t} behind schedule|were delayed {t} on arrival|"
        "reached their destination {t} late|"
        "arrived with a delay of {t}|touched down {t} late",
        "had arrival delays of {t}",
    ),
}
_MORE = ways(
    "more than {v}|over {v}|more than {v}|longer than {v}|in excess of {v}|above {v}|greater than {v}|beyond {v}",
    "upwards of {v}",
)
_LESS = ways("less than {v}|under {v}|fewer than {v}|below {v}|smaller than {v}|not as much as {v}", "not even {v}")
_LEAST = ways("at least {v}|{v} or more|a minimum of {v}|no fewer than {v}|{v} and more", "no less than {v}")


def duration(voice: Voice) -> tuple[str, int]:
    """A time as people say it, and in minutes."""
    if voice.chance(0.35):
        name, minutes = voice.one(
            (
                ("an hour", 60), ("one hour", 60), ("1 hour", 60), ("two hours", 120), ("2 hours", 120),
                ("three hours", 180), ("3 hours", 180), ("half an hour", 30), ("4 hours", 240), ("90 minutes", 90),
                ("five hours", 300), ("an hour and a half", 90),
            )
        )  # fmt: skip
        return name, minutes
    minutes = voice.between(5, 120, 5)
    return voice.say(ways("{m} minutes|{m} minutes|{m} min|{m} mins"), m=minutes), minutes


def late(voice: Voice) -> Filter:
    """Late, early or on time, at departure or arrival, with or without an amount."""
    when = voice.one(("left", "arrived"))
    column = "dep_delay" if when == "left" else "arr_delay"
    if voice.chance(0.5):
        said, minutes = duration(voice)
        least = voice.chance(0.15)
        text = voice.say(_MUCH[when], t=voice.say(_LEAST if least else _MORE, v=said))
        return Filter(when, f"{column} {'>=' if least else '>'} {minutes}", post=f"that {text}", verb=text)
    sign = voice.weighted({">": 3, "<": 1.5, "<=": 1.3})
    pre, verb = _LATE[when, sign]
    text = voice.say(verb)
    return Filter(when, f"{column} {sign} 0", post=f"that {text}", pre=voice.say(pre), verb=text)


_LONG = ways(
    "longer than {v}|of more than {v}|over {v}|farther than {v}|"
    "covering more than {v}|exceeding {v}|that go beyond {v}|above {v}|with a distance over {v}|"
    "that are longer than {v}|that fly more than {v}",
    "of over {v}",
)
_LONG_VERB = ways(
    "were longer than {v}|covered more than {v}|were over {v}|went more than {v}|"
    "are over {v}|flew more than {v}|go farther than {v}|went beyond {v}|are longer than {v}|had a distance over {v}",
    "exceeded {v}",
)
_SHORT = ways(
    "shorter than {v}|of less than {v}|under {v}|covering less than {v}|with a distance under {v}|"
    "that are shorter than {v}|that go less than {v}",
    "below {v}",
)
_SHORT_VERB = ways(
    "were shorter than {v}|covered less than {v}|were under {v}|are under {v}|went less than {v}|are shorter than {v}",
    "flew less than {v}",
)


def distance(voice: Voice) -> Filter:
    """Longer or shorter than so many miles."""
    if voice.chance(0.65):
        miles, sign, post, verb = voice.between(300, 2500, 100), ">", _LONG, _LONG_VERB
    else:
        miles, sign, post, verb = voice.between(150, 1000, 50), "<", _SHORT, _SHORT_VERB
    shown = f"{miles:,}" if voice.chance(0.3) else str(miles)
    said = f"{shown} {voice.one(('miles', 'miles', 'mi'))}"
    return Filter("distance", f"distance {sign} {miles}", post=voice.say(post, v=said), verb=voice.say(verb, v=said))


_AIR = ways(
    "that spent {t} in the air|with {t} of air time|in the air for {t}|"
    "with an air time of {t}|that were airborne for {t}|that took {t}|with a flight time of {t}|lasting {t}",
    "flying for {t}",
)
_AIR_VERB = ways(
    "spent {t} in the air|were in the air {t}|took {t}|had an air time of {t}|lasted {t}|flew for {t}",
    "were airborne for {t}",
)


def air_time(voice: Voice) -> Filter:
    """More or less than so long in the air."""
    more = voice.chance(0.6)
    if voice.chance(0.5):
        hours = voice.between(2, 6) if more else voice.between(1, 3)
        said, minutes = f"{voice.one((str(hours), NUMBERS[hours]))} hour{'s' * (hours > 1)}", 60 * hours
    else:
        minutes = voice.between(30, 360, 10)
        said = f"{minutes} minutes"
    t = voice.say(_MORE if more else _LESS, v=said)
    return Filter(
        "air_time",
        f"air_time {'>' if more else '<'} {minutes}",
        post=voice.say(_AIR, t=t),
        verb=voice.say(_AIR_VERB, t=t),
    )


_TAIL_POST = ways(
    "by plane {n}|by {n}|with tail number {n}|of the plane {n}|on plane {n}|with plane {n}|of {n}",
    "by the aircraft {n}",
)
_TAIL_VERB = ways(
    "were flown by plane {n}|were by {n}|used plane {n}|had tail number {n}|were made by the plane {n}",
    "used the aircraft {n}",
)


def tailnum(voice: Voice, tails: tuple[str, ...]) -> Filter:
    """One plane."""
    name = voice.one(tails)
    return Filter(
        "tailnum",
        f"tailnum = '{name}'",
        post=voice.say(_TAIL_POST, n=name),
        pre=name,
        verb=voice.say(_TAIL_VERB, n=name),
        lead=f"For plane {name}",
        direct=True,
        name=f"plane {name}" if voice.chance(0.5) else name,
    )


_MAKER_POST = ways(
    "on {n} planes|with {n} planes|on planes made by {n}|on a {n}|"
    "using {n} aircraft|flown with a {n} plane|on {n} jets|with planes from {n}|with a {n} aircraft|by {n} planes|"
    "on planes of the maker {n}",
    "on planes built by {n}",
)
_MAKER_VERB = ways(
    "used {n} planes|were on {n} planes|used planes made by {n}|were flown by a {n}|used a {n}|used planes from {n}",
    "were flown with {n} planes",
)


def maker(voice: Voice) -> Filter:
    """The maker of the plane."""
    name = voice.one(tuple(MAKERS))
    return Filter(
        "maker",
        MAKERS[name],
        post=voice.say(_MAKER_POST, n=name),
        verb=voice.say(_MAKER_VERB, n=name),
        join=PLANES,
    )


def seats(voice: Voice) -> Filter:
    """The size of the plane."""
    more = voice.chance(0.7)
    number = voice.between(50, 350, 25)
    text = voice.say(_MORE if more else _LESS, v=f"{number} seats").replace("longer", "more")
    return Filter(
        "seats",
        f"seats {'>' if more else '<'} {number}",
        post=voice.say(
            ways("on planes with {t}|with planes that have {t}|on aircraft with {t}|on planes of {t}"), t=text
        ),
        verb=voice.say(
            ways("used planes with {t}|were on planes with {t}|were flown with {t}|used aircraft with {t}"), t=text
        ),
        join=PLANES,
    )


def built(voice: Voice) -> Filter:
    """The age of the plane."""
    sign, word = voice.one(((">", "after"), ("<", "before"), ("=", "in")))
    year = voice.between(1985, 2012)
    return Filter(
        "built",
        f"planes.year {sign} {year}",
        post=voice.say(
            ways(
                "on planes built {w} {y}|with planes built {w} {y}|on aircraft built {w} {y}|"
                "on planes that were built {w} {y}|"
                "with planes manufactured {w} {y}",
                "on planes made {w} {y}",
            ),
            w=word,
            y=year,
        ),
        verb=voice.say(
            ways("used planes built {w} {y}|were on planes built {w} {y}|used aircraft made {w} {y}"), w=word, y=year
        ),
        join=PLANES,
    )


_WEATHER: tuple[tuple[Ways, str, int, int, int], ...] = (
    (
        ways("when it rained|in the rain|when it was raining|with precipitation|"
"in hours with precipitation|while it rained|during rain|in rainy hours|in rainy weather|"
"with rain", "when there was rain"),
        "precip > 0", 0, 0, 1,
    ),
    (
        ways("when the wind was above {v} mph|with wind speeds over {v} mph|"
"in winds of more than {v} mph|when it blew more than {v} mph|with wind above {v} mph|"
"when winds exceeded {v} mph", "in wind over {v} mph"),
        "wind_speed > {v}", 15, 35, 1,
    ),
    (
        ways("with visibility below {v} miles|when visibility was under {v} miles|"
        "when you could see less than {v} miles|"
            "in visibility of less than {v} miles",
            "with less than {v} miles of visibility",
        ),
        "visib < {v}", 2, 9, 1,
    ),
    (ways("when it was below freezing|in freezing temperatures|below freezing|when it froze|"
    "when it was under 32 degrees", "in freezing weather"), "temp < 32", 0, 0, 1),
    (
        ways("when it was hotter than {v} degrees|with temperatures above {v}|when it was over {v} degrees|"
            "when the temperature was above {v}|in heat above {v} degrees", "in temperatures over {v} degrees"),
        "temp > {v}", 70, 95, 5,
    ),
    (
        ways("when it was colder than {v} degrees|with temperatures below {v}|when it was under {v} degrees|"
            "when the temperature was below {v}", "in temperatures under {v} degrees"),
        "temp < {v}", 20, 50, 5,
    ),
)  # fmt: skip


def weather(voice: Voice) -> Filter:
    """The weather at the hour and place of departure."""
    words, condition, low, high, step = voice.one(_WEATHER)
    value = voice.between(low, high, step)
    text = voice.say(words, v=value)
    return Filter(
        "weather",
        condition.format(v=value),
        post=text,
        verb=f"left {text}",
        lead=text[0].upper() + text[1:],
        direct=True,
        join=WEATHER,
    )


_WEIGHTS = {
    "origin": 22, "dest": 24, "carrier": 22, "month": 12, "months": 4, "date": 5, "weekday": 5, "hour": 4,
    "cancelled": 8, "flown": 0.7, "late": 11, "distance": 2.5, "air_time": 1.2, "tailnum": 1.5, "maker": 1.5,
    "seats": 1, "built": 0.8, "weather": 3,
}  # fmt: skip
# What cannot be together: said twice, impossible, or a column of two joined tables.
_EXCLUDES = (
    {"month", "months", "date"},
    {"cancelled", "flown", "late", "air_time"},
    {"date", "weekday"},
    {"maker", "seats", "built", "weather", "tailnum"},
    {"carrier", "tailnum"},
    {"weather", "month"},
    {"weather", "months"},
    {"weather", "date"},
    {"weather", "hour"},
    {"cancelled", "maker"},
    {"cancelled", "seats"},
    {"cancelled", "built"},
    {"distance", "dest"},
    {"air_time", "distance"},
)


class Filters:
    """Draws filters; `dests` and `tails` are codes of destinations and tail numbers of planes in the data."""

    def __init__(self, dests: tuple[str, ...], tails: tuple[str, ...]) -> None:
        self._make: dict[str, Callable[[Voice], Filter]] = {
            "origin": origin,
            "dest": lambda voice: dest(voice, dests),
            "carrier": carrier,
            "month": month,
            "months": months,
            "date": date,
            "weekday": weekday,
            "hour": hour,
            "cancelled": cancelled,
            "flown": flown,
            "late": late,
            "distance": distance,
            "air_time": air_time,
            "tailnum": lambda voice: tailnum(voice, tails),
            "maker": maker,
            "seats": seats,
            "built": built,
            "weather": weather,
        }

    def draw(self, voice: Voice, count: int, without: frozenset[str] = frozenset()) -> list[Filter]:
        """`count` filters that go together, of other kinds than `without`."""
        weights = {kind: weight for kind, weight in _WEIGHTS.items() if kind not in without}
        kinds: list[str] = []
        while len(kinds) < count and weights:
            kind = voice.part(weights, "filter")
            kinds.append(kind)
            gone = {kind}.union(*(group for group in _EXCLUDES if kind in group))
            weights = {other: weight for other, weight in weights.items() if other not in gone}
        return [self._make[kind](voice) for kind in kinds]

    def one(self, voice: Voice, kind: str) -> Filter:
        """A filter of a kind."""
        return self._make[kind](voice)
