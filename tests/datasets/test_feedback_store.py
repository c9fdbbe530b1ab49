"""The file of answers and judgements: what it keeps, refuses, counts and deletes."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from burnish.datasets.feedback import MAX_TEXT, Answered, Feedback, FeedbackError, Judged
from burnish.errors import DataError

QUESTION = [{"role": "user", "content": "How many flights?"}]


def answered(name: str, **changes: Any) -> Answered:
    values: dict[str, Any] = {"id": name, "prompt": QUESTION, "answer": f"answer {name}", "model": "m", "user": "ann"}
    return Answered(**values | changes)


def test_what_was_kept_comes_back_with_its_judgements_in_their_order(tmp_path: Path) -> None:
    with Feedback.open(tmp_path / "feedback.db") as store:
        store.record(answered("a", sampling={"temperature": 0.7}, retrieved=[{"document": "x.md"}]))
        store.record(answered("b"))
        first = store.judge(Judged(answer="a", kind="bad", user="bob", reason="wrong column"))
        second = store.judge(Judged(answer="b", kind="better", than="a", user="ann"))
        third = store.judge(Judged(answer="a", kind="correction", text="select 1"))
    with Feedback.open(tmp_path / "feedback.db", create=False) as store:
        found = list(store.judgements())
        assert [judged.number for judged, _, _ in found] == [first, second, third]
        assert [judged.kind for judged, _, _ in found] == ["bad", "better", "correction"]
        assert found[0][0].reason == "wrong column"
        assert found[0][1].sampling == {"temperature": 0.7}
        assert found[0][1].retrieved == [{"document": "x.md"}]
        assert found[1][2] == "answer a"
        assert [judged.number for judged, _, _ in store.judgements(after=first, until=second)] == [second]
        assert store.counts(after=first) == {"answers": 2, "good": 0, "bad": 0, "better": 1, "correction": 1}


@pytest.mark.parametrize(
    ("judged", "reason"),
    [
        (Judged(answer="z", kind="good"), "no such answer"),
        (Judged(answer="a", kind="fine"), "expected one of good, bad"),  # type: ignore[arg-type]
        (Judged(answer="a", kind="good", text="x"), "goes with kind 'correction'"),
        (Judged(answer="a", kind="correction"), "goes with kind 'correction'"),
        (Judged(answer="a", kind="correction", text=""), "expected a text"),
        (Judged(answer="a", kind="better", than="a"), "not better than itself"),
        (Judged(answer="a", kind="better", than="z"), "no such answer 'z'"),
        (Judged(answer="a", kind="better", than="other"), "not to the same prompt"),
        (Judged(answer="a", kind="bad", reason="x" * (MAX_TEXT + 1)), "at most"),
    ],
)
def test_a_judgement_that_says_nothing_is_refused_and_nothing_is_kept(
    tmp_path: Path, judged: Judged, reason: str
) -> None:
    with Feedback.open(tmp_path / "feedback.db") as store:
        store.record(answered("a"))
        store.record(answered("other", prompt=[{"role": "user", "content": "Another"}]))
        with pytest.raises(FeedbackError, match=reason):
            store.judge(judged)
        assert list(store.judgements()) == []


def test_an_answer_is_refused_twice_or_without_roles_or_as_half_a_letter(tmp_path: Path) -> None:
    with Feedback.open(tmp_path / "feedback.db") as store:
        store.record(answered("a"))
        for wrong, reason in (
            (answered("a"), "kept already"),
            (answered("b", prompt=[{"content": "x"}]), "without a role"),
            (answered("c", answer="\ud800"), "not Unicode"),
            (answered("d", sampling={"temperature": float("nan")}), "cannot be written as JSON"),
        ):
            with pytest.raises(FeedbackError, match=reason):
                store.record(wrong)
        assert store.counts()["answers"] == 1


def test_a_users_answers_go_with_what_others_said_of_them_and_leave_no_byte(tmp_path: Path) -> None:
    file = tmp_path / "feedback.db"
    with Feedback.open(file) as store:
        store.record(answered("a", answer="a secret of ann"))
        store.record(answered("b", user="bob"))
        store.judge(Judged(answer="a", kind="good", user="bob"))
        store.judge(Judged(answer="b", kind="better", than="a", user="bob"))
        last = store.judge(Judged(answer="b", kind="bad", user="bob"))
        assert store.delete(user="ann") == 1
        assert [judged.number for judged, _, _ in store.judgements()] == [last]
        assert store.delete(before="2000-01-01") == 0
        assert store.delete(before="9999-01-01") == 1
        assert store.last() == last
        assert store.counts()["answers"] == 0
    assert all(b"a secret of ann" not in path.read_bytes() for path in tmp_path.iterdir())


def test_what_is_no_such_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        Feedback.open(tmp_path / "feedback.db", create=False)
    (tmp_path / "text.db").write_text("hello, this is a text")
    with pytest.raises(DataError, match="no SQLite file"):
        Feedback.open(tmp_path / "text.db")
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("create table flights (carrier text)")
    connection.close()
    with pytest.raises(DataError, match="something else"):
        Feedback.open(tmp_path / "other.db")
    with pytest.raises(DataError, match="cannot be opened"):
        Feedback.open(tmp_path / "no" / "folder.db")


def test_two_connections_write_side_by_side(tmp_path: Path) -> None:
    with Feedback.open(tmp_path / "feedback.db") as one, Feedback.open(tmp_path / "feedback.db") as other:
        for number in range(20):
            (one if number % 2 else other).record(answered(str(number)))
        assert one.counts()["answers"] == other.counts()["answers"] == 20
