"""Questions about the other tables: weather, planes, airports and airlines."""

from collections.abc import Callable

from composed.filters import Filter, date, month, months, origin
from composed.names import CARRIERS, CITIES, MAKERS, NUMBERS, ORIGINS, ZONES
from composed.parts import Composed, kinds, select
from composed.words import Voice, Ways, ways

_VALUE = ways(
    "What was the {v}{at}?|What is the {v}{at}?|{v}{at}?|{v}{at}|Find the {v}{at}.|Show me the {v}{at}.|"
    "what was the {v}{at}|What's the {v}{at}?|Tell me the {v}{at}.|Give the {v}{at}.",
    "I need the {v}{at}.|Do you know the {v}{at}?|Can you look up the {v}{at}?|Let me know the {v}{at}.",
)
_COUNT = ways(
    "How many {np} are there?|How many {np}?|how many {np} are there|Number of {np}?|Count the {np}.|number of {np}|"
    "How many {np} do we have?|What is the number of {np}?|how many {np} do you know|Total number of {np}?|"
    "How many {np} are in the table?|How many {np} are in the database?",
    "Count of {np}?|How many {np} are listed?|Tell me how many {np} exist.|How many {np} can you find?",
)
_EACH = ways(
    "{v} by {key}{at}?|{v} per {key}{at}?|{v} for each {key}{at}?|What was the {v} of each {key}{at}?|"
    "Show the {v} by {key}{at}.|For each {key}, what was the {v}{at}?|{v} at each {key}{at}|{v} of every {key}{at}",
    "Break down the {v} by {key}{at}.|{v}{at}, grouped by {key}|I'd like the {v} for every {key}{at}.",
)


def _plural(noun: str) -> str:
    return {"aircraft": "aircraft"}.get(noun, f"{noun}s")


# Column, unit, nouns by aggregate, and questions without a noun ({at}: where and when, with a space before).
_READINGS: dict[str, dict[str, Ways]] = {
    "temp": {
        "avg": ways(
            "average temperature|mean temperature|avg temp|average temp",
            "typical temperature",
        ),
        "max": ways(
            "hottest temperature|highest temperature|maximum temperature|max temp|top temperature|warmest temperature",
            "peak temperature|greatest temperature",
        ),
        "min": ways(
            "coldest temperature|lowest temperature|minimum temperature|min temp", "smallest temperature|least temperature"
        ),
    },
    "precip": {
        "sum": ways(
            "total precipitation|total rainfall|total rain|sum of the precipitation|amount of rain|precipitation in total",
            "overall rainfall|combined precipitation",
        ),
        "max": ways("highest precipitation|heaviest rain in an hour|maximum hourly precipitation|most rain in one hour"),
    },
    "wind_speed": {
        "avg": ways("average wind speed|mean wind speed|avg wind speed|average wind", "typical wind speed"),
        "max": ways(
            "highest wind speed|maximum wind speed|strongest wind|top wind speed|max wind speed|fastest wind",
            "greatest wind speed|peak wind speed",
        ),
    },
    "wind_gust": {
        "max": ways("strongest gust|highest gust|maximum wind gust|fastest gust|highest wind gust", "biggest gust|peak gust"),
        "avg": ways("average gust|average gust speed|mean wind gust"),
    },
    "humid": {
        "avg": ways("average humidity|mean humidity|average relative humidity|avg humidity", "typical humidity"),
        "max": ways("highest humidity|maximum humidity", "greatest humidity"),
        "min": ways("lowest humidity|minimum humidity", "least humidity"),
    },
    "visib": {
        "avg": ways("average visibility|mean visibility", "typical visibility"),
        "min": ways("lowest visibility|worst visibility|minimum visibility", "poorest visibility"),
    },
    "pressure": {
        "avg": ways("average pressure|mean air pressure|average sea level pressure"),
        "max": ways("highest pressure|maximum air pressure|highest air pressure"),
        "min": ways("lowest pressure|minimum pressure|lowest air pressure", "smallest pressure"),
    },
    "dewp": {
        "avg": ways("average dew point|mean dew point"),
        "max": ways("highest dew point|maximum dew point"),
        "min": ways("lowest dew point|minimum dew point"),
    },
}
_WEATHER_ASKED = {
    ("temp", "max"): ways("How hot did it get{at}?|how hot did it get{at}|What was the hottest it got{at}?|hottest it got{at}"),
    ("temp", "min"): ways("How cold did it get{at}?|how cold did it get{at}|What was the coldest it got{at}?|coldest it was{at}"),
    ("temp", "avg"): ways("How warm was it{at} on average?|How cold was it{at} on average?|On average, how warm was it{at}?"),
    ("precip", "sum"): ways(
        "How much did it rain{at}?|How much rain fell{at}?|How many inches of rain fell{at}?|how much rain was there{at}|"
        "How much precipitation was there{at}?",
        "How many inches of precipitation came down{at}?|How much rain did we get{at}?",
    ),
    ("wind_speed", "max"): ways("How windy did it get{at}?|How strong was the strongest wind{at}?|how fast did the wind blow at most{at}"),
    ("wind_speed", "avg"): ways("How windy was it{at} on average?|On average, how windy was it{at}?"),
    ("humid", "avg"): ways("How humid was it{at} on average?|On average, how humid was it{at}?"),
    ("visib", "avg"): ways("How far could you see{at} on average?"),
}
_CONDITIONS: tuple[tuple[Ways, str, int, int, int], ...] = (
    (ways("with rain|with precipitation|when it rained|of rain", "with any rain|when rain fell"), "precip > 0", 0, 0, 1),
    (ways("with visibility below {v} miles|with visibility under {v} miles|when visibility was less than {v} miles", "with less than {v} miles of visibility"), "visib < {v}", 1, 10, 1),
    (ways("below freezing|with freezing temperatures|with temperatures under 32 degrees", "colder than freezing"), "temp < 32", 0, 0, 1),
    (ways("above {v} degrees|hotter than {v} degrees|with temperatures over {v}", "over {v} degrees"), "temp > {v}", 60, 95, 5),
    (ways("below {v} degrees|colder than {v} degrees|with temperatures under {v}", "under {v} degrees"), "temp < {v}", 20, 60, 5),
    (ways("with wind speeds over {v} mph|with wind above {v} mph|windier than {v} mph", "with more than {v} mph of wind"), "wind_speed > {v}", 15, 35, 1),
    (ways("with humidity above {v} percent|with humidity over {v}%", "more humid than {v} percent"), "humid > {v}", 60, 95, 5),
)  # fmt: skip
_WHERE = ways("at {n}|in {n}|at {n}|for {n}", "over at {n}")
_WEATHER_KEYS = {
    "origin": ("origin", ways("airport|origin|New York airport|airport", "station")),
    "month": ("month", ways("month")),
    "hour": ("hour", ways("hour of the day|hour")),
    "day": ("day", ways("day")),
    "date": ("month, day", ways("date|day of the year|day", "calendar day")),
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
        nothing = ways(" in 2013| in New York| over the year| of the year| overall", " on record| in all the data")
        return voice.say(nothing)
    return "".join(f" {item.post}" for item in said)


class TableQuestions:
    """Draws questions about weather, planes, airports and airlines; names and codes come from the data.

    `planes`: (tail number, maker, model, year, seats); `airports`: (code, name); `airlines`: (code, name).
    """

    def __init__(self, tails: tuple[str, ...], airports: tuple[tuple[str, str], ...], airlines: dict[str, str]) -> None:
        self._tails = tails
        self._airports = airports
        self._airlines = airlines
        self._shapes: dict[Callable[[Voice], Composed], float] = {
            self.reading: 26,
            self.readings: 9,
            self.extreme: 7,
            self.weather_hours: 6,
            self.plane_count: 13,
            self.plane_value: 7,
            self.plane_groups: 8,
            self.plane_lookup: 5,
            self.airport_count: 6,
            self.airport_value: 5,
            self.airport_lookup: 8,
            self.airline_lookup: 7,
            self.table: 9,
        }

    def draw(self, voice: Voice) -> Composed:
        """One question of any shape."""
        return voice.weighted(self._shapes)(voice)

    def reading(self, voice: Voice) -> Composed:
        """One aggregate of the weather."""
        column, how, noun = self._reading(voice)
        filters = _conditions(voice, {0: 15, 1: 45, 2: 40})
        at = _at(voice, filters)
        asked = _WEATHER_ASKED.get((column, how))
        text = voice.say(asked, at=at) if asked and voice.chance(0.45) else voice.say(_VALUE, v=noun, at=at)
        return Composed(text, select(f"{how}({column})", filters, table="weather"), ("reading", column, how, *kinds(filters)))

    def readings(self, voice: Voice) -> Composed:
        """An aggregate of the weather for each airport, month, hour or day."""
        column, how, noun = self._reading(voice)
        name = voice.weighted({"origin": 4, "month": 4, "hour": 1, "day": 1})
        group, key = _WEATHER_KEYS[name]
        filters = _conditions(voice, {0: 40, 1: 60}, {"origin": ("origin",), "month": ("month",)}.get(name, ()))
        if name == "day":
            filters = [month(voice), *(item for item in filters if item.kind == "origin")]
        text = voice.say(_EACH, v=noun, key=voice.say(key), at=_at(voice, filters) if filters else "")
        sql = select(f"{group}, {how}({column})", filters, table="weather", tail=f"group by {group}")
        return Composed(text, sql, ("readings", column, how, name, *kinds(filters)))

    def extreme(self, voice: Voice) -> Composed:
        """Where or when it was hottest, windiest, wettest, ..."""
        name = voice.weighted({"month": 5, "origin": 4, "date": 2, "day": 2, "hour": 1})
        group, key = _WEATHER_KEYS[name]
        column, how, high, words = voice.one(
            (
                ("temp", "avg", True, ways("hottest on average|warmest on average", "highest in average temperature")),
                ("temp", "avg", False, ways("coldest on average|coolest on average", "lowest in average temperature")),
                ("precip", "sum", True, ways("wettest|rainiest", "highest in total precipitation")),
                ("precip", "sum", False, ways("driest", "lowest in total precipitation")),
                ("wind_speed", "avg", True, ways("windiest on average|windiest", "highest in average wind speed")),
                ("humid", "avg", True, ways("most humid on average|most humid")),
                ("visib", "avg", False, ways("foggiest on average|lowest in average visibility")),
            )
        )
        filters = _conditions(voice, {0: 50, 1: 50}, {"origin": ("origin",), "month": ("month",), "date": ("month",)}.get(name, ()))
        if name == "day":
            filters = [month(voice), *(item for item in filters if item.kind == "origin")]
        noun = voice.say(key)
        if voice.chance(0.4):
            end, value = "highest" if high else "lowest", voice.say(_READINGS[column][how])
            text = voice.say(
                ways("Which {k} had the {e} {v}{at}?|{k} with the {e} {v}{at}?|What {k} has the {e} {v}{at}?", "Name the {k} with the {e} {v}{at}."),
                k=noun, e=end, v=value, at=_at(voice, filters),
            )  # fmt: skip
        else:
            text = voice.say(
                ways(
                    "Which {k} was the {w}{at}?|What was the {w} {k}{at}?|which {k} was {w}{at}|{w} {k}{at}?",
                    "Name the {w} {k}{at}.|Which {k} turned out the {w}{at}?",
                ),
                k=noun, w=voice.say(words), at=_at(voice, filters),
            )  # fmt: skip
            if " on average " in text:  # "the hottest on average month": the adverb belongs behind
                text = text.replace(" on average", "", 1).rstrip("?.") + " on average?"
        tail = f"group by {group} order by {how}({column}){' desc' if high else ''} limit 1"
        return Composed(
            text, select(group, filters, table="weather", tail=tail), ("extreme", column, str(high), name, *kinds(filters))
        )

    def weather_hours(self, voice: Voice) -> Composed:
        """How many hours had some weather."""
        words, condition, low, high, step = voice.one(_CONDITIONS)
        value = voice.between(low, high, step)
        filters = _conditions(voice, {0: 20, 1: 45, 2: 35})
        np = f"{voice.one(('hours', 'hours', 'weather records'))} {voice.say(words, v=value)}{_at(voice, filters)}"
        text = voice.say(
            ways("How many {np} were there?|Number of {np}?|how many {np}|Count the {np}.|How many {np}?|{np}?", "Count of {np}?|Tell me how many {np} there were."),
            np=np,
        )  # fmt: skip
        sql = select("count(*)", filters, table="weather", also=[condition.format(v=value)])
        return Composed(text, sql, ("hours", condition.split()[0], *kinds(filters)))

    def _reading(self, voice: Voice) -> tuple[str, str, str]:
        column = voice.weighted({"temp": 9, "precip": 4, "wind_speed": 4, "wind_gust": 2, "humid": 2.5, "visib": 2, "pressure": 2, "dewp": 1})
        how = voice.one(tuple(_READINGS[column]))
        return column, how, voice.say(_READINGS[column][how])

    def _plane_filters(self, voice: Voice, counts: dict[int, float], without: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
        """(kind, condition, words after "planes")."""
        sign, word = voice.one(((">", "after"), ("<", "before"), ("=", "in")))
        year, seats = voice.between(1980, 2012), voice.between(20, 350, 10)
        more = voice.chance(0.7)
        engine = voice.one(("Turbo-fan", "Turbo-jet", "Reciprocating", "Turbo-prop", "Turbo-shaft", "4 Cycle"))
        engines = voice.one((1, 2, 3, 4))
        kind = voice.one(("Fixed wing multi engine", "Fixed wing single engine", "Rotorcraft"))
        make = voice.one(tuple(MAKERS))
        choices = {
            "maker": (MAKERS[make], voice.say(ways("made by {m}|built by {m}|by {m}|from {m}", "that {m} made|manufactured by {m}"), m=make)),
            "year": (f"year {sign} {year}", voice.say(ways("built {w} {y}|made {w} {y}|from {w} {y}" if sign != "=" else "built {w} {y}|made {w} {y}|from {y}", "manufactured {w} {y}|constructed {w} {y}"), w=word, y=year)),
            "seats": (f"seats {'>' if more else '<'} {seats}", voice.say(ways("with {m} than {s} seats|with {o} {s} seats|that have {m} than {s} seats", "seating {m} than {s}|that seat {o} {s} people"), m="more" if more else "fewer", o="over" if more else "under", s=seats)),
            "engine": (f"engine = '{engine}'", voice.say(ways("with {e} engines|with a {e} engine|of engine type {e}", "powered by {e} engines"), e=engine if voice.chance(0.6) else engine.lower())),
            "engines": (f"engines = {engines}", voice.say(ways("with {e} engine{s}|that have {e} engine{s}", "having {e} engine{s}"), e=NUMBERS[engines] if voice.chance(0.6) else engines, s="s" * (engines > 1))),
            "type": (f"type = '{kind}'", voice.say(ways("of type {t}|of the type {t}"), t=kind)),
        }  # fmt: skip
        names = [name for name in choices if name not in without]
        weights = {"maker": 4.0, "year": 3.0, "seats": 3.0, "engine": 1.5, "engines": 1.5, "type": 1.0}
        chosen: list[str] = []
        for _ in range(voice.weighted(counts)):
            left = {name: weights[name] for name in names if name not in chosen}
            if left:
                chosen.append(voice.weighted(left))
        return [(name, *choices[name]) for name in choices if name in chosen]

    def plane_count(self, voice: Voice) -> Composed:
        """How many planes, or how many different makers or models."""
        what = voice.weighted({"planes": 8, "models": 1, "makers": 1})
        filters = self._plane_filters(voice, {0: 15, 1: 60, 2: 25} if what == "planes" else {0: 60, 1: 40}, () if what == "planes" else ("maker",) if what == "makers" else ())
        noun = {
            "planes": ways("planes|planes|aircraft|airplanes", "planes"),
            "models": ways("different models of planes|different plane models|distinct models of planes|plane models", "separate models of planes"),
            "makers": ways("different manufacturers of planes|plane manufacturers|distinct manufacturers of planes", "separate makers of planes"),
        }[what]  # fmt: skip
        columns = {"planes": "count(*)", "models": "count(distinct model)", "makers": "count(distinct manufacturer)"}[what]
        maker = next((words for kind, _, words in filters if kind == "maker"), "")
        text = voice.say(_COUNT, np=f"{voice.say(noun)}{_after(filters)}")
        if what == "planes" and maker and voice.chance(0.4):
            name = next(name for name in MAKERS if name in maker)
            rest = _after([item for item in filters if item[0] != "maker"])
            text = voice.say(_COUNT, np=voice.say(ways("{n} planes{r}|{n}s{r}|{n} aircraft{r}", "{n} jets{r}"), n=name, r=rest))
        elif what == "planes" and filters and voice.chance(0.35):
            kind, condition, words = filters[0]
            verb = {
                "maker": f"were {words}", "year": f"were {words}", "seats": words.replace("with", "have").replace("that ", ""),
                "engine": words.replace("with", "have").replace("of", "are of"), "type": f"are {words}",
                "engines": words.replace("with", "have").replace("that ", "").replace("having", "have"),
            }[kind]  # fmt: skip
            text = voice.say(ways("How many planes {v}{r}?|how many planes {v}{r}|How many aircraft {v}{r}?", "How many of the planes {v}{r}?"), v=verb, r=_after(filters[1:]))
        sql = select(columns, table="planes", also=[condition for _, condition, _ in filters])
        return Composed(text, sql, ("planes", what, *(kind for kind, _, _ in filters)))

    def plane_value(self, voice: Voice) -> Composed:
        """Seats and years of planes."""
        column, how, noun, asked = voice.one(
            (
                ("seats", "avg", ways("average number of seats|average seats|mean number of seats", "typical number of seats"), ways("How many seats does a plane{of} have on average?|How many seats do planes{of} have on average?")),
                ("seats", "max", ways("largest number of seats|maximum number of seats|most seats|highest number of seats|max seats", "greatest number of seats"), ways("How many seats does the biggest plane{of} have?|How many seats does the largest plane{of} have?")),
                ("seats", "min", ways("smallest number of seats|minimum number of seats|fewest seats", "least number of seats"), ways("How many seats does the smallest plane{of} have?")),
                ("year", "min", ways("oldest year of construction|earliest year|oldest plane year|earliest build year|year of the oldest plane", "first year of construction"), ways("When was the oldest plane{of} built?|How old is the oldest plane{of}, by year built?|In what year was the oldest plane{of} made?|what year is the oldest plane{of} from")),
                ("year", "max", ways("newest year of construction|latest year|latest build year|year of the newest plane", "last year of construction"), ways("When was the newest plane{of} built?|In what year was the newest plane{of} made?")),
                ("year", "avg", ways("average year of construction|average build year|mean year"), ways("On average, in what year were planes{of} built?")),
                ("seats", "sum", ways("total number of seats|total seats"), ways("How many seats do all planes{of} have together?")),
            )
        )  # fmt: skip
        filters = self._plane_filters(voice, {0: 40, 1: 50, 2: 10}, ("seats",) if column == "seats" else ("year",))
        after = _after(filters)
        if voice.chance(0.4):
            text = voice.say(asked, of=after)
        elif "plane" in noun.train[0] and not filters:
            text = voice.say(_VALUE, v=voice.say(noun), at="")
        else:
            text = voice.say(_VALUE, v=voice.say(noun), at=voice.one((f" of planes{after}", f" for planes{after}", f" among planes{after}")))
        sql = select(f"{how}({column})", table="planes", also=[condition for _, condition, _ in filters])
        return Composed(text, sql, ("plane value", column, how, *(kind for kind, _, _ in filters)))

    def plane_groups(self, voice: Voice) -> Composed:
        """Planes by maker, engine, type or year: each, the most, the top few, or the list."""
        column, key = voice.one(
            (
                ("manufacturer", ways("manufacturer|maker|manufacturer", "producer")),
                ("engine", ways("engine type|type of engine|engine", "kind of engine")),
                ("type", ways("type|plane type|type of plane", "kind of plane")),
                ("year", ways("year|year built|year of construction", "build year")),
                ("model", ways("model|plane model", "model of plane")),
                ("engines", ways("number of engines")),
            )
        )
        noun = voice.say(key)
        shape = voice.weighted({"each": 4, "most": 3, "top": 2.5, "list": 2, "value": 1.5, "having": 1})
        if column in ("model", "year") and shape in ("each", "list", "value"):
            shape = "most"
        if column in ("engines", "type") and shape in ("top", "having"):
            shape = "each"
        if shape == "each":
            text = voice.say(
                ways("How many planes are there by {k}?|Number of planes per {k}?|planes by {k}|Planes per {k}?|How many planes of each {k} are there?|Count the planes by {k}.|For each {k}, how many planes are there?|How many planes does each {k} have?", "Break down the planes by {k}.|Count of planes, grouped by {k}"),
                k=noun,
            )  # fmt: skip
            sql = f"select {column}, count(*) from planes group by {column}"
        elif shape == "most":
            few = voice.chance(0.15)
            text = voice.say(
                ways("Which {k} has the {m} planes?|What is the {c} {k}?|{k} with the {m} planes?|What {k} do {s} planes have?|which {k} has the {m} planes|Which {k} is the {c} among planes?", "Name the {k} with the {m} planes.|The {c} {k} among the planes?"),
                k=noun, m="fewest" if few else "most", c="least common" if few else "most common", s="the fewest" if few else "most",
            )  # fmt: skip
            sql = f"select {column} from planes group by {column} order by count(*){'' if few else ' desc'} limit 1"
        elif shape == "top":
            k = voice.between(2, 6)
            shown = voice.chance(0.5)
            plural = {"engine type": "engine types", "type of engine": "types of engine", "model of plane": "models of plane"}.get(noun, f"{noun}s")
            text = voice.say(
                ways("Top {n} {k}{c}?|Which {n} {k} have the most planes{c}?|What are the {n} most common {k} of planes{c}?|List the {n} {k} with the most planes{c}.", "The {n} leading {k} by number of planes{c}?"),
                n=NUMBERS[k] if voice.chance(0.4) else k, k=plural.replace("year builts", "years"),
                c=voice.say(ways(", with the counts|, and how many each|, with their number of planes")) if shown else "",
            )  # fmt: skip
            sql = f"select {column}{', count(*)' if shown else ''} from planes group by {column} order by {'2' if shown else 'count(*)'} desc limit {k}"
        elif shape == "value":
            text = voice.say(ways("Average number of seats by {k}?|average seats per {k}|What is the average number of seats for each {k}?"), k=noun)
            sql = f"select {column}, avg(seats) from planes group by {column}"
        elif shape == "having":
            bound = voice.one((5, 10, 50, 100, 200, 300))
            text = voice.say(ways("Which {k} has more than {b} planes?|List every {k} with more than {b} planes.|{k} with over {b} planes?"), k=noun, b=bound)
            sql = f"select {column} from planes group by {column} having count(*) > {bound}"
        else:
            text = voice.say(
                ways("List the different values of {k}.|What {k}s are there among the planes?|List all {k}s of planes.|Which {k}s do planes have?|list the distinct {k}s", "Show every {k} that planes have."),
                k=noun,
            )  # fmt: skip
            sql = f"select distinct {column} from planes"
        return Composed(text, sql, ("plane groups", shape, column))

    def plane_lookup(self, voice: Voice) -> Composed:
        """What is known of one plane."""
        column, words = voice.one(
            (
                ("manufacturer", ways("Who made the plane {n}?|Who built {n}?|manufacturer of {n}?|Which company made plane {n}?|who is the maker of {n}", "Who manufactured {n}?")),
                ("model", ways("What model is {n}?|model of plane {n}?|Which model is the plane {n}?", "What kind of plane is {n}, by model?")),
                ("year", ways("When was {n} built?|In what year was plane {n} made?|year of {n}?|How old is plane {n}? Give its year.", "When was plane {n} constructed?")),
                ("seats", ways("How many seats does {n} have?|seats of plane {n}?|number of seats on {n}", "How many people can {n} seat?")),
                ("engine", ways("What engine does {n} have?|engine type of {n}?|Which type of engine does plane {n} have?")),
                ("engines", ways("How many engines does {n} have?|number of engines of plane {n}?")),
                ("type", ways("What type of plane is {n}?|type of {n}?")),
            )
        )  # fmt: skip
        name = voice.one(self._tails)
        return Composed(voice.say(words, n=name), f"select {column} from planes where tailnum = '{name}'", ("plane lookup", column))

    def airport_count(self, voice: Voice) -> Composed:
        """How many airports."""
        shape = voice.weighted({"all": 2, "alt": 3, "zone": 3, "both": 2, "each": 2, "most": 1})
        zone, said = self._zone(voice)
        more, feet = voice.chance(0.75), voice.between(500, 7000, 100)
        bound = voice.say(ways("above {f} feet|higher than {f} feet|over {f} feet" if more else "below {f} feet|lower than {f} feet|under {f} feet", "at more than {f} feet" if more else "at less than {f} feet"), f=f"{feet:,}" if voice.chance(0.3) else feet)
        if shape == "each":
            text = voice.say(ways("How many airports are there in each time zone?|airports per time zone|Number of airports by time zone?|Airports by time zone?", "Break down the airports by time zone."))
            return Composed(text, "select tzone, count(*) from airports group by tzone", ("airports", "each"))
        if shape == "most":
            text = voice.say(ways("Which time zone has the most airports?|time zone with the most airports?|In which time zone are the most airports?"))
            return Composed(text, "select tzone from airports group by tzone order by count(*) desc limit 1", ("airports", "most"))
        sign = ">" if more else "<"
        np = {"all": "airports", "alt": f"airports {bound}", "zone": f"airports {said}", "both": f"airports {bound} {said}"}[shape]
        conditions = {"all": [], "alt": [f"alt {sign} {feet}"], "zone": [zone], "both": [f"alt {sign} {feet}", zone]}[shape]
        text = voice.say(_COUNT, np=np)
        if shape == "alt" and voice.chance(0.4):
            text = voice.say(ways("How many airports are {b}?|How many airports lie {b}?|how many airports are {b}"), b=bound)
        if shape == "zone" and voice.chance(0.4):
            text = voice.say(ways("How many airports are {z}?|how many airports are {z}|How many airports lie {z}?"), z=said)
        return Composed(text, select("count(*)", table="airports", also=conditions), ("airports", shape))

    def _zone(self, voice: Voice) -> tuple[str, str]:
        zone = voice.one(tuple(ZONES))
        city, region = ZONES[zone]
        words = ways(
            "in the {c} time zone|in time zone {z}|in the {r} time zone|in {z}|on {r} time|in the {z} time zone|on {c} time",
            "that keep {r} time|on the {c} clock",
        )
        return f"tzone = '{zone}'", voice.say(words, c=city, r=region, z=zone)

    def airport_value(self, voice: Voice) -> Composed:
        """Altitudes and places of airports."""
        zone, said = self._zone(voice)
        zoned = voice.chance(0.35)
        of, also = (f" {said}", [zone]) if zoned else ("", [])
        shape = voice.weighted({"value": 4, "which": 4, "top": 2})
        if shape == "value":
            how, words = voice.one(
                (
                    ("max", ways("highest altitude{of}|altitude of the highest airport{of}|maximum altitude of airports{of}|highest elevation of an airport{of}", "greatest altitude of airports{of}")),
                    ("min", ways("lowest altitude of airports{of}|altitude of the lowest airport{of}|lowest elevation of an airport{of}", "least altitude of airports{of}")),
                    ("avg", ways("average altitude of airports{of}|mean altitude of airports{of}|average elevation of airports{of}", "typical altitude of airports{of}")),
                )
            )  # fmt: skip
            text = voice.say(_VALUE, v=voice.say(words, of=of), at="")
            if how != "avg" and voice.chance(0.35):
                text = voice.say(ways("How high is the {e} airport{of}?|how high is the {e} airport{of}|How many feet up is the {e} airport{of}?"), e="highest" if how == "max" else "lowest", of=of)
            return Composed(text, select(f"{how}(alt)", table="airports", also=also), ("airport value", how, str(zoned)))
        if shape == "which":
            order, words = voice.one(
                (
                    ("alt desc", ways("highest airport{of}|airport with the highest altitude{of}|airport at the highest elevation{of}", "airport lying highest{of}")),
                    ("alt", ways("lowest airport{of}|airport with the lowest altitude{of}", "airport lying lowest{of}")),
                    ("lat desc", ways("northernmost airport{of}|airport farthest north{of}|most northern airport{of}")),
                    ("lat", ways("southernmost airport{of}|airport farthest south{of}|most southern airport{of}")),
                    ("lon", ways("westernmost airport{of}|airport farthest west{of}")),
                )
            )  # fmt: skip
            text = voice.say(
                ways("Which is the {w}?|What is the {w}?|what's the name of the {w}|Name of the {w}?|Which airport is the {w}?", "Tell me the {w}.|Can you name the {w}?"),
                w=voice.say(words, of=of),
            )  # fmt: skip
            return Composed(text, select("name", table="airports", also=also, tail=f"order by {order} limit 1"), ("airport which", order, str(zoned)))
        k = voice.between(2, 10)
        shown = voice.chance(0.5)
        text = voice.say(
            ways("What are the {k} highest airports{of}{c}?|List the {k} highest airports{of}{c}.|Top {k} airports{of} by altitude{c}?|the {k} highest airports{of}{c}", "Name the {k} airports{of} that lie highest{c}."),
            k=NUMBERS[k] if voice.chance(0.4) else k, of=of, c=voice.say(ways(", with their altitude| and their altitudes|, name and altitude")) if shown else "",
        )  # fmt: skip
        tail = f"order by {'2' if shown else 'alt'} desc limit {k}"
        return Composed(text, select("name, alt" if shown else "name", table="airports", also=also, tail=tail), ("airport top", str(shown), str(zoned)))

    def airport_lookup(self, voice: Voice) -> Composed:
        """What is known of one airport, by its code, or its code by its name."""
        code, name = voice.one(self._airports)
        if voice.chance(0.2):
            text = voice.say(ways("What is the code of {n}?|code of {n}?|What FAA code does {n} have?|Which code does the airport {n} have?", "Look up the FAA code of {n}."), n=name)
            quoted = name.replace("'", "''")
            return Composed(text, f"select faa from airports where name = '{quoted}'", ("airport lookup", "faa"))
        if voice.chance(0.3):
            city = voice.one([city for city, codes in CITIES.items() if len(codes) == 1])
            code = CITIES[city][0]
        column, words = voice.weighted(
            {
                ("name", ways("What is the name of the airport {c}?|What airport is {c}?|name of airport {c}?|Which airport has the code {c}?|what does {c} stand for|what is {c} called|airport name for {c}?|Which airport is {c}?", "{c} is the code of which airport?|What's {c} short for?")): 3.0,
                ("alt", ways("What is the altitude of {c}?|How high is {c}?|altitude of {c}?|elevation of {c}|How many feet above sea level is {c}?|What is the elevation of the airport {c}?", "How high up is {c}?")): 2.0,
                ("tzone", ways("What time zone is {c} in?|time zone of {c}?|Which time zone does {c} have?|In which time zone is {c}?", "What's the time zone of the airport {c}?")): 2.0,
                ("lat, lon", ways("Where is {c}? Give latitude and longitude.|latitude and longitude of {c}?|What are the coordinates of {c}?|coordinates of {c}")): 1.0,
            }
        )  # fmt: skip
        return Composed(voice.say(words, c=code), f"select {column} from airports where faa = '{code}'", ("airport lookup", column))

    def airline_lookup(self, voice: Voice) -> Composed:
        """Names by codes and codes by names; the codes differ between training and test by the combination alone."""
        code = voice.one(tuple(CARRIERS))
        if voice.chance(0.5):
            words = ways(
                "What is the name of airline {c}?|Which airline is {c}?|name of carrier {c}?|what does {c} stand for|Which airline has the code {c}?|What airline is {c}?|Who is carrier {c}?|what airline uses the code {c}|full name of {c}?",
                "{c} is the code of which airline?|What's the airline behind {c}?|What does the carrier code {c} mean?",
            )  # fmt: skip
            return Composed(voice.say(words, c=code), f"select name from airlines where carrier = '{code}'", ("airline", "name", code))
        name = self._airlines[code] if voice.chance(0.4) else voice.one(CARRIERS[code])
        words = ways(
            "What is the code of {n}?|carrier code of {n}?|What is the carrier code for {n}?|Which code does {n} have?|code for {n}?|What's {n}'s code?|airline code of {n}",
            "Which two characters stand for {n}?|Look up the code of {n}.|Under which code does {n} fly?",
        )  # fmt: skip
        return Composed(voice.say(words, n=name), f"select carrier from airlines where name = '{self._airlines[code]}'", ("airline", "code", code))

    def table(self, voice: Voice) -> Composed:
        """Whole tables: their sizes and the short lists in them."""
        words, sql = voice.one(
            (
                (ways("How many airlines are there?|how many airlines are there|Number of airlines?|How many airlines are in the table?|Count the airlines.|How many airlines do we have?|how many carriers are there|How many different airlines?|total airlines", "How many airlines are listed?|Tell me the number of airlines."), "select count(*) from airlines"),
                (ways("List all airlines.|Show all airlines.|What airlines are there?|Which airlines are there?|list the airlines|Names of all airlines?|list all airline names|Show me every airline.", "Give me the names of the airlines.|Name all the airlines."), "select name from airlines"),
                (ways("List the airlines with their codes: code and name.|Show all carrier codes and airline names.|airline codes and names|List code and name of every airline.|What are the airline codes and what do they stand for?|Show the airlines table.", "Every airline code with its name, please.|Give code and name of all airlines."), "select carrier, name from airlines"),
                (ways("How many airports are there?|how many airports|Number of airports?|How many airports are in the table?|How many airports does the database have?|Count the airports.", "How many airports do you know?|What's the count of airports?"), "select count(*) from airports"),
                (ways("How many planes are there?|how many planes|Number of planes?|How many planes are in the table?|How many rows does the planes table have?|How many aircraft are in the database?", "How many planes are listed?|What's the count of planes?"), "select count(*) from planes"),
                (ways("How many weather records are there?|Number of weather observations?|How many rows does the weather table have?|how many hours of weather are recorded|count the weather records", "How many weather readings exist?|What's the count of weather records?"), "select count(*) from weather"),
                (ways("How many flights are in the table?|How many rows does the flights table have?|How many flights are there?|How many flights were there?|how many flights|Number of flights?|total flights|How many flights are there in total?|how many rows in flights|Count all flights.", "How many flights are recorded?|What's the count of all flights?|What is the overall number of flights?"), "select count(*) from flights"),
                (ways("Which airports do flights leave from?|What are the origin airports?|List the origins.|Which New York airports are there?|from which airports do flights depart", "Name the departure airports."), "select distinct origin from flights"),
                (ways("How many flights with a departure delay are there?|How many flights were late?|how many delayed flights|How many flights were delayed?|number of delayed flights", "How many flights had any delay leaving?"), "select count(*) from flights where dep_delay > 0"),
                (ways("How many carriers have flights?|How many different carriers are in the flights table?|how many carriers fly", "How many distinct carriers fly?"), "select count(distinct carrier) from flights"),
                (ways("Which aircraft types are there?|What types of planes are there?|list the plane types"), "select distinct type from planes"),
                (ways("What time zones do airports have?|List the time zones of the airports.|list the different time zones"), "select distinct tzone from airports where tzone is not null"),
            )
        )  # fmt: skip
        return Composed(voice.say(words), sql, ("table", sql))


def _after(filters: list[tuple[str, str, str]]) -> str:
    return "".join(f"{' and' if position else ''} {words}" for position, (_, _, words) in enumerate(filters))
