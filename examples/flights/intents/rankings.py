"""Most, least, first and last: questions whose answer is an order."""

from intents.intent import Intent

INTENTS = (
    Intent(
        "top_dest",
        "select dest, count(*) from flights where origin = '{origin}' and month = {month} group by all order by 2 desc limit {n}",
        train=(
            "What were the {n} most common destinations from {origin} in {month}, with their number of flights?",
            "List the top {n} destinations by flights from {origin} in {month}, with the counts.",
            "Which {n} destinations had the most flights from {origin} in {month}, and how many each?",
            "In {month}, what are the {n} busiest destinations out of {origin} and their flight counts?",
            "Show the {n} destinations with the most {month} flights from {origin}, with counts.",
            "Name the {n} most frequent destinations of {origin} in {month} and the number of flights to each.",
        ),
        test=(
            "What {n} places did {origin} send the most flights to in {month}, and how many to each?",
            "Rank the top {n} {month} destinations from {origin} by number of flights, showing counts.",
            "Give me the {n} most flown destinations from {origin} in {month} with the number of flights.",
        ),
    ),
    Intent(
        "busiest_day",
        "select day from flights where origin = '{origin}' and month = {month} group by all order by count(*) desc limit 1",
        train=(
            "On which day of {month} did {origin} have the most flights?",
            "Which day in {month} was the busiest at {origin}?",
            "What was the busiest day of {month} for flights from {origin}?",
            "Find the day of {month} with the most departures from {origin}.",
            "In {month}, which day had the highest number of flights out of {origin}?",
            "Which {month} day saw the most flights leaving {origin}?",
        ),
        test=(
            "On what day in {month} were there the most flights from {origin}?",
            "Tell me the busiest day for {origin} in {month}.",
            "When in {month}, by day, did {origin} have its highest number of flights?",
        ),
    ),
    Intent(
        "main_carrier",
        "select carrier from flights where dest = '{dest}' group by all order by count(*) desc limit 1",
        train=(
            "Which carrier had the most flights to {dest}?",
            "What carrier flew to {dest} most often?",
            "Find the carrier with the largest number of flights to {dest}.",
            "Who flies to {dest} the most? Give the carrier code.",
            "Which carrier code appears most often among flights to {dest}?",
            "To {dest}, which carrier operates the most flights?",
        ),
        test=(
            "Which carrier serves {dest} with the most flights?",
            "Name the carrier that went to {dest} most frequently.",
            "What is the top carrier by number of flights to {dest}?",
        ),
    ),
    Intent(
        "most_delayed_flights",
        "select carrier, flight, dep_delay from flights where {date} order by 3 desc limit {n}",
        train=(
            "List the {n} flights with the longest departure delays on {date}: carrier, flight number and delay.",
            "What were the {n} most delayed departures on {date}? Show carrier, flight and departure delay.",
            "Show carrier, flight and departure delay of the {n} latest departures on {date}, worst first.",
            "On {date}, which {n} flights left with the largest departure delay? Give carrier, flight and delay.",
            "Give carrier, flight number and departure delay for the {n} worst departure delays of {date}.",
            "Find the {n} flights of {date} with the highest departure delay, with carrier, flight and delay.",
        ),
        test=(
            "Which {n} departures of {date} were delayed the most? Return carrier, flight and departure delay.",
            "Top {n} departure delays on {date}, with carrier, flight number and delay?",
            "Rank the {n} most delayed departures of {date} by carrier, flight and departure delay.",
        ),
    ),
    Intent(
        "worst_month",
        "select month from flights where carrier = '{carrier}' group by all order by avg(dep_delay) desc limit 1",
        train=(
            "In which month did {carrier} have the highest average departure delay?",
            "Which month was worst for {carrier} by average departure delay?",
            "What month had the largest mean departure delay for carrier {carrier}?",
            "Find the month with the highest average departure delay of {carrier}.",
            "For carrier {carrier}, in which month was the average departure delay the greatest?",
            "When, by month, was the average departure delay of {carrier} the highest?",
        ),
        test=(
            "Which month brought {carrier} its largest average departure delay?",
            "Tell me the month in which {carrier} departures were most delayed on average.",
            "By average departure delay, what was the worst month of carrier {carrier}?",
        ),
    ),
)
