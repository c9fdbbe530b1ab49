"""The table of what was forgotten says better and worse only where an interval excludes no change."""

from typing import Any

from burnish.report.forgetting import ForgettingRow, described, lines


def row(kind: str, values: list[float], changes: list[list[float] | None]) -> ForgettingRow:
    labels = ["a", "b", "c"][: len(values)]
    pairs = ["a b", "b c", "a c"]
    named: dict[str, Any] = {
        "name": "words",
        "kind": kind,
        "count": 300,
        "values": dict(zip(labels, values, strict=True)),
        "changes": dict(zip(pairs, changes, strict=False)),
    }
    return named  # type: ignore[return-value]


def test_a_perplexity_that_rises_is_worse_and_an_accuracy_that_rises_better() -> None:
    found = row("perplexity", [10.0, 12.0, 11.9], [[0.1, 0.3], [-0.02, 0.01], [0.1, 0.28]])
    (line,) = lines({"models": ["a", "b", "c"], "rows": [found]})
    assert [cell.verdict for cell in line.cells] == ["", "worse", "no clear difference"]
    assert line.in_all is not None
    assert (line.in_all.verdict, line.in_all.change) == ("worse", "+10.0 to +28.0 %")
    better = row("accuracy", [0.4, 0.5], [[0.02, 0.18]])
    (line,) = lines({"models": ["a", "b"], "rows": [better]})
    assert (line.cells[1].verdict, line.cells[1].change, line.in_all) == ("better", "+2.0 to +18.0 points", None)


def test_a_row_in_a_line() -> None:
    found = row("score", [0.5, 0.25], [None])
    assert described(found, ["a", "b"]) == "words: a 0.5, b 0.25 (too little to tell)"


def test_four_questions_tell_too_little() -> None:
    few = row("accuracy", [0.0, 1.0], [[1.0, 1.0]]) | {"count": 4}
    (line,) = lines({"models": ["a", "b"], "rows": [few]})  # type: ignore[list-item]
    assert line.cells[1].verdict == "too little to tell"
