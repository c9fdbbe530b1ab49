"""Models measured with and without tools: by what comes of it, with traces, resumable, and said where it cannot be."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from burnish.console.display import Display
from burnish.datasets.examples import conversation_examples
from burnish.datasets.rows import read_conversations
from burnish.errors import BurnishError
from burnish.methods import acted
from burnish.methods.sampled import mean
from burnish.recipes.runner.running import run
from burnish.report.run_page import render
from burnish.runs.record import read_run
from burnish.text.tool_calls.reading import Read
from burnish.text.tool_calls.template import TOOLS_TEMPLATE
from burnish.text.tool_calls.values import ToolCall
from workshop import SAME_BITS, make_workshop, tiny_tokenizer

TOOLS_FILE = '''
def put(n: int) -> str:
    """Put a number."""
    if n == 2:
        raise ValueError("not this one")
    return f"put {n}"
'''
RECIPE = (
    "name: tooled"
    + SAME_BITS
    + """stages:
  - type: evaluate
    tasks: tasks.jsonl
    models: {one: model}
    tools: tools.py
    judged_call: put.n
    max_calls: 2
    max_new_tokens: 40
    stop: [a, e, s, t, r, n, " "]
    judges: [{type: exact}]
"""
)


@pytest.fixture(autouse=True)
def some_text_is_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """What random weights write is no call: most of it is taken for one, which all that follows is real of."""

    def read(text: str, form: object, *, thinking: bool = False) -> Read:
        number = len(text)
        return Read(text) if number % 4 == 0 else Read("", [ToolCall("put", {"n": number % 3})])

    monkeypatch.setattr("burnish.agents.episode.read_answer", read)


def workshop(folder: Path, *, template: str | None = TOOLS_TEMPLATE) -> Path:
    file = make_workshop(folder, RECIPE, context=1024)
    if template is not None:
        kept = folder / "model" / "tokenizer_config.json"
        kept.write_text(json.dumps(json.loads(kept.read_text()) | {"chat_template": template}))
    (folder / "tools.py").write_text(TOOLS_FILE)
    rows = ({"prompt": f"{n} mod 3?", "answer": str(n % 3)} for n in range(6))
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def evaluated(file: Path, *overrides: str) -> dict[str, Any]:
    return run(file, overrides=overrides, runs=file.parent / "runs", display=Display(quiet=True))


def written(file: Path, name: str) -> list[dict[str, Any]]:
    path = file.parent / "runs" / "tooled" / "01-evaluate" / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_model_is_measured_with_and_without_tools(tmp_path: Path) -> None:
    file = workshop(tmp_path)
    summary = evaluated(file, "evaluate.samples=3", "evaluate.temperature=1.0")
    folder = file.parent / "runs" / "tooled" / "01-evaluate"
    results = json.loads((folder / "results.json").read_text())
    assert set(results["scores"]) == set(summary["accuracy"]) == {"one", "one+tools"}
    ((before, after),) = [(one["before"], one["after"]) for one in results["differences"]]
    assert (before, after) == ("one", "one+tools")
    traces = written(file, "traces-one+tools.jsonl")
    assert len(traces) == 18
    # Right is by outcome: what the last call of `put` that did not fail was given.
    for number, trace in enumerate(traces):
        said = trace["messages"]
        given = [
            message["tool_calls"][-1]["function"]["arguments"]
            for message, result in pairwise(said)
            if message.get("tool_calls") and not result["content"].startswith("error:")
        ]
        assert trace["correct"] == (bool(given) and given[-1]["n"] == number // 3 % 3)
    accuracy = mean(float(trace["correct"]) for trace in traces)
    assert 0 < accuracy < 1
    assert results["scores"]["one+tools"]["value"] == pytest.approx(accuracy)
    results_of = [m["content"] for trace in traces for m in trace["messages"] if m["role"] == "tool"]
    costs = results["tools"]["one+tools"]
    assert costs["calls"] == pytest.approx(len(results_of) / 18)
    assert costs["failed"] == pytest.approx(mean(text.startswith("error:") for text in results_of))
    assert costs["by_tool"] == {"put": len(results_of)}
    assert costs["unfinished"] == sum(not trace["finished"] for trace in traces)
    # The traces train a model, and the report has what tools came to.
    rows = list(read_conversations([folder / "traces-one+tools.jsonl"]))
    tokenizer = replace(tiny_tokenizer(), chat_template=TOOLS_TEMPLATE)
    examples, _ = conversation_examples(rows, tokenizer, max_length=4096)
    assert examples
    assert "calls of tools an answer" in render(read_run(folder.parent))


def test_an_interrupted_evaluation_with_tools_goes_on_to_the_same_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acted, "CHUNK_COMPLETIONS", 2)
    whole, cut = workshop(tmp_path / "whole"), workshop(tmp_path / "cut")
    evaluated(whole)
    write, left = acted.write_json, [2]

    def failing(*given: Any, **options: Any) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(*given, **options)

    with monkeypatch.context() as patched:
        patched.setattr(acted, "write_json", failing)
        with pytest.raises(KeyboardInterrupt):
            evaluated(cut)
    evaluated(cut)
    assert written(cut, "traces-one+tools.jsonl") == written(whole, "traces-one+tools.jsonl")
    assert written(cut, "answers-one+tools.jsonl") == written(whole, "answers-one+tools.jsonl")


def test_what_cannot_be_asked_with_tools_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = workshop(tmp_path, template=None)
    run(file, runs=tmp_path / "runs", display=Display())
    said = " ".join(capsys.readouterr().out.split())
    assert "one is not asked with tools: the chat template" in said
    assert set(json.loads((tmp_path / "runs/tooled/01-evaluate/results.json").read_text())["scores"]) == {"one"}


def test_tools_are_checked_before_anything_runs(tmp_path: Path) -> None:
    file = workshop(tmp_path)
    text = file.read_text()
    for wrong, said in (
        (text.replace("    tools: tools.py\n", ""), "is about calls of tools"),
        (text.replace("tools.py", "none.py"), "none.py"),
        (text.replace("put.n", "put"), "judged_call"),
    ):
        file.write_text(wrong)
        with pytest.raises(BurnishError, match=said):
            evaluated(file)
