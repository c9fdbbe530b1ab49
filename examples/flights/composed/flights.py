"""Questions about flights: any aggregate, any filters, any grouping, any order."""

from collections.abc import Callable, Sequence

from composed.filters import Filter, Filters
from composed.frames import (
    AND_COUNT,
    AND_VALUE,
    BEST,
    BUSIEST,
    CANCELLATIONS,
    CARRIER_DID,
    COUNT,
    DID_CANCEL,
    DOWN,
    EACH,
    EACH_COUNT,
    FEWEST,
    HAVING_COUNT,
    HAVING_VALUE,
    LED,
    MOST,
    POPULAR,
    QUIETEST,
    SHARE,
    TIMES,
    TOP,
    TOP_COUNT,
    TOP_VALUE,
    UP,
    VALUE,
    VALUE_LED,
    VERBAL,
    WHICH_COUNT,
    WHICH_VALUE,
)
from composed.names import CARRIERS, NUMBERS
from composed.parts import COUNTED, DAY, KEYS, MEASURES, NOTHING, Composed, Key, Measure, joined, kinds, phrase, select
from composed.words import Voice, ways


class FlightQuestions:
    """Draws questions about flights; `shapes` are their kinds with weights. `filters` draws the conditions."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self.shapes: dict[Callable[[Voice], Composed], float] = {
            self.count: 27,
            self.value: 18,
            self.share: 5,
            self.each_count: 8,
            self.each_value: 8,
            self.each_two: 1.5,
            self.which_count: 8,
            self.which_value: 7,
            self.top_count: 5,
            self.top_value: 2.5,
            self.having: 4,
            self.listed: 6,
            self.compared: 2.5,
            self.rows: 4,
            self.how_far: 1,
        }

    def count(self, voice: Voice) -> Composed:
        """How many flights."""
        filters = self._some(voice, {0: 10, 1: 42, 2: 36, 3: 12})
        said = {item.kind: item for item in filters}
        rest = list(filters)
        carrier = said.get("carrier")
        if carrier and "cancelled" in said and voice.chance(0.4):
            others = [item for item in filters if item.kind not in ("carrier", "cancelled")]
            text = voice.say(DID_CANCEL, n=carrier.name, at=joined(voice, others))
        elif "cancelled" in said and voice.chance(0.3):
            text = voice.say(CANCELLATIONS, at=joined(voice, [i for i in filters if i.kind != "cancelled"]))
        elif carrier and voice.chance(0.5):
            rest.remove(carrier)
            pre = [item for item in rest if item.pre and item.kind != "origin" and voice.chance(0.3)][:1]
            at = joined(voice, [item for item in rest if item not in pre])
            if not pre and set(said) <= {"carrier", "origin", "dest", "month", "date"} and voice.chance(0.25):
                text = voice.say(TIMES, n=carrier.name, at=at)
            else:
                noun = " ".join([*(item.pre for item in pre), "flights"])
                text = voice.say(CARRIER_DID, np=noun, n=carrier.name, at=at)
        elif filters and voice.chance(0.4):
            verb = voice.one(filters)
            rest.remove(verb)
            pre = [item for item in rest if item.pre and voice.chance(0.4)][:1]
            after = joined(voice, [item for item in rest if item not in pre])
            noun = " ".join([*(item.pre for item in pre), "flights"])
            text = voice.say(VERBAL, np=noun, verb=f"{verb.verb}{after}")
        elif any(item.lead for item in filters) and voice.chance(0.3):
            lead = voice.one([item for item in filters if item.lead])
            rest.remove(lead)
            text = voice.say(LED, lead=lead.lead, np=phrase(voice, rest, anything=False))
        else:
            text = voice.say(COUNT, np=phrase(voice, filters))
        return Composed(text, select("count(*)", filters), ("count", *kinds(filters)))

    def value(self, voice: Voice) -> Composed:
        """One aggregate of a column."""
        measure = self._measure(voice)
        filters = self._for(voice, measure, {0: 13, 1: 45, 2: 34, 3: 8})
        combination = ("value", measure.name, *kinds(filters))
        sql = select(measure.sql, filters, joins=[measure.join] if measure.join else [])
        if measure.asked and (voice.chance(0.35) or (measure.name in COUNTED and voice.chance(0.6))):
            ways_to_ask = voice.say(measure.asked, np="{np}", at="{at}")
            at = joined(voice, filters) if all(item.direct for item in filters) else ""
            if "{at}" not in ways_to_ask or at:
                text = ways_to_ask.format(np=phrase(voice, filters), at=at.strip())
                return Composed(text, sql, combination)
        leads = [item for item in filters if item.lead and item.direct]
        if leads and voice.chance(0.15):
            lead = voice.one(leads)
            rest = [item for item in filters if item is not lead]
            text = voice.say(VALUE_LED, lead=lead.lead, v=voice.say(measure.nouns), of=self._of(voice, rest, bare=True))
        else:
            text = voice.say(VALUE, v=voice.say(measure.nouns), of=self._of(voice, filters))
        return Composed(text, sql, combination)

    def share(self, voice: Voice) -> Composed:
        """The percentage of flights that have a property."""
        kind = voice.part({"cancelled": 4, "late": 6, "distance": 1, "hour": 1, "weekday": 1}, "share")
        prop = self._filters.one(voice, kind)
        gone = frozenset({kind, "cancelled", "flown", "late", "air_time", "maker", "seats", "built", "weather"})
        gone |= {"weekday": frozenset({"date"}), "distance": frozenset({"dest"})}.get(kind, frozenset())
        filters = self._filters.draw(voice, voice.weighted({0: 20, 1: 45, 2: 35}), gone)
        sql = select(f"100 * avg(({prop.condition})::int)", filters)
        if voice.chance(0.2) and not any(item.kind in ("carrier",) for item in filters):
            key = KEYS[voice.one(("carrier", "origin", "month", "dest"))]
            if not set(key.without) & {item.kind for item in filters} and prop.kind != "distance":
                text = voice.say(SHARE, np=phrase(voice, filters, noun="flights"), verb=prop.verb).rstrip("?.")
                text += voice.say(ways(" by {k}?| for each {k}?| per {k}?", ", {k} by {k}?"), k=voice.say(key.singular))
                sql = select(
                    f"{key.columns}, 100 * avg(({prop.condition})::int)", filters, tail=f"group by {key.group}"
                )
                return Composed(text, sql, ("share", key.name, prop.kind, *kinds(filters)))
        text = voice.say(SHARE, np=phrase(voice, filters, noun="flights"), verb=prop.verb)
        return Composed(text, sql, ("share", prop.kind, *kinds(filters)))

    def each_count(self, voice: Voice) -> Composed:
        """The number of flights of each group."""
        key, filters = self._group(voice, {0: 30, 1: 45, 2: 25})
        np = phrase(voice, filters, anything=not filters and voice.chance(0.2))
        text = voice.say(EACH_COUNT, np=np, key=voice.say(key.singular), keys=voice.say(key.plural), place=key.place)
        return self._each(voice, text, key, "count(*)", filters, "each count")

    def each_value(self, voice: Voice) -> Composed:
        """An aggregate of each group."""
        measure = self._measure(voice)
        key, filters = self._group(voice, {0: 32, 1: 45, 2: 23}, measure)
        text = voice.say(
            EACH,
            v=voice.say(measure.nouns),
            of=self._of(voice, filters, bare=voice.chance(0.8)),
            key=voice.say(key.singular),
            keys=voice.say(key.plural),
        )
        return self._each(voice, text, key, measure.sql, filters, f"each {measure.name}", measure.join)

    def each_two(self, voice: Voice) -> Composed:
        """The number of flights of each pair of groups."""
        a, b = (KEYS[name] for name in voice.sample(("origin", "carrier", "month", "weekday"), 2))
        filters = self._some(voice, {0: 60, 1: 40}, (*a.without, *b.without, "weather"))
        text = voice.say(
            ways(
                "{np} by {a} and {b}?|Number of {np} by {a} and {b}?|How many {np} were there for each {a} and {b}?|"
                "{np} per {a} and {b}|Count the {np} by {a} and {b}.",
                "Number of {np}, grouped by {a} and {b}",
            ),
            np=phrase(voice, filters, anything=False),
            a=voice.say(a.singular),
            b=voice.say(b.singular),
        )
        keys = f"{a.columns}, {b.columns}"
        tail = f"group by {', '.join(str(i) if '(' in key.columns else key.columns for i, key in enumerate((a, b), 1))}"
        return Composed(
            text, select(f"{keys}, count(*)", filters, tail=tail), ("each two", a.name, b.name, *kinds(filters))
        )

    def _each(
        self, voice: Voice, text: str, key: Key, measured: str, filters: Sequence[Filter], shape: str, join: str = ""
    ) -> Composed:
        tail, ordered = f"group by {key.group}", False
        if voice.chance(0.12):
            ordered = True
            down = voice.chance(0.7)
            position = key.width + 1
            text = f"{text.rstrip('?.')}, {voice.say(DOWN if down else UP)}"
            tail += f" order by {position}{' desc' if down else ''}"
            shape += " sorted"
        elif key.name in ("month", "hour", "day") and voice.chance(0.15):
            ordered = True
            text = f"{text.rstrip('?.')}, " + voice.say(
                ways("ordered by {k}|sorted by {k}|in order of the {k}", "with the {k}s in order"), k=key.name
            )
            tail += " order by 1"
            shape += " in order"
        sql = select(f"{key.columns}, {measured}", filters, joins=_joins(key, join), also=key.also, tail=tail)
        return Composed(text, sql, (shape, key.name, *kinds(filters)), ordered)

    def which_count(self, voice: Voice) -> Composed:
        """The group with the most or the fewest flights."""
        key, filters = self._group(voice, {0: 35, 1: 45, 2: 20})
        most = voice.chance(0.8)
        singular = voice.say(key.singular)
        if key.name == "dest" and most and voice.chance(0.25):
            words = ways(
                "Where do most {np} go?|Where did most {np} go to?|To where did the most {np} go?",
                "Where do {np} go most often?",
            )
            text = voice.say(words, np=phrase(voice, filters, noun="flights"))
        elif key.name == "origin" and most and voice.chance(0.25):
            words = ways(
                "Where do most {np} leave from?|From which airport do most {np} leave?", "Where do most {np} start?"
            )
            text = voice.say(words, np=phrase(voice, filters, noun="flights"))
        elif key.name in ("carrier", "airline") and most and voice.chance(0.35):
            words = ways(
                "Which {key} flew the most{at}?|Which {key} operates the most flights{at}?|"
                "Which {key} flies most often{at}?|Who flies the most{at}? Give the {key}.|"
                "Which {key} does the most flying{at}?",
                "Which {key} dominates{at}?",
            )
            if all(item.direct for item in filters):
                text = voice.say(words, key=singular, at=joined(voice, filters))
            else:
                text = voice.say(
                    WHICH_COUNT, key=singular, most=voice.say(MOST), np=phrase(voice, filters), place="For"
                )
        elif all(item.direct for item in filters) and voice.chance(0.3):
            text = voice.say(BUSIEST if most else QUIETEST, key=singular, of=self._of(voice, filters))
        else:
            text = voice.say(
                WHICH_COUNT,
                key=singular,
                most=voice.say(MOST if most else FEWEST),
                np=phrase(voice, filters),
                place=key.place.capitalize(),
            )
        tail = f"group by {key.group} order by count(*){' desc' if most else ''} limit 1"
        sql = select(key.columns, filters, joins=_joins(key), also=key.also, tail=tail)
        return Composed(text, sql, ("which count", "most" if most else "fewest", key.name, *kinds(filters)))

    def which_value(self, voice: Voice) -> Composed:
        """The group with the highest or lowest aggregate."""
        measure = self._measure(voice, telling=True)
        key, filters = self._group(voice, {0: 40, 1: 42, 2: 18}, measure)
        high = voice.chance(0.65)
        best = BEST.get((measure.sql, high))
        if best and voice.chance(0.3):
            text = voice.say(best, key=voice.say(key.singular), of=self._of(voice, filters, bare=True))
        else:
            end = voice.say(measure.high if high else measure.low)
            if measure.name.endswith("delay") and high and voice.chance(0.2):
                end = "worst"
            text = voice.say(
                WHICH_VALUE,
                key=voice.say(key.singular),
                end=end,
                v=voice.say(measure.nouns),
                of=self._of(voice, filters, bare=voice.chance(0.8)),
                place=key.place.capitalize(),
            )
        tail = f"group by {key.group} order by {measure.sql}{' desc' if high else ''} limit 1"
        sql = select(key.columns, filters, joins=_joins(key, measure.join), also=key.also, tail=tail)
        return Composed(text, sql, ("which value", measure.name, "high" if high else "low", key.name, *kinds(filters)))

    def top_count(self, voice: Voice) -> Composed:
        """The few groups with the most flights, with or without the counts."""
        key, filters = self._group(voice, {0: 40, 1: 40, 2: 20})
        k = voice.between(2, key.top)
        most = voice.chance(0.85)
        if all(item.direct for item in filters) and most and voice.chance(0.35):
            text = voice.say(POPULAR, k=_few(voice, k), keys=voice.say(key.plural), of=self._of(voice, filters))
        elif most and voice.chance(0.35):
            text = voice.say(TOP_COUNT, k=_few(voice, k), keys=voice.say(key.plural), np=phrase(voice, filters))
        else:
            text = voice.say(
                TOP,
                k=_few(voice, k),
                keys=voice.say(key.plural),
                most=voice.say(MOST if most else FEWEST),
                np=phrase(voice, filters),
            )
        desc = " desc" if most else ""
        if voice.chance(0.45):
            end = "?" if text.endswith("?") else "." if text.endswith(".") else ""
            text = text.rstrip("?.") + voice.say(AND_COUNT, noun="flights") + end
            columns, tail = f"{key.columns}, count(*)", f"group by {key.group} order by {key.width + 1}{desc} limit {k}"
        else:
            columns, tail = key.columns, f"group by {key.group} order by count(*){desc} limit {k}"
        sql = select(columns, filters, joins=_joins(key), also=key.also, tail=tail)
        shape = "top with counts" if columns != key.columns else "top"
        return Composed(text, sql, (shape, "most" if most else "fewest", key.name, *kinds(filters)))

    def top_value(self, voice: Voice) -> Composed:
        """The few groups with the highest or lowest aggregate."""
        measure = self._measure(voice, telling=True)
        key, filters = self._group(voice, {0: 40, 1: 42, 2: 18}, measure)
        high, k, noun = voice.chance(0.7), voice.between(2, key.top), voice.say(measure.nouns)
        text = voice.say(
            TOP_VALUE,
            k=_few(voice, k),
            keys=voice.say(key.plural),
            end=voice.say(measure.high if high else measure.low),
            v=noun,
            of=self._of(voice, filters, bare=voice.chance(0.8)),
        )
        desc = " desc" if high else ""
        shown = voice.chance(0.45)
        if shown:
            end = "?" if text.endswith("?") else "." if text.endswith(".") else ""
            text = text.rstrip("?.") + voice.say(AND_VALUE, v=noun) + end
            columns = f"{key.columns}, {measure.sql}"
            tail = f"group by {key.group} order by {key.width + 1}{desc} limit {k}"
        else:
            columns, tail = key.columns, f"group by {key.group} order by {measure.sql}{desc} limit {k}"
        sql = select(columns, filters, joins=_joins(key, measure.join), also=key.also, tail=tail)
        return Composed(text, sql, (f"top value {shown}", measure.name, key.name, *kinds(filters)))

    def having(self, voice: Voice) -> Composed:
        """All groups above or below a bound."""
        more = voice.chance(0.7)
        sign = ">" if more else "<"
        if voice.chance(0.5):
            key, filters = self._group(
                voice, {0: 45, 1: 55}, keys=("carrier", "airline", "dest", "month", "tailnum", "route")
            )
            bound = voice.one((10, 50, 100, 200, 500, 1000, 2000, 5000, 10000))
            if more and voice.chance(0.2):
                sign = ">="
            words = {
                ">": ways("more than {b}|over {b}|more than {b}|above {b}", "upwards of {b}"),
                ">=": ways("at least {b}|{b} or more|a minimum of {b}", "no fewer than {b}"),
                "<": ways("fewer than {b}|less than {b}|under {b}", "below {b}"),
            }
            much = voice.say(words[sign], b=f"{bound:,}" if voice.chance(0.3) else bound)
            text = voice.say(
                HAVING_COUNT, keys=voice.say(key.plural), much=much, np=phrase(voice, filters, anything=False)
            )
            measured, name, join = "count(*)", "count", ""
        else:
            measure = voice.one([item for item in MEASURES if item.name in ("avg dep_delay", "avg arr_delay")])
            key, filters = self._group(
                voice, {0: 50, 1: 50}, measure, keys=("carrier", "airline", "dest", "month", "origin", "hour")
            )
            bound = voice.between(2, 25)
            much = voice.say(
                ways(
                    "above {b} minutes|over {b} minutes|of more than {b} minutes|above {b}|greater than {b} minutes",
                    "exceeding {b} minutes",
                )
                if more
                else ways("below {b} minutes|under {b} minutes|of less than {b} minutes", "lower than {b} minutes"),
                b=bound,
            )
            noun = voice.say(measure.nouns)
            text = voice.say(
                HAVING_VALUE,
                keys=voice.say(key.plural),
                v=noun,
                an="an" if noun[0] in "aeiou" else "a",
                much=much,
                of=self._of(voice, filters, bare=True),
            )
            verb = "leave" if measure.name == "avg dep_delay" else "arrive"
            if not filters and voice.chance(0.25):
                text = f"Which {voice.say(key.plural)} {verb} {'more' if more else 'less'} than {bound} minutes late"
                text += " on average?"
            measured, name, join = measure.sql, measure.name, measure.join
        tail = f"group by {key.group} having {measured} {sign} {bound}"
        sql = select(key.columns, filters, joins=_joins(key, join), also=key.also, tail=tail)
        return Composed(text, sql, (f"having {name} {sign}", key.name, *kinds(filters)))

    def listed(self, voice: Voice) -> Composed:
        """The different values of a column."""
        what = voice.part({"carrier": 3, "airline": 2, "dest": 4, "origin": 1.5, "tailnum": 0.7}, "list")
        keep = {
            "carrier": ("origin", "dest", "month", "weekday", "cancelled"),
            "airline": ("origin", "dest", "month", "weekday"),
            "dest": ("origin", "carrier", "date", "tailnum", "month"),
            "origin": ("carrier", "dest", "tailnum"),
            "tailnum": ("carrier", "dest", "date"),
        }[what]
        count = voice.weighted({0: 12, 1: 50, 2: 38} if what != "tailnum" else {2: 1})
        filters = self._only(voice, keep, count)
        key = KEYS[what]
        said = {item.kind: item for item in filters}
        at = joined(voice, filters) if all(item.direct for item in filters) else ""
        np = phrase(voice, filters, noun="flights", anything=False)
        keys = voice.say(key.plural)
        if what in ("carrier", "airline"):
            words = ways(
                "Which {keys} fly{at}?|List the {keys} that fly{at}.|What {keys} fly{at}?|"
                "{keys} flying{at}?|Which {keys} have {np}?|Show all {keys} with {np}.|"
                "list every one of the {keys} with {np}|Which {keys} operate {np}?|"
                "What are the {keys} with {np}?|Give me the {keys} that flew{at}.|"
                "Who are the {keys} operating {np}?",
                "With which {keys} can I fly{at}?",
            )
        elif what == "dest" and "carrier" in said and voice.chance(0.6):
            words = ways(
                "Where does {n} fly{rest}?|Which {keys} does {n} serve{rest}?|"
                "What {keys} does {n} fly to{rest}?|List the {keys} of {n}{rest}.|"
                "Where did {n} fly{rest}?|{n} {keys}{rest}?|Where can you go with {n}{rest}?",
                "Show me all {keys} that {n} goes to{rest}.",
            )
        elif what == "dest":
            words = ways(
                "Which {keys} can you reach{at}?|What {keys} are served{at}?|"
                "List the {keys} of {np}.|Where can you fly{at}?|Where do {np} go?|"
                "List all different {keys} of {np}.|Show the distinct {keys}{at}.|"
                "Give me every one of the {keys} reachable{at}.",
                "To which {keys} do {np} go?",
            )
        elif what == "origin" and "carrier" in said and voice.chance(0.6):
            words = ways(
                "Which {keys} does {n} fly from{rest}?|Where does {n} fly out of{rest}?|List the {keys} of {n}{rest}.",
                "At which {keys} can you board {n}{rest}?",
            )
        else:
            words = ways(
                "Which {keys} have {np}?|List the {keys} of {np}.|"
                "Show the different {keys} of {np}.|What {keys} have {np}?",
                "Give me the distinct {keys} of {np}.",
            )
        carrier = said.get("carrier")
        text = voice.say(
            words,
            keys=keys,
            at=at or f" {voice.say(NOTHING)}",
            np=np,
            n=carrier.name if carrier else "",
            rest=joined(voice, [item for item in filters if item.kind != "carrier"]),
        )
        sql = select(f"distinct {key.columns}", filters, joins=_joins(key), also=key.also)
        return Composed(text, sql, ("list", what, *kinds(filters)))

    def compared(self, voice: Voice) -> Composed:
        """Which of two has more flights, or the larger delay."""
        if voice.chance(0.5):
            pairs = voice.sample((("EWR", "Newark"), ("JFK", "JFK"), ("LGA", "LaGuardia")), 2)
            column, without = "origin", {"origin"}
            names = [voice.one(pair) for pair in pairs]
            codes = [pair[0] for pair in pairs]
        else:
            codes = voice.sample(tuple(CARRIERS), 2)
            column, without = "carrier", {"carrier", "tailnum"}
            names = [voice.one((*CARRIERS[code], code)) for code in codes]
        filters = self._filters.draw(
            voice, voice.weighted({0: 55, 1: 45}), frozenset({*without, "weather", "maker", "seats", "built"})
        )
        more = voice.chance(0.75)
        slots = {"a": names[0], "b": names[1]}
        if voice.chance(0.65):
            measured, name = "count(*)", "count"
            text = voice.say(
                ways(
                    "Did {a} or {b} have {more} {np}?|Which had {more} {np}, {a} or {b}?|"
                    "Who had {more} {np}: {a} or {b}?|Does {a} or {b} have {more} {np}?|"
                    "{a} or {b}, which has {more} {np}?|Were there {more} {np} for {a} or {b}?|"
                    "Between {a} and {b}, which has {more} {np}?",
                    "{more} {np}: {a} or {b}?",
                ),
                more="more" if more else "fewer",
                np=phrase(voice, filters, noun="flights", anything=False),
                **slots,
            )
            if column == "origin" and voice.chance(0.4):
                text = voice.say(
                    ways("Did {more} {np} leave from {a} or {b}?|Do {more} {np} leave from {a} or from {b}?"),
                    more="more" if more else "fewer",
                    np=phrase(voice, filters, noun="flights", anything=False),
                    **slots,
                )
        else:
            measure = voice.one(MEASURES[:2])
            measured, name = measure.sql, measure.name
            text = voice.say(
                ways(
                    "Which has the {more} {v}{of}, {a} or {b}?|Does {a} or {b} have the {more} {v}{of}?",
                    "Between {a} and {b}, which has the {more} {v}{of}?",
                ),
                more=voice.one(("higher", "larger", "longer") if more else ("lower", "smaller", "shorter")),
                v=voice.say(measure.nouns),
                of=self._of(voice, filters, bare=True),
                **slots,
            )
        either = Filter(column, f"{column} in ({', '.join(repr(code) for code in codes)})", post="")
        tail = f"group by {column} order by {measured}{' desc' if more else ''} limit 1"
        sql = select(column, [either, *filters], tail=tail)
        return Composed(text, sql, ("compare", column, name, *kinds(filters)))

    def rows(self, voice: Voice) -> Composed:
        """Single flights: the extreme ones, or all of a route and a day."""
        if voice.chance(0.2):
            filters = self._only(voice, ("origin", "dest", "date"), 3)
            text = voice.say(
                ways(
                    "List the carrier and flight number of all {np}.|"
                    "Which {np} were there? Show carrier and flight number.|"
                    "Show carrier and flight of every one of the {np}.",
                    "Give me carrier and flight number for the {np}.",
                ),
                np=phrase(voice, filters, noun="flights", anything=False),
            )
            return Composed(text, select("carrier, flight", filters), ("rows", *kinds(filters)))
        column, noun, words = voice.one(
            (
                (
                    "dep_delay",
                    "departure delay",
                    ways(
                        "longest departure delay|worst departure delay|biggest departure delay|"
                        "longest delay|largest departure delay"
                    ),
                ),
                (
                    "arr_delay",
                    "arrival delay",
                    ways("longest arrival delay|worst arrival delay|biggest arrival delay|largest arrival delay"),
                ),
                (
                    "air_time",
                    "air time",
                    ways("longest air time|longest time in the air|longest flight time|greatest air time"),
                ),
            )
        )
        filters = self._filters.draw(
            voice,
            voice.weighted({0: 40, 1: 40, 2: 20}),
            frozenset({"cancelled", "flown", "late", "air_time", "distance", "maker", "seats", "built", "weather"}),
        )
        if voice.chance(0.4):
            text = voice.say(
                ways(
                    "Which flight had the {w}{of}?|Which flight had the {w}{of}? Show carrier and flight number.|"
                    "What flight had the {w}{of}?|carrier and flight number of the {w}{of}?",
                    "Name the flight with the {w}{of}.",
                ),
                w=voice.say(words),
                of=self._of(voice, filters),
            )
            sql = select("carrier, flight", filters, tail=f"order by {column} desc limit 1")
            return Composed(text, sql, ("row", column, *kinds(filters)))
        k = voice.between(2, 10)
        many = voice.say(words) + "s"
        text = voice.say(
            ways(
                "Show the {k} {w}{of} with carrier and flight number.|"
                "List the {k} flights with the {w}{of}: carrier, flight and {n}.|"
                "What were the {k} {w}{of}? Show carrier, flight and {n}.|"
                "top {k} {w}{of} with carrier and flight number",
                "Give carrier, flight number and {n} for the {k} {w}{of}.",
            ),
            k=_few(voice, k),
            w=many,
            n=noun,
            of=self._of(voice, filters),
        )
        sql = select(f"carrier, flight, {column}", filters, tail=f"order by 3 desc limit {k}")
        return Composed(text, sql, ("top rows", column, *kinds(filters)))

    def how_far(self, voice: Voice) -> Composed:
        """The distance of a route."""
        filters = self._only(voice, ("origin", "dest"), 2)
        a, b = (next(item.name for item in filters if item.kind == kind) for kind in ("origin", "dest"))
        text = voice.say(
            ways(
                "How far is it from {a} to {b}?|How far is {b} from {a}?|"
                "distance from {a} to {b}?|What is the distance between {a} and {b}?|"
                "How many miles is it from {a} to {b}?|"
                "How many miles are there between {a} and {b}?",
                "What's the distance from {a} to {b}?",
            ),
            a=a,
            b=b,
        )
        return Composed(text, select("distinct distance", filters), ("far",))

    def _some(self, voice: Voice, counts: dict[int, float], without: Sequence[str] = ()) -> list[Filter]:
        return self._filters.draw(voice, voice.weighted(counts), frozenset(without))

    def _only(self, voice: Voice, keep: Sequence[str], count: int) -> list[Filter]:
        return [self._filters.one(voice, kind) for kind in sorted(voice.sample(keep, min(count, len(keep))))]

    def _measure(self, voice: Voice, *, telling: bool = False) -> Measure:
        choices = {item: 1.0 for item in MEASURES if item.many or not telling}
        for item in choices:
            if item.name in ("avg dep_delay", "avg arr_delay"):
                choices[item] = 3.5
        return voice.part(choices, "measure")

    def _for(
        self, voice: Voice, measure: Measure, counts: dict[int, float], without: Sequence[str] = ()
    ) -> list[Filter]:
        """Filters under which the measure has a meaning."""
        gone = {*without, "cancelled", "flown"}
        if measure.name in COUNTED:
            gone |= {COUNTED[measure.name], "late", "air_time"}
            if measure.name == "count carriers":
                gone.add("tailnum")
        elif "delay" in measure.name:
            gone.add("late")
        elif "distance" in measure.name:
            gone |= {"late", "distance", "air_time"}
        elif "air_time" in measure.name:
            gone |= {"late", "air_time"}
        if measure.join:
            gone |= {"tailnum", "weather", "maker", "seats", "built"}
        return self._filters.draw(voice, voice.weighted(counts), frozenset(gone))

    def _group(
        self,
        voice: Voice,
        counts: dict[int, float],
        measure: Measure | None = None,
        keys: Sequence[str] = (),
    ) -> tuple[Key, list[Filter]]:
        weights = {
            "carrier": 5,
            "airline": 5,
            "origin": 4,
            "dest": 5,
            "month": 4,
            "weekday": 2.5,
            "hour": 2,
            "date": 1.2,
            "tailnum": 0.8,
            "route": 0.8,
            "maker": 0.4,
            "day": 1,
        }
        names = {name: weight for name, weight in weights.items() if not keys or name in keys}
        while True:
            name = voice.part(names, "group")
            key = DAY if name == "day" else KEYS[name]
            if measure and (
                COUNTED.get(measure.name) == key.name
                or (measure.name == "count carriers" and key.name == "airline")
                or (measure.join and key.name in ("tailnum", "maker"))
                or (measure.name == "count dests" and key.name == "route")
            ):
                continue
            break
        gone = set(key.without)
        if name == "airline" or key.join:
            gone |= {"weather"}
        if measure is None:
            filters = self._some(voice, counts, tuple(gone))
        else:
            filters = self._for(voice, measure, counts, tuple(gone))
        if name == "day":
            filters = [item for item in filters if item.kind != "month"][:1]
            filters.append(self._filters.one(voice, "month"))
        return key, filters

    def _of(self, voice: Voice, filters: Sequence[Filter], *, bare: bool = False) -> str:
        """What follows a value: " of Delta flights from JFK", or " for Delta from JFK" where all filters allow it."""
        if not filters:
            return "" if bare or voice.chance(0.6) else f" {voice.say(NOTHING)}"
        if all(item.direct for item in filters) and (bare or voice.chance(0.65)):
            return joined(voice, filters)
        return f" {voice.one(('of', 'for', 'of', 'among'))} {phrase(voice, filters, anything=False)}"


def _joins(key: Key, join: str = "") -> list[str]:
    return [clause for clause in (key.join, join) if clause]


def _few(voice: Voice, k: int) -> str:
    return NUMBERS[k] if voice.chance(0.4) else str(k)
