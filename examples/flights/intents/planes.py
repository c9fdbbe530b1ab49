"""Planes: their own table, and joined to the flights."""

from intents.intent import Intent

INTENTS = (
    Intent(
        "count_planes_built_after",
        "select count(*) from planes where manufacturer = '{manufacturer}' and year > {built}",
        train=(
            "How many {manufacturer} planes were built after {built}?",
            "Count the planes made by {manufacturer} after {built}.",
            "How many planes by manufacturer {manufacturer} are newer than {built}?",
            "Number of {manufacturer} planes built after {built}?",
            "How many planes of manufacturer {manufacturer} have a year later than {built}?",
            "What is the number of planes that {manufacturer} built after {built}?",
        ),
        test=(
            "How many planes did {manufacturer} make after {built}?",
            "Give the count of {manufacturer} planes from after {built}.",
            "After {built}, how many planes were built by {manufacturer}?",
        ),
    ),
    Intent(
        "plane_facts",
        "select manufacturer, model, seats from planes where tailnum = '{tailnum}'",
        train=(
            "Show manufacturer, model and seats of plane {tailnum}.",
            "What are the manufacturer, model and number of seats of {tailnum}?",
            "Give the manufacturer, model and seats of the plane with tail number {tailnum}.",
            "For tail number {tailnum}, what are the manufacturer, model and seats?",
            "Look up manufacturer, model and seats for {tailnum}.",
            "Who made plane {tailnum}, what model is it and how many seats does it have?",
        ),
        test=(
            "Tell me the manufacturer, model and seat count of plane {tailnum}.",
            "What plane is {tailnum}? Return manufacturer, model and seats.",
            "Find manufacturer, model and seats for the aircraft {tailnum}.",
        ),
    ),
    Intent(
        "top_makers",
        "select manufacturer, count(*) from planes where year = {built} "
        "group by manufacturer order by 2 desc limit {few}",
        train=(
            "Which {few} manufacturers built the most planes in {built}, and how many?",
            "List the top {few} manufacturers by planes built in {built}, with counts.",
            "Show the {few} manufacturers with the most planes from {built} and the number of planes.",
            "For planes built in {built}, which {few} manufacturers have the most, and how many each?",
            "Top {few} manufacturers of planes from {built}, with counts?",
            "Name the {few} manufacturers that made the most planes in {built}, with the number of planes.",
        ),
        test=(
            "What {few} makers produced the most planes in {built}, and how many each?",
            "Rank the top {few} manufacturers of {built} by number of planes, showing counts.",
            "Give me the {few} most common manufacturers of planes built in {built} with their counts.",
        ),
    ),
    Intent(
        "count_flights_by_maker",
        "select count(*) from flights join planes using (tailnum) "
        "where origin = '{origin}' and month = {month} and manufacturer = '{manufacturer}'",
        train=(
            "How many flights from {origin} in {month} used {manufacturer} planes?",
            "Count the {month} flights from {origin} on planes made by {manufacturer}.",
            "In {month}, how many {origin} flights were flown with {manufacturer} planes?",
            "Number of flights out of {origin} with planes by {manufacturer} in {month}?",
            "How many {origin} departures in {month} had a plane of manufacturer {manufacturer}?",
            "During {month}, how many flights from {origin} were on {manufacturer} aircraft?",
        ),
        test=(
            "How many {month} flights out of {origin} were operated with {manufacturer} planes?",
            "What is the number of {origin} flights in {month} on a plane built by {manufacturer}?",
            "How often did planes by {manufacturer} leave {origin} in {month}?",
        ),
    ),
    Intent(
        "avg_seats_on_route",
        "select avg(seats) from flights join planes using (tailnum) where origin = '{origin}' and dest = '{dest}'",
        train=(
            "How many seats do planes from {origin} to {dest} have on average?",
            "What is the average number of seats on flights from {origin} to {dest}?",
            "Average seats of the planes flying from {origin} to {dest}?",
            "Compute the mean number of seats on flights from {origin} to {dest}.",
            "On the route {origin} to {dest}, what is the average seat count of the planes?",
            "What was the average plane size in seats on flights from {origin} to {dest}?",
        ),
        test=(
            "Give the mean seats per flight from {origin} to {dest}.",
            "On average, how many seats does a flight from {origin} to {dest} have?",
            "How big are planes from {origin} to {dest} on average, counted in seats?",
        ),
    ),
    Intent(
        "count_flights_large_planes",
        "select count(*) from flights join planes using (tailnum) where dest = '{dest}' and seats > {seats}",
        train=(
            "How many flights to {dest} used a plane with more than {seats} seats?",
            "Count the flights to {dest} on planes with over {seats} seats.",
            "How many {dest} flights were flown with planes of more than {seats} seats?",
            "Number of flights to {dest} with more than {seats} seats?",
            "To {dest}, how many flights had a plane with above {seats} seats?",
            "How many flights bound for {dest} were on planes that have over {seats} seats?",
        ),
        test=(
            "How many planes flying to {dest} had more than {seats} seats, counting every flight?",
            "What is the number of flights to {dest} whose plane has more than {seats} seats?",
            "How often did a plane with over {seats} seats fly to {dest}?",
        ),
    ),
    Intent(
        "count_plane_month",
        "select count(*) from flights where tailnum = '{tailnum}' and month = {month}",
        train=(
            "How many flights did plane {tailnum} have in {month}?",
            "Count the flights of tail number {tailnum} in {month}.",
            "In {month}, how many flights were made by {tailnum}?",
            "What was the number of flights of plane {tailnum} during {month}?",
            "How many times did the plane {tailnum} fly in {month}?",
            "Number of {month} flights with tail number {tailnum}?",
        ),
        test=(
            "How many {month} flights used plane {tailnum}?",
            "Tell me how many flights {tailnum} flew in {month}.",
            "What is the {month} flight count of the aircraft {tailnum}?",
        ),
    ),
    Intent(
        "plane_dests",
        "select distinct dest from flights where tailnum = '{tailnum}'",
        train=(
            "Which destinations did plane {tailnum} fly to?",
            "List the different destinations of tail number {tailnum}.",
            "Where did the plane {tailnum} fly?",
            "Show all distinct destinations of {tailnum}.",
            "To which airports did tail number {tailnum} go?",
            "What destinations has plane {tailnum} been sent to?",
        ),
        test=(
            "Name every destination of the aircraft {tailnum}.",
            "What places did {tailnum} fly to?",
            "Give me the destinations that plane {tailnum} served.",
        ),
    ),
)
