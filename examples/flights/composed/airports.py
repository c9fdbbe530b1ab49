"""Questions about airports and airlines, and about whole tables."""

from collections.abc import Callable

from composed.frames import TABLE_COUNT, TABLE_VALUE
from composed.names import CARRIERS, CITIES, NUMBERS, ZONES
from composed.parts import Composed, select
from composed.words import Voice, ways


class AirportQuestions:
    """Draws questions about airports, airlines and whole tables; `shapes` are their kinds with weights.

    `airports` are pairs of code and name, `airlines` are names by code.
    """

    def __init__(self, airports: tuple[tuple[str, str], ...], airlines: dict[str, str]) -> None:
        self._airports = airports
        self._airlines = airlines
        self.shapes: dict[Callable[[Voice], Composed], float] = {
            self.airport_count: 6,
            self.airport_value: 5,
            self.airport_lookup: 8,
            self.airline_lookup: 7,
            self.table: 9,
        }

    def airport_count(self, voice: Voice) -> Composed:
        """How many airports."""
        shape = voice.weighted({"all": 2, "alt": 3, "zone": 3, "both": 2, "each": 2, "most": 1})
        zone, said = self._zone(voice)
        more, feet = voice.chance(0.75), voice.between(500, 7000, 100)
        bound = voice.say(
            ways(
                "above {f} feet|higher than {f} feet|over {f} feet"
                if more
                else "below {f} feet|lower than {f} feet|under {f} feet",
                "at more than {f} feet" if more else "at less than {f} feet",
            ),
            f=f"{feet:,}" if voice.chance(0.3) else feet,
        )
        if shape == "each":
            text = voice.say(
                ways(
                    "How many airports are there in each time zone?|airports per time zone|"
                    "Number of airports by time zone?|Airports by time zone?|"
                    "Break down the airports by time zone."
                )
            )
            return Composed(text, "select tzone, count(*) from airports group by tzone", ("airports", "each"))
        if shape == "most":
            text = voice.say(
                ways(
                    "Which time zone has the most airports?|time zone with the most airports?|"
                    "In which time zone are the most airports?"
                )
            )
            return Composed(
                text, "select tzone from airports group by tzone order by count(*) desc limit 1", ("airports", "most")
            )
        sign = ">" if more else "<"
        np = {
            "all": "airports",
            "alt": f"airports {bound}",
            "zone": f"airports {said}",
            "both": f"airports {bound} {said}",
        }[shape]
        conditions = {"all": [], "alt": [f"alt {sign} {feet}"], "zone": [zone], "both": [f"alt {sign} {feet}", zone]}[
            shape
        ]
        text = voice.say(TABLE_COUNT, np=np)
        if shape == "alt" and voice.chance(0.4):
            text = voice.say(
                ways("How many airports are {b}?|How many airports lie {b}?|how many airports are {b}"), b=bound
            )
        if shape == "zone" and voice.chance(0.4):
            text = voice.say(
                ways("How many airports are {z}?|how many airports are {z}|How many airports lie {z}?"), z=said
            )
        return Composed(text, select("count(*)", table="airports", also=conditions), ("airports", shape))

    def _zone(self, voice: Voice) -> tuple[str, str]:
        zone = voice.one(tuple(ZONES))
        city, region = ZONES[zone]
        words = ways(
            "in the {c} time zone|in time zone {z}|in the {r} time zone|in {z}|on {r} time|"
            "in the {z} time zone|on {c} time|that keep {r} time",
            "on the {c} clock",
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
                    (
                        "max",
                        ways(
                            "highest altitude{of}|altitude of the highest airport{of}|"
                            "maximum altitude of airports{of}|highest elevation of an airport{of}",
                            "greatest altitude of airports{of}",
                        ),
                    ),
                    (
                        "min",
                        ways(
                            "lowest altitude of airports{of}|altitude of the lowest airport{of}|"
                            "lowest elevation of an airport{of}",
                            "least altitude of airports{of}",
                        ),
                    ),
                    (
                        "avg",
                        ways(
                            "average altitude of airports{of}|mean altitude of airports{of}|"
                            "average elevation of airports{of}",
                            "typical altitude of airports{of}",
                        ),
                    ),
                )
            )
            text = voice.say(TABLE_VALUE, v=voice.say(words, of=of), at="")
            if how != "avg" and voice.chance(0.35):
                text = voice.say(
                    ways(
                        "How high is the {e} airport{of}?|how high is the {e} airport{of}|"
                        "How many feet up is the {e} airport{of}?"
                    ),
                    e="highest" if how == "max" else "lowest",
                    of=of,
                )
            return Composed(
                text, select(f"{how}(alt)", table="airports", also=also), ("airport value", how, str(zoned))
            )
        if shape == "which":
            order, words = voice.one(
                (
                    (
                        "alt desc",
                        ways(
                            "highest airport{of}|airport with the highest altitude{of}|"
                            "airport at the highest elevation{of}",
                            "airport lying highest{of}",
                        ),
                    ),
                    (
                        "alt",
                        ways("lowest airport{of}|airport with the lowest altitude{of}", "airport lying lowest{of}"),
                    ),
                    ("lat desc", ways("northernmost airport{of}|airport farthest north{of}|most northern airport{of}")),
                    ("lat", ways("southernmost airport{of}|airport farthest south{of}|most southern airport{of}")),
                    ("lon", ways("westernmost airport{of}|airport farthest west{of}")),
                )
            )
            text = voice.say(
                ways(
                    "Which is the {w}?|What is the {w}?|what's the name of the {w}|"
                    "Name of the {w}?|Which airport is the {w}?|Tell me the {w}.",
                    "Can you name the {w}?",
                ),
                w=voice.say(words, of=of),
            )
            return Composed(
                text,
                select("name", table="airports", also=also, tail=f"order by {order} limit 1"),
                ("airport which", order, str(zoned)),
            )
        k = voice.between(2, 10)
        shown = voice.chance(0.5)
        text = voice.say(
            ways(
                "What are the {k} highest airports{of}{c}?|"
                "List the {k} highest airports{of}{c}.|Top {k} airports{of} by altitude{c}?|"
                "the {k} highest airports{of}{c}",
                "Name the {k} airports{of} that lie highest{c}.",
            ),
            k=NUMBERS[k] if voice.chance(0.4) else k,
            of=of,
            c=voice.say(ways(", with their altitude| and their altitudes|, name and altitude")) if shown else "",
        )
        tail = f"order by {'2' if shown else 'alt'} desc limit {k}"
        return Composed(
            text,
            select("name, alt" if shown else "name", table="airports", also=also, tail=tail),
            ("airport top", str(shown), str(zoned)),
        )

    def airport_lookup(self, voice: Voice) -> Composed:
        """What is known of one airport, by its code, or its code by its name."""
        code, name = voice.one(self._airports)
        if voice.chance(0.2):
            text = voice.say(
                ways(
                    "What is the code of {n}?|code of {n}?|What FAA code does {n} have?|"
                    "Which code does the airport {n} have?",
                    "Look up the FAA code of {n}.",
                ),
                n=name,
            )
            quoted = name.replace("'", "''")
            return Composed(text, f"select faa from airports where name = '{quoted}'", ("airport lookup", "faa"))
        said = code
        if voice.chance(0.35):
            city = voice.one([city for city, codes in CITIES.items() if len(codes) == 1])
            code = CITIES[city][0]
            said = voice.one((code, f"{city} ({code})", f"{city} airport", f"{code} airport"))
        column, words = voice.weighted(
            {
                (
                    "name",
                    ways(
                        "What is the name of the airport {c}?|What airport is {c}?|"
                        "name of airport {c}?|Which airport has the code {c}?|what does {c} stand for|"
                        "what is {c} called|airport name for {c}?|Which airport is {c}?|"
                        "{c} is the code of which airport?",
                        "What's {c} short for?",
                    ),
                ): 3.0,
                (
                    "alt",
                    ways(
                        "What is the altitude of {c}?|How high is {c}?|altitude of {c}?|"
                        "elevation of {c}|How many feet above sea level is {c}?|"
                        "What is the elevation of the airport {c}?",
                        "How high up is {c}?",
                    ),
                ): 2.0,
                (
                    "tzone",
                    ways(
                        "What time zone is {c} in?|time zone of {c}?|Which time zone does {c} have?|"
                        "In which time zone is {c}?",
                        "What's the time zone of the airport {c}?",
                    ),
                ): 2.0,
                (
                    "lat, lon",
                    ways(
                        "Where is {c}? Give latitude and longitude.|latitude and longitude of {c}?|"
                        "What are the coordinates of {c}?|coordinates of {c}"
                    ),
                ): 1.0,
            }
        )
        return Composed(
            voice.say(words, c=said), f"select {column} from airports where faa = '{code}'", ("airport lookup", column)
        )

    def airline_lookup(self, voice: Voice) -> Composed:
        """Names by codes and codes by names; the codes differ between training and test by the combination alone."""
        code = voice.one(tuple(CARRIERS))
        if voice.chance(0.5):
            words = ways(
                "What is the name of airline {c}?|Which airline is {c}?|name of carrier {c}?|"
                "what does {c} stand for|Which airline has the code {c}?|What airline is {c}?|"
                "Who is carrier {c}?|what airline uses the code {c}|full name of {c}?|"
                "{c} is the code of which airline?|What's the airline behind {c}?",
                "What does the carrier code {c} mean?",
            )
            return Composed(
                voice.say(words, c=code),
                f"select name from airlines where carrier = '{code}'",
                ("airline", "name", code),
            )
        name = self._airlines[code] if voice.chance(0.4) else voice.one(CARRIERS[code])
        words = ways(
            "What is the code of {n}?|carrier code of {n}?|"
            "What is the carrier code for {n}?|Which code does {n} have?|code for {n}?|"
            "What's {n}'s code?|airline code of {n}|Which two characters stand for {n}?|"
            "Look up the code of {n}.",
            "Under which code does {n} fly?",
        )
        return Composed(
            voice.say(words, n=name),
            f"select carrier from airlines where name = '{self._airlines[code]}'",
            ("airline", "code", code),
        )

    def table(self, voice: Voice) -> Composed:
        """Whole tables: their sizes and the short lists in them."""
        words, sql = voice.one(
            (
                (
                    ways(
                        "How many airlines are there?|how many airlines are there|Number of airlines?|"
                        "How many airlines are in the table?|Count the airlines.|"
                        "How many airlines do we have?|how many carriers are there|"
                        "How many different airlines?|total airlines|How many airlines are listed?|"
                        "Tell me the number of airlines."
                    ),
                    "select count(*) from airlines",
                ),
                (
                    ways(
                        "List all airlines.|Show all airlines.|What airlines are there?|"
                        "Which airlines are there?|list the airlines|Names of all airlines?|"
                        "list all airline names|Show me every airline.|"
                        "Give me the names of the airlines.|Name all the airlines."
                    ),
                    "select name from airlines",
                ),
                (
                    ways(
                        "List the airlines with their codes: code and name.|"
                        "Show all carrier codes and airline names.|airline codes and names|"
                        "List code and name of every airline.|"
                        "What are the airline codes and what do they stand for?|"
                        "Show the airlines table.|Every airline code with its name, please.|"
                        "Give code and name of all airlines."
                    ),
                    "select carrier, name from airlines",
                ),
                (
                    ways(
                        "How many airports are there?|how many airports|Number of airports?|"
                        "How many airports are in the table?|How many airports does the database have?|"
                        "Count the airports.|How many airports do you know?|"
                        "What's the count of airports?"
                    ),
                    "select count(*) from airports",
                ),
                (
                    ways(
                        "How many planes are there?|how many planes|Number of planes?|"
                        "How many planes are in the table?|How many rows does the planes table have?|"
                        "How many aircraft are in the database?|How many planes are listed?|"
                        "What's the count of planes?"
                    ),
                    "select count(*) from planes",
                ),
                (
                    ways(
                        "How many weather records are there?|Number of weather observations?|"
                        "How many rows does the weather table have?|"
                        "how many hours of weather are recorded|count the weather records|"
                        "How many weather readings exist?|What's the count of weather records?"
                    ),
                    "select count(*) from weather",
                ),
                (
                    ways(
                        "How many flights are in the table?|How many rows does the flights table have?|"
                        "How many flights are there?|How many flights were there?|how many flights|"
                        "Number of flights?|total flights|How many flights are there in total?|"
                        "how many rows in flights|Count all flights.|How many flights are recorded?|"
                        "What's the count of all flights?|What is the overall number of flights?"
                    ),
                    "select count(*) from flights",
                ),
                (
                    ways(
                        "Which airports do flights leave from?|What are the origin airports?|"
                        "List the origins.|Which New York airports are there?|"
                        "from which airports do flights depart|Name the departure airports."
                    ),
                    "select distinct origin from flights",
                ),
                (
                    ways(
                        "How many flights with a departure delay are there?|"
                        "How many flights were late?|how many delayed flights|"
                        "How many flights were delayed?|number of delayed flights|"
                        "How many flights had any delay leaving?"
                    ),
                    "select count(*) from flights where dep_delay > 0",
                ),
                (
                    ways(
                        "How many carriers have flights?|"
                        "How many different carriers are in the flights table?|how many carriers fly|"
                        "How many distinct carriers fly?"
                    ),
                    "select count(distinct carrier) from flights",
                ),
                (
                    ways("Which aircraft types are there?|What types of planes are there?|list the plane types"),
                    "select distinct type from planes",
                ),
                (
                    ways(
                        "What time zones do airports have?|List the time zones of the airports.|"
                        "list the different time zones"
                    ),
                    "select distinct tzone from airports where tzone is not null",
                ),
            )
        )
        return Composed(voice.say(words), sql, ("table", sql))
