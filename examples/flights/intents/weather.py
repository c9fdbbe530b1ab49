"""Weather: its own table, and joined to the flights by airport and hour."""

from intents.intent import Intent

INTENTS = (
    Intent(
        "avg_temp",
        "select avg(temp) from weather where origin = '{origin}' and month = {month}",
        train=(
            "What was the average temperature at {origin} in {month}?",
            "Average {month} temperature at {origin}?",
            "In {month}, how warm was it at {origin} on average?",
            "What is the mean temperature for {origin} during {month}?",
            "Compute the average temperature of {origin} in {month}.",
            "How high was the average temperature at {origin} in {month}?",
        ),
        test=(
            "Give the mean temperature at {origin} for {month}.",
            "On average, what temperature did {origin} have in {month}?",
            "What was {origin}'s average temperature during {month}?",
        ),
    ),
    Intent(
        "max_wind",
        "select max(wind_speed) from weather where origin = '{origin}' and {date}",
        train=(
            "What was the highest wind speed at {origin} on {date}?",
            "Maximum wind speed at {origin} on {date}?",
            "On {date}, how fast was the strongest wind at {origin}?",
            "What is the largest wind speed measured at {origin} on {date}?",
            "Find the maximum wind speed for {origin} on {date}.",
            "How strong did the wind get at {origin} on {date}?",
        ),
        test=(
            "Give the top wind speed at {origin} on {date}.",
            "How high was the wind speed at {origin} at most on {date}?",
            "What was the strongest wind speed recorded on {date} at {origin}?",
        ),
    ),
    Intent(
        "sum_precip",
        "select sum(precip) from weather where origin = '{origin}' and month = {month}",
        train=(
            "How much precipitation did {origin} have in {month}?",
            "What was the total precipitation at {origin} in {month}?",
            "Total {month} precipitation at {origin}?",
            "In {month}, how many inches of precipitation fell at {origin}?",
            "Add up the precipitation at {origin} in {month}.",
            "What is the sum of precipitation for {origin} during {month}?",
        ),
        test=(
            "Give the total precipitation of {month} at {origin}.",
            "How many inches of precipitation did {origin} get in {month}?",
            "What did the precipitation at {origin} add up to in {month}?",
        ),
    ),
    Intent(
        "hours_of_low_visibility",
        "select count(*) from weather where origin = '{origin}' and month = {month} and visib < {visib}",
        train=(
            "In how many hours of {month} was the visibility at {origin} below {visib} miles?",
            "How many hours had a visibility under {visib} miles at {origin} in {month}?",
            "Count the hours in {month} with visibility less than {visib} miles at {origin}.",
            "Number of {month} hours with visibility below {visib} miles at {origin}?",
            "For how many hours was visibility at {origin} less than {visib} miles in {month}?",
            "At {origin}, how many hours in {month} had less than {visib} miles of visibility?",
        ),
        test=(
            "How many weather hours at {origin} in {month} show a visibility under {visib} miles?",
            "During {month}, how many hours was the visibility at {origin} lower than {visib} miles?",
            "What is the number of hours below {visib} miles of visibility at {origin} in {month}?",
        ),
    ),
    Intent(
        "hottest_days",
        "select day, max(temp) from weather where origin = '{origin}' and month = {month} "
        "group by day order by 2 desc limit {few}",
        train=(
            "What were the {few} hottest days of {month} at {origin}, with their highest temperature?",
            "List the {few} days in {month} with the highest temperature at {origin}, and the temperature.",
            "Which {few} days of {month} were the hottest at {origin}? Show day and maximum temperature.",
            "Show the {few} warmest days at {origin} in {month} by maximum temperature, with that temperature.",
            "In {month}, on which {few} days did {origin} get hottest, and how hot?",
            "Top {few} days of {month} by maximum temperature at {origin}, with the temperature?",
        ),
        test=(
            "Name the {few} days of {month} when {origin} had its highest temperatures, with the maximum of each.",
            "Rank the {few} hottest {month} days at {origin}, showing day and top temperature.",
            "Give me the {few} days in {month} with the greatest maximum temperature at {origin}, and that maximum.",
        ),
    ),
    Intent(
        "delay_in_rain",
        "select avg(dep_delay) from flights join weather using (origin, time_hour) "
        "where dest = '{dest}' and precip > 0",
        train=(
            "What was the average departure delay of flights to {dest} when there was precipitation?",
            "Average departure delay to {dest} in hours with precipitation?",
            "With precipitation at the origin, how late did flights to {dest} leave on average?",
            "What is the mean departure delay for {dest} in hours with precipitation above 0?",
            "Compute the average departure delay of flights to {dest} during precipitation.",
            "When precipitation was falling, what was the average departure delay of {dest} flights?",
        ),
        test=(
            "How large was the average departure delay to {dest} in hours of precipitation?",
            "Give the mean departure delay of flights to {dest} that left in precipitation.",
            "If there was precipitation, how many minutes late did flights to {dest} depart on average?",
        ),
    ),
    Intent(
        "count_flights_in_wind",
        "select count(*) from flights join weather using (origin, time_hour) "
        "where carrier = '{carrier}' and wind_speed > {mph}",
        train=(
            "How many {carrier} flights left when the wind speed was above {mph} mph?",
            "Count the flights of {carrier} in wind of more than {mph} mph.",
            "How many flights did {carrier} have in hours with a wind speed over {mph} mph?",
            "Number of {carrier} flights with a wind speed above {mph} mph at the origin?",
            "For carrier {carrier}, how many flights were in wind speeds of more than {mph} mph?",
            "How many times did {carrier} have a flight while the wind blew faster than {mph} mph?",
        ),
        test=(
            "How many flights of {carrier} were scheduled in hours with more than {mph} mph of wind?",
            "What is the number of {carrier} flights when the wind speed exceeded {mph} mph?",
            "In wind over {mph} mph, how many flights did {carrier} operate?",
        ),
    ),
)
