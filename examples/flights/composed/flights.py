"""Questions about flights: any aggregate, any filters, any grouping, any order."""

from collections.abc import Callable, Sequence

from composed.filters import Filter, Filters, clock, ordinal
from composed.names import CARRIERS, NUMBERS
from composed.parts import COUNTED, DAY, KEYS, MEASURES, NOTHING, Composed, Key, Measure, joined, kinds, phrase, select
from composed.words import Voice, ways

_COUNT = ways(
    "How many {np} were there?|How many {np} are there?|How many {np}?|how many {np}|Number of {np}?|Count the {np}.|"
    "Count {np}.|What is the number of {np}?|Total number of {np}?|What was the total number of {np}?|"
    "Tell me how many {np} there were.|{np}?|Total {np}?|I want to know how many {np} there were.|"
    "Give me the number of {np}.|How many {np} do we have?|number of {np} please|What's the number of {np}?|"
    "how many {np} exist|Can you count the {np}?",
    "What's the count of {np}?|Could you tell me how many {np} there are?|How many {np} can you find?|"
    "Find out how many {np} there were.|How large is the number of {np}?|I need the number of {np}.|"
    "{np}, how many?|Do you know how many {np} there were?",
)
_LED = ways(
    "{lead}, how many {np} were there?|{lead}, how many {np}?|{lead}, what is the number of {np}?|{lead} how many {np}",
    "{lead}, what was the count of {np}?|{lead}, could you count the {np}?",
)
_VERBAL = ways("How many {np} {verb}?|How many {np} {verb}?|how many {np} {verb}", "Just how many {np} {verb}?")
_CARRIER_DID = ways(
    "How many {np} did {n} have{at}?|How many {np} did {n} operate{at}?|How many {np} did {n} fly{at}?|"
    "How many {np} does {n} have{at}?|how many {np} did {n} run{at}|How many {np} did {n} make{at}?",
    "How many {np} were there for {n}{at}?|What number of {np} did {n} operate{at}?|How many {np} has {n} flown{at}?",
)
_TIMES = ways(
    "How often did {n} fly{at}?|How many times did {n} fly{at}?|how many times did {n} go{at}",
    "How frequently did {n} fly{at}?",
)
_DID_CANCEL = ways(
    "How many flights did {n} cancel{at}?|How many of {n}'s flights were cancelled{at}?",
    "How many cancellations did {n} have{at}?|How many flights has {n} cancelled{at}?",
)
_CANCELLATIONS = ways(
    "How many cancellations were there{at}?|Number of cancellations{at}?|Cancellations{at}?|how many cancellations{at}",
    "What was the number of cancellations{at}?|Count the cancellations{at}.",
)
_VALUE = ways(
    "What was the {v}{of}?|What is the {v}{of}?|{v}{of}?|{v}{of}|Find the {v}{of}.|Show me the {v}{of}.|"
    "Give the {v}{of}.|Tell me the {v}{of}.|what's the {v}{of}|Compute the {v}{of}.|what was the {v}{of}",
    "Can you work out the {v}{of}?|Let me know the {v}{of}.|I need the {v}{of}.|How big was the {v}{of}?|"
    "Do you know the {v}{of}?|I'd like the {v}{of}.",
)
_VALUE_LED = ways(
    "{lead}, what was the {v}{of}?|{lead}, what is the {v}{of}?|{lead}, {v}{of}?", "{lead}, how big was the {v}{of}?"
)
_EACH = ways(
    "{v}{of} by {key}?|{v} by {key}{of}?|{v} per {key}{of}?|{v} for each {key}{of}|What was the {v} of each {key}{of}?|"
    "For each {key}, what was the {v}{of}?|For every {key}, show the {v}{of}.|Show the {v}{of} by {key}.|"
    "What is the {v} for each {key}{of}?|Show every {key} with its {v}{of}.|List each {key} and its {v}{of}.|"
    "{v} by {key}{of}|What is the {v}{of} per {key}?|Give me the {v} of every {key}{of}.",
    "Break down the {v}{of} by {key}.|{v}{of}, grouped by {key}|Give me the {v}{of} for all {keys}.|"
    "I'd like to see the {v}{of} for each {key}.|How does the {v}{of} differ by {key}?",
)
_EACH_COUNT = ways(
    "{np} by {key}?|{np} per {key}?|How many {np} were there {place} each {key}?|How many {np} {place} each {key}?|"
    "How many {np} were there by {key}?|Number of {np} by {key}?|Count the {np} per {key}.|number of {np} for each {key}|"
    "For each {key}, how many {np} were there?|Show the number of {np} by {key}.|Show {key} and number of {np}.|"
    "How many {np} per {key}|Give the number of {np} for every {key}.|How many {np} does each {key} have?|"
    "List each {key} with its number of {np}.",
    "Break down the {np} by {key}.|How are the {np} spread over the {keys}?|I'd like the number of {np} of every {key}.|"
    "Count of {np}, grouped by {key}|How many {np} did every {key} get?|{key} by {key}, how many {np}?",
)
_DOWN = ways("highest first|from highest to lowest|in descending order|sorted from most to least", "largest on top")
_UP = ways("lowest first|from lowest to highest|in ascending order", "smallest on top")
_MOST = ways("the most|the most|the highest number of|the largest number of", "the greatest number of")
_FEWEST = ways("the fewest|the fewest|the lowest number of|the smallest number of", "the least number of")
_WHICH_COUNT = ways(
    "Which {key} had {most} {np}?|What {key} has {most} {np}?|{key} with {most} {np}?|Find the {key} with {most} {np}.|"
    "which {key} has {most} {np}|What is the {key} with {most} {np}?|Which {key} saw {most} {np}?|"
    "{place} which {key} were there {most} {np}?|Tell me the {key} with {most} {np}.|what {key} had {most} {np}",
    "Name the {key} with {most} {np}.|Which {key} comes out with {most} {np}?|Which one {key} got {most} {np}?|"
    "I'm looking for the {key} with {most} {np}.",
)
_WHICH_VALUE = ways(
    "Which {key} had the {end} {v}{of}?|What {key} has the {end} {v}{of}?|{key} with the {end} {v}{of}?|"
    "Find the {key} with the {end} {v}{of}.|which {key} has the {end} {v}{of}|What is the {key} with the {end} {v}{of}?|"
    "{place} which {key} was the {v}{of} the {end}?|By {v}, which {key} had the {end}{of}?",
    "Name the {key} with the {end} {v}{of}.|Which {key} comes out with the {end} {v}{of}?|"
    "I'm looking for the {key} with the {end} {v}{of}.",
)
_BUSIEST = ways(
    "What was the busiest {key}{of}?|Which {key} was the busiest{of}?|busiest {key}{of}?|what is the busiest {key}{of}|"
    "Which {key} is busiest{of}?|most popular {key}{of}?|What is the most common {key}{of}?",
    "Name the busiest {key}{of}.|When it comes to traffic, which {key} is on top{of}?|the busiest {key}{of} is which",
)
_QUIETEST = ways("What was the quietest {key}{of}?|Which {key} was the least busy{of}?|quietest {key}{of}?")
_BEST = {
    ("avg(dep_delay)", False): ways(
        "Which {key} is the most punctual at departure on average{of}?|Which {key} leaves most on time on average{of}?|"
        "Which {key} was best for departure delays on average{of}?|"
        "Which {key} has the shortest departure delays on average{of}?",
        "Which {key} departs with the least delay on average{of}?",
    ),
    ("avg(dep_delay)", True): ways(
        "Which {key} is the worst for departure delays on average{of}?|Which {key} leaves latest on average{of}?|"
        "Which {key} was delayed the most on average{of}?|which {key} has the worst delays on average{of}|"
        "Which {key} has the longest departure delays on average{of}?",
        "Which {key} departs with the most delay on average{of}?|Which {key} is least punctual leaving, on average{of}?",
    ),
    ("avg(arr_delay)", False): ways(
        "Which {key} is the most punctual at arrival on average{of}?|Which {key} arrives most on time on average{of}?|"
        "Which {key} was best for arrival delays on average{of}?|Which {key} arrives earliest on average{of}?",
        "Which {key} gets in with the least delay on average{of}?",
    ),
    ("avg(arr_delay)", True): ways(
        "Which {key} is the worst for arrival delays on average{of}?|Which {key} arrives latest on average{of}?|"
        "Which {key} has the longest arrival delays on average{of}?",
        "Which {key} gets in with the most delay on average{of}?|Which {key} is least punctual arriving, on average{of}?",
    ),
}
_TOP = ways(
    "Which {k} {keys} had {most} {np}?|What are the {k} {keys} with {most} {np}?|List the {k} {keys} with {most} {np}.|"
    "Show the {k} {keys} with {most} {np}.|the {k} {keys} with {most} {np}|Name the {k} {keys} with {most} {np}.",
    "I want the {k} {keys} with {most} {np}.|Which are the {k} {keys} having {most} {np}?",
)
_TOP_COUNT = ways(
    "Top {k} {keys} by number of {np}?|top {k} {keys} by {np}|What are the top {k} {keys} by number of {np}?|"
    "Give me the top {k} {keys} by {np}.|Show the {k} busiest {keys} by number of {np}.",
    "Rank the top {k} {keys} by number of {np}.|The {k} leading {keys} by number of {np}?",
)
_POPULAR = ways(
    "What are the {k} busiest {keys}{of}?|top {k} {keys}{of}|{k} most popular {keys}{of}?|"
    "Give me the {k} most common {keys}{of}.|Top {k} {keys}{of}?|Show the {k} most popular {keys}{of}.|"
    "what are the top {k} {keys}{of}",
    "Which {k} {keys} see the most traffic{of}?|I want the {k} most frequent {keys}{of}.",
)
_TOP_VALUE = ways(
    "Which {k} {keys} had the {end} {v}{of}?|What are the {k} {keys} with the {end} {v}{of}?|"
    "List the {k} {keys} with the {end} {v}{of}.|Show the {k} {keys} with the {end} {v}{of}.",
    "I want the {k} {keys} with the {end} {v}{of}.|Name the {k} {keys} having the {end} {v}{of}.",
)
_AND_COUNT = ways(
    ", with the counts|, with counts|, and how many each|, with their number of {noun}|, and how many {noun} each had| and their counts",
    ", showing how many|, including the counts| along with the number of {noun}",
)
_AND_VALUE = ways(
    ", with the {v}|, and show the {v}|, with that value| and the {v} of each", ", including the {v}| along with the {v}"
)
_HAVING_COUNT = ways(
    "Which {keys} had {much} {np}?|List the {keys} with {much} {np}.|{keys} with {much} {np}?|"
    "What {keys} have {much} {np}?|Show all {keys} that had {much} {np}.",
    "Find every one of the {keys} with {much} {np}.|Name the {keys} having {much} {np}.",
)
_HAVING_VALUE = ways(
    "Which {keys} had {an} {v} {much}{of}?|List the {keys} with {an} {v} {much}{of}.|"
    "{keys} with {an} {v} {much}{of}?|What {keys} have {an} {v} {much}{of}?|Which {keys} have {an} {v} that is {much}{of}?",
    "Find the {keys} whose {v} is {much}{of}.|Name the {keys} having {an} {v} {much}{of}.",
)
_SHARE = ways(
    "What percentage of {np} {verb}?|What percent of {np} {verb}?|Percentage of {np} that {verb}?|"
    "what share of {np} {verb}, in percent|What share of {np} {verb}?|percent of {np} that {verb}|"
    "Of the {np}, what percentage {verb}?|What fraction of {np} {verb}, in percent?|What is the percentage of {np} that {verb}?",
    "How many percent of {np} {verb}?|What proportion of {np} {verb}, as a percentage?|"
    "In percent, how many of the {np} {verb}?|Out of all {np}, what percent {verb}?",
)


class FlightQuestions:
    """Draws questions about flights of every shape. `filters` draws the conditions."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self._shapes: dict[Callable[[Voice], Composed], float] = {
            self.count: 27,
            self.value: 18,
            self.share: 5,
            self.each_count: 8,
            self.each_value: 8,
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

    def draw(self, voice: Voice) -> Composed:
        """One question of any shape."""
        return voice.weighted(self._shapes)(voice)

    def count(self, voice: Voice) -> Composed:
        """How many flights."""
        filters = self._some(voice, {0: 10, 1: 38, 2: 34, 3: 18})
        said = {item.kind: item for item in filters}
        rest = list(filters)
        carrier = said.get("carrier")
        if carrier and "cancelled" in said and voice.chance(0.4):
            others = [item for item in filters if item.kind not in ("carrier", "cancelled")]
            text = voice.say(_DID_CANCEL, n=carrier.name, at=joined(voice, others))
        elif "cancelled" in said and voice.chance(0.3):
            text = voice.say(_CANCELLATIONS, at=joined(voice, [i for i in filters if i.kind != "cancelled"]))
        elif carrier and voice.chance(0.5):
            rest.remove(carrier)
            pre = [item for item in rest if item.pre and item.kind != "origin" and voice.chance(0.3)][:1]
            at = joined(voice, [item for item in rest if item not in pre])
            if not pre and set(said) <= {"carrier", "origin", "dest", "month", "date"} and voice.chance(0.25):
                text = voice.say(_TIMES, n=carrier.name, at=at)
            else:
                noun = " ".join([*(item.pre for item in pre), "flights"])
                text = voice.say(_CARRIER_DID, np=noun, n=carrier.name, at=at)
        elif filters and voice.chance(0.4):
            verb = voice.one(filters)
            rest.remove(verb)
            pre = [item for item in rest if item.pre and voice.chance(0.4)][:1]
            after = joined(voice, [item for item in rest if item not in pre])
            noun = " ".join([*(item.pre for item in pre), "flights"])
            text = voice.say(_VERBAL, np=noun, verb=f"{verb.verb}{after}")
        elif any(item.lead for item in filters) and voice.chance(0.3):
            lead = voice.one([item for item in filters if item.lead])
            rest.remove(lead)
            text = voice.say(_LED, lead=lead.lead, np=phrase(voice, rest, anything=False))
        else:
            text = voice.say(_COUNT, np=phrase(voice, filters))
        return Composed(text, select("count(*)", filters), ("count", *kinds(filters)))

    def value(self, voice: Voice) -> Composed:
        """One aggregate of a column."""
        measure = self._measure(voice)
        filters = self._for(voice, measure, {0: 12, 1: 40, 2: 33, 3: 15})
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
            text = voice.say(
                _VALUE_LED, lead=lead.lead, v=voice.say(measure.nouns), of=self._of(voice, rest, bare=True)
            )
        else:
            text = voice.say(_VALUE, v=voice.say(measure.nouns), of=self._of(voice, filters))
        return Composed(text, sql, combination)

    def share(self, voice: Voice) -> Composed:
        """The percentage of flights that have a property."""
        kind = voice.weighted({"cancelled": 4, "late": 6, "distance": 1, "hour": 1, "weekday": 1})
        prop = self._filters.one(voice, kind)
        gone = frozenset({kind, "cancelled", "flown", "late", "air_time", "maker", "seats", "built", "weather"})
        gone |= {"weekday": frozenset({"date"}), "distance": frozenset({"dest"})}.get(kind, frozenset())
        filters = self._filters.draw(voice, voice.weighted({0: 20, 1: 45, 2: 35}), gone)
        sql = select(f"100 * avg(({prop.condition})::int)", filters)
        if voice.chance(0.2) and not any(item.kind in ("carrier",) for item in filters):
            key = KEYS[voice.one(("carrier", "origin", "month", "dest"))]
            if not set(key.without) & {item.kind for item in filters} and prop.kind != "distance":
                text = voice.say(_SHARE, np=phrase(voice, filters, noun="flights"), verb=prop.verb).rstrip("?.")
                text += voice.say(ways(" by {k}?| for each {k}?| per {k}?", ", {k} by {k}?"), k=voice.say(key.singular))
                sql = select(f"{key.columns}, 100 * avg(({prop.condition})::int)", filters, tail=f"group by {key.group}")
                return Composed(text, sql, ("share", key.name, prop.kind, *kinds(filters)))
        text = voice.say(_SHARE, np=phrase(voice, filters, noun="flights"), verb=prop.verb)
        return Composed(text, sql, ("share", prop.kind, *kinds(filters)))

    def each_count(self, voice: Voice) -> Composed:
        """The number of flights of each group."""
        key, filters = self._group(voice, {0: 30, 1: 45, 2: 25})
        np = phrase(voice, filters, anything=not filters and voice.chance(0.2))
        text = voice.say(
            _EACH_COUNT, np=np, key=voice.say(key.singular), keys=voice.say(key.plural), place=key.place
        )
        return self._each(voice, text, key, "count(*)", filters, "each count")

    def each_value(self, voice: Voice) -> Composed:
        """An aggregate of each group."""
        measure = self._measure(voice)
        key, filters = self._group(voice, {0: 32, 1: 45, 2: 23}, measure)
        text = voice.say(
            _EACH,
            v=voice.say(measure.nouns),
            of=self._of(voice, filters, bare=voice.chance(0.8)),
            key=voice.say(key.singular),
            keys=voice.say(key.plural),
        )
        return self._each(voice, text, key, measure.sql, filters, f"each {measure.name}", measure.join)

    def _each(
        self, voice: Voice, text: str, key: Key, measured: str, filters: Sequence[Filter], shape: str, join: str = ""
    ) -> Composed:
        tail, ordered = f"group by {key.group}", False
        if voice.chance(0.12):
            ordered = True
            down = voice.chance(0.7)
            position = key.width + 1
            text = f"{text.rstrip('?.')}, {voice.say(_DOWN if down else _UP)}"
            tail += f" order by {position}{' desc' if down else ''}"
            shape += " sorted"
        elif key.name in ("month", "hour", "day") and voice.chance(0.15):
            ordered = True
            text = f"{text.rstrip('?.')}, " + voice.say(
                ways("ordered by {k}|sorted by {k}|in order of the {k}", "with the {k}s in order"), k=key.name
            )
            tail += " order by 1"
            shape += " in order"
        sql = select(
            f"{key.columns}, {measured}", filters, joins=_joins(key, join), also=key.also, tail=tail
        )
        return Composed(text, sql, (shape, key.name, *kinds(filters)), ordered)

    def which_count(self, voice: Voice) -> Composed:
        """The group with the most or the fewest flights."""
        key, filters = self._group(voice, {0: 35, 1: 45, 2: 20})
        most = voice.chance(0.8)
        singular = voice.say(key.singular)
        if key.name == "dest" and most and voice.chance(0.25):
            words = ways(
                "Where do most {np} go?|Where did most {np} go to?|To where did the most {np} go?", "Where do {np} go most often?"
            )
            text = voice.say(words, np=phrase(voice, filters, noun="flights"))
        elif key.name == "origin" and most and voice.chance(0.25):
            words = ways("Where do most {np} leave from?|From which airport do most {np} leave?", "Where do most {np} start?")
            text = voice.say(words, np=phrase(voice, filters, noun="flights"))
        elif key.name in ("carrier", "airline") and most and voice.chance(0.35):
            words = ways(
                "Which {key} flew the most{at}?|Which {key} operates the most flights{at}?|Which {key} flies most often{at}?|"
                "Who flies the most{at}? Give the {key}.",
                "Which {key} does the most flying{at}?|Which {key} dominates{at}?",
            )
            if all(item.direct for item in filters):
                text = voice.say(words, key=singular, at=joined(voice, filters))
            else:
                text = voice.say(_WHICH_COUNT, key=singular, most=voice.say(_MOST), np=phrase(voice, filters), place="For")
        elif all(item.direct for item in filters) and voice.chance(0.3):
            text = voice.say(_BUSIEST if most else _QUIETEST, key=singular, of=self._of(voice, filters))
        else:
            text = voice.say(
                _WHICH_COUNT,
                key=singular,
                most=voice.say(_MOST if most else _FEWEST),
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
        best = _BEST.get((measure.sql, high))
        if best and voice.chance(0.3):
            text = voice.say(best, key=voice.say(key.singular), of=self._of(voice, filters, bare=True))
        else:
            end = voice.say(measure.high if high else measure.low)
            if measure.name.endswith("delay") and high and voice.chance(0.2):
                end = "worst"
            text = voice.say(
                _WHICH_VALUE,
                key=voice.say(key.singular),
                end=end,
                v=voice.say(measure.nouns),
                of=self._of(voice, filters, bare=voice.chance(0.8)),
                place=key.place.capitalize(),
            )
        tail = f"group by {key.group} order by {measure.sql}{' desc' if high else ''} limit 1"
        sql = select(key.columns, filters, joins=_joins(key, measure.join), also=key.also, tail=tail)
        return Composed(
            text, sql, ("which value", measure.name, "high" if high else "low", key.name, *kinds(filters))
        )

    def top_count(self, voice: Voice) -> Composed:
        """The few groups with the most flights, with or without the counts."""
        key, filters = self._group(voice, {0: 40, 1: 40, 2: 20})
        k = voice.between(2, 10)
        most = voice.chance(0.85)
        if all(item.direct for item in filters) and most and voice.chance(0.35):
            text = voice.say(_POPULAR, k=_few(voice, k), keys=voice.say(key.plural), of=self._of(voice, filters))
        elif most and voice.chance(0.35):
            text = voice.say(_TOP_COUNT, k=_few(voice, k), keys=voice.say(key.plural), np=phrase(voice, filters))
        else:
            text = voice.say(
                _TOP,
                k=_few(voice, k),
                keys=voice.say(key.plural),
                most=voice.say(_MOST if most else _FEWEST),
                np=phrase(voice, filters),
            )
        desc = " desc" if most else ""
        if voice.chance(0.45):
            end = "?" if text.endswith("?") else "." if text.endswith(".") else ""
            text = text.rstrip("?.") + voice.say(_AND_COUNT, noun="flights") + end
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
        high, k, noun = voice.chance(0.7), voice.between(2, 10), voice.say(measure.nouns)
        text = voice.say(
            _TOP_VALUE,
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
            text = text.rstrip("?.") + voice.say(_AND_VALUE, v=noun) + end
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
            key, filters = self._group(voice, {0: 45, 1: 55}, keys=("carrier", "airline", "dest", "month", "tailnum", "route"))
            bound = voice.one((10, 50, 100, 200, 500, 1000, 2000, 5000, 10000))
            much = voice.say(
                ways("more than {b}|over {b}|more than {b}|at least {c}", "above {b}|upwards of {b}")
                if more
                else ways("fewer than {b}|less than {b}|under {b}", "below {b}"),
                b=f"{bound:,}" if voice.chance(0.3) else bound,
                c=bound + 1,
            )
            text = voice.say(_HAVING_COUNT, keys=voice.say(key.plural), much=much, np=phrase(voice, filters, anything=False))
            measured, name, join = "count(*)", "count", ""
        else:
            measure = voice.one([item for item in MEASURES if item.name in ("avg dep_delay", "avg arr_delay")])
            key, filters = self._group(
                voice, {0: 50, 1: 50}, measure, keys=("carrier", "airline", "dest", "month", "origin", "hour")
            )
            bound = voice.between(2, 25)
            much = voice.say(
                ways("above {b} minutes|over {b} minutes|of more than {b} minutes|above {b}|greater than {b} minutes", "exceeding {b} minutes")
                if more
                else ways("below {b} minutes|under {b} minutes|of less than {b} minutes", "lower than {b} minutes"),
                b=bound,
            )
            noun = voice.say(measure.nouns)
            text = voice.say(
                _HAVING_VALUE,
                keys=voice.say(key.plural),
                v=noun,
                an="an" if noun[0] in "aeiou" else "a",
                much=much,
                of=self._of(voice, filters, bare=True),
            )
            verb = "leave" if measure.name == "avg dep_delay" else "arrive"
            if not filters and voice.chance(0.25):
                text = f"Which {voice.say(key.plural)} {verb} {'more' if more else 'less'} than {bound} minutes late on average?"
            measured, name, join = measure.sql, measure.name, measure.join
        tail = f"group by {key.group} having {measured} {sign} {bound}"
        sql = select(key.columns, filters, joins=_joins(key, join), also=key.also, tail=tail)
        return Composed(text, sql, (f"having {name} {sign}", key.name, *kinds(filters)))

    def listed(self, voice: Voice) -> Composed:
        """The different values of a column."""
        what = voice.weighted({"carrier": 3, "airline": 2, "dest": 4, "origin": 1.5, "tailnum": 0.7})
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
                "Which {keys} fly{at}?|List the {keys} that fly{at}.|What {keys} fly{at}?|{keys} flying{at}?|"
                "Which {keys} have {np}?|Show all {keys} with {np}.|list every one of the {keys} with {np}|"
                "Which {keys} operate {np}?|What are the {keys} with {np}?",
                "Give me the {keys} that flew{at}.|Who are the {keys} operating {np}?|With which {keys} can I fly{at}?",
            )
        elif what == "dest" and "carrier" in said and voice.chance(0.6):
            words = ways(
                "Where does {n} fly{rest}?|Which {keys} does {n} serve{rest}?|What {keys} does {n} fly to{rest}?|"
                "List the {keys} of {n}{rest}.|Where did {n} fly{rest}?|{n} {keys}{rest}?",
                "Where can you go with {n}{rest}?|Show me all {keys} that {n} goes to{rest}.",
            )
        elif what == "dest":
            words = ways(
                "Which {keys} can you reach{at}?|What {keys} are served{at}?|List the {keys} of {np}.|"
                "Where can you fly{at}?|Where do {np} go?|List all different {keys} of {np}.|Show the distinct {keys}{at}.",
                "Give me every one of the {keys} reachable{at}.|To which {keys} do {np} go?",
            )
        elif what == "origin" and "carrier" in said and voice.chance(0.6):
            words = ways(
                "Which {keys} does {n} fly from{rest}?|Where does {n} fly out of{rest}?|List the {keys} of {n}{rest}.",
                "At which {keys} can you board {n}{rest}?",
            )
        else:
            words = ways(
                "Which {keys} have {np}?|List the {keys} of {np}.|Show the different {keys} of {np}.|What {keys} have {np}?",
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
                    "Did {a} or {b} have {more} {np}?|Which had {more} {np}, {a} or {b}?|Who had {more} {np}: {a} or {b}?|"
                    "Does {a} or {b} have {more} {np}?|{a} or {b}, which has {more} {np}?|Were there {more} {np} for {a} or {b}?",
                    "Between {a} and {b}, which has {more} {np}?|{more} {np}: {a} or {b}?",
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
                    "List the carrier and flight number of all {np}.|Which {np} were there? Show carrier and flight number.|"
                    "Show carrier and flight of every one of the {np}.",
                    "Give me carrier and flight number for the {np}.",
                ),
                np=phrase(voice, filters, noun="flights", anything=False),
            )
            return Composed(text, select("carrier, flight", filters), ("rows", *kinds(filters)))
        column, noun, words = voice.one(
            (
                ("dep_delay", "departure delay", ways("longest departure delay|worst departure delay|biggest departure delay|longest delay", "largest departure delay")),
                ("arr_delay", "arrival delay", ways("longest arrival delay|worst arrival delay|biggest arrival delay", "largest arrival delay")),
                ("air_time", "air time", ways("longest air time|longest time in the air|longest flight time", "greatest air time")),
            )
        )  # fmt: skip
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
                "Show the {k} {w}{of} with carrier and flight number.|List the {k} flights with the {w}{of}: carrier, flight and {n}.|"
                "What were the {k} {w}{of}? Show carrier, flight and {n}.|top {k} {w}{of} with carrier and flight number",
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
                "How far is it from {a} to {b}?|How far is {b} from {a}?|distance from {a} to {b}?|"
                "What is the distance between {a} and {b}?|How many miles is it from {a} to {b}?",
                "How many miles are there between {a} and {b}?|What's the distance from {a} to {b}?",
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
        return voice.weighted(choices)

    def _for(self, voice: Voice, measure: Measure, counts: dict[int, float], without: Sequence[str] = ()) -> list[Filter]:
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
            "carrier": 5, "airline": 5, "origin": 4, "dest": 5, "month": 4, "weekday": 2.5, "hour": 2, "date": 1.5,
            "tailnum": 1.2, "route": 1, "maker": 0.8, "day": 1,
        }  # fmt: skip
        names = {name: weight for name, weight in weights.items() if not keys or name in keys}
        while True:
            name = voice.weighted(names)
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


__all__ = ["FlightQuestions", "clock", "ordinal"]
