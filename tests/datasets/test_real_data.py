"""The public data sets that people start with are read whole."""

from pathlib import Path

import pytest

from burnish.checkpoints.facts import load_tokenizer
from burnish.datasets.examples import preference_examples
from burnish.datasets.rankings import ranked_examples
from burnish.datasets.rows import read_conversations, read_preferences, read_rankings, read_tasks
from burnish.errors import DataError
from burnish.text.tokenizer import Tokenizer


def test_pairwise_sharegpt(shared_data: Path, tokenizer: Tokenizer) -> None:
    preferences = read_preferences(shared_data / "dpo_en_demo.json")
    assert len(preferences) == 300
    assert {len(preference.prompt) for preference in preferences} == {1, 2, 3, 5, 7, 9, 13}
    examples, report = preference_examples(preferences[:50], tokenizer, max_length=2000)
    assert report.kept == len(examples)
    assert report.kept + len(report.dropped) == 50


def test_ranked_answers_are_the_tokens_that_trl_trains_on(
    shared_data: Path, smollm2_path: Path, tmp_path: Path
) -> None:
    """TRL applies the chat template of the saved tokenizer to prompt and answer; no pair is left out silently."""
    transformers = pytest.importorskip("transformers")
    tokenizer = load_tokenizer(smollm2_path)
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    rankings = read_rankings(shared_data / "dpo_en_demo.json")[:20]
    for row in rankings:
        ((example,), _) = ranked_examples([row], tokenizer, max_length=100_000)
        for sequence, answer in zip(example.sequences, row.answers, strict=True):
            assert sequence == theirs.apply_chat_template([*row.prompt, *answer])["input_ids"]
    examples, report = ranked_examples(rankings, tokenizer, max_length=1024)
    assert len(examples) + len(report.dropped) == len(rankings)
    assert len(examples) > 5


def test_alpaca(shared_data: Path) -> None:
    assert len(read_conversations(shared_data / "alpaca_en_demo.json")) == 999


def test_gsm8k_needs_its_columns_named(shared_data: Path) -> None:
    path = shared_data / "gsm8k_test.jsonl"
    with pytest.raises(DataError, match=r"gsm8k_test\.jsonl:1: no known format: the keys are 'question', 'answer'"):
        read_conversations(path)
    columns = {"prompt": "question", "response": "answer"}
    assert len(read_conversations(path, columns=columns)) == 1000
    tasks = read_tasks(path, columns=columns)
    assert len(tasks) == 1000
    assert tasks[0].prompt == [{"role": "user", "content": tasks[0].row["question"]}]
    assert "#### 18" in tasks[0].row["answer"]


def test_humaneval(shared_data: Path) -> None:
    tasks = read_tasks(shared_data / "HumanEval.jsonl.gz")
    assert len(tasks) == 164
    assert {"test", "entry_point"} <= tasks[0].row.keys()


def test_documents_are_not_conversations(shared_data: Path) -> None:
    with pytest.raises(DataError, match="use the file in a corpus stage"):
        read_conversations(shared_data / "c4_demo.jsonl")
