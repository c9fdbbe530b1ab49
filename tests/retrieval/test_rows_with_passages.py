"""Rows with passages before their question."""

import pytest

from burnish.errors import DataError
from burnish.retrieval import Index, IndexSettings
from burnish.retrieval.grounding import Passages
from burnish.retrieval.rows import chosen, question, with_passages


@pytest.fixture(scope="module")
def passages(tmp_path_factory: pytest.TempPathFactory) -> Passages:
    folder = tmp_path_factory.mktemp("docs")
    (folder / "leave.md").write_text("# Leave\n\nEveryone has thirty days of leave.\n")
    (folder / "keys.md").write_text("# Keys\n\nKeys are in room 3.\n")
    index, _ = Index.build([folder], folder / "index", IndexSettings(size=24, overlap=0))
    return Passages(index, k=1, max_tokens=200)


def words(text: str) -> int:
    return len(text.split())


def test_the_last_question_gets_passages_and_the_answer_stays(passages: Passages) -> None:
    turns = [
        {"role": "user", "content": "Where are the keys?"},
        {"role": "assistant", "content": "In room 3."},
        {"role": "user", "content": "How many days of leave?"},
        {"role": "assistant", "content": "30"},
    ]
    row, hits = with_passages({"messages": turns, "task_type": "dialogue"}, passages, words)
    assert hits == 1
    assert row["messages"][:2] == turns[:2]
    assert row["messages"][3] == turns[3]
    assert "Everyone has thirty days of leave." in row["messages"][2]["content"]
    assert row["messages"][2]["content"].endswith("Question: How many days of leave?")
    assert row["passages"] == ["leave.md, Leave"]
    assert row["task_type"] == "dialogue"
    assert turns[2]["content"] == "How many days of leave?", "the row that was given is as it was"


def test_a_prompt_stays_what_it_is(passages: Passages) -> None:
    text, _ = with_passages({"prompt": "Where are the keys?", "answer": "room 3"}, passages, words)
    assert text["prompt"].endswith("Question: Where are the keys?")
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where are the keys?"}]
    messages, _ = with_passages({"prompt": asked}, passages, words)
    assert messages["prompt"] == [asked[0], {"role": "user", "content": text["prompt"]}]
    without, hits = with_passages({"prompt": "zebra"}, passages, words)
    assert (without["prompt"], hits, without["passages"]) == ("zebra", 0, [])


def test_a_share_of_the_rows_is_drawn_by_their_question(passages: Passages) -> None:
    questions = [f"question {n}" for n in range(2000)]
    drawn = [chosen(one, 0.25) for one in questions]
    assert 0.21 < sum(drawn) / len(drawn) < 0.29
    assert all(chosen(one, 0.5) for one, yes in zip(questions, drawn, strict=True) if yes), "a larger share adds rows"
    left_out = next(one for one, yes in zip(questions, drawn, strict=True) if not yes)
    row, hits = with_passages({"prompt": left_out}, passages, words, 0.25)
    assert (row, hits) == ({"prompt": left_out}, None)


@pytest.mark.parametrize("row", [{}, {"prompt": 3}, {"messages": [{"role": "assistant", "content": "x"}]}])
def test_a_row_without_a_question_is_named(row: dict[str, object]) -> None:
    with pytest.raises(DataError, match="expected a question: text, or messages with one of the user's"):
        question(row)
