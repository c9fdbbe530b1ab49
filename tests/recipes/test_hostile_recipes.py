"""Recipes that were made to break the reader: each is one error with its line, soon, and never a traceback."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.errors import BurnishError, RecipeError
from burnish.recipes.plan.planned import make_plan

HEAD = "name: x\nmodel: model\nstages:\n"
LONG = "n" * 5000


def error_of(folder: Path, text: str, *overrides: str) -> str:
    for name in ("model", "data.jsonl", "script.py"):
        (folder / name).write_text("")
    (folder / "recipe.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(RecipeError) as caught:
        make_plan(folder / "recipe.yaml", overrides=overrides, runs=folder / "runs")
    return str(caught.value).replace(f"{folder}/", "")


def nested(depth: int) -> str:
    return "&a0 [x]\n" + "".join(f"k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, depth))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("seed: 0x" + "f" * 20 + "\n" + HEAD + "- {type: export}", ["recipe.yaml:1: seed", "expected less than"]),
        ("seed: 0x" + "f" * 5000 + "\n" + HEAD + "- {type: export}", ["recipe.yaml:1: seed", "too large a number"]),
        ("seed: " + "9" * 5000 + "\n" + HEAD + "- {type: export}", ["recipe.yaml:1: seed", "too large a number"]),
        ("seed: -" + "9" * 30 + "\n" + HEAD + "- {type: export}", ["recipe.yaml:1: seed", "at least 0"]),
        (HEAD + "- {type: sft, data: data.jsonl, max_length: 9999999999999999999999}", ["recipe.yaml:4", "max_length"]),
        (
            HEAD + "- {type: sft, data: data.jsonl, training: {learning_rate: 1e999}}",
            ["recipe.yaml:4", "finite number"],
        ),
        (HEAD + "- {type: sft, data: data.jsonl, training: {learning_rate: .nan}}", ["recipe.yaml:4", "finite number"]),
        (HEAD + "- {type: sft, data: data.jsonl, training: {epochs: 1e300}}", ["recipe.yaml:4", "epochs"]),
        (
            HEAD + "- {type: sample, tasks: data.jsonl, judges: [{type: exact}], samples: 1000000000}",
            ["at most 100000"],
        ),
        (HEAD + "- {type: prepare, script: script.py, watch: ['']}", ["recipe.yaml:4: stages[0].watch[0]: got ''"]),
        (HEAD + "- {type: prepare, script: script.py, watch: [/etc/*]}", ["watch[0]: got '/etc/*'"]),
        (HEAD + "- {type: prepare, script: script.py, watch: [../*]}", ["watch[0]", "leads out"]),
        (HEAD + "- {type: prepare, script: script.py, watch: ['**/**/**/x']}", ["watch[0]", "one '**'"]),
        (HEAD + '- {type: prepare, script: script.py, watch: ["a\\0b"]}', ["recipe.yaml:4", "null character"]),
        (HEAD + f"- {{type: prepare, script: script.py, watch: [{LONG}]}}", ["recipe.yaml:4", "watch"]),
        (HEAD + '- {type: prepare, script: script.py, arguments: ["a\\0b"]}', ["recipe.yaml:4", "null character"]),
        (HEAD + '- {type: prepare, script: "a\\0b"}', ["recipe.yaml:4", "null character"]),
        (HEAD + f"- {{type: prepare, script: {LONG}.py}}", ["recipe.yaml:4: stages[0].script"]),
        (HEAD + f"- {{type: prepare, script: script.py, packages: [{LONG}]}}", ["recipe.yaml:4", "packages[0]"]),
        (HEAD + "- {type: prepare, script: /dev/zero}", ["recipe.yaml:4: stages[0].script"]),
        (HEAD + "- {type: sft, data: /dev/zero}", ["recipe.yaml:4: stages[0].data", "neither a regular file"]),
        (HEAD + f"- {{type: sft, data: {LONG}}}", ["recipe.yaml:4: stages[0].data", "no such file"]),
        (HEAD + f"- {{type: sft, data: '{LONG}*'}}", ["recipe.yaml:4: stages[0].data", "no file matches"]),
        (HEAD + f"- {{type: sft, data: '~{LONG}/x'}}", ["recipe.yaml:4: stages[0].data", "no such file"]),
        (HEAD + f"- {{type: sft, data: '@{LONG}'}}", ["recipe.yaml:4: stages[0].data", "does not exist"]),
        (HEAD + f"- {{type: sft, data: 'package:{LONG}/x'}}", ["recipe.yaml:4: stages[0].data", "not installed"]),
        (HEAD + "- {type: sft, data: 'package:__main__/x'}", ["recipe.yaml:4: stages[0].data"]),
        (HEAD + "- {type: sft, data: data.jsonl/x}", ["recipe.yaml:4: stages[0].data", "no such file"]),
        (HEAD + f"- {{type: sft, data: data.jsonl, name: {LONG}}}", ["recipe.yaml:4: stages[0].name", "at most 100"]),
        (HEAD + f"- {{type: sft, data: data.jsonl, {LONG}: 1}}", ["recipe.yaml:4: not valid YAML"]),
        (HEAD + '- {type: sft, data: data.jsonl, "a\\ud800b": 1}', ["recipe.yaml:4", "not valid Unicode"]),
        (HEAD + '- {type: sft, data: "a\\ud800b"}', ["recipe.yaml:4", "not valid Unicode"]),
        (HEAD + "- {type: sft, data: data.jsonl, [a]: 1, {b: c}: 2}", ["recipe.yaml:4", "a key must be text"]),
        (HEAD + "- {type: sft, type: dpo, data: data.jsonl}", ["recipe.yaml:4", "written twice"]),
        (HEAD + "- &a {type: sft, data: *a}", ["recipe.yaml:4", "refers to the value it stands in"]),
        (HEAD + "- &a {type: sft, <<: *a}", ["recipe.yaml:4", "refers to the value it stands in"]),
        (HEAD + "- {type: sft, <<: 3}", ["recipe.yaml:4", "'<<' takes a mapping"]),
        (HEAD + "- {type: sft, data: !!python/object:os.system x}", ["recipe.yaml:4", "tag"]),
        ("k0: " + nested(12), ["aliases nested"]),
        ("x: " + "[" * 20000, ["nested"]),
        ("x: " + "{a: " * 3000, ["nested"]),
        ("x:\n" + "\n".join("  " * i + "- - a:" for i in range(200)), ["nested"]),
        ("x:\n" + "- " * 3000 + "a", ["nested"]),
        ("x" * (2**20 + 1), ["at most 1,048,576"]),
    ],
    ids=lambda value: value.splitlines()[-1][:60] if isinstance(value, str) and value else None,
)
def test_each_is_an_error_with_its_line(tmp_path: Path, text: str, parts: list[str]) -> None:
    started = time.monotonic()
    message = error_of(tmp_path, text)
    for part in parts:
        assert part in message
    assert len(message) < 4000
    assert time.monotonic() - started < 30, "this kind of recipe takes for ever"


@pytest.mark.parametrize(
    "override",
    [
        "seed=0x" + "f" * 5000,
        "seed=" + "9" * 5000,
        ".".join("a" * 5000) + "=1",
        "sft.data=[" + "[" * 5000,
        "sft." + LONG + "=1",
        "sft.data=a\0b",
        "sft.a\0b=1",
        "sft.data='a\ud800'",
        "sft.training={a: &x [*x]}",
    ],
)
def test_options_too(tmp_path: Path, override: str) -> None:
    message = error_of(tmp_path, HEAD + "- {type: sft, data: data.jsonl}", override)
    assert len(message) < 4000


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "\n".join(f"- {{type: sft, data: no-{i}.jsonl, name: s{i}}}" for i in range(500)),
        HEAD + "\n".join("- {type: nonsense}" for _ in range(4000)),
        HEAD + "- {type: sft, data: data.jsonl, " + ", ".join(f"lerning_rat{i}: 1" for i in range(8000)) + "}",
        "\n".join("a: 1" for _ in range(10000)),
    ],
    ids=["files", "types", "keys", "duplicates"],
)
def test_problems_are_capped(tmp_path: Path, text: str) -> None:
    lines = error_of(tmp_path, text).splitlines()
    assert len(lines) == 22
    assert "problems" in lines[0]
    assert lines[-1].strip().startswith("and ")
    total = int(lines[0].split(": ")[-1].split()[0].replace(",", ""))
    assert total == 20 + int(lines[-1].split()[1].replace(",", ""))


def test_a_recipe_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    for file in (tmp_path / "fifo.yaml", Path("/dev/zero")):
        with pytest.raises(RecipeError, match="not a regular file"):
            make_plan(file)
    for name in (LONG, "a\0b"):
        with pytest.raises(RecipeError, match="cannot read the recipe"):
            make_plan(tmp_path / name)


def test_a_pipe_as_data_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "neither a regular file nor a folder" in error_of(tmp_path, HEAD + "- {type: sft, data: pipe.jsonl}")


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["@sft", "base", "*", "**", "..", "/", "~", "package:numpy/x", "data.jsonl", "", "a/../../b"])
)
KEYS = [
    "name", "seed", "model", "stages", "type", "data", "script", "watch", "arguments", "packages", "documents",
    "general", "training", "epochs", "betas", "lora", "rank", "targets", "columns", "tasks", "judges", "database",
    "judge", "where", "address", "models", "report", "groups", "gguf", "rewards", "chat", "system", "threads", "pairs",
    "<<",
]  # fmt: skip
keys = st.sampled_from(KEYS) | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)
TYPES = ["prepare", "corpus", "cpt", "sft", "sample", "reward_model", "dpo", "ppo", "grpo", "kto", "distill", "convert"]
TYPES += ["evaluate", "compare", "perplexity", "export"]
stages = st.builds(
    lambda kind, rest: {"type": kind, **rest},
    st.sampled_from(TYPES),
    st.dictionaries(keys, values, max_size=6),
)
recipes = st.builds(
    lambda head, listed: {"name": "x", "model": "model", **head, "stages": listed},
    st.dictionaries(keys, values, max_size=3),
    st.lists(stages, min_size=1, max_size=3),
)


def only_burnish_errors(folder: Path, text: str, *overrides: str) -> None:
    for name in ("model", "data.jsonl", "script.py"):
        (folder / name).write_text("")
    (folder / "recipe.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        make_plan(folder / "recipe.yaml", overrides=overrides, runs=folder / "runs")
    except BurnishError:
        return  # as it should be; anything else is a traceback


FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@FUZZ
@given(recipes)
def test_no_recipe_breaks_the_planner(tmp_path: Path, recipe: dict[str, Any]) -> None:
    only_burnish_errors(tmp_path, yaml.safe_dump(recipe))


@FUZZ
@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda data: data.decode("latin-1")))
def test_no_text_breaks_the_planner(tmp_path: Path, text: str) -> None:
    only_burnish_errors(tmp_path, HEAD + text)


@FUZZ
@given(keys, st.text(max_size=60))
def test_no_option_breaks_the_planner(tmp_path: Path, key: str, text: str) -> None:
    only_burnish_errors(tmp_path, HEAD + "- {type: sft, data: data.jsonl}", f"sft.{key}={text}", f"{key}={text}")
