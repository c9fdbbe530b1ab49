"""Running totals, shares and the best of each group: window functions."""

from intents.intent import Intent

INTENTS = (
    Intent(
        "running_total",
        "select month, sum(count(*)) over (order by month) from flights where dest = '{dest}' group by month",
        train=(
            "Show the running total of flights to {dest} by month.",
            "What is the cumulative number of flights to {dest} at each month?",
            "For each month, give the cumulative count of flights to {dest} so far.",
            "Running total of flights to {dest} per month?",
            "List each month with the number of flights to {dest} up to and including it.",
            "Compute the cumulative flights to {dest} month by month.",
        ),
        test=(
            "Give every month with the running count of flights to {dest}.",
            "How does the number of flights to {dest} accumulate by month?",
            "For every month, how many flights to {dest} were there up to that month, in total?",
        ),
    ),
    Intent(
        "share_of_carriers",
        "select carrier, 100 * count(*) / sum(count(*)) over () from flights where dest = '{dest}' group by carrier",
        train=(
            "What percentage of the flights to {dest} does each carrier have?",
            "Show each carrier's share of flights to {dest} in percent.",
            "For each carrier, what percent of all flights to {dest} does it operate?",
            "Percentage of flights to {dest} by carrier?",
            "Break down the flights to {dest} by carrier as percentages.",
            "Give every carrier flying to {dest} and its percentage of those flights.",
        ),
        test=(
            "How are the flights to {dest} divided among the carriers, in percent?",
            "List carriers with the percentage of {dest} flights each one has.",
            "Carrier by carrier, what share of flights to {dest} is theirs as a percentage?",
        ),
    ),
    Intent(
        "top_carrier_each_month",
        "select month, carrier from flights where dest = '{dest}' group by month, carrier "
        "qualify rank() over (partition by month order by count(*) desc) = 1",
        train=(
            "Which carrier had the most flights to {dest} in each month?",
            "For each month, show the carrier with the most flights to {dest}.",
            "Show month and carrier with the largest number of flights to {dest} that month.",
            "Month by month, which carrier flew to {dest} the most?",
            "Give the top carrier by flights to {dest} for each month.",
            "Who operated the most flights to {dest} in each month? List month and carrier.",
        ),
        test=(
            "For every month, what carrier went to {dest} most often?",
            "List the leading carrier to {dest} per month by number of flights.",
            "In each month, which carrier sent the most flights to {dest}?",
        ),
    ),
    Intent(
        "top_dest_each_origin",
        "select origin, dest from flights where carrier = '{carrier}' and month = {month} group by origin, dest "
        "qualify rank() over (partition by origin order by count(*) desc) = 1",
        train=(
            "For each origin, which destination had the most {carrier} flights in {month}?",
            "What was the top destination of {carrier} from each origin in {month}?",
            "Show origin and its most frequent destination for {carrier} in {month}.",
            "In {month}, to which destination did {carrier} fly most often from each origin?",
            "Give the busiest destination of {carrier} for each origin in {month}.",
            "List each origin with the destination that {carrier} flew to most in {month}.",
        ),
        test=(
            "From every origin, where did {carrier} fly most often in {month}?",
            "Per origin, what destination got the most {month} flights of {carrier}?",
            "Origin by origin, which was the most common {carrier} destination in {month}?",
        ),
    ),
    Intent(
        "rank_of_carriers",
        "select carrier, rank() over (order by count(*) desc) from flights "
        "where origin = '{origin}' and month = {month} group by carrier",
        train=(
            "Give each carrier its rank by number of flights from {origin} in {month}.",
            "Show carrier and rank by number of flights out of {origin} in {month}.",
            "What rank does each carrier have by flights from {origin} in {month}?",
            "In {month}, how do the carriers at {origin} rank by number of flights? Show carrier and rank.",
            "Number the carriers at {origin} by their flights in {month}, with rank 1 for the most.",
            "For each carrier at {origin} in {month}, show its rank by number of flights.",
        ),
        test=(
            "By number of flights from {origin} in {month}, what is the rank of every carrier?",
            "List carriers at {origin} with their {month} rank by flights, 1 being the most flights.",
            "How does each carrier rank among {month} flights from {origin} by their number?",
        ),
    ),
)
