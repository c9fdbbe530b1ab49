"""Judges in recipes: one union for all stages, rows of several kinds, and what `evaluate` makes of each."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import burnish
from burnish.console.display import Display
from burnish.errors import BurnishError
from burnish.forest import Forest
from burnish.recipes.runner.running import run
from burnish.report.run_page import render
from burnish.runs.record import read_run
from burnish.text.chat import encode_prompt
from chat_server import ChatServer, chat_server
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: judged"
    + SAME_BITS
    + """stages:
  - type: evaluate
    tasks: tasks.jsonl
    models: {one: model, two: model}
    max_new_tokens: 6
    judges: JUDGES
"""
)
SUMS = [{"prompt": f"{i} mod 3?", "answer": i % 3, "kind": "sum"} for i in range(4)]
WORDS = [{"prompt": "A word?", "answer": ["prose", "user"], "kind": "word"}]
OPTIONS = [
    {"prompt": "Which?", "choices": ["SELECT 1", "prose prose prose", "2"], "answer": "B", "kind": "option"},
    {"prompt": "And which?", "choices": ["user", "assistant"], "answer": 0, "kind": "option"},
]


def evaluated(
    folder: Path, judges: str, rows: list[dict[str, Any]], *overrides: str
) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """The summary, the stage's metrics, and the run's folder."""
    recipe = make_workshop(folder, RECIPE.replace("JUDGES", judges))
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = run(recipe, overrides=overrides, runs=folder / "runs", display=Display(quiet=True))
    stage = folder / "runs" / "judged" / "01-evaluate"
    return summary, json.loads((stage / "stage.json").read_text())["metrics"], folder / "runs" / "judged"


def answers(run_folder: Path, label: str = "one") -> list[dict[str, Any]]:
    file = run_folder / "01-evaluate" / f"answers-{label}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_rows_of_several_kinds_have_judges_of_their_own(tmp_path: Path) -> None:
    judges = """
      - {type: numbers, where: {kind: sum}}
      - {type: exact, where: {kind: [word, other]}}
      - {type: choice, where: {kind: option}, length_normalized: false}
      - {type: format, name: form, weight: 0.5}
"""
    summary, metrics, folder = evaluated(tmp_path, judges, [*SUMS, *WORDS, *OPTIONS], "evaluate.groups=kind")
    one = metrics["scores"]["one"]
    assert one["kind"] == "accuracy"
    assert {name: judge["count"] for name, judge in one["judges"].items()} == {
        "numbers": 4, "form": 7, "exact": 1, "choice": 2,
    }  # fmt: skip
    assert one["judges"]["form"]["kind"] == "score"
    assert set(one["groups"]) == {"sum", "word", "option"}
    assert summary["accuracy"] == {"one": one["value"], "two": one["value"]}
    assert set(summary) >= {"numbers_accuracy", "choice_accuracy_interval", "form_score", "repeated_ngrams"}
    assert summary["choice_accuracy"]["one"] == one["judges"]["choice"]["value"]
    rows = answers(folder)
    assert sum(row["correct"] for row in rows) / 7 == pytest.approx(one["value"])
    assert set(rows[0]["scores"]) == {"numbers", "form"}
    assert rows[-1]["gold"] == "0"
    page = render(read_run(folder))
    assert "Also measured" in page
    assert "repeated 4-grams" in page


def test_an_option_is_chosen_by_its_likelihood(tmp_path: Path) -> None:
    """Against each option's log-probability in a plain sequence of its own."""
    for normalized in (True, False):
        _, _, folder = evaluated(tmp_path, f"[{{type: choice, length_normalized: {str(normalized).lower()}}}]", OPTIONS)
        decoder, tokenizer = burnish.load(tmp_path / "model", device="cpu", compute_dtype="float32")
        for row, task in zip(answers(folder), OPTIONS, strict=True):
            prompt = encode_prompt(tokenizer, [{"role": "user", "content": str(task["prompt"])}])
            scores = []
            for option in task["choices"]:  # type: ignore[attr-defined]
                sequence = torch.tensor([*prompt, *tokenizer.encode(option)])
                with torch.no_grad():
                    logps = decoder.logps(
                        Forest(sequence, (len(sequence),), (-1,)), torch.arange(len(prompt), len(sequence))
                    )
                scores.append((logps.mean() if normalized else logps.sum()).item())
            assert row["completion"] == task["choices"][scores.index(max(scores))]  # type: ignore[index]


def test_a_function_may_say_right_and_wrong_or_give_a_score(tmp_path: Path) -> None:
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "mine.py").write_text(
        "def right(prompt, completion, row):\n    return row['answer'] == 0\n"
        "def length(prompt, completion, row):\n    return len(completion)\n"
    )
    summary, _, _ = evaluated(tmp_path, "[{type: python, file: mine.py, function: right}]", SUMS)
    assert summary["accuracy"] == {"one": 0.5, "two": 0.5}
    summary, metrics, folder = evaluated(tmp_path, "[{type: python, file: mine.py, function: length}]", SUMS)
    assert metrics["scores"]["one"]["kind"] == "score"
    lengths = [len(row["completion"]) for row in answers(folder)]
    assert summary["score"]["one"] == sum(lengths) / 4
    assert [row["score"] for row in answers(folder)] == lengths
    page = render(read_run(folder))
    assert "Mean score" in page
    assert "Why answers were wrong" not in page


def test_any_judge_that_compares_answers_lets_them_vote(tmp_path: Path) -> None:
    judges = "[{type: numbers, where: {kind: sum}}, {type: contains, where: {kind: word}}]"
    _, _, folder = evaluated(tmp_path, judges, [*SUMS, *WORDS], "evaluate.votes=5")
    rows = answers(folder)
    assert all(0 <= row["votes"] <= 5 for row in rows)
    assert any(row["votes"] for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("choose", ["best", "weighted_votes"])
def test_an_answer_is_chosen_by_scores_and_not_by_what_is_expected(tmp_path: Path, choose: str) -> None:
    """Longer is better; which answer is the right one has no part in it."""
    make = tmp_path / "length.py"
    make.write_text("def length(prompt, completion, row):\n    return len(completion)\n")
    judges = "[{type: numbers}, {type: python, file: length.py, function: length, weight: 0.5}]"
    _, _, folder = evaluated(tmp_path, judges, SUMS, "evaluate.votes=5", f"evaluate.choose={choose}")
    rows = answers(folder)
    assert all((row.get("votes") is None) == (choose == "best") for row in rows)
    assert all(row["scores"]["python"] == len(row["completion"]) for row in rows)
    _, _, voted = evaluated(tmp_path, judges, SUMS, "evaluate.votes=5")
    for one, other in zip(rows, answers(voted), strict=True):
        assert choose != "best" or len(one["completion"]) >= len(other["completion"])


def test_a_judge_model_rates_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def rate(body: dict[str, Any]) -> str:
        said = body["messages"][1]["content"]
        return "[[8]]" if "\nprose\nuser\n" in said else "no idea"

    server: ChatServer
    with chat_server(rate) as server:
        judge = f"[{{type: chat, ask: score, key: answer, address: '{server.address}', model: big}}]"
        _, metrics, folder = evaluated(tmp_path, judge, [*SUMS, *WORDS])
        assert len(server.requests) == 5, "the second model's answers are the same, and asked about once"
    assert [row["score"] for row in answers(folder)] == [0.55] * 4 + [0.8]
    assert metrics["scores"]["one"]["value"] == pytest.approx((4 * 0.55 + 0.8) / 5)


@pytest.mark.parametrize(
    ("judges", "override", "message"),
    [
        ("[]", "", "expected at least 1"),
        ("[{type: numbers}, {type: numbers}]", "", "there is a judge 'numbers' already"),
        ("[{type: regex, pattern: '('}]", "", "not a regular expression"),
        ("[{type: choice}]", "", r"tasks\.jsonl:1: 'choices': got None"),
        ("[{type: numbers, where: {kind: product}}]", "", r"tasks\.jsonl:1: no judge for this row \(kind: \"sum\"\)"),
        ("[{type: format}]", "evaluate.votes=3", "no judge here can tell which answers come to the same"),
        (
            "[{type: format}, {type: numbers, where: {kind: product}}]",
            "evaluate.votes=3",
            r"tasks\.jsonl:1: no judge of this row can tell",
        ),
        ("[{type: numbers}]", "evaluate.choose=best", r"choose.*got 'best' of one answer: set `votes`"),
        ("[{type: numbers}]", "evaluate.choose=weighted_votes", r"every judge here tells right from wrong"),
        ("[{type: chat, address: 'http://localhost/v1', model: m}]", "", "compares answers.*set `ask: score`"),
        ("[{type: implicit_reward, model: nowhere, reference: base}]", "", "got 'nowhere'; no such file"),
    ],
)
def test_judges_that_cannot_judge_are_said(judges: str, override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match=message):
        evaluated(tmp_path, judges, SUMS, *([override] if override else []))
