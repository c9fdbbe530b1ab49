"""Every kind of mistake in a recipe: the message names the place, the key, the value and the way out."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.errors import RecipeError
from burnish.recipes.plan.planned import make_plan

GOOD = """\
name: flights
seed: 1
model: tiny.gguf
chat:
  system: "@prepare/system.txt"
stages:
  - type: prepare
    script: prepare.py
  - type: corpus
    documents: ["@prepare/documents.jsonl"]
  - type: cpt
    corpus: "@corpus"
    training:
      learning_rate: 1e-4
      betas: [0.9, 0.95]
  - type: sft
    data: train.jsonl
    lora: {rank: 4}
  - type: sample
    tasks: train.jsonl
    judges: [{type: sql, database: flights.duckdb}]
  - type: dpo
    pairs: "@sample"
    beta: 0.1
  - type: evaluate
    tasks: train.jsonl
    judges: [{type: sql, database: flights.duckdb}]
    models: {base: base, final: "@dpo"}
    groups: split
    report:
      unseen: {model: final, group: unseen}
  - type: export
    gguf: [F16]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("tiny.gguf", "train.jsonl", "flights.duckdb", "prepare.py", "notes.md"):
        (tmp_path / name).write_text(f"content of {name}")
    (tmp_path / "docs").mkdir()
    return tmp_path


def error_of(folder: Path, text: str | bytes, overrides: Iterable[str] = ()) -> str:
    file = folder / "recipe.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecipeError) as caught:
        make_plan(file, overrides=overrides, runs=folder / "runs")
    return str(caught.value).replace(str(folder) + "/", "")


# What is changed in the good recipe, what it becomes, and what the message must hold.
MISTAKES: dict[str, tuple[str, str, list[str]]] = {
    # keys
    "misspelt key": (
        "learning_rate: 1e-4",
        "learning_rat: 1e-4",
        [
            "recipe.yaml:14: stages[2].training.learning_rat: unknown key",
            "did you mean 'learning_rate'?",
            "weight_decay",
        ],
    ),
    "misspelt top-level key": ("seed: 1", "sed: 1", ["recipe.yaml:2: sed: unknown key", "did you mean 'seed'?"]),
    "unknown key without a neighbour": (
        "seed: 1",
        "zzz: 1",
        ["recipe.yaml:2: zzz: unknown key.", "Expected one of: name, seed, model"],
    ),
    "key on the wrong level": (
        "    data: train.jsonl",
        "    data: train.jsonl\n    learning_rate: 1e-4",
        ["recipe.yaml:18: stages[3].learning_rate: unknown key", "did you mean 'training.learning_rate'?"],
    ),
    "key of another stage": (
        "    gguf: [F16]",
        "    gguf: [F16]\n    beta: 0.1",
        ["recipe.yaml:34: stages[7].beta: unknown key", "Expected one of: name, type, model, gguf"],
    ),
    "key that is left out on purpose": (
        '  - type: dpo\n    pairs: "@sample"\n    beta: 0.1\n',
        "  - type: grpo\n    tasks: train.jsonl\n    rewards: [{type: format}]\n    repetition_penalty: 1.1\n",
        [
            "recipe.yaml:25: stages[5].repetition_penalty: not a key here, on purpose: answers would be drawn",
            "add {type: repetition} to `rewards`",
        ],
    ),
    "missing key": (
        "    data: train.jsonl\n",
        "",
        ["recipe.yaml:16: stages[3]: missing key 'data'", "OpenAI messages"],
    ),
    "misspelt required key": (
        "    data: train.jsonl\n",
        "    dta: train.jsonl\n",
        ["stages[3].dta: unknown key; did you mean 'data'?", "stages[3]: missing key 'data'"],
    ),
    "missing model": ("model: tiny.gguf\n", "", ["recipe.yaml:1: missing key 'model'", "package:NAME/FILE"]),
    "no stage type": ("  - type: export\n    gguf", "  - gguf", ["stages[7]: missing key 'type'", "export"]),
    "unknown stage type": (
        "type: sft",
        "type: stf",
        [
            "recipe.yaml:16: stages[3].type: got 'stf'; did you mean 'sft'?",
            "Expected one of: prepare, ",
            "corpus, cpt, sft, sample",
        ],
    ),
    "key written twice": (
        "    beta: 0.1",
        "    beta: 0.1\n    beta: 0.2",
        ["recipe.yaml:25: stages[5].beta: the key 'beta' is written twice, first on line 24"],
    ),
    # types
    "text for a number": (
        "learning_rate: 1e-4",
        "learning_rate: fast",
        ["recipe.yaml:14: stages[2].training.learning_rate: got 'fast'; expected a number"],
    ),
    "number in quotes": (
        "learning_rate: 1e-4",
        'learning_rate: "1e-4"',
        ["recipe.yaml:14", "got '1e-4'; expected a number, write it without quotes"],
    ),
    "adapters and frozen layers": (
        "lora: {rank: 4}",
        "lora: {rank: 4}\n    freeze_layers: 1",
        ["recipe.yaml:19", "freeze_layers: got 1; `lora` freezes all weights already"],
    ),
    "fraction for a whole number": ("rank: 4", "rank: 4.5", ["recipe.yaml:18", "lora.rank: got 4.5; expected a whole"]),
    "float for a whole number": ("seed: 1", "seed: 1e3", ["recipe.yaml:2: seed: got 1000.0", "write 1000"]),
    "number for text": ("name: flights", "name: 7", ["recipe.yaml:1: name: got 7; expected text, put it in quotes"]),
    "list for text": ("model: tiny.gguf", "model: [a, b]", ["recipe.yaml:3: model: got a list", "expected text"]),
    "text for a list": (
        'documents: ["@prepare/documents.jsonl"]',
        "documents: notes.md",
        ["recipe.yaml:10: stages[1].documents: got 'notes.md'; expected a list"],
    ),
    "text for a mapping": (
        "lora: {rank: 4}",
        "lora: yes",
        ["recipe.yaml:18: stages[3].lora: got 'yes'; expected a mapping"],
    ),
    "nothing for text": ("data: train.jsonl", "data:", ["recipe.yaml:17: stages[3].data: got nothing (null)"]),
    "stages are no list": (
        "stages:\n",
        "stages: {}\nx:\n",
        ["recipe.yaml:6: stages: got a mapping", "expected a list"],
    ),
    "a stage is text": ("  - type: export\n    gguf: [F16]", "  - export", ["recipe.yaml:32: stages[7]", "'export'"]),
    # ranges and choices
    "negative": (
        "learning_rate: 1e-4",
        "learning_rate: -1",
        ["recipe.yaml:14", "learning_rate: got -1; expected more than 0"],
    ),
    "too large": (
        "learning_rate: 1e-4",
        "warmup_fraction: 1.5",
        ["recipe.yaml:14", "warmup_fraction: got 1.5; expected less than 1"],
    ),
    "not finite": ("beta: 0.1", "beta: .inf", ["recipe.yaml:24: stages[5].beta: got inf; expected a finite number"]),
    "unknown choice": (
        "learning_rate: 1e-4",
        "schedule: cosin",
        ["recipe.yaml:14", "got 'cosin'; expected one of: cosine, linear, constant, wsd; did you mean 'cosine'?"],
    ),
    "unknown choice in a list": (
        "gguf: [F16]",
        "gguf: [F16, Q9_9]",
        ["recipe.yaml:33: stages[7].gguf[1]: got 'Q9_9'", "F32, F16, BF16, Q8_0"],
    ),
    "wrong length": (
        "betas: [0.9, 0.95]",
        "betas: [0.9]",
        ["recipe.yaml:15: stages[2].training.betas: got a list [0.9]; expected more values"],
    ),
    "bad name": (
        "name: flights",
        "name: ../flights",
        ["recipe.yaml:1: name: got '../flights'; expected text of the form"],
    ),
    "bad device": ("seed: 1", "device: gpu", ["recipe.yaml:2: device: got 'gpu'", "auto, cpu, cuda"]),
    "bad memory limit": (
        "{type: sql, database: flights.duckdb}",
        "{type: sql, database: flights.duckdb, memory_limit: lots}",
        ["recipe.yaml:21: stages[4].judges[0].memory_limit: got 'lots'", "512MB"],
    ),
    "unknown judge": (
        "{type: sql, database: flights.duckdb}",
        "{type: sqlite, database: flights.duckdb}",
        ["recipe.yaml:21: stages[4].judges[0].type: got 'sqlite'", "did you mean 'sql'"],
    ),
    "no stages": (
        GOOD[GOOD.index("stages:") :],
        "stages: []\n",
        ["recipe.yaml:6: stages: got a list []", "at least 1"],
    ),
    # references
    "later stage": (
        'corpus: "@corpus"',
        'corpus: "@dpo"',
        [
            "recipe.yaml:12: stages[2].corpus: '@dpo' refers to stage 'dpo', which comes later (stages[5])",
            "prepare, corpus",
        ],
    ),
    "itself": ('pairs: "@sample"', 'pairs: "@dpo"', ["recipe.yaml:23: stages[5].pairs", "is this stage itself"]),
    "unknown stage": (
        'final: "@dpo"',
        'final: "@dop"',
        [
            "recipe.yaml:28: stages[6].models.final: '@dop'",
            "does not exist; did you mean '@dpo'?",
            "Earlier stages: prepare",
        ],
    ),
    "stage without that product": (
        'final: "@dpo"',
        'final: "@prepare"',
        ["recipe.yaml:28", "stage 'prepare' (prepare) makes no model; stages that make one: cpt, sft, dpo"],
    ),
    "stage without a file named": (
        "data: train.jsonl",
        'data: "@prepare"',
        ["recipe.yaml:17: stages[3].data", "name a file of the stage, as in '@prepare/FILE'"],
    ),
    "out of a stage's folder": (
        "data: train.jsonl",
        'data: "@prepare/../../x"',
        ["recipe.yaml:17: stages[3].data", "leads out of the folder"],
    ),
    "chat refers to nothing": (
        "@prepare/system.txt",
        "@prepar/system.txt",
        ["recipe.yaml:5: chat.system", "did you mean '@prepare'?"],
    ),
    "two stages of one name": (
        "  - type: export",
        "  - type: sft\n    data: train.jsonl\n  - type: export",
        ["recipe.yaml:32: stages[7].type: a stage named 'sft' is there already (stages[3])", "another `name`"],
    ),
    "reserved name": (
        "  - type: export",
        "  - type: export\n    name: base",
        ["recipe.yaml:33: stages[7].name: got 'base', a word with a meaning of its own"],
    ),
    # files
    "missing model file": (
        "model: tiny.gguf",
        "model: tny.gguf",
        ["recipe.yaml:3: model: got 'tny.gguf'; no such file; did you mean 'tiny.gguf'?"],
    ),
    "missing data file": (
        "data: train.jsonl",
        "data: trian.jsonl",
        ["recipe.yaml:17: stages[3].data: got 'trian.jsonl'; no such file; did you mean 'train.jsonl'?"],
    ),
    "missing folder": ("data: train.jsonl", "data: nowhere/train.jsonl", ["recipe.yaml:17", "nowhere does not exist"]),
    "folder for a file": ("data: train.jsonl", "data: docs", ["recipe.yaml:17", "'docs', which is a folder", "docs/*"]),
    "pattern without a match": ("data: train.jsonl", 'data: "*.parquet"', ["recipe.yaml:17", "no file matches"]),
    "missing script": (
        "script: prepare.py",
        "script: prepar.py",
        ["recipe.yaml:8: stages[0].script: got 'prepar.py'; no such file", "did you mean 'prepare.py'?"],
    ),
    "missing Python package": (
        "script: prepare.py",
        "script: prepare.py\n    packages: [no-such-package]",
        ["recipe.yaml:9: stages[0].packages[0]: got 'no-such-package'", "pip install no-such-package"],
    ),
    "model in a missing package": (
        "model: tiny.gguf",
        "model: package:no_such_package/x.gguf",
        ["recipe.yaml:3: model", "package 'no_such_package' is not installed: pip install"],
    ),
    "model not in its package": (
        "model: tiny.gguf",
        "model: package:yaml/lodaer.py",
        ["recipe.yaml:3: model", "no such file", "did you mean 'loader.py'?"],
    ),
    "package without a file": (
        "model: tiny.gguf",
        "model: package:yaml",
        ["recipe.yaml:3", "expected package:NAME/FILE"],
    ),
    # evaluation
    "report of an unknown model": (
        "{model: final, group: unseen}",
        "{model: finl, group: unseen}",
        ["recipe.yaml:31: stages[6].report.unseen.model: got 'finl'", "did you mean 'final'?"],
    ),
    "report without groups": ("    groups: split\n", "", ["stages[6].report.unseen.group", "needs `groups`"]),
    # YAML
    "tab": ("  - type: export", "\t- type: export", ["recipe.yaml:32: not valid YAML at column 1", "spaces"]),
    "open bracket": ("gguf: [F16]", "gguf: [F16", ["recipe.yaml:34: not valid YAML", "','"]),
    "colon in text": ("name: flights", "name: a: b", ["recipe.yaml:1: not valid YAML at column 8", "quotes"]),
    "wrong indentation": ("    beta: 0.1", "   beta: 0.1", ["recipe.yaml:24: not valid YAML", "block"]),
    "reference without quotes": ('pairs: "@sample"', "pairs: @sample", ["recipe.yaml:23: not valid YAML", "quotes"]),
    "unknown alias": (
        "data: train.jsonl",
        "data: *train",
        ["recipe.yaml:17: not valid YAML", "undefined alias", "quotes"],
    ),
    "two documents": ("  - type: export", "---\n  - type: export", ["recipe.yaml:32: not valid YAML", "'---'"]),
    "a tag": ("name: flights", "name: !!python/name:os.system x", ["recipe.yaml:1: name", "no meaning in a recipe"]),
    "a tagged list": ("gguf: [F16]", "gguf: !set [F16]", ["recipe.yaml:33: stages[7].gguf", "no meaning in a recipe"]),
    "alias to itself": (
        "gguf: [F16]",
        "gguf: &a [*a]",
        ["recipe.yaml:33: stages[7].gguf[0]", "refers to the value it"],
    ),
    "list as a key": ("seed: 1", "[a, b]: 1", ["recipe.yaml:2", "a key must be text"]),
    "control character": ("name: flights", "name: fli\x00ghts", ["recipe.yaml:1: character 0x0 is not allowed"]),
    "half a surrogate pair": ("name: flights", 'name: "\\ud800"', ["recipe.yaml:1: name", "not valid Unicode"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_explained(name: str, folder: Path) -> None:
    old, new, expected = MISTAKES[name]
    assert GOOD.count(old) >= 1
    message = error_of(folder, GOOD.replace(old, new, 1))
    for part in expected:
        assert part in message, f"{part!r} is not in:\n{message}"
    assert "pydantic" not in message
    assert "Traceback" not in message


OVERRIDES: dict[str, tuple[str, list[str]]] = {
    "misspelt key": (
        "sft.training.learning_rat=1e-4",
        ["--set sft.training.learning_rat=1e-4: stages[3].training.learning_rat: unknown key", "'learning_rate'?"],
    ),
    "misspelt stage": (
        "stf.training.learning_rate=1",
        [
            "--set stf.training.learning_rate=1: the recipe has no stage named 'stf'; did you mean 'sft'?",
            "prepare, corpus",
        ],
    ),
    "wrong value": ("dpo.beta=-1", ["--set dpo.beta=-1: stages[5].beta: got -1; expected more than 0"]),
    "wrong type": ("cpt.training.epochs=two", ["--set cpt.training.epochs=two", "got 'two'; expected a number"]),
    "no value": ("sft.data", ["--set sft.data: write it as stage.key=value"]),
    "no key": ("=1", ["--set =1: write it as stage.key=value"]),
    "a stage, no key": ("sft=1", ["--set sft=1: 'sft' is a stage; name one of its keys"]),
    "below a text": ("sft.data.x=1", ["--set sft.data.x=1: 'data' is 'train.jsonl', which has no keys"]),
    "index out of range": ("corpus.documents.3=x", ["--set corpus.documents.3=x: '3' is not an index of a list of 1"]),
    "missing file": (
        "sft.data=trian.jsonl",
        ["--set sft.data=trian.jsonl: stages[3].data", "did you mean 'train.jsonl'?"],
    ),
    "control character": ("chat.system='a\x01'", ["the value is not valid YAML", "not allowed"]),
    "nested too deeply": ("chat.system=" + "[" * 5000, ["the value is not valid YAML: nested too deeply"]),
    "broken list": ("export.gguf=[F16", ["--set export.gguf=[F16: the value is not valid YAML"]),
    "unknown top-level key": ("sed=1", ["--set sed=1: sed: unknown key", "did you mean 'seed'?"]),
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_mistaken_override_is_explained(name: str, folder: Path) -> None:
    override, expected = OVERRIDES[name]
    message = error_of(folder, GOOD, [override])
    for part in expected:
        assert part in message, f"{part!r} is not in:\n{message}"


WHOLE_FILES: dict[str, tuple[str | bytes, list[str]]] = {
    "empty": ("", ["recipe.yaml: the recipe is empty"]),
    "only a comment": ("# soon\n", ["recipe.yaml: the recipe is empty"]),
    "a list": ("- a\n- b\n", ["recipe.yaml:1: a recipe is a mapping", "got a list"]),
    "a text": ("hello", ["recipe.yaml:1: a recipe is a mapping", "got text"]),
    "not UTF-8": (GOOD.encode() + b"# caf\xe9\n", ["recipe.yaml:34: byte 0xe9 is not UTF-8"]),
    "binary": (b"GGUF\x00\x01", ["recipe.yaml:1: character 0x0 is not allowed"]),
    "nested too deeply": ("a: " + "[" * 5000, ["recipe.yaml: not a recipe", "too deeply"]),
    "nested deeply": ("a: " + "[" * 60 + "]" * 60, ["recipe.yaml:1: values are nested more than 50 deep"]),
    "aliases that explode": (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{b}: &{b} [{','.join(f'*{a}' for _ in range(10))}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        ["unfolds into more than 100,000 values"],
    ),
}


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_a_file_that_is_no_recipe_is_explained(name: str, folder: Path) -> None:
    text, expected = WHOLE_FILES[name]
    message = error_of(folder, text)
    for part in expected:
        assert part in message, f"{part!r} is not in:\n{message}"


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(folder: Path) -> None:
    text = GOOD.replace("beta: 0.1", "beta: -1").replace("seed: 1", "sed: 1").replace("learning_rate", "lerning_rate")
    lines = error_of(folder, text, ["export.gguf=[F17]"]).splitlines()
    assert lines[0] == "recipe.yaml: 4 problems"
    places = [
        "  recipe.yaml:2: sed",
        "  recipe.yaml:14: stages[2]",
        "  recipe.yaml:24: stages[5]",
        "  --set export.gguf",
    ]
    assert [line.startswith(place) for line, place in zip(lines[1:], places, strict=True)] == [True] * 4


def test_problems_with_references_are_reported_at_once(folder: Path) -> None:
    text = GOOD.replace("data: train.jsonl", "data: no.jsonl").replace('pairs: "@sample"', 'pairs: "@export"')
    message = error_of(folder, text)
    assert "recipe.yaml:17" in message
    assert "recipe.yaml:23" in message


def test_a_recipe_that_is_not_there_is_explained(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(GOOD)
    with pytest.raises(RecipeError, match=r"recip\.yaml: no such recipe file; did you mean .*recipe\.yaml\?"):
        make_plan(folder / "recip.yaml")
    with pytest.raises(RecipeError, match=r"is a folder, expected a recipe file; did you mean .*recipe\.yaml\?"):
        make_plan(folder)


def test_the_recipe_without_mistakes_is_accepted(folder: Path) -> None:
    file = folder / "recipe.yaml"
    file.write_text(GOOD)
    plan = make_plan(file, runs=folder / "runs")
    assert [stage.name for stage in plan.stages] == [
        "prepare", "corpus", "cpt", "sft", "sample", "dpo", "evaluate", "export",
    ]  # fmt: skip
    assert not (folder / "runs").exists()


def test_paths_are_those_that_a_person_would_write(folder: Path) -> None:
    def data_of(written: str) -> tuple[Path, ...]:
        (folder / "recipes").mkdir(exist_ok=True)
        file = folder / "recipes" / "recipe.yaml"
        file.write_text(f"name: n\nmodel: ../tiny.gguf\nstages: [{{type: sft, data: {written}}}]\n")
        (stage,) = make_plan(file, runs=folder / "runs").stages
        return next(item.paths for item in stage.inputs if item.written == written)

    assert data_of("../train.jsonl") == (folder / "train.jsonl",)
    (folder / "elsewhere" / "inner").mkdir(parents=True)
    (folder / "elsewhere" / "train.jsonl").write_text("another")
    (folder / "recipes" / "link").symlink_to(folder / "elsewhere" / "inner")
    (behind,) = data_of("link/../train.jsonl")
    assert behind.read_text() == "another"


def paths_in(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value below the root."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from paths_in(inner, (*path, key))


PATHS = sorted(paths_in(yaml.safe_load(GOOD)), key=str)
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(
        ["", "@", "@/", "@sft", "@prepare/x", "base", "package:", "package:a/b", "*", "~/x", "\x00", "a" * 5000]
    ),
    st.text(max_size=8),
    st.lists(st.integers() | st.text(max_size=3), max_size=2),
    st.dictionaries(st.sampled_from(["type", "name", "model", "a b"]), st.text(max_size=4) | st.integers(), max_size=2),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(path=st.sampled_from(PATHS), value=anything, rename=st.booleans())
def test_no_value_anywhere_breaks_the_checks(
    path: tuple[str | int, ...], value: Any, rename: bool, folder: Path
) -> None:
    data = yaml.safe_load(GOOD)
    container = data
    for step in path[:-1]:
        container = container[step]
    if rename and isinstance(container, dict):
        container[str(value)] = container.pop(path[-1])
    else:
        container[path[-1]] = value
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    try:
        make_plan(file, runs=folder / "runs")
    except RecipeError as error:
        message = str(error)
        assert "recipe.yaml" in message
        assert "pydantic" not in message
