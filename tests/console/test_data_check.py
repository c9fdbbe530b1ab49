"""What `burnish data check` says of files of judged answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.cli.data import ReadingStage
from burnish.console.data_check import STAGES, describe, describe_for
from burnish.errors import DataError

GOOD = {"prompt": "a", "chosen": "b", "rejected": "c"}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([GOOD], "1 preference (prompt format)"),
        (
            [GOOD, {**GOOD, "rejected": ""}, {**GOOD, "rejected": "b"}],
            "3 preferences (prompt format)\n2 rows of it will be dropped:\n"
            '  {file}:2: the rejected answer is empty\n  {file}:3: chosen and rejected are equal ("b")',
        ),
        ([{"prompt": "a", "responses": ["b", "c", "d"]}] * 2, "2 ranked lists of 6 answers"),
        (
            [{"prompt": "a", "completion": "", "label": True}],
            "1 labelled answer, 1 of them desired\n1 row of it will be dropped:\n  {file}:1: the answer is empty",
        ),
        (
            [{"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}],
            "1 preference (implicit-prompt preference format)",
        ),
    ],
)
def test_judged_answers(rows: list[dict[str, Any]], expected: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert describe(file) == expected.format(file=file)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([("User", "a"), ("Assistant", "b")], "1 conversation (ShareGPT format)"),
        ([("User", "a")], "1 task (ShareGPT format)"),
        ([("prompter", "a")], "1 task (ShareGPT format)"),
    ],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_who_speaks_last(turns: list[tuple[str, str]], expected: str, as_text: bool, tmp_path: Path) -> None:
    messages = [{"from": role, "value": text} for role, text in turns]
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"conversations": json.dumps(messages) if as_text else messages}) + "\n")
    assert describe(file) == expected


@pytest.mark.parametrize(
    ("first", "other", "expected"),
    [
        ({"instruction": "a", "output": None}, {"instruction": "a", "output": "b"}, "2 conversations (Alpaca format)"),
        ({**GOOD, "rejected": None}, GOOD, "2 preferences (prompt format)"),
        (
            {"messages": [{"role": "user", "content": "a"}]},
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
            "2 conversations (OpenAI format)",
        ),
        (
            {"prompt": "a", "completion": "b", "label": None},
            {"prompt": "a", "completion": "b", "label": True},
            "2 labelled",
        ),
    ],
)
def test_a_first_row_that_teaches_nothing(
    first: dict[str, Any], other: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(first) + "\n" + json.dumps(other) + "\n")
    assert describe(file).startswith(expected)
    assert f"1 row of it will be dropped:\n  {file}:1: " in describe(file)


def test_only_the_first_rows_that_will_be_dropped_are_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [GOOD, *[{**GOOD, "chosen": ""}] * 9]))
    lines = describe(file).splitlines()
    assert (len(lines), lines[-1]) == (8, "  and 4 more")


CHAT = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
ASKED = {"messages": CHAT["messages"][:1]}
SERVES: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]], str]] = {
    "conversations": ("sft", {}, [CHAT] * 2, "2 conversations for sft"),
    "one that is dropped": (
        "sft",
        {},
        [CHAT, ASKED, CHAT],
        "2 conversations for sft\n1 row of it will be dropped:\n"
        "  {file}:2: messages has no assistant message, so there is nothing to learn",
    ),
    "keys that nothing reads": (
        "sft",
        {},
        [{**CHAT, "id": 1}, CHAT],
        "2 conversations for sft\nnot read: id (in 1 row)",
    ),
    "columns": (
        "sft",
        {"columns": {"prompt": "question", "completion": "answer"}},
        [{"question": "a", "answer": "b"}] * 2,
        "2 conversations for sft",
    ),
    "pairs": ("dpo", {}, [GOOD] * 2, "2 preferences for dpo"),
    "pairs to rank": ("reward_model", {}, [{**GOOD, "margin": 1}] * 2, "2 ranked lists for reward_model"),
    "pairs that contradict themselves": (
        "dpo",
        {},
        [GOOD, {**GOOD, "score_chosen": 1, "score_rejected": 4.5}, {**GOOD, "margin": -2}],
        "3 preferences for dpo\n2 rows of it should be looked at:\n"
        "  {file}:2: score_chosen 1 and score_rejected 4.5: by them the rejected answer is the better one\n"
        "  {file}:3: margin is -2: by it the rejected answer is the better one\n"
        "not read: score_chosen (in 1 row), score_rejected (in 1 row), margin (in 1 row)",
    ),
    "labels": (
        "kto",
        {},
        [{"prompt": "a", "completion": "b", "label": True}] * 2,
        "2 labelled answers for kto, 2 of them desired; KTO learns from the difference, and here is only one kind",
    ),
    "prompts": ("sample", {}, [{"prompt": "a"}], "1 task for sample"),
    "tasks": (
        "evaluate",
        {},
        [{"prompt": "a", "sql": "select 1"}],
        "1 task for evaluate, each with what the judge 'sql' reads",
    ),
    "numbers": (
        "grpo",
        {"judge": "numbers"},
        [{"prompt": "a", "answer": "so it is\n#### 4"}],
        "1 task for grpo, each with what the judge 'numbers' reads",
    ),
    "no judge named": (
        "grpo",
        {},
        [{"prompt": "a", "answer": "4"}],
        "1 task for grpo; of what a judge could read there is: answer",
    ),
    "documents": ("cpt", {}, [{"text": "abc"}], "1 document, 3 characters"),
    "documents with a body": (
        "corpus",
        {"columns": {"text": "body"}},
        [{"body": "ab"}],
        "1 document, 2 characters",
    ),
    "a query in the answer": (
        "evaluate",
        {},
        [{"prompt": "a", "completion": "```sql\nselect 1\n```"}],
        "1 task for evaluate, each with what the judge 'sql' reads",
    ),
}


@pytest.mark.parametrize(("stage", "options", "rows", "expected"), SERVES.values(), ids=SERVES)
def test_what_a_stage_can_use(
    stage: str, options: dict[str, Any], rows: list[dict[str, Any]], expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert describe_for(file, stage, **options) == expected.format(file=file)


LACKS: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]], str]] = {
    "no rejected": ("dpo", {}, [{"prompt": "a", "chosen": "b"}], '{file}:1: "rejected" is missing'),
    "rejected by another name": (
        "dpo",
        {},
        [{"prompt": "a", "chosen": "b", "loser": "c"}],
        "\"rejected\" is missing; is it 'loser'? Then set columns: {{rejected: loser}}",
    ),
    "no answer": ("sft", {}, [ASKED] * 2, "{file}:1: messages has no assistant message"),
    "an answer by another name": (
        "sft",
        {},
        [{"prompt": "a", "solution": "b"}],
        "\"completion\" is missing; is it 'solution'? Then set columns: {{completion: solution}}",
    ),
    "all by other names": (
        "sft",
        {},
        [{"question": "a", "answer": "b"}],
        "or name yours with columns such as {{prompt: question, completion: answer}}",
    ),
    "all by other names with capitals": (
        "sft",
        {},
        [{"Question": "a", "Response": "b"}],
        "or name yours with columns such as {{prompt: Question, completion: Response}}",
    ),
    "an answer with a capital": (
        "sft",
        {},
        [{"prompt": "a", "Response": "b"}],
        "set columns: {{completion: Response}}",
    ),
    "one row": ("sft", {}, [CHAT], "{file}: not for sft, which needs 2 conversations; 1 can be used"),
    "equal pairs": (
        "dpo",
        {},
        [{**GOOD, "rejected": "b"}] * 3,
        "{file}: not for dpo, which needs 1 preference; 0 can be used\n3 rows of it will be dropped:",
    ),
    "no label": ("kto", {}, [{"prompt": "a", "completion": "b"}], '"label" is missing'),
    "no query": (
        "evaluate",
        {},
        [{"prompt": "a", "query": "select 1"}],
        "{file}:1: no \"sql\", the query whose result is expected; is it 'query'? Then rename that column to sql",
    ),
    "an empty query": ("evaluate", {}, [{"prompt": "a", "sql": " "}], '{file}:1: no "sql", the query whose result is'),
    "a judge where nothing is judged": ("sft", {"judge": "numbers"}, [CHAT], "--judge numbers: sft reads no tasks"),
    "columns of rows": ("cpt", {"columns": {"prompt": "q"}}, [{"text": "a"}], "--columns prompt=q: documents have"),
    "no number": ("grpo", {"judge": "numbers"}, [{"prompt": "a"}], "{file}:1: "),
    "documents": ("sft", {}, [{"text": "a"}], "the row is a document"),
    "conversations as documents": ("cpt", {}, [CHAT], '{file}:1: "text" is missing'),
}


@pytest.mark.parametrize(("stage", "options", "rows", "expected"), LACKS.values(), ids=LACKS)
def test_what_a_stage_cannot_use(
    stage: str, options: dict[str, Any], rows: list[dict[str, Any]], expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError) as caught:
        describe_for(file, stage, **options)
    assert expected.format(file=file) in str(caught.value)


def test_every_stage_that_can_be_named_is_known() -> None:
    assert [stage.value for stage in ReadingStage] == list(STAGES)
