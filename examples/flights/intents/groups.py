"""Lists and one row per group, in no particular order unless the question asks for one."""

from intents.intent import Intent

INTENTS = (
    Intent(
        "flights_per_month",
        "select month, count(*) from flights where dest = '{dest}' group by month",
        train=(
            "How many flights went to {dest} in each month?",
            "Count the flights to {dest} per month.",
            "For each month, show the month and the number of flights to {dest}.",
            "Number of flights to {dest} by month?",
            "Give the monthly number of flights to {dest}.",
            "Break down the flights to {dest} by month.",
        ),
        test=(
            "What is the number of flights to {dest} for every month?",
            "Month by month, how many flights were there to {dest}?",
            "Show the flight count to {dest} for each month.",
        ),
    ),
    Intent(
        "flights_per_origin",
        "select origin, count(*) from flights where carrier = '{carrier}' and month = {month} group by origin",
        train=(
            "How many flights did {carrier} have from each origin in {month}?",
            "Count the {carrier} flights per origin airport in {month}.",
            "For each origin, show the number of {carrier} flights in {month}.",
            "Number of {carrier} flights by origin in {month}?",
            "In {month}, how many flights did {carrier} operate from each origin?",
            "Break down the {month} flights of {carrier} by origin.",
        ),
        test=(
            "What is the number of {carrier} flights for every origin in {month}?",
            "Origin by origin, how many flights did {carrier} have in {month}?",
            "Show the {month} flight count of {carrier} for each origin airport.",
        ),
    ),
    Intent(
        "delay_per_carrier",
        "select carrier, avg(dep_delay) from flights where origin = '{origin}' and month = {month} group by carrier",
        train=(
            "What was the average departure delay of each carrier at {origin} in {month}?",
            "Average departure delay per carrier from {origin} in {month}?",
            "For each carrier, show the average departure delay out of {origin} in {month}.",
            "In {month}, what was the mean departure delay at {origin} by carrier?",
            "Break down the average departure delay at {origin} in {month} by carrier.",
            "Give every carrier and its average departure delay from {origin} in {month}.",
        ),
        test=(
            "Carrier by carrier, what was the average departure delay at {origin} in {month}?",
            "Show the mean {month} departure delay from {origin} for each carrier.",
            "How large was the average departure delay of every carrier at {origin} in {month}?",
        ),
    ),
    Intent(
        "flights_per_weekday",
        "select dayname(time_hour), count(*) from flights where dest = '{dest}' group by 1",
        train=(
            "How many flights went to {dest} on each day of the week?",
            "Count the flights to {dest} per weekday.",
            "For each weekday, show its name and the number of flights to {dest}.",
            "Number of flights to {dest} by day of the week?",
            "Give the number of flights to {dest} for each weekday name.",
            "Break down the flights to {dest} by weekday.",
        ),
        test=(
            "What is the number of flights to {dest} for every day of the week?",
            "Weekday by weekday, how many flights were there to {dest}?",
            "Show the flight count to {dest} for each weekday.",
        ),
    ),
    Intent(
        "delay_by_hour",
        "select hour, avg(dep_delay) from flights "
        "where carrier = '{carrier}' and month = {month} group by hour order by 1",
        train=(
            "What was the average departure delay of {carrier} in {month} by hour, in order of the hour?",
            "Show hour and average departure delay of {carrier} flights in {month}, sorted by hour.",
            "Average departure delay per hour for {carrier} in {month}, ordered by hour?",
            "In {month}, how did the average departure delay of {carrier} go hour by hour? Sort by hour.",
            "For each hour in ascending order, give the mean departure delay of {carrier} in {month}.",
            "List the average departure delay of {carrier} in {month} by scheduled hour, earliest hour first.",
        ),
        test=(
            "Sorted by hour, what was the average departure delay of {carrier} for every hour in {month}?",
            "Give the {month} departure delay of {carrier} averaged per hour, from the first hour to the last.",
            "Hour by hour, in order, what was the mean departure delay of {carrier} in {month}?",
        ),
    ),
    Intent(
        "dests_with_many_flights",
        "select dest from flights where origin = '{origin}' group by dest having count(*) > {flights_over}",
        train=(
            "Which destinations had more than {flights_over} flights from {origin}?",
            "List the destinations with over {flights_over} flights out of {origin}.",
            "To which destinations did more than {flights_over} flights leave {origin}?",
            "Find all destinations that {origin} sent more than {flights_over} flights to.",
            "What destinations got more than {flights_over} flights from {origin}?",
            "From {origin}, which destinations have above {flights_over} flights?",
        ),
        test=(
            "Which places received over {flights_over} flights from {origin}?",
            "Name the destinations that exceed {flights_over} flights from {origin}.",
            "What are the destinations with more than {flights_over} departures from {origin}?",
        ),
    ),
    Intent(
        "carriers_often_late",
        "select carrier from flights where month = {month} group by carrier having avg(arr_delay) > {avg_over}",
        train=(
            "Which carriers had an average arrival delay of more than {avg_over} minutes in {month}?",
            "List the carriers with an average arrival delay over {avg_over} minutes in {month}.",
            "In {month}, which carriers arrived more than {avg_over} minutes late on average?",
            "Find all carriers whose average arrival delay in {month} was above {avg_over} minutes.",
            "What carriers were over {avg_over} minutes late on arrival on average in {month}?",
            "For {month}, which carriers have a mean arrival delay greater than {avg_over} minutes?",
        ),
        test=(
            "Which carriers averaged more than {avg_over} minutes of arrival delay in {month}?",
            "Name the carriers whose mean arrival delay exceeded {avg_over} minutes in {month}.",
            "What carriers averaged above {avg_over} minutes of arrival delay in {month}?",
        ),
    ),
    Intent(
        "list_dests",
        "select distinct dest from flights where origin = '{origin}' and carrier = '{carrier}'",
        train=(
            "Which destinations does {carrier} serve from {origin}?",
            "List the different destinations of {carrier} out of {origin}.",
            "Where does carrier {carrier} fly to from {origin}?",
            "Show all distinct destinations of {carrier} flights from {origin}.",
            "From {origin}, which airports does {carrier} fly to?",
            "To which destinations did carrier {carrier} fly from {origin}?",
        ),
        test=(
            "What places can you reach from {origin} with {carrier}?",
            "Name every destination that {carrier} has from {origin}.",
            "Give me the destinations {carrier} flies to out of {origin}.",
        ),
    ),
    Intent(
        "flights_on_route_and_date",
        "select carrier, flight from flights where origin = '{origin}' and dest = '{dest}' and {date}",
        train=(
            "List the carrier and flight number of all flights from {origin} to {dest} on {date}.",
            "Which flights went from {origin} to {dest} on {date}? Show carrier and flight number.",
            "Show carrier and flight for every flight from {origin} to {dest} on {date}.",
            "On {date}, what flights were there from {origin} to {dest}? Give carrier and flight number.",
            "Give carrier and flight number of the {date} flights from {origin} to {dest}.",
            "What are the carriers and flight numbers of flights from {origin} to {dest} on {date}?",
        ),
        test=(
            "Find carrier and flight number for each flight on {date} from {origin} to {dest}.",
            "For {date}, show carrier and flight number of each flight going from {origin} to {dest}.",
            "What flights left {origin} for {dest} on {date}? Return carrier and flight number.",
        ),
    ),
)
