"""Write docs/recipe-reference.md from the recipe's schema, so that the page cannot differ from what is accepted.

    python scripts/recipe_reference.py

`make docs` runs it before it builds the site; a test fails while the page differs from the schema.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.recipes.schema.recipe import Recipe

PAGE = Path(__file__).parents[1] / "docs" / "recipe-reference.md"
INTRODUCTION = """\
# Recipe reference

Every key of a recipe, with its default. Made by `make docs` from the schema that recipes are checked against.
"""


def page() -> str:
    """The page's Markdown: the recipe, the stages in the order of a pipeline, then the settings they share."""
    schema = Recipe.model_json_schema()
    definitions: dict[str, Any] = schema["$defs"]
    stages = [name for name in _stage_names(schema) if name in definitions]
    others = sorted(set(definitions) - set(stages))
    sections = [INTRODUCTION, *_section("The recipe", schema)]
    for name in stages:
        sections += _section(f"Stage `{definitions[name]['properties']['type']['const']}`", definitions[name])
    for name in others:
        if "properties" in definitions[name]:
            sections += _section(_title(name), definitions[name])
    return "\n".join(sections)


def _stage_names(schema: dict[str, Any]) -> list[str]:
    mapping: dict[str, str] = schema["properties"]["stages"]["items"]["discriminator"]["mapping"]
    order = [
        "prepare",
        "corpus",
        "pretrain",
        "convert",
        "adapt_tokenizer",
        "cpt",
        "sft",
        "sample",
        "reward_model",
        "dpo",
        "kto",
        "distill",
        "ppo",
        "grpo",
        "evaluate",
        "compare",
        "perplexity",
        "export",
    ]
    by_place = sorted(mapping, key=lambda name: order.index(name) if name in order else len(order))
    return [mapping[name].rpartition("/")[2] for name in by_place]


def _section(title: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"## {title}\n"
    if description := schema.get("description"):
        yield f"{inspect.cleandoc(description)}\n"
    yield "| key | value | default | |"
    yield "| --- | --- | --- | --- |"
    required = schema.get("required", [])
    for key, field in schema.get("properties", {}).items():
        if "const" in field:
            continue  # a stage's own type, which the heading says
        default = "required" if key in required else _default(field.get("default"))
        yield f"| `{key}` | {_cell(_kind(field))} | {default} | {_cell(field.get('description', ''))} |"
    yield ""


def _kind(field: dict[str, Any]) -> str:
    """What may stand there, in words: a number, one of some texts, a list of something, another table of this page."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        if name == "JsonValue":
            return "anything"
        return f"[{_title(name).lower()}](#{_title(name).lower().replace(' ', '-')})"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    for several in ("anyOf", "oneOf"):
        if several in field:
            # Long lists of kinds are named; a short one is spelled out.
            kinds = field.get("discriminator", {}).get("mapping", ())
            for member, name in (("sft", "stages"), ("numbers", "[judges](judges.md)")):
                if member in kinds:
                    return name
            return " or ".join(dict.fromkeys(_kind(option) for option in field[several]))
    if field.get("type") == "array":
        return f"list of {_kind(field['items'])}" if "items" in field else "list"
    if field.get("type") == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"names with {_kind(field['additionalProperties'])}"
    plain = {
        "string": "text",
        "integer": "whole number",
        "null": "nothing",
        "boolean": "true or false",
        "object": "table",
    }
    return plain.get(field.get("type", ""), field.get("type", "anything"))


def _default(value: Any) -> str:
    if value is None or value in ({}, []):
        return "–"
    if isinstance(value, dict):
        return "its defaults"
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _title(name: str) -> str:
    """ "TrainingConfig" -> "Training", "LoraSettings" -> "Lora"."""
    return "".join(f" {c}" if c.isupper() else c for c in name.removesuffix("Config").removesuffix("Settings")).strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
