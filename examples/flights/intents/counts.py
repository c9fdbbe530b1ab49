"""How many flights: filters on one table."""

from intents.intent import Intent

INTENTS = (
    Intent(
        "count_route",
        "select count(*) from flights where origin = '{origin}' and dest = '{dest}'",
        train=(
            "How many flights went from {origin} to {dest}?",
            "Count the flights from {origin} to {dest}.",
            "What is the number of flights between {origin} and {dest}, leaving {origin}?",
            "How often was the route {origin} to {dest} scheduled?",
            "Number of flights out of {origin} bound for {dest}?",
            "How many departures from {origin} had {dest} as their destination?",
        ),
        test=(
            "How many flights left {origin} for {dest}?",
            "Give me the count of flights flying {origin} to {dest}.",
            "From {origin} to {dest}, how many flights were there?",
        ),
    ),
    Intent(
        "count_carrier_month",
        "select count(*) from flights where carrier = '{carrier}' and month = {month}",
        train=(
            "How many flights did carrier {carrier} have in {month}?",
            "Count the {carrier} flights in {month}.",
            "In {month}, how many flights were operated by {carrier}?",
            "What was the number of {carrier} flights during {month}?",
            "How many times did {carrier} fly in {month}?",
            "Number of flights by carrier {carrier} in the month of {month}?",
        ),
        test=(
            "How many {month} flights belonged to carrier {carrier}?",
            "Tell me how many flights {carrier} operated in {month}.",
            "What is the {month} flight count of carrier {carrier}?",
        ),
    ),
    Intent(
        "count_dest_month",
        "select count(*) from flights where dest = '{dest}' and month = {month}",
        train=(
            "How many flights went to {dest} in {month}?",
            "Count the flights to {dest} during {month}.",
            "In {month}, how many flights had {dest} as destination?",
            "What was the number of flights bound for {dest} in {month}?",
            "Number of {month} flights to {dest}?",
            "How many flights were headed to {dest} in the month of {month}?",
        ),
        test=(
            "How many {month} departures were going to {dest}?",
            "Give the number of flights that flew to {dest} in {month}.",
            "During {month}, how many flights were there to {dest}?",
        ),
    ),
    Intent(
        "count_origin_date",
        "select count(*) from flights where origin = '{origin}' and {date}",
        train=(
            "How many flights left {origin} on {date}?",
            "Count the flights from {origin} on {date}.",
            "On {date}, how many flights departed from {origin}?",
            "What was the number of {origin} flights on {date}?",
            "Number of flights out of {origin} on {date}?",
            "How many departures did {origin} schedule for {date}?",
        ),
        test=(
            "How many flights started from {origin} on {date}?",
            "For {date}, count the flights that leave from {origin}.",
            "How many planes were due to leave {origin} on {date}?",
        ),
    ),
    Intent(
        "count_cancelled",
        "select count(*) from flights where origin = '{origin}' and month = {month} and dep_time is null",
        train=(
            "How many flights from {origin} were cancelled in {month}?",
            "Count the cancelled flights at {origin} in {month}.",
            "In {month}, how many {origin} departures were cancelled?",
            "What was the number of cancelled flights out of {origin} during {month}?",
            "Number of {origin} cancellations in {month}?",
            "How many flights leaving {origin} got cancelled during {month}?",
        ),
        test=(
            "How many {month} flights from {origin} never departed because they were cancelled?",
            "How many cancellations did {origin} see in {month}?",
            "Give me the count of cancelled {origin} flights for {month}.",
        ),
    ),
    Intent(
        "count_departed_late",
        "select count(*) from flights where origin = '{origin}' and dep_delay > {late}",
        train=(
            "How many flights left {origin} more than {late} minutes late?",
            "Count the flights from {origin} with a departure delay over {late} minutes.",
            "How many {origin} flights had a departure delay of more than {late} minutes?",
            "Number of flights departing {origin} over {late} minutes late?",
            "From {origin}, how many flights departed more than {late} minutes behind schedule?",
            "How many departures from {origin} were delayed by more than {late} minutes?",
        ),
        test=(
            "How many flights out of {origin} took off more than {late} minutes late?",
            "What is the number of {origin} flights whose departure delay exceeded {late} minutes?",
            "Count departures from {origin} that were over {late} minutes late.",
        ),
    ),
    Intent(
        "count_arrived_late",
        "select count(*) from flights where carrier = '{carrier}' and arr_delay > {late}",
        train=(
            "How many {carrier} flights arrived more than {late} minutes late?",
            "Count the flights of carrier {carrier} with an arrival delay over {late} minutes.",
            "How many flights by {carrier} had an arrival delay of more than {late} minutes?",
            "Number of {carrier} flights that landed over {late} minutes late?",
            "For carrier {carrier}, how many arrivals were delayed by more than {late} minutes?",
            "How many times did {carrier} arrive more than {late} minutes behind schedule?",
        ),
        test=(
            "How many flights of {carrier} got in more than {late} minutes late?",
            "What is the number of {carrier} flights whose arrival delay exceeded {late} minutes?",
            "How many arrivals of carrier {carrier} were over {late} minutes late?",
        ),
    ),
    Intent(
        "count_arrived_early",
        "select count(*) from flights where dest = '{dest}' and carrier = '{carrier}' and arr_delay < 0",
        train=(
            "How many {carrier} flights to {dest} arrived early?",
            "Count the flights of {carrier} that arrived in {dest} ahead of schedule.",
            "How many flights by {carrier} to {dest} landed early?",
            "Number of early arrivals in {dest} for carrier {carrier}?",
            "For carrier {carrier}, how many flights reached {dest} before schedule?",
            "How many times did {carrier} get to {dest} early?",
        ),
        test=(
            "How often did {carrier} land in {dest} ahead of time?",
            "What is the number of {carrier} flights that were early into {dest}?",
            "How many flights of carrier {carrier} came into {dest} early?",
        ),
    ),
    Intent(
        "count_weekday",
        "select count(*) from flights where dest = '{dest}' and dayname(time_hour) = '{weekday}'",
        train=(
            "How many flights went to {dest} on a {weekday}?",
            "Count the {weekday} flights to {dest}.",
            "On {weekday}s, how many flights were there to {dest}?",
            "What is the number of flights to {dest} that fall on a {weekday}?",
            "Number of flights to {dest} on {weekday}s?",
            "How many flights bound for {dest} were on a {weekday}?",
        ),
        test=(
            "How many {weekday} departures headed for {dest}?",
            "Give me the count of flights flying to {dest} on {weekday}s.",
            "To {dest}, how many flights took place on a {weekday}?",
        ),
    ),
    Intent(
        "count_month_range",
        "select count(*) from flights where carrier = '{carrier}' and {months}",
        train=(
            "How many flights did {carrier} have {months}?",
            "Count the {carrier} flights {months}.",
            "How many flights were operated by carrier {carrier} {months}?",
            "What was the number of {carrier} flights {months}?",
            "Number of flights by carrier {carrier} {months}?",
            "How many times did {carrier} fly {months}?",
        ),
        test=(
            "How many flights belonged to {carrier} {months}?",
            "Tell me how many flights {carrier} operated {months}.",
            "What is the flight count of carrier {carrier} {months}?",
        ),
    ),
    Intent(
        "count_before_hour",
        "select count(*) from flights where origin = '{origin}' and month = {month} and hour < {before_hour}",
        train=(
            "How many flights were scheduled to leave {origin} before {before_hour} in {month}?",
            "Count the {month} flights from {origin} scheduled before {before_hour}.",
            "In {month}, how many flights had a scheduled departure from {origin} before {before_hour}?",
            "Number of flights scheduled out of {origin} before {before_hour} in {month}?",
            "How many {origin} departures were scheduled for earlier than {before_hour} in {month}?",
            "During {month}, how many flights were due to leave {origin} before {before_hour}?",
        ),
        test=(
            "How many {month} flights were due out of {origin} before {before_hour}?",
            "What is the number of flights scheduled from {origin} before {before_hour} during {month}?",
            "How many flights did {origin} schedule before {before_hour} in {month}?",
        ),
    ),
    Intent(
        "count_distinct_dest",
        "select count(distinct dest) from flights where origin = '{origin}' and carrier = '{carrier}'",
        train=(
            "How many different destinations did {carrier} serve from {origin}?",
            "Count the distinct destinations of {carrier} out of {origin}.",
            "To how many different airports did carrier {carrier} fly from {origin}?",
            "Number of distinct destinations that {carrier} has from {origin}?",
            "From {origin}, how many different destinations does {carrier} fly to?",
            "How many airports can be reached from {origin} with carrier {carrier}?",
        ),
        test=(
            "How many distinct places does {carrier} fly to from {origin}?",
            "What is the number of different destinations carrier {carrier} offers from {origin}?",
            "Out of {origin}, how many separate destinations did {carrier} have?",
        ),
    ),
    Intent(
        "count_distinct_planes",
        "select count(distinct tailnum) from flights where carrier = '{carrier}' and month = {month}",
        train=(
            "How many different planes did {carrier} use in {month}?",
            "Count the distinct tail numbers of {carrier} in {month}.",
            "In {month}, how many different aircraft flew for {carrier}?",
            "Number of distinct planes flown by carrier {carrier} in {month}?",
            "How many different tail numbers did carrier {carrier} have in {month}?",
            "How many separate planes were used by {carrier} during {month}?",
        ),
        test=(
            "How many distinct aircraft did {carrier} fly during {month}?",
            "What is the number of different planes of carrier {carrier} seen in {month}?",
            "How many individual planes flew for {carrier} in {month}?",
        ),
    ),
    Intent(
        "count_either_carrier",
        "select count(*) from flights where carrier in ({carriers}) and month = {month}",
        train=(
            "How many flights did {carriers} have in {month}?",
            "Count the {month} flights operated by {carriers}.",
            "In {month}, how many flights were by {carriers}?",
            "What was the number of flights of {carriers} during {month}?",
            "How many {month} flights had {carriers} as carrier?",
            "Number of flights with carrier {carriers} in {month}?",
        ),
        test=(
            "How many flights in {month} belonged to {carriers}?",
            "Tell me how many {month} flights {carriers} operated.",
            "For {carriers}, what is the total number of flights in {month}?",
        ),
    ),
)
