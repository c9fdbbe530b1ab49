"""Averages, extremes, sums and shares over the flights table."""

from intents.intent import Intent

INTENTS = (
    Intent(
        "avg_dep_delay",
        "select avg(dep_delay) from flights where origin = '{origin}' and month = {month}",
        train=(
            "What was the average departure delay at {origin} in {month}?",
            "Average departure delay of flights from {origin} in {month}?",
            "In {month}, how late did flights leave {origin} on average?",
            "What is the mean departure delay out of {origin} during {month}?",
            "Compute the average departure delay for {origin} flights in {month}.",
            "By how many minutes were {origin} departures delayed on average in {month}?",
        ),
        test=(
            "How many minutes late did {origin} flights depart on average in {month}?",
            "Give the mean delay of {month} departures from {origin}.",
            "On average, how big was the departure delay at {origin} during {month}?",
        ),
    ),
    Intent(
        "avg_arr_delay",
        "select avg(arr_delay) from flights where dest = '{dest}' and carrier = '{carrier}'",
        train=(
            "What was the average arrival delay of {carrier} flights to {dest}?",
            "Average arrival delay of carrier {carrier} in {dest}?",
            "How late did {carrier} flights arrive in {dest} on average?",
            "What is the mean arrival delay of {carrier} at {dest}?",
            "Compute the average arrival delay for flights by {carrier} to {dest}.",
            "By how many minutes were {carrier} arrivals in {dest} delayed on average?",
        ),
        test=(
            "How many minutes late did {carrier} get into {dest} on average?",
            "Give the mean arrival delay for carrier {carrier} flying to {dest}.",
            "On average, how big was the arrival delay of {carrier} flights into {dest}?",
        ),
    ),
    Intent(
        "max_dep_delay",
        "select max(dep_delay) from flights where carrier = '{carrier}' and month = {month}",
        train=(
            "What was the longest departure delay of {carrier} in {month}?",
            "Maximum departure delay of carrier {carrier} in {month}?",
            "In {month}, what was the largest departure delay among {carrier} flights?",
            "What is the highest departure delay that {carrier} had during {month}?",
            "Find the maximum departure delay among {carrier} flights in {month}.",
            "How long was the worst departure delay of {carrier} in {month}?",
        ),
        test=(
            "What was the biggest departure delay for carrier {carrier} in {month}?",
            "Give the largest {month} departure delay of {carrier}.",
            "How late was the most delayed {carrier} departure in {month}?",
        ),
    ),
    Intent(
        "min_air_time",
        "select min(air_time) from flights where origin = '{origin}' and dest = '{dest}'",
        train=(
            "What was the shortest air time from {origin} to {dest}?",
            "Minimum air time between {origin} and {dest}, leaving {origin}?",
            "What is the lowest air time of a flight from {origin} to {dest}?",
            "Find the minimum time in the air on the route {origin} to {dest}.",
            "How many minutes did the quickest flight from {origin} to {dest} spend in the air?",
            "What was the fastest air time for {origin} to {dest}?",
        ),
        test=(
            "What is the least time a flight needed in the air from {origin} to {dest}?",
            "Give the shortest time in the air for flights from {origin} to {dest}.",
            "How short was the briefest air time from {origin} to {dest}?",
        ),
    ),
    Intent(
        "avg_air_time",
        "select avg(air_time) from flights where origin = '{origin}' and dest = '{dest}'",
        train=(
            "What was the average air time from {origin} to {dest}?",
            "Average air time between {origin} and {dest}, leaving {origin}?",
            "What is the mean air time of flights from {origin} to {dest}?",
            "Compute the average time in the air on the route {origin} to {dest}.",
            "How many minutes do flights from {origin} to {dest} spend in the air on average?",
            "On average, how long is the air time for {origin} to {dest}?",
        ),
        test=(
            "How long are flights from {origin} to {dest} in the air on average?",
            "Give the mean time in the air for flights from {origin} to {dest}.",
            "On the way from {origin} to {dest}, what is the typical air time as an average?",
        ),
    ),
    Intent(
        "sum_distance",
        "select sum(distance) from flights where carrier = '{carrier}' and month = {month}",
        train=(
            "What total distance did {carrier} flights cover in {month}?",
            "Total miles of carrier {carrier} in {month}?",
            "In {month}, how many miles did {carrier} flights add up to?",
            "What is the sum of the distances of {carrier} flights during {month}?",
            "Add up the distance of all {carrier} flights in {month}.",
            "How many miles in total did {carrier} have in {month}?",
        ),
        test=(
            "What is the combined distance of {carrier} flights in {month}?",
            "Give the total mileage of {carrier} for {month}.",
            "How many miles did all flights of carrier {carrier} make up in {month}?",
        ),
    ),
    Intent(
        "median_arr_delay",
        "select median(arr_delay) from flights where dest = '{dest}'",
        train=(
            "What was the median arrival delay of flights to {dest}?",
            "Median arrival delay at {dest}?",
            "What is the median of the arrival delays in {dest}?",
            "Compute the median arrival delay for {dest}.",
            "Find the median delay on arrival for flights to {dest}.",
            "For flights to {dest}, what is the median arrival delay?",
        ),
        test=(
            "Give the median arrival delay of flights into {dest}.",
            "How large is the median arrival delay for destination {dest}?",
            "Tell me the median of arrival delays for flights bound for {dest}.",
        ),
    ),
    Intent(
        "pct_cancelled",
        "select 100 * avg((dep_time is null)::int) from flights where origin = '{origin}' and month = {month}",
        train=(
            "What percentage of flights from {origin} were cancelled in {month}?",
            "Percentage of {origin} flights cancelled in {month}?",
            "In {month}, what percent of {origin} departures were cancelled?",
            "What was the cancellation rate in percent at {origin} during {month}?",
            "Compute the percentage of cancelled flights out of {origin} in {month}.",
            "How many percent of the flights leaving {origin} in {month} were cancelled?",
        ),
        test=(
            "What percent of {month} flights out of {origin} got cancelled?",
            "Give the share of cancelled {origin} flights in {month} as a percentage.",
            "For {month}, what percentage of departures at {origin} was cancelled?",
        ),
    ),
    Intent(
        "pct_arrived_late",
        "select 100 * avg((arr_delay > {late})::int) from flights where carrier = '{carrier}'",
        train=(
            "What percentage of {carrier} arrivals were more than {late} minutes late?",
            "Of all {carrier} arrivals, what percent came in more than {late} minutes late?",
            "Percentage of {carrier} arrivals with a delay over {late} minutes?",
            "What percent of the arrivals of {carrier} were more than {late} minutes late?",
            "Compute the percentage of {carrier} arrivals delayed by more than {late} minutes.",
            "For carrier {carrier}, what percentage of arrivals was over {late} minutes late?",
        ),
        test=(
            "How many percent of {carrier} arrivals were over {late} minutes late?",
            "Give the share of {carrier} arrivals more than {late} minutes late as a percentage.",
            "What percentage of arrivals by {carrier} had a delay above {late} minutes?",
        ),
    ),
    Intent(
        "distance_range",
        "select min(distance), max(distance) from flights where origin = '{origin}' and carrier = '{carrier}'",
        train=(
            "What are the shortest and longest distances that {carrier} flies from {origin}?",
            "Minimum and maximum distance of {carrier} flights from {origin}?",
            "Show the smallest and the largest distance of {carrier} out of {origin}.",
            "How short and how long are {carrier} flights from {origin}, in miles?",
            "Find the minimum and maximum distance among {carrier} flights leaving {origin}.",
            "From {origin}, what is the least and the greatest distance that {carrier} flies?",
        ),
        test=(
            "Give the shortest and the longest distance for carrier {carrier} from {origin}.",
            "What is the lowest and what is the highest distance of {carrier} flights out of {origin}?",
            "Between which minimum and maximum distance do {carrier} flights from {origin} lie?",
        ),
    ),
    Intent(
        "delay_percentile",
        "select quantile_cont(arr_delay, {percentile}) from flights where carrier = '{carrier}'",
        train=(
            "What is the {percentile} percentile of the arrival delay of {carrier}?",
            "{percentile} percentile of arrival delays for carrier {carrier}?",
            "Compute the {percentile} percentile of arrival delay for {carrier} flights.",
            "Find the {percentile} percentile of {carrier}'s arrival delays.",
            "For {carrier}, what arrival delay is at the {percentile} percentile?",
            "Give the {percentile} percentile of arrival delay among {carrier} flights.",
        ),
        test=(
            "How large is the {percentile} percentile of the arrival delays of {carrier}?",
            "Tell me carrier {carrier}'s {percentile} percentile arrival delay.",
            "At the {percentile} percentile, what is the arrival delay of {carrier} flights?",
        ),
    ),
)
