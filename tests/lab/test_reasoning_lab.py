"""`burnish lab reasoning`: additions in three ways, what is measured of them, and a whole experiment in small."""

import inspect
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burnish.cli.lab import lab_reasoning
from burnish.errors import BurnishError
from burnish.generation.answer import Answer
from burnish.lab.reasoning import additions, distillation
from burnish.lab.reasoning.additions import R1_ZERO, AdditionsExperiment
from burnish.lab.reasoning.arithmetic import (
    ALPHABET,
    END,
    WAYS,
    Addition,
    character_tokenizer,
    documents,
    draw,
    is_right,
    longest_answer,
    way_of,
    written,
)
from burnish.lab.reasoning.catalogue import EXPERIMENTS, chosen
from burnish.lab.reasoning.distillation import DistillationExperiment
from burnish.lab.reasoning.distillation_results import START, Results
from burnish.lab.reasoning.distillation_tables import findings_table
from burnish.lab.reasoning.operations import Operations
from burnish.lab.reasoning.reinforcing import Curves, Reinforcing, curves, judges
from burnish.lab.reasoning.results import CaseResult, claim_verdict, findings
from burnish.lab.reasoning.routes import RL, TAUGHT
from burnish.lab.reasoning.setting import PolicyMeasures
from burnish.report.formatting import percent
from burnish.rewards.judgement import judge_answers, together
from conducting import conducted

TINY = replace(
    additions.quick(R1_ZERO),
    reading=replace(additions.quick(R1_ZERO).reading, steps=3),
    cases=[Reinforcing(name="1 digit", digits=(1,), steps=2, prompts=2, samples=2)],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reasoning")


def run(folder: Path, seeds: int) -> dict[str, Any]:
    files = conducted(AdditionsExperiment, folder, topic="toy", seed=0, seeds=seeds, scale=TINY, threads=1)
    assert [file.name for file in files] == [f"reasoning-toy.{ending}" for ending in ("md", "json", "svg")]
    return json.loads((folder / "reasoning-toy.json").read_text())


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    return run(folder, 1)


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("direct", "543"),
        ("columns", "760=13;581=14;401=05;543"),
        ("totals", "463;543;543;543"),
    ],
)
def test_an_answer_is_written_in_each_way(way: Any, expected: str) -> None:
    problem = Addition(457, 86, 3)
    assert written(problem, way) == expected
    assert way_of(expected) == way
    assert is_right(problem, expected)
    assert not is_right(problem, expected[:-1] + "4")


def test_all_ways_are_right_and_fit() -> None:
    rng = np.random.default_rng(0)
    for digits in (1, 2, 5):
        for _ in range(20):
            problem = draw(rng, digits, heldout=False)
            for way in WAYS:
                answer = written(problem, way)
                assert is_right(problem, answer)
                assert way_of(answer) == way
                assert len(answer + END) <= longest_answer(digits)
                assert set(answer) <= set(ALPHABET)
            steps = re.findall(r"(\d)(\d)(\d)=(\d)(\d);", written(problem, "columns"))
            assert len(steps) == digits
            carry = 0
            for a, b, c, out, digit in (map(int, step) for step in steps):
                assert (c, 10 * out + digit) == (carry, a + b + c)
                carry = out


def test_sides_never_meet_and_shares_are_as_asked() -> None:
    shares: dict[Any, float] = {"direct": 3.0, "columns": 1.0}
    for side in (False, True):
        found = documents(np.random.default_rng(1), digits=3, shares=shares, count=600, heldout=side)
        digits = []
        for text in found:
            assert (text[0], text[-1]) == (END, END)
            question, _, answer = text.strip().partition("=")
            a, b = map(int, question.split("+"))
            digits.append(len(question.partition("+")[0]))
            problem = Addition(a, b, digits[-1])
            assert problem.heldout == side
            assert text.startswith(END + problem.aligned)
            assert is_right(problem, answer)
        columns = sum(way_of(text.partition("=")[2]) == "columns" for text in found) / len(found)
        assert 0.18 < columns < 0.32
        assert all(0.26 < digits.count(count) / len(digits) < 0.41 for count in (1, 2, 3))


def test_a_token_is_a_character() -> None:
    tokenizer = character_tokenizer()
    text = "12+9=290=11;100=01;21"
    assert [ALPHABET[token] for token in tokenizer.encode(END + text)] == [END, *text]
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.stop_ids == {ALPHABET.index(END)}


def test_only_the_final_answer_is_rewarded() -> None:
    row = {"a": 57, "b": 86, "digits": 2}
    found = judges((2, 3))
    for text, finished, expected in [
        ("143", True, 1.0),
        ("760=13;581=14;143", True, 1.0),
        ("000=00;143", True, 1.0),
        ("760=13;581=14;144", True, 0.0),
        ("143", False, 0.0),
        ("", True, 0.0),
    ]:
        answer = Answer([], text, row, tokens=[1] * (len(text) + finished), finished=finished)
        judged = [of_all[0] for of_all in judge_answers(found, [answer])]
        assert together(found, judged).score == expected
        said = {one.name: each.score for one, each in zip(found, judged, strict=True) if each is not None}
        assert said["length-2"] == len(text) + finished
        assert said["reward-2"] == expected
        assert "length-3" not in said
        assert {way for way in WAYS if said[way]} == {way_of(text)}


def measured(right: list[int], ways: dict[str, int], right_ways: dict[str, int], tokens: int) -> PolicyMeasures:
    every = dict.fromkeys(WAYS, 0)
    return PolicyMeasures(right, 4, every | ways, every | right_ways, tokens, ["1+1=2", "1+2=3"])


BEFORE = measured([0, 1, 0, 1], {"direct": 14, "columns": 2}, {"direct": 0, "columns": 2}, 64)
AFTER = measured([4, 4, 3, 4], {"direct": 0, "columns": 16}, {"columns": 15}, 320)
CASE = Reinforcing(name="3 digits", digits=(3,), steps=2)
NO_CURVES = Curves([0.1, 0.5], [4.0, 20.0], {way: [0.0, 1.0] for way in WAYS}, {"3": [0.1, 0.5]}, {"3": [4.0, 20.0]})


@pytest.mark.parametrize(
    ("after", "verdict", "way", "beyond"),
    [
        (AFTER, "holds here", "columns in 2 of 2", "more problems than before"),
        (replace(AFTER, tokens=60), "length does not in every seed", "columns in 2 of 2", "more problems"),
        (
            measured([1, 2, 2, 2], {"columns": 16}, {"columns": 7}, 99),
            "most answers are still wrong",
            "columns",
            "more",
        ),
        (measured([0, 0, 0, 0], {"direct": 16}, {}, 64), "accuracy falls", "direct in 2 of 2", "fewer problems"),
        (BEFORE, "does not change beyond", "direct in 2 of 2", "no other number"),
    ],
)
def test_what_is_said_follows_from_the_numbers(after: PolicyMeasures, verdict: str, way: str, beyond: str) -> None:
    result = CaseResult(CASE, [{3: BEFORE}] * 2, [{3: after}] * 2, [NO_CURVES] * 2)
    assert verdict in claim_verdict(result, seed=0)
    winner, accuracy, passes = findings(result, ("direct", "columns"), (1, 4), seed=0)
    assert way in winner
    assert ("the one most often right in 2" in winner) == way.startswith("columns")
    assert f"from {percent(0.125, 0)} to" in accuracy
    assert beyond in passes


def test_pass_at_k_is_that_of_all_subsets() -> None:
    result = CaseResult(CASE, [{3: BEFORE}], [{3: AFTER}], [NO_CURVES])
    # With one right sample of four, half of the pairs of samples have it.
    assert result.solved([3], 2, seed=0).before == pytest.approx((0 + 0.5 + 0 + 0.5) / 4)
    assert result.solved([3], 4, seed=0).before == 0.5


def test_curves_are_what_the_method_has_logged() -> None:
    events: list[dict[str, Any]] = [
        {"completions/mean_length": 4.0, "rewards/accuracy/mean": 0.25, "rewards/columns/mean": 0.5},
        {"completions/mean_length": 9.0, "rewards/accuracy/mean": 1.0, "rewards/length-3/mean": 9.0},
    ]
    found = curves(events, (3,))
    assert found.reward == [0.25, 1.0]
    assert found.ways["columns"][0] == 0.5
    assert math.isnan(found.length_of(3)[0])
    assert found.length_of(3)[1] == 9.0


def test_everything_is_in_the_tables(document: dict[str, Any]) -> None:
    found, accuracy, ways, passes, examples = document["tables"]
    assert len(found["rows"]) == 3
    digits = list(TINY.measuring.digits)
    assert digits == [1, 2, 3]
    assert [row[1] for row in accuracy["rows"]] == digits
    assert [row[:2] for row in ways["rows"]] == [[name, count] for name in ("nothing", "1 digit") for count in digits]
    assert [row[1] for row in passes["rows"]] == digits
    assert all(row[1].partition("=")[0] == row[2].partition("=")[0] for row in examples["rows"])
    by_title = {panel["title"]: panel["series"] for panel in document["panels"]}
    assert len(by_title["Reward"]["1 digit"]) == 2
    assert document["settings"]["parameters"] > 1000


def test_more_seeds_go_on_from_those_that_are_there(
    document: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned, calls = additions.reinforced, list[int]()

    def counted(setting: Any, case: Any, start: Any, seed: int, notebook: Any, display: Any) -> Any:
        calls.append(seed)
        kept = (notebook.folder / f"1-digit-{seed}.json").exists()
        assert kept == (seed == 0)
        return learned(setting, case, start, seed, notebook, display)

    monkeypatch.setattr(additions, "reinforced", counted)
    again = run(folder, 2)
    assert calls == [0, 1]
    assert again["settings"]["seeds"] == 2
    assert document["settings"]["seeds"] == 1


def test_operations_are_two_forwards_and_six_with_the_gradient() -> None:
    assert Operations().forward(10, 3).training(2, 5).total == 2 * 10 * 3 + 6 * 2 * 5


def gone_to(right: list[int]) -> dict[int, PolicyMeasures]:
    return {3: measured(right, {"columns": 16}, {"columns": sum(right)}, 320)}


@pytest.mark.parametrize(
    ("right", "verdict"),
    [([4, 4, 4, 4], "holds here"), ([0, 0, 0, 0], "is reversed here"), ([2, 2, 2, 2], "not decided")],
)
def test_the_verdict_on_distillation_is_that_of_the_interval(right: list[int], verdict: str) -> None:
    alone, other = gone_to([2, 2, 2, 2]), gone_to(right)
    policies = {START: [gone_to([1, 0, 0, 0])], RL: [alone], **{route: [other] for route in TAUGHT}}
    results = Results((3,), policies, {}, starts=[0.0625])
    lines = [str(row[0]) for row in findings_table(results, most=4, seed=0).rows]
    assert len(lines) == 2 + 2 * len(TAUGHT)
    assert "RL by itself: right answers go from 6" in lines[1]
    assert "pass@4 from 25" in lines[1]
    assert "to 100" in lines[1]  # each problem is solved by two of four samples
    assert all(verdict in line for line in lines[-len(TAUGHT) :])


def test_a_student_without_a_start_is_named() -> None:
    policies = {name: [gone_to([0, 0, 0, 0])] for name in (START, RL, *TAUGHT)}
    first = [
        str(findings_table(Results((3,), policies, {}, starts=[rate]), most=4, seed=0).rows[0][0])
        for rate in (0.01, 0.4)
    ]
    assert "too little to be reinforced" in first[0]
    assert "too little" not in first[1]


def test_a_route_takes_the_learning_rate_that_is_best_on_problems_to_learn_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale = replace(
        distillation.QUICK,
        teacher=replace(TINY, ks=(1, 2), cases=[replace(TINY.cases[0], steps=1)]),
        steps=2,
        learning_rates=(1e-4, 1e-3),
    )
    looked = iter([0.3, *[0.2, 0.1] * 2, *[0.1, 0.2] * 2])
    asked: list[float] = []

    def rate(*_: Any) -> float:
        asked.append(next(looked))
        return asked[-1]

    monkeypatch.setattr(DistillationExperiment, "_rate", rate)
    conducted(DistillationExperiment, tmp_path, seed=0, seeds=1, scale=scale, threads=1)
    tables = json.loads((tmp_path / "reasoning-distillation.json").read_text())["tables"]
    assert len(asked) == 1 + 2 * (1 + len(TAUGHT))
    routes = next(table for table in tables if table["title"] == "At equal operations")
    chosen_rates = {row[0]: row[6] for row in routes["rows"]}
    assert [chosen_rates[route] for route in (RL, *TAUGHT)] == ["0.0001", "0.0001", "0.001", "0.001"]
    spent = {row[0]: row[7] for row in routes["rows"]}
    assert all(spent[route] > 0 for route in (RL, *TAUGHT))


def require_what_it_needs(name: str, request: pytest.FixtureRequest) -> None:
    """Skip an experiment on a real model where that is not installed."""
    if name == "smollm2":
        pytest.importorskip("reasoning_gym")
        request.getfixturevalue("smollm2_path")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_its_own_files(name: str, request: pytest.FixtureRequest) -> None:
    require_what_it_needs(name, request)
    full, quick = (chosen([name], seed=0, seeds=3, is_quick=is_quick)[0] for is_quick in (False, True))
    assert full.name == quick.name == f"reasoning-{name}"
    assert full.settings() != quick.settings()
    json.dumps(full.settings())


def test_names_are_those_that_help_shows() -> None:
    assert len(chosen([], seed=0, seeds=1, is_quick=True)) == len(EXPERIMENTS)
    help_text = inspect.getsource(lab_reasoning)
    assert all(name in help_text for name in EXPERIMENTS)
    with pytest.raises(BurnishError, match=r"--experiment r2: expected one of r1-zero"):
        chosen(["r2"], seed=0, seeds=1, is_quick=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_quick_runs_whole(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    require_what_it_needs(name, request)
    files = conducted(lambda: chosen([name], seed=0, seeds=1, is_quick=True)[0], tmp_path, threads=1)
    assert all(file.stat().st_size > 0 for file in files)
