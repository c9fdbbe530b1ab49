"""`search` of `burnish lab reasoning`: searches are what they claim to be, answers are checked, verdicts follow."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.generation.answer import Answer
from burnish.lab.reasoning.countdown import (
    END,
    FOUND,
    GIVEN_UP,
    LARGEST,
    LARGEST_GIVEN,
    ORDERS,
    VOCABULARY,
    CountdownProblem,
    branches,
    documents,
    draw,
    is_right,
    moves,
    search,
    solved_by_search,
    word_tokenizer,
)
from burnish.lab.reasoning.search import QUICK, SearchExperiment
from burnish.lab.reasoning.search_results import AGAIN, BEFORE, Results
from burnish.lab.reasoning.search_tables import findings_table, passes_panels, solved_table
from burnish.lab.reasoning.searching import METHODS, Looked, judges
from burnish.methods.pretrain import drawn
from burnish.report.formatting import percent
from burnish.rewards.judgement import judge_answers, together
from conducting import conducted

GIVEN = st.integers(1, LARGEST_GIVEN)


@given(a=st.integers(1, LARGEST), b=st.integers(1, LARGEST))
def test_moves_are_right_whole_and_in_range(a: int, b: int) -> None:
    for move in moves(a, b):
        assert {move.a, move.b} == {a, b}
        exact = {"+": a + b, "-": abs(a - b), "*": a * b, "/": max(a, b) / min(a, b)}[move.operation]
        assert move.result == exact
        assert 1 <= move.result <= LARGEST


@settings(max_examples=50)
@given(numbers=st.tuples(GIVEN, GIVEN, GIVEN), target=st.integers(1, LARGEST), order=st.sampled_from(ORDERS))
def test_a_whole_search_finds_what_can_be_found(numbers: tuple[int, int, int], target: int, order: str) -> None:
    problem = CountdownProblem(numbers, target)
    a, b, c = numbers
    reached = {
        last.result
        for x, y, z in ((a, b, c), (a, c, b), (b, c, a))
        for first in moves(x, y)
        for last in moves(first.result, z)
    }
    text = search(problem, order, 99)  # type: ignore[arg-type]
    assert is_right(problem, text) == (FOUND in text) == (target in reached)
    for budget in (1, 2):
        short = search(problem, order, budget)  # type: ignore[arg-type]
        assert branches(short) <= budget
        assert short == text or (short.endswith(GIVEN_UP) and text.startswith(short.removesuffix(GIVEN_UP)))
    assert solved_by_search(problem, 99) == (target in reached)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("7 * 3 = 21 5 : + 26 ! 7 * 3 = 21 21 + 5 = 26", True),
        ("! 3 * 7 = 21 5 + 21 = 26", True),
        ("! 7 * 3 = 21 21 + 5 = 27", False),
        ("! 7 * 3 = 22 22 + 5 = 26", False),
        ("! 7 * 3 = 21 7 + 5 = 26", False),  # uses a number twice
        ("! 7 * 4 = 28 28 - 2 = 26", False),  # uses numbers that are not given
        ("! 7 * 3 = 21 21 + 5", False),
        ("! 7 * 3 = 21", False),
        ("7 * 3 = 21 21 + 5 = 26", False),
        ("! 7 * ! = 21 21 + 5 = 26", False),
        ("! / / / / / / / / / /", False),
        ("", False),
        ("?", False),
    ],
)
def test_an_answer_is_two_right_equations(answer: str, expected: bool) -> None:
    assert is_right(CountdownProblem((3, 5, 7), 26), answer) == expected


def test_the_order_of_a_difference_counts() -> None:
    problem = CountdownProblem((3, 5, 7), 5)
    assert is_right(problem, "! 5 + 3 = 8 8 - 7 = 1") is False
    assert is_right(replace(problem, target=1), "! 5 + 3 = 8 8 - 7 = 1")
    assert not is_right(replace(problem, target=1), "! 5 + 3 = 8 7 - 8 = 1")


def test_documents_give_up_in_time_and_never_meet_what_is_held_out() -> None:
    texts = documents(np.random.default_rng(0), budget=2, count=300)
    tokenizer = word_tokenizer()
    for text in texts:
        assert set(text.split(" ")) <= set(VOCABULARY)
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert text.split(" ")[0] == text.split(" ")[-1] == END
        question, _, answer = text.strip().partition(" : ")
        *numbers, _, target = question.split()
        problem = CountdownProblem((int(numbers[0]), int(numbers[1]), int(numbers[2])), int(target))
        assert not problem.heldout
        assert is_right(problem, answer) != answer.endswith(GIVEN_UP)
        assert branches(answer) <= 2
    one_step = sum(branches(text.partition(" : ")[2]) == 1 for text in texts)
    assert 0.4 < one_step / len(texts) < 0.9


def test_held_out_problems_can_be_solved() -> None:
    rng = np.random.default_rng(1)
    for problem in [draw(rng, heldout=True) for _ in range(20)]:
        assert problem.heldout
        assert problem.target not in problem.numbers
        assert solved_by_search(problem, 99)
        turned = replace(problem, numbers=problem.numbers[::-1])
        assert turned.heldout, "the order of the numbers decides nothing"


def test_only_the_answer_is_rewarded() -> None:
    row = {"numbers": [3, 5, 7], "target": 26}
    found = judges()
    for text, finished, reward, tried in [
        ("7 * 3 = 21 5 : + 26 ! 7 * 3 = 21 21 + 5 = 26", True, 1.0, 1),
        ("! 7 * 3 = 21 21 + 5 = 26", True, 1.0, 0),
        ("! 7 * 3 = 21 21 + 5 = 26", False, 0.0, 0),
        ("7 - 3 = 4 5 : + 9 ; 7 + 3 = 10 5 : + 15 ; ?", True, 0.0, 2),
    ]:
        judged = [of_all[0] for of_all in judge_answers(found, [Answer([], text, row, finished=finished)])]
        assert together(found, judged).score == reward
        said = {one.name: each.score for one, each in zip(found, judged, strict=True) if each is not None}
        assert said["branches"] == tried
        assert said["given-up"] == text.endswith(GIVEN_UP)


def looked(right: list[int]) -> Looked:
    return Looked([True, False, False, True], right, 4, 100, 20, 3, ["1 2 3 > 6 : ?"])


@pytest.mark.parametrize(
    ("again", "after", "said"),
    [
        ([0, 0, 2, 4], [3, 4, 4, 4], "solves what the model did not"),
        ([0, 1, 2, 4], [1, 0, 4, 4], "not decided"),
        ([1, 1, 2, 4], [0, 0, 4, 4], "fewer than the model itself"),
    ],
)
def test_new_problems_are_compared_with_asking_again(again: list[int], after: list[int], said: str) -> None:
    before = [0, 0, 2, 4]
    policies = {BEFORE: before, AGAIN: again, METHODS[0]: after, METHODS[1]: before}
    results = Results({name: [looked(right)] * 8 for name, right in policies.items()}, samples=4)
    assert results.ks == [1, 4]
    assert results.new(AGAIN) == [float(value > 0) for value in again[:2]] * 8
    assert results.passes(METHODS[0], 1, hard=True) == [after[0] / 4, after[3] / 4] * 8
    lines = [str(row[0]) for row in findings_table(results, seed=0).rows]
    assert said in lines[1]
    rows = solved_table(results, seed=0).rows
    assert [row[1:3] for row in rows] == [[16, int(sum(results.new(name)))] for name in (AGAIN, *METHODS)]
    assert rows[1][-1] == 0


def test_further_problems_count_where_new_ones_do_and_nowhere_else() -> None:
    policies = {BEFORE: [], AGAIN: [0, 1, 0], METHODS[0]: [1, 2, 4], METHODS[1]: [0, 0, 0]}
    results = Results(
        {name: [replace(looked([0, 0, 2, 4]), further=further)] for name, further in policies.items()}, samples=4
    )
    rows = {row[0]: row for row in solved_table(results, seed=0).rows}
    assert [rows[name][1:3] for name in (AGAIN, *METHODS)] == [[5, 1], [5, 3], [5, 0]]
    assert rows[METHODS[0]][5] == percent(7 / 20, 0)
    assert rows[METHODS[0]][6:] == [2, 0]
    assert results.passes(METHODS[0], 1) == [0, 0, 0.5, 1]


def test_further_problems_are_new_and_missed_by_every_sample() -> None:
    setting = replace(QUICK, problems=200, further=40, samples=1)
    config = replace(QUICK.shape.config(vocab_size=len(VOCABULARY), max_positions=192), positions="learned")
    decoder = drawn(config, seed=0).eval()
    missed = setting.missed(decoder, 0)
    assert 30 < len(missed) <= 40, "random weights solve nothing"
    assert len(set(missed)) == len(missed)
    assert all(problem.heldout for problem in missed)
    found = setting.looked(decoder, 0, further=missed[:3])
    assert found["further"] == [0, 0, 0]
    assert len(found["right"]) == 200
    known = {one.rpartition(" :")[0] for one in found["examples"]}
    assert not known & {problem.question.rpartition(" :")[0] for problem in missed}


def test_nothing_is_left_to_find_where_all_was_solved() -> None:
    results = Results({name: [looked([1, 1, 1, 1])] for name in (BEFORE, AGAIN, *METHODS)}, samples=4)
    lines = [str(row[0]) for row in findings_table(results, seed=0).rows]
    assert "nothing was left to find" in lines[1]
    assert solved_table(results, seed=0).rows[0][3] is None


def test_hard_problems_are_drawn_where_there_are_any() -> None:
    some = Results({name: [looked([0, 1, 1, 1])] for name in (BEFORE, AGAIN, *METHODS)}, samples=4)
    assert [panel.title for panel in passes_panels(some)] == ["pass@k", "pass@k, hard problems"]
    assert passes_panels(some)[1].series[BEFORE] == [(1.0, 0.125), (4.0, 0.5)]
    none = {name: [replace(one, hard=[False] * 4) for one in seeds] for name, seeds in some.policies.items()}
    assert [panel.title for panel in passes_panels(Results(none, samples=4))] == ["pass@k"]


@pytest.mark.slow
def test_an_interrupted_search_goes_on_to_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = conducted(SearchExperiment, tmp_path / "whole", seed=0, seeds=1, setting=QUICK, threads=1)
    from burnish.lab.reasoning import searching

    learned, calls = searching.rft.learn, list[bool]()

    def stopped(*arguments: object, **options: object) -> object:
        calls.append(True)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return learned(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(searching.rft, "learn", stopped)
    with pytest.raises(KeyboardInterrupt):
        conducted(SearchExperiment, tmp_path / "again", seed=0, seeds=1, setting=QUICK, threads=1)
    gone_on = conducted(SearchExperiment, tmp_path / "again", seed=0, seeds=1, setting=QUICK, threads=1)
    assert whole[0].read_text() == gone_on[0].read_text()
    assert whole[1].read_text() == gone_on[1].read_text()
