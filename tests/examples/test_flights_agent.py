"""The flights' tools do what their traces say, and the preparation knows what a question looks up."""

import importlib.util
import json
import random
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from burnish.agents.functions import ToolsFile
from burnish.agents.tool import ToolBox
from burnish.text.tool_calls.values import ToolCall

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("flights_agent_prepare", EXAMPLE / "agent" / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


@pytest.fixture
def box(tmp_path: Path, prepare: ModuleType) -> ToolBox:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(tmp_path / "flights.duckdb")) as connection:
        connection.execute("create table flights as select * from (values ('DL', 5), ('UA', 7)) as t(carrier, n)")
    (tmp_path / "names.json").write_text(json.dumps(prepare.entries()))
    shutil.copyfile(EXAMPLE / "agent" / "tools.py", tmp_path / "tools.py")
    return ToolBox(ToolsFile(tmp_path / "tools.py").open())


def test_look_up_ask_and_plot(box: ToolBox, tmp_path: Path) -> None:
    def call(tool: str, **arguments: str) -> str:
        return box.call(ToolCall(tool, arguments))[1].text

    assert call("plot", kind="bar") == "error: there is nothing to plot: run a query first"
    assert call("find_code", name="Delta") == "carrier DL"
    assert call("find_code", name="chicago") == "dest ORD, dest MDW"
    assert call("find_code", name="Atlantis") == "none"
    assert call("query", sql="select n from flights where carrier = 'DL'") == "n\n5"
    assert call("query", sql="drop table flights").startswith("error: ")
    assert call("query", sql="select carrier, n from flights order by n") == "carrier | n\nDL | 5\nUA | 7"
    assert call("plot", kind="bar") == "bar plot of 2 rows"
    assert (tmp_path / "plot.svg").read_text().count("<rect") == 2
    assert "is not one of" in call("plot", kind="pie")


def test_what_a_question_looks_up(prepare: ModuleType) -> None:
    sql = "select count(*) from flights where carrier = 'DL' and origin = 'JFK'"
    row = prepare.asked("How many Delta flights left JFK?", sql, False, None, ())
    assert row["lookups"] == ["delta"]  # JFK is a code already
    both = prepare.asked("flights to Chicago", "select * from flights where dest in ('ORD', 'MDW')", False, None, ())
    assert both["lookups"] == ["chicago"]
    grouped = "select carrier, count(*) from flights group by carrier"
    rows = [prepare.asked("Flights by airline", grouped, False, random.Random(n), prepare.PLOTS) for n in range(20)]
    assert {row["kind"] for row in rows} == {None, "bar", "line"}
    assert all((row["kind"] or "") in row["text"] for row in rows)
