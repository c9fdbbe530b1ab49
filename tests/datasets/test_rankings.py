"""Judged answers as tokens and batches; what cannot be used is dropped with its reason, and the rest goes on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from burnish.datasets.examples import labelled_examples, preference_examples
from burnish.datasets.rankings import RankedExample, ranked_batches, ranked_examples
from burnish.datasets.rows import Labelled, Preference, Ranking, RowPlace
from burnish.text.chat import Message
from burnish.text.tokenizer import Tokenizer

USER: Message = {"role": "user", "content": "2 + 2?"}
SYSTEM: Message = {"role": "system", "content": "Be brief."}
ROWS = [RowPlace("rows.jsonl", line) for line in range(1, 10)]


def says(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


def text(tokens: list[int], tokenizer: Tokenizer) -> str:
    return tokenizer.decode(tokens, skip_special=False)


def test_a_ranked_answer_is_what_apply_chat_template_gives(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """A reward is read at the last token, which is the newline behind the token that ends the turn in ChatML."""
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    row = Ranking([SYSTEM, USER], [says("4"), says("four"), says("5")])
    ((example,), _) = ranked_examples([row], tokenizer, max_length=200)
    assert text(example.answers[0], tokenizer) == "4<|im_end|>\n"
    for sequence, answer in zip(example.sequences, row.answers, strict=True):
        assert sequence == theirs.apply_chat_template([*row.prompt, *answer])["input_ids"]
    (pair,), _ = preference_examples([Preference([SYSTEM, USER], says("4"), says("5"))], tokenizer, max_length=200)
    assert pair.prompt == example.prompt
    assert text(pair.chosen, tokenizer) == "4<|im_end|>"


def test_rows_that_cannot_be_used_are_dropped_and_reported(refusing_tokenizer: Tokenizer, tmp_path: Path) -> None:
    rows = [
        Ranking([USER], [says("4"), says("5")], place=ROWS[0]),
        Ranking([SYSTEM, USER], [says("4"), says("5")], place=ROWS[1]),
        Ranking([USER], [says("4"), says("4")], place=ROWS[2], fault="chosen and rejected are equal"),
        Ranking([{"role": "user", "content": "2" * 99}], [says("4"), says("5")], place=ROWS[3]),
        Ranking([USER], [says("4" * 30), says("5"), says("6")], place=ROWS[4]),
        Ranking([USER], [says("4"), says("5")], place=ROWS[5], remark="left out: answer 3 is empty"),
    ]
    examples, report = ranked_examples(rows, refusing_tokenizer, max_length=40, on_long="cut")
    assert len(examples) == report.kept == 3
    report.write(tmp_path / "report.jsonl")
    told = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert [(row["file"], row["line"], row["action"]) for row in told] == [
        ("rows.jsonl", 2, "dropped"),
        ("rows.jsonl", 3, "dropped"),
        ("rows.jsonl", 4, "dropped"),
        ("rows.jsonl", 5, "cut"),
        ("rows.jsonl", 6, "kept"),
    ]
    reasons = [row["reason"] for row in told]
    assert reasons[0].endswith("refuses these messages: no system role")
    assert reasons[1] == "chosen and rejected are equal"
    assert reasons[2] == "the prompt has 118 tokens and leaves no room for an answer in max_length 40"
    assert reasons[3] == "57 tokens with its longest answer, more than max_length 40: 1. cut to 15 tokens"
    assert reasons[4] == "left out: answer 3 is empty"
    summary = report.summary().splitlines()
    assert summary[0] == "3 rankings kept, 3 dropped, 1 cut"
    assert summary[-1] == "  kept rows.jsonl:6: left out: answer 3 is empty"


@pytest.mark.parametrize(
    ("content", "action", "reason"),
    [
        ("4", None, None),
        (" 4\n", "kept", "the chat template changes the white space of the {}"),
        ("<think>2 and 2</think>4", "dropped", "the chat template leaves out a part of the {}"),
        ("2 + 2?", None, None),
    ],
)
def test_what_the_template_does_not_carry_is_told(
    content: str, action: str | None, reason: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """A template that strips answers and leaves out what is thought, as several published ones do."""
    assert tokenizer.chat_template is not None
    template = tokenizer.chat_template.replace("message['content']", "message['content'].split('</think>')[-1] | trim")
    stripping = replace(tokenizer, chat_template=template)
    pair = Preference([USER], says("no"), says(content), place=ROWS[0])
    single = Labelled([USER], says(content), True, place=ROWS[0])
    for report, name in (
        (preference_examples([pair], stripping, max_length=99)[1], "rejected answer"),
        (labelled_examples([single], stripping, max_length=99)[1], "answer"),
    ):
        report.write(tmp_path / "report.jsonl")
        told = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
        assert [(row["action"], row["reason"]) for row in told] == ([(action, reason.format(name))] if action else [])


def test_batches_score_the_last_token_of_each_answer() -> None:
    prompt = list(range(20))
    examples = [
        RankedExample(prompt, [[30, 31, 32], [33, 34]], margin=2.0),
        RankedExample(prompt, [[35], [36, 37], [36, 37, 38], [39]]),
        RankedExample([5, 6, 7], [[40, 41], [40, 42, 43]]),
    ]
    (batch,) = ranked_batches(examples, micro_batch_tokens=1000, margin_weight=0.5)
    assert batch.forest.n_tokens < sum(len(sequence) for example in examples for sequence in example.sequences) - 80
    assert len(batch.columns["margins"]) == len(examples)
    last = batch.forest.tokens[batch.scored[batch.entries]].split(batch.columns["list_sizes"].tolist())
    found = {tuple(tokens.tolist()): margin for tokens, margin in zip(last, batch.columns["margins"], strict=True)}
    assert found == {(32, 34): 1.0, (35, 37, 38, 39): 0.0, (41, 43): 0.0}
    assert batch.rows.tolist() == list(range(8))
    small = ranked_batches(examples, micro_batch_tokens=30)
    assert sum(len(batch.columns["margins"]) for batch in small) == 3
    assert all(batch.columns["margins"].abs().sum() == 0 for batch in small)


def test_a_margin_is_for_pairs(tokenizer: Tokenizer) -> None:
    row = Ranking([USER], [says("4"), says("5")], margin=1.5)
    longer = replace(row, answers=[says("4"), says("5"), says("6")])
    examples, _ = ranked_examples([row, longer], tokenizer, max_length=99)
    assert [example.margin for example in examples] == [1.5, None]
