"""Intents for the test set alone: known filters, columns and aggregates, in combinations that training never shows."""

from intents.intent import Intent


def _intent(name: str, sql: str, *phrasings: str) -> Intent:
    return Intent(name, sql, train=(), test=phrasings)


INTENTS = (
    _intent(
        "count_late_to_dest",
        "select count(*) from flights where dest = '{dest}' and month = {month} and arr_delay > {late}",
        "How many flights to {dest} arrived more than {late} minutes late in {month}?",
        "Count the {month} flights to {dest} with an arrival delay over {late} minutes.",
        "In {month}, how many flights landed in {dest} more than {late} minutes late?",
    ),
    _intent(
        "median_dep_delay",
        "select median(dep_delay) from flights where origin = '{origin}' and carrier = '{carrier}'",
        "What was the median departure delay of {carrier} flights from {origin}?",
        "Find the median departure delay at {origin} for carrier {carrier}.",
        "For carrier {carrier}, what is the median departure delay out of {origin}?",
    ),
    _intent(
        "max_air_time",
        "select max(air_time) from flights where origin = '{origin}' and dest = '{dest}'",
        "What was the longest air time from {origin} to {dest}?",
        "Find the maximum time in the air on the route {origin} to {dest}.",
        "How many minutes did the slowest flight from {origin} to {dest} spend in the air?",
    ),
    _intent(
        "count_distinct_carriers",
        "select count(distinct carrier) from flights where dest = '{dest}'",
        "How many different carriers flew to {dest}?",
        "Count the distinct carriers with flights to {dest}.",
        "What is the number of different carriers serving {dest}?",
    ),
)
