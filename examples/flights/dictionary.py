"""A data dictionary of the five tables, made from the schema and the data themselves.

What a column means is written down here, as a team would; ranges, frequent values, null counts, example rows, how
many rows a join matches and what is known of each airline and destination are read from the database.
"""

from collections.abc import Iterator

import duckdb

Document = dict[str, object]

TABLES = {
    "flights": "one row for each of the flights scheduled to leave New York City (EWR, JFK or LGA) in 2013",
    "airlines": "the name of each airline by its carrier code",
    "airports": "the name and place of each airport by its FAA code",
    "planes": "the make, model and size of each plane by its tail number",
    "weather": "hourly weather at the three New York airports EWR, JFK and LGA in 2013",
}

COLUMNS = {
    "flights": {
        "year": "year of departure",
        "month": "month of departure, 1 for January to 12 for December",
        "day": "day of the month of departure",
        "dep_time": "actual departure time as hhmm local time; null means that the flight was cancelled",
        "sched_dep_time": "scheduled departure time as hhmm local time",
        "dep_delay": "departure delay in minutes; negative means that the flight left early",
        "arr_time": "actual arrival time as hhmm local time",
        "sched_arr_time": "scheduled arrival time as hhmm local time",
        "arr_delay": "arrival delay in minutes; negative means that the flight arrived early",
        "carrier": "code of the airline, two characters",
        "flight": "flight number",
        "tailnum": "tail number of the plane",
        "origin": "FAA code of the airport of departure",
        "dest": "FAA code of the airport of destination",
        "air_time": "time in the air in minutes",
        "distance": "distance between the airports in miles",
        "hour": "hour of the scheduled departure",
        "minute": "minute of the scheduled departure",
        "time_hour": "date and hour of the scheduled departure as a timestamp",
    },
    "airlines": {"carrier": "code of the airline, two characters", "name": "full name of the airline"},
    "airports": {
        "faa": "FAA code of the airport, three characters",
        "name": "name of the airport",
        "lat": "latitude in degrees",
        "lon": "longitude in degrees",
        "alt": "altitude in feet",
        "tz": "time zone as the offset from GMT in hours",
        "dst": "daylight savings time zone",
        "tzone": "IANA name of the time zone",
    },
    "planes": {
        "tailnum": "tail number of the plane",
        "year": "year in which the plane was built",
        "type": "type of plane",
        "manufacturer": "maker of the plane",
        "model": "model of the plane",
        "engines": "number of engines",
        "seats": "number of seats",
        "speed": "average cruising speed in miles per hour",
        "engine": "type of engine",
    },
    "weather": {
        "origin": "FAA code of the airport where the weather was measured",
        "year": "year",
        "month": "month, 1 to 12",
        "day": "day of the month",
        "hour": "hour of the day, 0 to 23",
        "temp": "temperature in degrees Fahrenheit",
        "dewp": "dew point in degrees Fahrenheit",
        "humid": "relative humidity in percent",
        "wind_dir": "wind direction in degrees",
        "wind_speed": "wind speed in miles per hour",
        "wind_gust": "speed of gusts in miles per hour",
        "precip": "precipitation in inches",
        "pressure": "sea level pressure in millibars",
        "visib": "visibility in miles",
        "time_hour": "date and hour of the measurement as a timestamp",
    },
}

# (what is joined, the clause, what it is good for)
JOINS = (
    ("flights", "airlines", "join airlines using (carrier)", "gives the name of the airline of each flight"),
    ("flights", "planes", "join planes using (tailnum)", "gives the maker, model, seats and year of the plane"),
    ("flights", "airports", "join airports on dest = faa", "gives the name and place of the destination"),
    ("flights", "weather", "join weather using (origin, time_hour)", "gives the weather at the hour of departure"),
)


def documents(connection: duckdb.DuckDBPyConnection) -> Iterator[Document]:
    """One document per table, per column, per join, per airline and per destination."""
    for table, meaning in TABLES.items():
        yield _document(f"table/{table}", _table(connection, table, meaning))
        for column, what in COLUMNS[table].items():
            yield _document(f"column/{table}/{column}", _column(connection, table, column, what))
    for left, right, clause, use in JOINS:
        yield _document(f"join/{left}/{right}", _join(connection, left, right, clause, use))
    yield from _airlines(connection)
    yield from _destinations(connection)


def _airlines(connection: duckdb.DuckDBPyConnection) -> Iterator[Document]:
    rows = connection.execute(
        "select carrier, name, count(*), mode(origin), count(distinct dest), count(distinct tailnum) "
        "from flights join airlines using (carrier) group by all order by carrier"
    ).fetchall()
    for code, name, count, origin, dests, tails in rows:
        yield _document(
            f"carrier/{code}",
            f"{code} is the carrier code of {name}. It has {count:,} flights, most of them from {origin}, to {dests} "
            f"destination{'s' * (dests > 1)}, with {tails} planes.",
        )


def _destinations(connection: duckdb.DuckDBPyConnection) -> Iterator[Document]:
    rows = connection.execute(
        "select dest, name, alt, tzone, count(*), mode(carrier), min(distance), max(distance) "
        "from flights join airports on dest = faa group by all order by dest"
    ).fetchall()
    for code, name, altitude, zone, count, carrier, nearest, farthest in rows:
        distance = f"{nearest}" if nearest == farthest else f"{nearest} to {farthest}"
        yield _document(
            f"destination/{code}",
            f"{code} is the FAA code of the airport {name}, at an altitude of {altitude} feet in the time zone {zone}. "
            f"It is the destination of {count:,} flight{'s' * (count > 1)} over {distance} miles; the carrier with the "
            f"most of them is {carrier}.",
        )


def _document(name: str, text: str) -> Document:
    return {"id": f"tables/{name}", "text": text, "source": "data dictionary"}


def _table(connection: duckdb.DuckDBPyConnection, table: str, meaning: str) -> str:
    (count,) = connection.execute(f"select count(*) from {table}").fetchall()[0]
    relation = connection.execute(f"select * from {table} order by all limit 2")
    columns = [item[0] for item in relation.description]
    rows = relation.fetchall()
    lines = [
        f"The table {table} has {count:,} rows: {meaning}.",
        f"Its columns are {', '.join(columns)}.",
    ]
    for row in rows:
        shown = (f"{column} {_show(value)}" for column, value in zip(columns, row, strict=True) if value is not None)
        lines.append(f"For example: {', '.join(shown)}.")
    return "\n".join(lines)


def _column(connection: duckdb.DuckDBPyConnection, table: str, column: str, meaning: str) -> str:
    count, low, high, distinct, nulls, kind = connection.execute(
        f"select count(*), min({column}), max({column}), count(distinct {column}), count(*) - count({column}), "
        f"any_value(typeof({column})) from {table}"
    ).fetchall()[0]
    lines = [f"{table}.{column} ({kind}): {meaning}."]
    if distinct == 1:
        lines.append(f"It is always {_show(low)}.")
    elif distinct <= 16:
        values = connection.execute(
            f"select {column} from {table} where {column} is not null group by 1 order by count(*) desc, 1"
        ).fetchall()
        order = "" if distinct == count else ", most frequent first"
        lines.append(f"Its values{order}: {', '.join(_show(value) for (value,) in values)}.")
    elif kind == "VARCHAR":
        values = connection.execute(
            f"select {column} from {table} where {column} is not null group by 1 order by count(*) desc, 1 limit 6"
        ).fetchall()
        lines.append(f"It has {distinct:,} values, such as {', '.join(_show(value) for (value,) in values)}.")
    else:
        lines.append(f"It lies between {_show(low)} and {_show(high)}.")
    if nulls:
        lines.append(f"It is null in {nulls:,} rows.")
    return " ".join(lines)


def _join(connection: duckdb.DuckDBPyConnection, left: str, right: str, clause: str, use: str) -> str:
    matched, total = connection.execute(
        f"select (select count(*) from {left} {clause}), (select count(*) from {left})"
    ).fetchall()[0]
    share = "every flight" if matched == total else f"{matched:,} of {total:,} flights"
    return f"To join {left} with {right}, write: from {left} {clause}. It {use} and matches {share}."


def _show(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
