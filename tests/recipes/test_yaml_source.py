"""What recipes may be written like, and what the values become."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import RecipeError
from burnish.recipes.language.overrides import apply_override, parse_value
from burnish.recipes.language.places import Place, Source, nearest
from burnish.recipes.language.yaml_source import parse, read_recipe


def value_of(text: str) -> Any:
    source = parse(f"key: {text}\n", Path("recipe.yaml"))
    assert not source.problems
    return source.data["key"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-1.5e+3", -1500.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("12", 12),
        ("-7", -7),
        ("10_000", 10_000),
        ("0x1F", 31),
        ("0o17", 15),
        ("012", 12),
        (".inf", float("inf")),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        # YAML 1.1 has other ideas about these.
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("12:30:45", "12:30:45"),
        ("2024-05-01", "2024-05-01"),
        ("1.2.3", "1.2.3"),
        ("1e", "1e"),
        ("e5", "e5"),
        ('"1e-4"', "1e-4"),
        ("'true'", "true"),
        ("!!str 12", "12"),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


def test_anchors_and_merges_are_unfolded() -> None:
    text = """
shared: &shared {epochs: 2, batch_size: 8}
other: &other {epochs: 9, betas: [0, 1]}
one: {<<: *shared, epochs: 3}
two: {<<: [*shared, *other]}
again: *shared
"""
    data = parse(text, Path("recipe.yaml")).data
    assert data["one"] == {"epochs": 3, "batch_size": 8}
    assert data["two"] == {"epochs": 2, "batch_size": 8, "betas": [0, 1]}
    assert data["again"] == data["shared"]
    data["again"]["epochs"] = 0
    assert data["shared"]["epochs"] == 2, "an override of one must not change the other"


def test_every_key_and_value_has_its_place() -> None:
    source = parse("a:\n  b: [1,\n      {c: 2}]\n", Path("recipe.yaml"))
    assert source.key_place(("a", "b")) == Place("recipe.yaml", 2, 3)
    assert source.value_place(("a", "b")) == Place("recipe.yaml", 2, 6)
    assert source.value_place(("a", "b", 1, "c")) == Place("recipe.yaml", 3, 11)
    assert source.key_place(("a", "b", 1, "c")) == Place("recipe.yaml", 3, 8)
    assert source.value_place(("a", "x", "y")) == Place("recipe.yaml", 2, 3), (
        "what is not written is where its parent is"
    )


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_and_byte_order_mark(tmp_path: Path, line_end: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + line_end.join(["name: x", "# comment", "seed: 2", ""]).encode())
    source = read_recipe(file)
    assert source.data == {"name": "x", "seed": 2}
    assert source.key_place(("seed",)).line == 3


def overridden(text: str, *overrides: str) -> Source:
    file = Path("recipe.yaml")
    source = parse(text, file)
    for override in overrides:
        apply_override(source, override)
    assert not source.problems
    return source


STAGES = "seed: 1\nstages:\n- {type: sft, lora: null, training: {epochs: 1}}\n- {type: sft, name: second}\n"


def test_overrides_reach_into_stages_by_name() -> None:
    source = overridden(STAGES, "sft.training.epochs=2", "second.data=x.jsonl", "seed=5")
    first, second = source.data["stages"]
    assert first["training"] == {"epochs": 2}
    assert second == {"type": "sft", "name": "second", "data": "x.jsonl"}
    assert source.data["seed"] == 5
    assert source.value_place(("stages", 0, "training", "epochs")) == Place("--set sft.training.epochs=2")


def test_overrides_make_what_is_not_there() -> None:
    source = overridden(STAGES, "sft.lora.rank=8", "chat.system=Answer: briefly")
    assert source.data["stages"][0]["lora"] == {"rank": 8}
    assert source.data["chat"] == {"system": "Answer: briefly"}


def test_overrides_reach_into_lists_and_the_last_one_wins() -> None:
    source = overridden("stages:\n- {type: export, gguf: [F16, F32]}\n", "export.gguf.1=Q8_0", "export.gguf.0=F32")
    assert source.data["stages"][0]["gguf"] == ["F32", "Q8_0"]
    assert overridden(STAGES, "seed=2", "seed=3").data["seed"] == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("", None),
        ("[F16, Q8_0]", ["F16", "Q8_0"]),
        ("{type: sql, database: a.duckdb}", {"type": "sql", "database": "a.duckdb"}),
        ("Answer: briefly # please", "Answer: briefly # please"),
        ("@sft", "@sft"),
        ("*.jsonl", "*.jsonl"),
        ("'12'", "12"),
        ("C:\\data\\x.jsonl", "C:\\data\\x.jsonl"),
    ],
)
def test_values_of_overrides(text: str, value: Any) -> None:
    assert parse_value(text, "--set x=") == value


NUMBERS_OF_YAML_1_2 = re.compile(r"[-+]?(\.\d+|\d[\d_]*(\.\d*)?)[eE][-+]?\d+|0o[0-7]+")
"""What the library, writing YAML 1.1, does not quote as a text, and a recipe reads as the number that people mean."""

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"])).filter(
        lambda text: NUMBERS_OF_YAML_1_2.fullmatch(text) is None
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc_-", min_size=1), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc_-", min_size=1), json_values, max_size=4))
def test_what_a_yaml_library_writes_is_read_back(value: dict[str, Any]) -> None:
    text = yaml.safe_dump(value or {"empty": None}, allow_unicode=True)
    source = parse(text, Path("recipe.yaml"))
    assert not source.problems
    assert source.data == (value or {"empty": None})


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    with suppress(RecipeError):
        parse(text, Path("recipe.yaml"))


def test_the_nearest_word_ignores_case_and_dashes() -> None:
    assert nearest("Learning-Rate", ["learning_rate", "epochs"]) == "learning_rate"
    assert nearest("xyz", ["learning_rate"]) is None
