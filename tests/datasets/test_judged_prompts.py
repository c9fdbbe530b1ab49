"""Judgements → training rows: majorities, ties, corrections, and no dependence on their order."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from burnish.datasets.feedback import Answered, Judged
from burnish.datasets.judged_prompts import (
    comparable,
    conversations,
    is_held_out,
    judged_prompts,
    labelled,
    preferences,
)

QUESTION = [{"role": "user", "content": "How many flights?"}]
Found = list[tuple[Judged, Answered, str | None]]


def said(answer: str, kind: Any, other: str | None = None, question: str = "How many flights?") -> Any:
    """A judgement as the store gives it; other: the worse answer, or the correction."""
    given = Answered(id=answer, prompt=[{"role": "user", "content": question}], answer=answer, model="m")
    than, text = (other if kind == "better" else None), (other if kind == "correction" else None)
    return Judged(answer=answer, kind=kind, than=than, text=text), given, than


def rows(found: Found, most: int = 4) -> tuple[list[tuple[str, str]], dict[str, bool], list[str]]:
    prompts = judged_prompts(found)
    pairs = [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in preferences(prompts, most)]
    labels = {row["completion"][0]["content"]: row["label"] for row in labelled(prompts)}
    return pairs, labels, [row["messages"][-1]["content"] for row in conversations(prompts)]


def test_a_correction_is_better_than_what_it_corrects_and_is_imitated() -> None:
    pairs, labels, imitated = rows([said("a", "correction", "b")])
    assert pairs == [("b", "a")]
    assert labels == {"a": False, "b": True}
    assert imitated == ["b"]


def test_good_and_bad_answers_to_one_prompt_are_pairs() -> None:
    pairs, labels, imitated = rows([said("a", "good"), said("b", "bad"), said("c", "bad")])
    assert pairs == [("a", "b"), ("a", "c")]
    assert labels == {"a": True, "b": False, "c": False}
    assert imitated == ["a"]
    assert rows([said("a", "good"), said("b", "bad", question="Another one?")])[0] == []


def test_the_majority_holds_and_a_tie_teaches_nothing() -> None:
    assert rows([said("a", "good"), said("a", "good"), said("a", "bad")])[1] == {"a": True}
    tied = [said("a", "good"), said("a", "bad"), said("b", "better", "c"), said("c", "better", "b")]
    assert rows(tied) == ([], {}, [])
    assert judged_prompts(tied)[0].contradictions() == 2
    assert rows([*tied, said("b", "better", "c")])[0] == [("b", "c")]


def test_a_pair_that_people_chose_is_not_turned_round_by_thumbs() -> None:
    found = [said("a", "better", "b"), said("a", "bad"), said("b", "good")]
    assert rows(found)[0] == [("a", "b")]


def test_texts_that_become_equal_are_counted_together() -> None:
    (one,) = judged_prompts([said("ask ann", "good"), said("ask bob", "good"), said("ask ann", "better", "no")])
    changed = one.changed(lambda text: text.replace("ann", "<NAME>").replace("bob", "<NAME>"))
    assert changed.good == {"ask <NAME>": 2}
    assert changed.better == {("ask <NAME>", "no"): 1}


@given(
    st.lists(
        st.builds(
            said,
            st.sampled_from("abc"),
            st.sampled_from(["good", "bad", "better", "correction"]),
            st.sampled_from("xyz"),
            st.sampled_from(["one?", "two?"]),
        ),
        max_size=12,
    ),
    st.randoms(),
)
def test_rows_do_not_depend_on_the_order_of_judgements(found: Found, random: Any) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert rows(found) == rows(shuffled)
    for one in judged_prompts(found):
        assert all((other, better) not in one.pairs(99) for better, other in one.pairs(99))


def test_a_question_is_held_out_for_good_however_it_is_typed() -> None:
    prompts = judged_prompts([said("a", "good", question=f"question {number}") for number in range(400)])
    held = {one.question for one in prompts if is_held_out(one, 0.25, 1)}
    assert 60 < len(held) < 140
    again = judged_prompts([said("b", "bad", question=f"Question  {number}!") for number in range(400)])
    assert {comparable(one.question) for one in again if is_held_out(one, 0.25, 1)} == held
    assert not any(is_held_out(one, 0.0, 1) for one in prompts)
