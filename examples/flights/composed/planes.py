"""Questions about planes."""

from collections.abc import Callable

from composed.frames import TABLE_COUNT, TABLE_VALUE
from composed.names import MAKERS, NUMBERS
from composed.parts import Composed, select
from composed.words import Voice, ways


class PlaneQuestions:
    """Draws questions about planes; `shapes` are their kinds with weights. `tails` are the planes to ask about."""

    def __init__(self, tails: tuple[str, ...]) -> None:
        self._tails = tails
        self.shapes: dict[Callable[[Voice], Composed], float] = {
            self.plane_count: 13,
            self.plane_value: 7,
            self.plane_groups: 8,
            self.plane_lookup: 5,
        }

    def _plane_filters(
        self, voice: Voice, counts: dict[int, float], without: tuple[str, ...] = ()
    ) -> list[tuple[str, str, str]]:
        """(kind, condition, words after "planes")."""
        sign, word = voice.one(((">", "after"), ("<", "before"), ("=", "in")))
        year, seats = voice.between(1980, 2012), voice.between(20, 350, 10)
        more = voice.chance(0.7)
        engine = voice.one(("Turbo-fan", "Turbo-jet", "Reciprocating", "Turbo-prop", "Turbo-shaft", "4 Cycle"))
        engines = voice.one((1, 2, 3, 4))
        kind = voice.one(("Fixed wing multi engine", "Fixed wing single engine", "Rotorcraft"))
        make = voice.one(tuple(MAKERS))
        choices = {
            "maker": (
                MAKERS[make],
                voice.say(
                    ways(
                        "made by {m}|built by {m}|by {m}|from {m}|that {m} made|of the maker {m}|"
                        "produced by {m}|that {m} built|"
                        "with {m} as the maker",
                        "manufactured by {m}",
                    ),
                    m=make,
                ),
            ),
            "year": (
                f"year {sign} {year}",
                voice.say(
                    ways(
                        "built {w} {y}|made {w} {y}|from {w} {y}|produced {w} {y}"
                        if sign != "="
                        else "built {w} {y}|made {w} {y}|from {y}|produced {w} {y}|of the year {y}",
                        "manufactured {w} {y}|constructed {w} {y}",
                    ),
                    w=word,
                    y=year,
                ),
            ),
            "seats": (
                f"seats {'>' if more else '<'} {seats}",
                voice.say(
                    ways(
                        "with {m} than {s} seats|with {o} {s} seats|that have {m} than {s} seats|seating {m} than {s}|"
                        "that have {o} {s} seats|with room for {m} than {s} people|having {m} than {s} seats|"
                        "that carry {m} than {s} passengers",
                        "that seat {o} {s} people",
                    ),
                    m="more" if more else "fewer",
                    o="over" if more else "under",
                    s=seats,
                ),
            ),
            "engine": (
                f"engine = '{engine}'",
                voice.say(
                    ways(
                        "with {e} engines|with a {e} engine|of engine type {e}|"
                        "that have {e} engines|with {e} as their engine|"
                        "with engine type {e}",
                        "powered by {e} engines",
                    ),
                    e=engine if voice.chance(0.6) else engine.lower(),
                ),
            ),
            "engines": (
                f"engines = {engines}",
                voice.say(
                    ways(
                        "with {e} engine{s}|that have {e} engine{s}|that fly on {e} engine{s}|with {e} engine{s} each|"
                        "with a total of {e} engine{s}",
                        "having {e} engine{s}",
                    ),
                    e=NUMBERS[engines] if voice.chance(0.6) else engines,
                    s="s" * (engines > 1),
                ),
            ),
            "type": (
                f"type = '{kind}'",
                voice.say(ways("of type {t}|of the type {t}|in the type {t}|of the {t} type"), t=kind),
            ),
        }
        names = [name for name in choices if name not in without]
        weights = {"maker": 4.0, "year": 3.0, "seats": 3.0, "engine": 1.5, "engines": 1.5, "type": 1.0}
        chosen: list[str] = []
        for _ in range(voice.weighted(counts)):
            left = {name: weights[name] for name in names if name not in chosen}
            if left:
                chosen.append(voice.part(left, "plane filter"))
        return [(name, *choices[name]) for name in choices if name in chosen]

    def plane_count(self, voice: Voice) -> Composed:
        """How many planes, or how many different makers or models."""
        what = voice.weighted({"planes": 8, "models": 1, "makers": 1})
        filters = self._plane_filters(
            voice,
            {0: 15, 1: 60, 2: 25} if what == "planes" else {0: 60, 1: 40},
            () if what == "planes" else ("maker",) if what == "makers" else (),
        )
        noun = {
            "planes": ways("planes|planes|aircraft|airplanes|planes|jets"),
            "models": ways(
                "different models of planes|different plane models|distinct models of planes|"
                "plane models|separate models of planes"
            ),
            "makers": ways(
                "different manufacturers of planes|plane manufacturers|"
                "distinct manufacturers of planes|separate makers of planes"
            ),
        }[what]
        columns = {"planes": "count(*)", "models": "count(distinct model)", "makers": "count(distinct manufacturer)"}[
            what
        ]
        maker = next((words for kind, _, words in filters if kind == "maker"), "")
        text = voice.say(TABLE_COUNT, np=f"{voice.say(noun)}{_after(filters)}")
        if what == "planes" and maker and voice.chance(0.4):
            name = next(name for name in MAKERS if name in maker)
            rest = _after([item for item in filters if item[0] != "maker"])
            text = voice.say(
                TABLE_COUNT, np=voice.say(ways("{n} planes{r}|{n}s{r}|{n} aircraft{r}", "{n} jets{r}"), n=name, r=rest)
            )
        elif what == "planes" and filters and voice.chance(0.35):
            kind, _, words = filters[0]
            verb = {
                "maker": f"were {words}" if words.partition(" ")[0] not in ("that", "with") else words,
                "year": f"were {words}",
                "seats": words.replace("with", "have").replace("that ", "").replace("having", "have"),
                "engine": words.replace("with", "have").replace("of", "are of"),
                "type": f"are {words}",
                "engines": words.replace("with", "have").replace("that ", "").replace("having", "have"),
            }[kind]
            text = voice.say(
                ways(
                    "How many planes {v}{r}?|how many planes {v}{r}|How many aircraft {v}{r}?",
                    "How many of the planes {v}{r}?",
                ),
                v=verb,
                r=_after(filters[1:]),
            )
        sql = select(columns, table="planes", also=[condition for _, condition, _ in filters])
        return Composed(text, sql, ("planes", what, *(kind for kind, _, _ in filters)))

    def plane_value(self, voice: Voice) -> Composed:
        """Seats and years of planes."""
        column, how, noun, asked = voice.one(
            (
                (
                    "seats",
                    "avg",
                    ways(
                        "average number of seats|average seats|mean number of seats|"
                        "typical number of seats|average seat count|"
                        "mean seats|avg seats|average size in seats"
                    ),
                    ways(
                        "How many seats does a plane{of} have on average?|"
                        "How many seats do planes{of} have on average?|"
                        "On average, how many seats do planes{of} have?|how many people can planes{of} seat on average|"
                        "How big are planes{of} on average, in seats?"
                    ),
                ),
                (
                    "seats",
                    "max",
                    ways(
                        "largest number of seats|maximum number of seats|most seats|"
                        "highest number of seats|max seats|greatest number of seats|"
                        "biggest number of seats|seats of the largest plane"
                    ),
                    ways(
                        "How many seats does the biggest plane{of} have?|"
                        "How many seats does the largest plane{of} have?|"
                        "How many people can the biggest plane{of} seat?|"
                        "What is the most seats that a plane{of} has?"
                    ),
                ),
                (
                    "seats",
                    "min",
                    ways(
                        "smallest number of seats|minimum number of seats|fewest seats|least number of seats|min seats|"
                        "lowest number of seats|seats of the smallest plane"
                    ),
                    ways(
                        "How many seats does the smallest plane{of} have?|"
                        "How many people can the smallest plane{of} seat?|"
                        "What is the fewest seats that a plane{of} has?"
                    ),
                ),
                (
                    "year",
                    "min",
                    ways(
                        "oldest year of construction|earliest year|oldest plane year|"
                        "earliest build year|year of the oldest plane|first year of construction|"
                        "minimum year|first year built"
                    ),
                    ways(
                        "When was the oldest plane{of} built?|"
                        "How old is the oldest plane{of}, by year built?|"
                        "In what year was the oldest plane{of} made?|"
                        "what year is the oldest plane{of} from"
                    ),
                ),
                (
                    "year",
                    "max",
                    ways(
                        "newest year of construction|latest year|latest build year|"
                        "year of the newest plane|last year of construction|maximum year|most recent year built"
                    ),
                    ways(
                        "When was the newest plane{of} built?|In what year was the newest plane{of} made?|"
                        "what year is the newest plane{of} from|How new is the newest plane{of}, by year built?"
                    ),
                ),
                (
                    "year",
                    "avg",
                    ways(
                        "average year of construction|average build year|mean year|"
                        "average year built|avg year|typical year built"
                    ),
                    ways("On average, in what year were planes{of} built?|What year are planes{of} from on average?"),
                ),
                (
                    "seats",
                    "sum",
                    ways(
                        "total number of seats|total seats|sum of the seats|overall number of seats|"
                        "combined number of seats"
                    ),
                    ways(
                        "How many seats do all planes{of} have together?|How many seats are there in all planes{of}?|"
                        "how many seats do planes{of} have in total"
                    ),
                ),
            )
        )
        filters = self._plane_filters(voice, {0: 40, 1: 50, 2: 10}, ("seats",) if column == "seats" else ("year",))
        after = _after(filters)
        if voice.chance(0.4):
            text = voice.say(asked, of=after)
        elif "plane" in noun.train[0] and not filters:
            text = voice.say(TABLE_VALUE, v=voice.say(noun), at="")
        else:
            text = voice.say(
                TABLE_VALUE,
                v=voice.say(noun),
                at=voice.one((f" of planes{after}", f" for planes{after}", f" among planes{after}")),
            )
        sql = select(f"{how}({column})", table="planes", also=[condition for _, condition, _ in filters])
        return Composed(text, sql, ("plane value", column, how, *(kind for kind, _, _ in filters)))

    def plane_groups(self, voice: Voice) -> Composed:
        """Planes by maker, engine, type or year: each, the most, the top few, or the list."""
        column, key = voice.one(
            (
                ("manufacturer", ways("manufacturer|maker|manufacturer|producer")),
                ("engine", ways("engine type|type of engine|engine|kind of engine")),
                ("type", ways("type|plane type|type of plane|kind of plane")),
                ("year", ways("year|year built|year of construction|build year")),
                ("model", ways("model|plane model|model of plane")),
                ("engines", ways("number of engines|engine count|number of engines")),
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
                ways(
                    "How many planes are there by {k}?|Number of planes per {k}?|planes by {k}|"
                    "Planes per {k}?|How many planes of each {k} are there?|"
                    "Count the planes by {k}.|For each {k}, how many planes are there?|"
                    "How many planes does each {k} have?|Break down the planes by {k}.",
                    "Count of planes, grouped by {k}",
                ),
                k=noun,
            )
            sql = f"select {column}, count(*) from planes group by {column}"
        elif shape == "most":
            few = voice.chance(0.15)
            text = voice.say(
                ways(
                    "Which {k} has the {m} planes?|What is the {c} {k}?|{k} with the {m} planes?|"
                    "What {k} do {s} planes have?|which {k} has the {m} planes|"
                    "Which {k} is the {c} among planes?|Name the {k} with the {m} planes.",
                    "The {c} {k} among the planes?",
                ),
                k=noun,
                m="fewest" if few else "most",
                c="least common" if few else "most common",
                s="the fewest" if few else "most",
            )
            sql = f"select {column} from planes group by {column} order by count(*){'' if few else ' desc'} limit 1"
        elif shape == "top":
            k = voice.between(2, 6)
            shown = voice.chance(0.5)
            plural = {
                "engine type": "engine types",
                "type of engine": "types of engine",
                "model of plane": "models of plane",
            }.get(noun, f"{noun}s")
            text = voice.say(
                ways(
                    "Top {n} {k}{c}?|Which {n} {k} have the most planes{c}?|"
                    "What are the {n} most common {k} of planes{c}?|"
                    "List the {n} {k} with the most planes{c}.",
                    "The {n} leading {k} by number of planes{c}?",
                ),
                n=NUMBERS[k] if voice.chance(0.4) else k,
                k=plural.replace("year builts", "years"),
                c=voice.say(ways(", with the counts|, and how many each|, with their number of planes"))
                if shown
                else "",
            )
            columns, order = (f"{column}, count(*)", "2") if shown else (column, "count(*)")
            sql = f"select {columns} from planes group by {column} order by {order} desc limit {k}"
        elif shape == "value":
            text = voice.say(
                ways(
                    "Average number of seats by {k}?|average seats per {k}|Mean number of seats per {k}?|"
                    "For each {k}, how many seats on average?|How many seats do planes have on average, by {k}?|"
                    "What is the average number of seats for each {k}?"
                ),
                k=noun,
            )
            sql = f"select {column}, avg(seats) from planes group by {column}"
        elif shape == "having":
            bound = voice.one((5, 10, 50, 100, 200, 300))
            text = voice.say(
                ways(
                    "Which {k} has more than {b} planes?|List every {k} with more than {b} planes.|"
                    "Show every {k} that has over {b} planes.|Each {k} with more than {b} planes?|"
                    "{k} with over {b} planes?"
                ),
                k=noun,
                b=bound,
            )
            sql = f"select {column} from planes group by {column} having count(*) > {bound}"
        else:
            text = voice.say(
                ways(
                    "List the different values of {k}.|What {k}s are there among the planes?|"
                    "List all {k}s of planes.|Which {k}s do planes have?|list the distinct {k}s",
                    "Show every {k} that planes have.",
                ),
                k=noun,
            )
            sql = f"select distinct {column} from planes"
        return Composed(text, sql, ("plane groups", shape, column))

    def plane_lookup(self, voice: Voice) -> Composed:
        """What is known of one plane."""
        column, words = voice.one(
            (
                (
                    "manufacturer",
                    ways(
                        "Who made the plane {n}?|Who built {n}?|manufacturer of {n}?|"
                        "Which company made plane {n}?|who is the maker of {n}",
                        "Who manufactured {n}?",
                    ),
                ),
                (
                    "model",
                    ways(
                        "What model is {n}?|model of plane {n}?|Which model is the plane {n}?",
                        "What kind of plane is {n}, by model?",
                    ),
                ),
                (
                    "year",
                    ways(
                        "When was {n} built?|In what year was plane {n} made?|year of {n}?|"
                        "How old is plane {n}? Give its year.",
                        "When was plane {n} constructed?",
                    ),
                ),
                (
                    "seats",
                    ways(
                        "How many seats does {n} have?|seats of plane {n}?|number of seats on {n}",
                        "How many people can {n} seat?",
                    ),
                ),
                (
                    "engine",
                    ways(
                        "What engine does {n} have?|engine type of {n}?|Which type of engine does plane {n} have?|"
                        "What kind of engine is on {n}?|engine of plane {n}"
                    ),
                ),
                ("engines", ways("How many engines does {n} have?|number of engines of plane {n}?|engines of {n}")),
                ("type", ways("What type of plane is {n}?|type of {n}?|Of what type is plane {n}?")),
            )
        )
        name = voice.one(self._tails)
        return Composed(
            voice.say(words, n=name), f"select {column} from planes where tailnum = '{name}'", ("plane lookup", column)
        )


def _after(filters: list[tuple[str, str, str]]) -> str:
    return "".join(f"{' and' if position else ''} {words}" for position, (_, _, words) in enumerate(filters))
