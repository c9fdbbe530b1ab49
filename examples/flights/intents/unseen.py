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
        "count_cancelled_on_date",
        "select count(*) from flights where {date} and dep_time is null",
        "How many flights were cancelled on {date}?",
        "Count the cancelled flights on {date}.",
        "On {date}, how many flights were cancelled?",
    ),
    _intent(
        "count_distinct_carriers",
        "select count(distinct carrier) from flights where dest = '{dest}'",
        "How many different carriers flew to {dest}?",
        "Count the distinct carriers with flights to {dest}.",
        "What is the number of different carriers serving {dest}?",
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
        "pct_cancelled_of_carrier",
        "select 100 * avg((dep_time is null)::int) from flights where carrier = '{carrier}' and month = {month}",
        "What percentage of {carrier} flights were cancelled in {month}?",
        "In {month}, what percent of the flights of carrier {carrier} were cancelled?",
        "Compute the percentage of cancelled flights for {carrier} in {month}.",
    ),
    _intent(
        "cancelled_per_month",
        "select month, count(*) from flights where carrier = '{carrier}' and dep_time is null group by month",
        "How many flights of {carrier} were cancelled in each month?",
        "Count the cancelled {carrier} flights per month.",
        "For each month, show the month and the number of cancelled flights of {carrier}.",
    ),
    _intent(
        "top_carriers_to_dest",
        "select carrier, count(*) from flights where dest = '{dest}' group by carrier order by 2 desc limit {few}",
        "Which {few} carriers had the most flights to {dest}, and how many each?",
        "List the top {few} carriers by flights to {dest}, with the counts.",
        "What were the {few} most common carriers to {dest}, with their number of flights?",
    ),
    _intent(
        "sum_distance_of_airline",
        "select sum(distance) from flights join airlines using (carrier) where month = {month} and name = '{airline}'",
        "What total distance did flights of {airline} cover in {month}?",
        "In {month}, how many miles did the flights of {airline} add up to?",
        "Add up the distance of all {month} flights by {airline}.",
    ),
    _intent(
        "airport_altitude",
        "select alt from airports where faa = '{faa}'",
        "What is the altitude of the airport {faa}?",
        "How high is airport {faa} in feet?",
        "Look up the altitude for the airport code {faa}.",
    ),
    _intent(
        "avg_seats_of_carrier",
        "select avg(seats) from flights join planes using (tailnum) where carrier = '{carrier}' and month = {month}",
        "What is the average number of seats on {carrier} flights in {month}?",
        "In {month}, how many seats do the planes of {carrier} have on average, counting every flight?",
        "Compute the mean number of seats on flights by {carrier} in {month}.",
    ),
    _intent(
        "avg_humidity",
        "select avg(humid) from weather where origin = '{origin}' and {date}",
        "What was the average humidity at {origin} on {date}?",
        "On {date}, how humid was it at {origin} on average?",
        "Compute the average humidity of {origin} on {date}.",
    ),
    _intent(
        "delay_in_rain_of_carrier",
        "select avg(arr_delay) from flights join weather using (origin, time_hour) "
        "where carrier = '{carrier}' and precip > 0",
        "What was the average arrival delay of {carrier} flights when there was precipitation?",
        "With precipitation at the origin, how late did {carrier} flights arrive on average?",
        "Compute the average arrival delay of {carrier} during precipitation.",
    ),
    _intent(
        "share_of_origins",
        "select origin, 100 * count(*) / sum(count(*)) over () from flights "
        "where carrier = '{carrier}' and month = {month} group by origin",
        "What percentage of the {month} flights of {carrier} does each origin have?",
        "For each origin, what percent of all {carrier} flights in {month} leave from it?",
        "Break down the {month} flights of {carrier} by origin as percentages.",
    ),
)
