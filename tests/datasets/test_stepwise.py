"""Answers whose steps have labels: rows, bad rows by file and line, tokens, labels at the right ones, batches."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from burnish.datasets.rows import Labelled, RowPlace, Stepwise, read_rankings, read_stepwise
from burnish.datasets.token_labels import LabelledSequence, label_batches, outcome_examples, stepwise_examples
from burnish.errors import DataError
from burnish.text.chat import encode_prompt
from burnish.text.tokenizer import Tokenizer

QUESTION: Any = [{"role": "user", "content": "2 + 2?"}]
GOOD: dict[str, Any] = {"prompt": "2 + 2?", "completions": ["two", "{2}", "so 4"], "labels": [True, 0.25, None]}


def write(file: Path, *rows: dict[str, Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_rows_of_trl_are_read(tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be brief."}
    rows = [GOOD, {**GOOD, "prompt": [system, *QUESTION], "labels": [1, 0, False], "id": "a"}]
    first, second = read_stepwise(write(tmp_path / "steps.jsonl", *rows))
    assert (first.prompt, first.steps, first.labels) == (QUESTION, ["two", "{2}", "so 4"], [1.0, 0.25, None])
    assert (second.prompt, second.labels, second.unused) == ([system, *QUESTION], [1.0, 0.0, 0.0], ("id",))
    named = write(tmp_path / "named.jsonl", {"question": "2 + 2?", "steps": ["4"], "ok": [True]})
    (third,) = read_stepwise(named, columns={"prompt": "question", "completions": "steps", "labels": "ok"})
    assert (third.prompt, third.steps, third.labels) == (QUESTION, ["4"], [1.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [True]}, "labels has length 1, but completions has 3 steps; give a label for each"),
        ({"labels": True}, "labels is true; expected a list, a label for each of completions"),
        ({"labels": []}, "labels is an empty list; expected a list, a label"),
        ({"labels": [True, True, "yes"]}, r'labels\[2\] is "yes"; expected true \(right\) or false, a share from 0'),
        ({"labels": [True, True, -1]}, r"labels\[2\] is -1; expected"),
        ({"completions": "two"}, 'completions is "two"; expected a list, the steps of an answer'),
        ({"completions": ["two", 2, "so 4"]}, r"completions\[1\] is 2; expected the text of a step"),
    ],
)
def test_bad_rows_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = write(tmp_path / "steps.jsonl", GOOD, {**GOOD, **changes})
    with pytest.raises(DataError, match=rf"steps\.jsonl:2: {message}"):
        read_stepwise(file)


def test_keys_that_are_missing_are_named(tmp_path: Path) -> None:
    file = write(tmp_path / "steps.jsonl", GOOD, {"prompt": "2 + 2?", "completion": ["4"], "labels": [True]})
    with pytest.raises(DataError, match=r'steps\.jsonl:2: "completions" is missing \(did you mean "completion"\?\)'):
        read_stepwise(file)
    with pytest.raises(DataError, match=r"steps\.jsonl:1: .*which the stage process_reward_model reads"):
        read_rankings(file)


def test_rows_that_teach_nothing_are_dropped_and_the_rest_goes_on(tokenizer: Tokenizer, tmp_path: Path) -> None:
    rows = [
        GOOD,
        {**GOOD, "completions": ["two", " ", "so 4"]},
        {**GOOD, "labels": [None] * 3},
        {**GOOD, "labels": None},
        {**GOOD, "completions": ["two", "a\nb", "so 4"]},
    ]
    read = read_stepwise(write(tmp_path / "steps.jsonl", *rows))
    examples, report = stepwise_examples(read, tokenizer, step_separator="\n", max_length=200)
    assert len(examples) == 2
    reasons = ["step 2 is empty", "no step has a label", "labels is null"]
    assert [(line, reason) for _, line, reason in report.dropped] == list(zip((2, 3, 4), reasons, strict=True))
    ((_, line, reason),) = report.noted
    assert (line, reason[:36]) == (5, "step 2 has the separator '\\n' inside")


@pytest.mark.parametrize(
    ("options", "labelled"),
    [
        ({}, {"\n": [1.0, 0.25]}),
        ({"label_at": "tokens"}, {"two\n": [1.0] * 4, "{2}\n": [0.25] * 4}),
        ({"step_separator": " ки\n"}, {"\n": [1.0, 0.25]}),
    ],
)
def test_labels_are_at_their_tokens(
    options: dict[str, Any], labelled: dict[str, list[float]], tokenizer: Tokenizer
) -> None:
    row = Stepwise(QUESTION, ["two\n", "{2}", "so 4"], [1.0, 0.25, None])
    separator = options.get("step_separator", "\n")
    row.steps[0] = f"two{separator}"  # which is not said twice
    settings: dict[str, Any] = {"step_separator": "\n", "max_length": 200, **options}
    ((example,), _) = stepwise_examples([row], tokenizer, **settings)
    prompt = encode_prompt(tokenizer, QUESTION)
    # Nothing is kept behind the last label.
    assert example.tokens[: len(prompt)] == prompt
    assert tokenizer.decode(example.tokens[len(prompt) :]) == f"two{separator}{{2}}{separator}"
    said = [tokenizer.decode([token]) for token, yes in zip(example.tokens, example.mask, strict=True) if yes]
    if "label_at" in options:
        assert "".join(said) == "".join(labelled)
        assert example.labels == [label for values in labelled.values() for label in values]
    else:
        assert said == ["\n", "\n"]
        assert example.labels == [1.0, 0.25]


def test_the_last_step_alone(tokenizer: Tokenizer) -> None:
    row = Stepwise(QUESTION, ["two", "so 4"], [1.0, 0.0])
    ((example,), _) = stepwise_examples([row], tokenizer, step_separator="\n", max_length=99, last_step_only=True)
    assert (example.labels, sum(example.mask), example.mask[-1]) == ([0.0], 1, True)
    unsaid = Stepwise(QUESTION, ["two", "so 4"], [1.0, None])
    _, report = stepwise_examples([unsaid], tokenizer, step_separator="\n", max_length=99, last_step_only=True)
    assert report.dropped == [("memory", 0, "the last step has no label")]


def test_long_answers_are_dropped_or_cut(tokenizer: Tokenizer) -> None:
    rows = [Stepwise(QUESTION, ["a" * 9, "b" * 9], [1.0, 0.0], place=RowPlace("f", 1))]
    length = len(encode_prompt(tokenizer, QUESTION))
    options: dict[str, Any] = {"step_separator": "\n"}
    dropped, report = stepwise_examples(rows, tokenizer, max_length=length + 19, **options)
    assert (dropped, report.dropped) == ([], [("f", 1, f"{length + 20} tokens, more than max_length {length + 19}")])
    (example,), report = stepwise_examples(rows, tokenizer, max_length=length + 19, on_long="cut", **options)
    assert (example.labels, len(report.cut), len(example.tokens)) == ([1.0], 1, length + 10)
    none, report = stepwise_examples(rows, tokenizer, max_length=length + 9, on_long="cut", **options)
    assert none == []
    assert report.dropped[0][2].endswith("and no step with a label ends before that")


@pytest.mark.parametrize("label_at", ["answer", "tokens"])
def test_outcomes_have_their_label_where_transformers_reads(
    label_at: Literal["answer", "tokens"], tokenizer: Tokenizer
) -> None:
    rows = [Labelled(QUESTION, [{"role": "assistant", "content": "4"}], True)]
    ((example,), _) = outcome_examples(rows, tokenizer, max_length=99, label_at=label_at)
    answer = tokenizer.decode(example.tokens, skip_special=False).removeprefix(
        tokenizer.decode(encode_prompt(tokenizer, QUESTION), skip_special=False)
    )
    assert answer == "4<|im_end|>\n"
    assert example.labels == [1.0] * (3 if label_at == "tokens" else 1)
    assert example.mask == [False] * (len(example.tokens) - len(example.labels)) + [True] * len(example.labels)


def test_answers_that_begin_alike_share_tokens_with_labels_of_their_own() -> None:
    one = LabelledSequence([1] * 20 + [2, 3], [False] * 20 + [True, True], [1.0, 0.0], 20)
    two = LabelledSequence([1] * 20 + [2, 4], [False] * 20 + [True, True], [0.5, 1.0], 20)
    other = LabelledSequence([9] * 21, [False] * 20 + [True], [0.0], 20)
    # Those to one prompt stay together where others would come between them by length, unless they are too many.
    assert sorted(len(batch.rows) for batch in label_batches([one, other, two], micro_batch_tokens=25)) == [1, 4]
    assert [batch.n_rows for batch in label_batches([one, two], micro_batch_tokens=22)] == [1, 1]
    (batch,) = label_batches([one, two], micro_batch_tokens=99)
    assert batch.forest.n_tokens == 23
    assert len(batch.scored) == 3
    assert torch.equal(batch.columns["labels"], torch.tensor([1.0, 0.0, 0.5, 1.0]))
    assert batch.forest.tokens[batch.scored][batch.entries].tolist() == [2, 3, 2, 4]
