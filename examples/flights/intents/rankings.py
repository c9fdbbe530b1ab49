"""Most, least, first and last: questions whose answer is an order."""

from intents.intent import Intent

INTENTS = (
    Intent(
        "top_dests",
        "select dest, count(*) from flights "
        "where origin = '{origin}' and month = {month} group by dest order by 2 desc limit {n}",
        train=(
            "What were the {n} most common destinations from {origin} in {month}, with their number of flights?",
            "List the top {n} destinations by flights from {origin} in {month}, with the counts.",
            "Which {n} destinations had the most flights from {origin} in {month}, and how many each?",
            "In {month}, what are the {n} busiest destinations out of {origin} and their flight counts?",
            "Show the {n} destinations with the most {month} flights from {origin}, with counts.",
            "Name the {n} most frequent destinations from {origin} in {month} and the number of flights to each.",
        ),
        test=(
            "What {n} places did {origin} send the most flights to in {month}, and how many to each?",
            "Rank the top {n} {month} destinations from {origin} by number of flights, showing counts.",
            "Give me the {n} most flown destinations from {origin} in {month} with the number of flights.",
        ),
    ),
    Intent(
        "busiest_day",
        "select day from flights where origin = '{origin}' and month = {month} "
        "group by day order by count(*) desc limit 1",
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
            "Tell me the day of {month} on which {origin} was busiest.",
            "What day of {month} had the largest number of {origin} flights?",
        ),
    ),
    Intent(
        "main_carrier",
        "select carrier from flights where dest = '{dest}' group by carrier order by count(*) desc limit 1",
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
            "For the {n} most delayed departures of {date}, give carrier, flight and departure delay.",
        ),
    ),
    Intent(
        "worst_month",
        "select month from flights where dest = '{dest}' group by month order by avg(dep_delay) desc limit 1",
        train=(
            "In which month did flights to {dest} have the highest average departure delay?",
            "Which month was worst for flights to {dest} by average departure delay?",
            "What month had the largest mean departure delay for flights to {dest}?",
            "Find the month with the highest average departure delay to {dest}.",
            "For {dest}, in which month was the average departure delay the greatest?",
            "When, by month, was the average departure delay of flights to {dest} the highest?",
        ),
        test=(
            "Which month brought flights to {dest} their largest average departure delay?",
            "Tell me the month in which departures to {dest} were most delayed on average.",
            "By average departure delay, what was the worst month for {dest}?",
        ),
    ),
    Intent(
        "most_punctual_carrier",
        "select carrier from flights where origin = '{origin}' and month = {month} "
        "group by carrier order by avg(arr_delay) limit 1",
        train=(
            "Which carrier had the lowest average arrival delay from {origin} in {month}?",
            "What carrier leaving {origin} in {month} had the smallest average arrival delay?",
            "Find the carrier with the lowest mean arrival delay among {origin} flights in {month}.",
            "In {month}, which carrier from {origin} was least late on arrival on average?",
            "By average arrival delay, which carrier was best out of {origin} in {month}?",
            "Who had the lowest average arrival delay from {origin} in {month}? Give the carrier code.",
        ),
        test=(
            "Which carrier from {origin} arrived with the least average delay in {month}?",
            "Name the carrier whose {month} flights from {origin} had the lowest average arrival delay.",
            "Among flights out of {origin} in {month}, what carrier has the smallest mean arrival delay?",
        ),
    ),
    Intent(
        "farthest_dests",
        "select dest, max(distance) from flights where origin = '{origin}' and carrier = '{carrier}' "
        "group by dest order by 2 desc limit {n}",
        train=(
            "What are the {n} farthest destinations of {carrier} from {origin}, with the distance?",
            "List the {n} most distant destinations that {carrier} serves from {origin}, with distances.",
            "Which {n} destinations of {carrier} are the farthest from {origin}, and how far are they?",
            "Show the {n} longest distances of {carrier} from {origin}: destination and distance.",
            "From {origin}, name the {n} destinations of {carrier} that are farthest away and their distance.",
            "Find the {n} destinations farthest from {origin} that {carrier} flies to, with the distance.",
        ),
        test=(
            "Top {n} destinations of {carrier} from {origin} by distance, with the distance?",
            "Which {n} places that {carrier} flies to are most distant from {origin}? Show the distances too.",
            "Rank the {n} farthest {carrier} destinations out of {origin}, giving each distance.",
        ),
    ),
    Intent(
        "rank_carriers_by_delay",
        "select carrier, avg(arr_delay) from flights where dest = '{dest}' group by carrier order by 2 desc",
        train=(
            "Rank the carriers flying to {dest} by average arrival delay, worst first, with the delay.",
            "List carriers and their average arrival delay at {dest}, highest delay first.",
            "For flights to {dest}, show each carrier and its average arrival delay, the most delayed first.",
            "Show carriers to {dest} with their mean arrival delay in descending order.",
            "Sort the carriers serving {dest} by average arrival delay, largest first, and show the delay.",
            "Give carrier and average arrival delay for flights to {dest}, ordered from most to least delayed.",
        ),
        test=(
            "Order the carriers that fly to {dest} by mean arrival delay, the worst on top, and show it.",
            "Which carriers go to {dest}, and with what average arrival delay? Put the highest first.",
            "List carriers to {dest} with average arrival delay, sorted from the highest to the lowest.",
        ),
    ),
    Intent(
        "days_with_most_cancellations",
        "select day, count(*) from flights where origin = '{origin}' and month = {month} and dep_time is null "
        "group by day order by 2 desc limit {few}",
        train=(
            "Which {few} days of {month} had the most cancelled flights from {origin}, and how many?",
            "List the {few} days in {month} with the most cancellations at {origin}, with counts.",
            "Show the {few} worst days of {month} for cancelled {origin} flights and the number cancelled.",
            "In {month}, on which {few} days were the most {origin} flights cancelled, and how many?",
            "Top {few} days in {month} by cancelled flights out of {origin}, with the counts?",
            "Name the {few} days of {month} with the highest number of cancelled flights at {origin}, with counts.",
        ),
        test=(
            "What {few} days in {month} saw the most cancellations from {origin}, and how many each?",
            "Rank the top {few} {month} days by cancelled departures from {origin}, showing counts.",
            "Give me the {few} days of {month} when {origin} cancelled the most flights, with the number.",
        ),
    ),
)
