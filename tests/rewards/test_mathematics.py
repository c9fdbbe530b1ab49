"""Mathematics by math-verify in a process of its own: what is equal, where the answer is read, and what hangs."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.rewards.judgement import Judgement
from burnish.rewards.mathematics import MathVerifier
from burnish.rewards.scorer import Scorer

pytest.importorskip("math_verify")
SLOW = "<answer>9^{9^{9^{9^{9}}}}</answer>"


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    with Scorer("math-verify") as one:
        yield one


def judged(scorer: Scorer, text: str, gold: Any) -> Judgement:
    (judgement,) = MathVerifier(scorer)([Answer([], text, {"answer": gold})])
    assert judgement.correct is (judgement.reason == "correct")
    return judgement


@pytest.mark.parametrize(
    ("text", "gold", "right"),
    [
        ("so it is \\boxed{\\frac{1}{2}}.", "0.5", True),
        ("\\boxed{3} or rather \\boxed{\\frac12}", "1/2", True),
        ("<think>\\boxed{7}</think><answer>5</answer>", "5", True),
        ("<think>\\boxed{7}</think><answer>\\boxed{5}</answer>", 5, True),
        ("<answer>x^2 + 2x + 1</answer>", "(x+1)^2", True),
        ("<answer>(x+1)^2</answer>", "$x^2 + 2x + 2$", False),
        ("<answer>\\sqrt{8}</answer>", "2\\sqrt{2}", True),
        ("<answer>\\{3, 1, 2\\}</answer>", "\\{1,2,3\\}", True),
        ("3 and 4 make 7", "7", True),
        ("3 and 4 make 8", "7", False),
        ("18 dollars", "She has 3.\n#### 18", True),
        ("1,234", 1234, True),
        ("50%", "0.5", True),
        ("<answer></answer>", "7", False),
        ("I do not know", "7", False),
        ("", "7", False),
    ],
)
def test_equal_expressions_are_right(text: str, gold: Any, right: bool, scorer: Scorer) -> None:
    assert judged(scorer, text, gold).correct is right


def test_what_hangs_is_killed_and_the_next_is_judged(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also off the main thread, where math-verify's own limit fails."""
    found: list[list[Judgement]] = []
    answers = [Answer([], text, {"answer": "7"}) for text in ("<answer>7</answer>", SLOW, SLOW, "7")]
    monkeypatch.setattr(scorer, "timeout_seconds", 0.5)
    thread = threading.Thread(target=lambda: found.append(MathVerifier(scorer)(answers)))
    thread.start()
    thread.join()
    assert [one.reason for one in found[0]] == ["correct", "too slow", "too slow", "correct"]
    assert scorer.killed == 1, "the same text is judged once"


def test_equal_answers_vote(scorer: Scorer) -> None:
    texts = ["<answer>2</answer>", "<answer>1/2</answer>", "", "so 0.5", "\\boxed{\\frac{1}{2}}"]
    election = MathVerifier(scorer).elect([Answer([], text) for text in texts])
    assert (election.winner, election.votes, election.voters) == (1, 3, 4)


@pytest.mark.parametrize("gold", ["", None, True, [1], "no idea at all"])
def test_a_row_without_mathematics_is_an_error(gold: Any, scorer: Scorer) -> None:
    with pytest.raises(DataError, match=r"'answer': .*expected a number or a formula"):
        MathVerifier(scorer).check({"answer": gold})
