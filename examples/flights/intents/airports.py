"""Airlines and airports: their own tables, and joined to the flights."""

from intents.intent import Intent

INTENTS = (
    Intent(
        "airline_name",
        "select name from airlines where carrier = '{carrier}'",
        train=(
            "What is the name of the airline with code {carrier}?",
            "Which airline has the carrier code {carrier}?",
            "Give the full name of carrier {carrier}.",
            "What airline does {carrier} stand for?",
            "Look up the airline name for code {carrier}.",
            "Name of airline {carrier}?",
        ),
        test=(
            "Which airline is behind the code {carrier}?",
            "Tell me the airline's name for carrier {carrier}.",
            "What is carrier {carrier} called?",
        ),
    ),
    Intent(
        "count_airline_month",
        "select count(*) from flights join airlines using (carrier) where month = {month} and name = '{airline}'",
        train=(
            "How many flights did {airline} have in {month}?",
            "Count the flights of {airline} in {month}.",
            "In {month}, how many flights were operated by {airline}?",
            "What was the number of flights by {airline} during {month}?",
            "How many times did {airline} fly in {month}?",
            "Number of {month} flights for {airline}?",
        ),
        test=(
            "How many {month} flights belonged to {airline}?",
            "Tell me how many flights {airline} operated in {month}.",
            "What is the {month} flight count of {airline}?",
        ),
    ),
    Intent(
        "airlines_on_route",
        "select distinct name from flights join airlines using (carrier) where origin = '{origin}' and dest = '{dest}'",
        train=(
            "Which airlines fly from {origin} to {dest}? Give their names.",
            "List the names of the airlines with flights from {origin} to {dest}.",
            "What are the names of the airlines on the route {origin} to {dest}?",
            "Name all airlines that flew from {origin} to {dest}.",
            "Show the different airline names for flights from {origin} to {dest}.",
            "By name, which airlines serve {dest} from {origin}?",
        ),
        test=(
            "Give me the names of airlines flying {origin} to {dest}.",
            "What airlines, by name, go from {origin} to {dest}?",
            "From {origin} to {dest}, which airline names are there?",
        ),
    ),
    Intent(
        "top_airlines",
        "select name, count(*) from flights join airlines using (carrier) "
        "where dest = '{dest}' group by name order by 2 desc limit {few}",
        train=(
            "Which {few} airlines had the most flights to {dest}? Show names and counts.",
            "List the names of the top {few} airlines by flights to {dest}, with the counts.",
            "What are the {few} busiest airlines to {dest}, by name, and their number of flights?",
            "Show airline name and number of flights for the {few} airlines with the most flights to {dest}.",
            "Name the {few} airlines with the most flights to {dest} and how many each had.",
            "Top {few} airline names by number of flights to {dest}, with counts?",
        ),
        test=(
            "What {few} airlines flew to {dest} most often? Give name and number of flights.",
            "Rank the top {few} airlines to {dest} by flights, with their names and counts.",
            "By name, which {few} airlines sent the most flights to {dest}, and how many?",
        ),
    ),
    Intent(
        "airport_name",
        "select name from airports where faa = '{faa}'",
        train=(
            "What is the name of the airport {faa}?",
            "Which airport has the FAA code {faa}?",
            "Give the full name of airport {faa}.",
            "What airport does the code {faa} stand for?",
            "Look up the airport name for code {faa}.",
            "Name of airport {faa}?",
        ),
        test=(
            "Which airport is behind the code {faa}?",
            "Tell me the airport's name for {faa}.",
            "What is the airport {faa} called?",
        ),
    ),
    Intent(
        "highest_airports",
        "select name, alt from airports where tzone = '{tzone}' order by 2 desc limit {n}",
        train=(
            "What are the {n} highest airports in time zone {tzone}? Show name and altitude.",
            "List name and altitude of the {n} highest airports in {tzone}.",
            "Which {n} airports in {tzone} have the greatest altitude? Give name and altitude.",
            "Show the {n} airports with the highest altitude in time zone {tzone}, with name and altitude.",
            "Top {n} airports by altitude in {tzone}, with their names and altitudes?",
            "In time zone {tzone}, name the {n} highest airports and their altitude.",
        ),
        test=(
            "Which {n} airports lie highest in {tzone}? Return name and altitude.",
            "Rank the {n} highest airports of time zone {tzone}, showing name and altitude.",
            "Give names and altitudes of the {n} airports with the most altitude in {tzone}.",
        ),
    ),
    Intent(
        "count_airports_above",
        "select count(*) from airports where alt > {feet} and tzone = '{tzone}'",
        train=(
            "How many airports in time zone {tzone} are above {feet} feet?",
            "Count the airports in {tzone} with an altitude over {feet} feet.",
            "How many airports lie higher than {feet} feet in {tzone}?",
            "Number of airports above {feet} feet in time zone {tzone}?",
            "In {tzone}, how many airports have an altitude of more than {feet} feet?",
            "What is the number of airports in {tzone} higher than {feet} feet?",
        ),
        test=(
            "How many airports of {tzone} exceed {feet} feet of altitude?",
            "Give the count of airports over {feet} feet in {tzone}.",
            "Above {feet} feet, how many airports are there in time zone {tzone}?",
        ),
    ),
    Intent(
        "count_flights_to_zone",
        "select count(*) from flights join airports on dest = faa where carrier = '{carrier}' and tzone = '{tzone}'",
        train=(
            "How many {carrier} flights went to airports in time zone {tzone}?",
            "Count the flights of {carrier} to destinations in {tzone}.",
            "How many flights did {carrier} have to the time zone {tzone}?",
            "Number of {carrier} flights with a destination in time zone {tzone}?",
            "For carrier {carrier}, how many flights headed for airports in {tzone}?",
            "How many times did {carrier} fly to an airport in {tzone}?",
        ),
        test=(
            "How many flights of {carrier} ended at airports in {tzone}?",
            "What is the number of {carrier} flights whose destination lies in {tzone}?",
            "Into time zone {tzone}, how many flights did {carrier} operate?",
        ),
    ),
    Intent(
        "dest_names",
        "select distinct name from flights join airports on dest = faa "
        "where origin = '{origin}' and carrier = '{carrier}'",
        train=(
            "What are the names of the airports that {carrier} serves from {origin}?",
            "List the destination airport names of {carrier} out of {origin}.",
            "Show the different names of airports {carrier} flies to from {origin}.",
            "By airport name, where does {carrier} fly from {origin}?",
            "From {origin}, which airports does {carrier} fly to? Give their names.",
            "Name all destination airports of carrier {carrier} from {origin}, by airport name.",
        ),
        test=(
            "Give me the airport names of the destinations {carrier} has from {origin}.",
            "What airports, by name, can be reached from {origin} with {carrier}?",
            "To which airport names did carrier {carrier} fly from {origin}?",
        ),
    ),
    Intent(
        "count_to_airport",
        "select count(*) from flights join airports on dest = faa where month = {month} and name = '{airport}'",
        train=(
            "How many flights went to {airport} airport in {month}?",
            "Count the flights to {airport} in {month}.",
            "In {month}, how many flights had the airport {airport} as destination?",
            "What was the number of flights bound for {airport} during {month}?",
            "Number of {month} flights to the airport {airport}?",
            "How many flights were headed to the airport named {airport} in {month}?",
        ),
        test=(
            "How many {month} departures were going to {airport}?",
            "Give the number of flights to the {airport} airport in {month}.",
            "During {month}, how many flights were there to {airport}?",
        ),
    ),
)
