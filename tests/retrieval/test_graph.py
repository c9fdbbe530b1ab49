"""The graph: what passages name, and which passages a walk over it comes to."""

from pathlib import Path

import numpy as np
import pytest

from burnish.errors import BurnishError
from burnish.retrieval import Index, IndexSettings
from burnish.retrieval.graph import EXPLAINED, RESTART, STEPS, Graph, entities


def test_entities_are_told_by_their_form() -> None:
    text = "Call `asyncio.run` or `a b`, gather() in an EventLoop; Guido van Rossum, Ada Lovelace use snake_case. End."
    mentioned = ("asyncio.run", "run", "a b", "gather", "eventloop", "ada lovelace", "snake_case")
    explained = ("tasks", "event loop")
    assert entities(text, "Tasks > Event Loop") == dict.fromkeys(mentioned, 1.0) | dict.fromkeys(explained, EXPLAINED)


@pytest.mark.parametrize(
    "line",
    [
        ".. function:: run(coro)",
        "#### asyncio.run(coro)",
        "  async def run(coro):",
        "`run(coro)`",
        "- *coroutine* asyncio.run(*coro*)¶",
    ],
)
def test_what_a_line_begins_with_is_explained(line: str) -> None:
    found = entities(f"See:\n{line}\n    Run it by gather().")
    assert (found["run"], found["gather"]) == (EXPLAINED, 1.0)


def test_a_walk_is_the_power_of_its_matrix() -> None:
    """Against the dense transition matrix over passages and entities, with restarts."""
    named = [{"a": 1.0, "b": 1.0}, {"b": 3.0, "c": 1.0}, {"c": 1.0, "alone": 1.0}, {"d": 1.0}, {"d": 2.0, "a": 1.0}]
    graph = Graph.build(named)
    assert graph.names == ["a", "b", "c", "d"], "what one passage alone names links nothing"
    n, m = len(named), len(graph.names)
    matrix = np.zeros((n + m, n + m))
    degree = {name: sum(name in one for one in named) for name in graph.names}
    for passage, of in enumerate(named):
        strength = {name: np.log((1 + n) / degree[name]) for name in of if name in graph.names}
        for name, weight in strength.items():
            node = n + graph.names.index(name)
            matrix[node, passage] = weight / sum(strength.values())
            matrix[passage, node] = of[name] / sum(one.get(name, 0.0) for one in named)
    begin = np.zeros(n + m)
    begin[[0, 2]] = [2 / 6, 1 / 6]
    begin[n + 3] = 0.5
    at = begin
    for _ in range(STEPS):
        came = matrix @ at
        at = RESTART * begin + (1 - RESTART) * came
    np.testing.assert_allclose(graph.walk({0: 2.0, 2: 1.0}, [3]), came[:n], rtol=1e-9)


def test_without_links_a_walk_goes_nowhere() -> None:
    assert not Graph.build([{"a": 1.0}, {"b": 1.0}, {}]).walk({0: 1.0}).any()


def test_what_a_question_does_not_say_is_found_over_a_passage_that_it_does(tmp_path: Path) -> None:
    pages = {
        "budget.md": "The annual plan of money is kept by the office of Ada Lovelace.",
        "people.md": "Ada Lovelace sits in room 12, on the second floor.",
        "canteen.md": "Lunch is served from noon. The menu is on the door.",
        "garden.md": "The garden is open in summer.",
    }
    for name, text in pages.items():
        (tmp_path / name).write_text(text)
    index, _ = Index.build([tmp_path / name for name in pages], tmp_path / "index", IndexSettings(graph=True))
    query = "Who keeps the annual plan of money?"
    assert [hit.document for hit in index.search(query, ranking="bm25")] == ["budget.md"]
    assert [hit.document for hit in index.search(query, ranking="graph")] == ["budget.md", "people.md"]
    plain, _ = Index.build(tmp_path / "people.md", tmp_path / "plain")
    with pytest.raises(BurnishError, match="was made without a graph; make it anew with `--graph`"):
        plain.search(query, ranking="graph")
