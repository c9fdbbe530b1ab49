"""Questions about the weather."""

from collections.abc import Callable

from composed.filters import Filter, date, month, months, origin
from composed.frames import TABLE_EACH, TABLE_VALUE
from composed.names import ORIGINS
from composed.parts import Composed, kinds, select
from composed.words import Voice, Ways, ways

_READINGS: dict[str, dict[str, Ways]] = {
    "temp": {
        "avg": ways(
            "average temperature|mean temperature|avg temp|average temp|typical temperature|"
            "mean temp|average air temperature|"
            "average of the temperature"
        ),
        "max": ways(
            "hottest temperature|highest temperature|maximum temperature|max temp|"
            "top temperature|warmest temperature|peak temperature|greatest temperature|"
            "record high temperature|high temp|"
            "maximum air temperature"
        ),
        "min": ways(
            "coldest temperature|lowest temperature|minimum temperature|min temp|"
            "smallest temperature|least temperature|"
            "record low temperature|low temp|minimum air temperature"
        ),
    },
    "precip": {
        "sum": ways(
            "total precipitation|total rainfall|total rain|sum of the precipitation|"
            "amount of rain|precipitation in total|overall rainfall|combined precipitation"
        ),
        "max": ways(
            "highest precipitation|heaviest rain in an hour|maximum hourly precipitation|most rain in one hour|"
            "max precipitation|largest hourly rainfall|greatest amount of rain in an hour"
        ),
    },
    "wind_speed": {
        "avg": ways(
            "average wind speed|mean wind speed|avg wind speed|average wind|typical wind speed|mean wind|"
            "average speed of the wind"
        ),
        "max": ways(
            "highest wind speed|maximum wind speed|strongest wind|top wind speed|"
            "max wind speed|fastest wind|greatest wind speed|peak wind speed|highest wind|largest wind speed"
        ),
    },
    "wind_gust": {
        "max": ways(
            "strongest gust|highest gust|maximum wind gust|fastest gust|highest wind gust|biggest gust|peak gust|"
            "max gust|largest wind gust|gust maximum"
        ),
        "avg": ways(
            "average gust|average gust speed|mean wind gust|average wind gust|typical gust|"
            "mean gust|average speed of gusts"
        ),
    },
    "humid": {
        "avg": ways(
            "average humidity|mean humidity|average relative humidity|avg humidity|typical humidity|"
            "average moisture of the air|mean relative humidity"
        ),
        "max": ways("highest humidity|maximum humidity|greatest humidity|max humidity|peak humidity|top humidity"),
        "min": ways("lowest humidity|minimum humidity|least humidity|min humidity|smallest humidity"),
    },
    "visib": {
        "avg": ways("average visibility|mean visibility|typical visibility|avg visibility|average range of sight"),
        "min": ways(
            "lowest visibility|worst visibility|minimum visibility|poorest visibility|"
            "min visibility|shortest visibility"
        ),
    },
    "pressure": {
        "avg": ways(
            "average pressure|mean air pressure|average sea level pressure|mean pressure|average air pressure|"
            "average barometric pressure|typical pressure"
        ),
        "max": ways(
            "highest pressure|maximum air pressure|highest air pressure|maximum pressure|"
            "greatest pressure|max pressure|"
            "highest barometric pressure"
        ),
        "min": ways(
            "lowest pressure|minimum pressure|lowest air pressure|smallest pressure|min pressure|minimum air pressure|"
            "lowest barometric pressure"
        ),
    },
    "dewp": {
        "avg": ways("average dew point|mean dew point|avg dew point|typical dew point|average dewpoint|mean dewpoint"),
        "max": ways("highest dew point|maximum dew point|max dew point|greatest dew point|highest dewpoint"),
        "min": ways("lowest dew point|minimum dew point|min dew point|smallest dew point|lowest dewpoint"),
    },
}
_WEATHER_ASKED = {
    ("temp", "max"): ways(
        "How hot did it get{at}?|how hot did it get{at}|What was the hottest it got{at}?|hottest it got{at}"
    ),
    ("temp", "min"): ways(
        "How cold did it get{at}?|how cold did it get{at}|What was the coldest it got{at}?|coldest it was{at}"
    ),
    ("temp", "avg"): ways(
        "How warm was it{at} on average?|How cold was it{at} on average?|On average, how warm was it{at}?"
    ),
    ("precip", "sum"): ways(
        "How much did it rain{at}?|How much rain fell{at}?|"
        "How many inches of rain fell{at}?|how much rain was there{at}|"
        "How much precipitation was there{at}?|"
        "How many inches of precipitation came down{at}?",
        "How much rain did we get{at}?",
    ),
    ("wind_speed", "max"): ways(
        "How windy did it get{at}?|How strong was the strongest wind{at}?|how fast did the wind blow at most{at}"
    ),
    ("wind_speed", "avg"): ways("How windy was it{at} on average?|On average, how windy was it{at}?"),
    ("humid", "avg"): ways("How humid was it{at} on average?|On average, how humid was it{at}?"),
    ("visib", "avg"): ways("How far could you see{at} on average?"),
}
_CONDITIONS: tuple[tuple[Ways, str, int, int, int], ...] = (
    (
        ways(
            "with rain|with precipitation|when it rained|of rain|with any rain|when rain fell|in which it rained|"
            "that were rainy"
        ),
        "precip > 0",
        0,
        0,
        1,
    ),
    (
        ways(
            "with visibility below {v} miles|with visibility under {v} miles|when visibility was less than {v} miles|"
            "when you could see less than {v} miles|with a visibility of less than {v} miles",
            "with less than {v} miles of visibility",
        ),
        "visib < {v}",
        1,
        10,
        1,
    ),
    (
        ways(
            "below freezing|with freezing temperatures|with temperatures under 32 degrees|colder than freezing|"
            "when it was freezing|with frost"
        ),
        "temp < 32",
        0,
        0,
        1,
    ),
    (
        ways(
            "above {v} degrees|hotter than {v} degrees|with temperatures over {v}|warmer than {v} degrees|"
            "with a temperature above {v} degrees",
            "over {v} degrees",
        ),
        "temp > {v}",
        60,
        95,
        5,
    ),
    (
        ways(
            "below {v} degrees|colder than {v} degrees|with temperatures under {v}|cooler than {v} degrees|"
            "with a temperature below {v} degrees",
            "under {v} degrees",
        ),
        "temp < {v}",
        20,
        60,
        5,
    ),
    (
        ways(
            "with wind speeds over {v} mph|with wind above {v} mph|windier than {v} mph|when the wind was over {v} mph|"
            "with winds of more than {v} mph",
            "with more than {v} mph of wind",
        ),
        "wind_speed > {v}",
        15,
        35,
        1,
    ),
    (
        ways(
            "with humidity above {v} percent|with humidity over {v}%|when humidity was above {v} percent|"
            "with a humidity of more than {v}%",
            "more humid than {v} percent",
        ),
        "humid > {v}",
        60,
        95,
        5,
    ),
)
_WHERE = ways("at {n}|in {n}|at {n}|for {n}|around {n}|measured at {n}|recorded at {n}", "over at {n}")
_WEATHER_KEYS = {
    "origin": ("origin", ways("airport|origin|New York airport|airport|station|weather station")),
    "month": ("month", ways("month")),
    "hour": ("hour", ways("hour of the day|hour")),
    "day": ("day", ways("day")),
    "date": ("month, day", ways("date|day of the year|day|calendar day")),
}


def _place(voice: Voice) -> Filter:
    code = voice.one(tuple(ORIGINS))
    name = ORIGINS[code][0] if voice.chance(0.5) else voice.one(ORIGINS[code])
    base = origin(voice)
    return Filter("origin", f"origin = '{code}'", post=voice.say(_WHERE, n=name), direct=base.direct, name=name)


def _conditions(voice: Voice, counts: dict[int, float], without: tuple[str, ...] = ()) -> list[Filter]:
    count = voice.weighted(counts)
    when = voice.weighted({"month": 6, "months": 1.5, "date": 2.5})
    names = [name for name in ("origin", when) if name not in without and not (name == when and "month" in without)]
    chosen = voice.sample(names, min(count, len(names)))
    make: dict[str, Callable[[Voice], Filter]] = {"origin": _place, "month": month, "months": months, "date": date}
    return [make[name](voice) for name in sorted(chosen)]


def _at(voice: Voice, filters: list[Filter]) -> str:
    said = filters if voice.chance(0.7) else filters[::-1]
    if not filters and voice.chance(0.3):
        nothing = ways(" in 2013| in New York| over the year| of the year| overall| on record| in all the data")
        return voice.say(nothing)
    return "".join(f" {item.post}" for item in said)


class WeatherQuestions:
    """Draws questions about the weather; `shapes` are their kinds with weights."""

    def __init__(self) -> None:
        self.shapes: dict[Callable[[Voice], Composed], float] = {
            self.reading: 26,
            self.readings: 9,
            self.extreme: 7,
            self.weather_hours: 6,
        }

    def reading(self, voice: Voice) -> Composed:
        """One aggregate of the weather."""
        column, how, noun = self._reading(voice)
        filters = _conditions(voice, {0: 15, 1: 45, 2: 40})
        at = _at(voice, filters)
        asked = _WEATHER_ASKED.get((column, how))
        text = voice.say(asked, at=at) if asked and voice.chance(0.45) else voice.say(TABLE_VALUE, v=noun, at=at)
        return Composed(
            text, select(f"{how}({column})", filters, table="weather"), ("reading", column, how, *kinds(filters))
        )

    def readings(self, voice: Voice) -> Composed:
        """An aggregate of the weather for each airport, month, hour or day."""
        column, how, noun = self._reading(voice)
        name = voice.weighted({"origin": 4, "month": 4, "hour": 1, "day": 1})
        group, key = _WEATHER_KEYS[name]
        filters = _conditions(voice, {0: 40, 1: 60}, {"origin": ("origin",), "month": ("month",)}.get(name, ()))
        if name == "day":
            filters = [month(voice), *(item for item in filters if item.kind == "origin")]
        text = voice.say(TABLE_EACH, v=noun, key=voice.say(key), at=_at(voice, filters) if filters else "")
        sql = select(f"{group}, {how}({column})", filters, table="weather", tail=f"group by {group}")
        return Composed(text, sql, ("readings", column, how, name, *kinds(filters)))

    def extreme(self, voice: Voice) -> Composed:
        """Where or when it was hottest, windiest, wettest, ..."""
        name = voice.weighted({"month": 5, "origin": 4, "date": 2, "day": 2, "hour": 1})
        group, key = _WEATHER_KEYS[name]
        column, how, high, words = voice.one(
            (
                ("temp", "avg", True, ways("hottest on average|warmest on average|highest in average temperature")),
                ("temp", "avg", False, ways("coldest on average|coolest on average|lowest in average temperature")),
                ("precip", "sum", True, ways("wettest|rainiest|highest in total precipitation")),
                ("precip", "sum", False, ways("driest|lowest in total precipitation")),
                ("wind_speed", "avg", True, ways("windiest on average|windiest|highest in average wind speed")),
                ("humid", "avg", True, ways("most humid on average|most humid")),
                ("visib", "avg", False, ways("foggiest on average|lowest in average visibility")),
            )
        )
        filters = _conditions(
            voice, {0: 50, 1: 50}, {"origin": ("origin",), "month": ("month",), "date": ("month",)}.get(name, ())
        )
        if name == "day":
            filters = [month(voice), *(item for item in filters if item.kind == "origin")]
        noun = voice.say(key)
        if voice.chance(0.4):
            end, value = "highest" if high else "lowest", voice.say(_READINGS[column][how])
            text = voice.say(
                ways(
                    "Which {k} had the {e} {v}{at}?|{k} with the {e} {v}{at}?|What {k} has the {e} {v}{at}?",
                    "Name the {k} with the {e} {v}{at}.",
                ),
                k=noun,
                e=end,
                v=value,
                at=_at(voice, filters),
            )
        else:
            text = voice.say(
                ways(
                    "Which {k} was the {w}{at}?|What was the {w} {k}{at}?|which {k} was {w}{at}|"
                    "{w} {k}{at}?|Name the {w} {k}{at}.",
                    "Which {k} turned out the {w}{at}?",
                ),
                k=noun,
                w=voice.say(words),
                at=_at(voice, filters),
            )
            if " on average " in text:  # "the hottest on average month": the adverb belongs behind
                text = text.replace(" on average", "", 1).rstrip("?.") + " on average?"
        tail = f"group by {group} order by {how}({column}){' desc' if high else ''} limit 1"
        return Composed(
            text,
            select(group, filters, table="weather", tail=tail),
            ("extreme", column, str(high), name, *kinds(filters)),
        )

    def weather_hours(self, voice: Voice) -> Composed:
        """How many hours had some weather."""
        words, condition, low, high, step = voice.one(_CONDITIONS)
        value = voice.between(low, high, step)
        filters = _conditions(voice, {0: 20, 1: 45, 2: 35})
        np = f"{voice.one(('hours', 'hours', 'weather records'))} {voice.say(words, v=value)}{_at(voice, filters)}"
        text = voice.say(
            ways(
                "How many {np} were there?|Number of {np}?|how many {np}|Count the {np}.|"
                "How many {np}?|{np}?|Count of {np}?",
                "Tell me how many {np} there were.",
            ),
            np=np,
        )
        sql = select("count(*)", filters, table="weather", also=[condition.format(v=value)])
        return Composed(text, sql, ("hours", condition.split()[0], *kinds(filters)))

    def _reading(self, voice: Voice) -> tuple[str, str, str]:
        column = voice.part(
            {
                "temp": 9,
                "precip": 4,
                "wind_speed": 4,
                "wind_gust": 2,
                "humid": 2.5,
                "visib": 2,
                "pressure": 2,
                "dewp": 1,
            },
            "reading",
        )
        how = voice.one(tuple(_READINGS[column]))
        return column, how, voice.say(_READINGS[column][how])
