"""The model card: front matter as the Hub reads it, licence and base model where the files say them, use, limits."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from burnish.checkpoints.origin import Origin, origin
from burnish.console.display import Display
from burnish.recipes.runner.running import run
from burnish.report.card import model_card
from workshop import SAME_BITS, make_workshop

RECIPE = {"name": "handbook", "model": "models/base", "seed": 1}
KNOWN = Origin("apache-2.0", repository="HuggingFaceTB/SmolLM2-135M-Instruct", languages=("en",))


def record(name: str, producer: str | None = None, **metrics: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": name,
        "configuration": {"type": name, "learning_rate": 1e-4},
        "inputs": [
            {"field": "model", "written": f"@{producer or 'data.jsonl'}", "producer": producer, "key": "ab" * 32}
        ],
        "fingerprints": {},
        "wall_seconds": 90.0,
        "finished": "2026-01-02T03:04:05+00:00",
        "metrics": metrics,
    }


STAGES = [
    record(
        "cpt",
        steps=5,
        domain_tokens=900,
        passes={"domain": 1.0},
        perplexity={"domain": {"before": 20.0, "after": 15.0}, "general": {"before": 9.0, "after": 9.1}},
        perplexity_interval={"domain": [-0.3, -0.2]},
    ),
    record("sft", "cpt", examples=24),
]


def front_matter(card: str) -> dict[str, Any]:
    assert card.startswith("---\n")
    found: dict[str, Any] = yaml.safe_load(card.split("\n---", 1)[0].removeprefix("---"))
    return found


def test_the_front_matter_is_what_the_hub_reads() -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = model_card(RECIPE, STAGES, None, model="@sft", origin=KNOWN)
    assert front_matter(card) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": "apache-2.0",
        "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "base_model_relation": "finetune",
        "language": ["en"],
        "tags": ["burnish"],
    }
    read = hub.ModelCard(card).data
    assert (read.license, read.base_model, read.library_name) == (
        "apache-2.0",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "transformers",
    )


def test_a_licence_that_nobody_stated_is_unknown_and_a_named_one_is_named() -> None:
    card = model_card(RECIPE, STAGES, None, model="@sft")
    assert front_matter(card)["license"] == "unknown"
    assert "base_model" not in front_matter(card)
    assert "Unknown: the files of the base model do not say." in card
    gemma = Origin("other", licence_name="gemma", licence_link="https://ai.google.dev/gemma/terms")
    card = model_card(RECIPE, STAGES, None, model="@sft", origin=gemma)
    assert front_matter(card)["license_name"] == "gemma"
    assert "The base model's: gemma (other), https://ai.google.dev/gemma/terms." in card


def test_it_says_how_it_is_used_with_which_system_prompt_and_what_it_cannot_do() -> None:
    system = "Answer from the handbook.\n```\n---\nUse no fences."
    card = model_card(RECIPE, STAGES, None, model="@sft", origin=KNOWN, system=system, n_parameters=134_515_008)
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    compile(code, "card", "exec")
    assert "apply_chat_template" in code
    assert "SYSTEM" in code
    assert "burnish chat . --ask" in card
    assert "    Answer from the handbook.\n    ```\n    ---\n    Use no fences." in card
    assert "- A model of 135 million parameters" in card
    assert "- 5 steps of continued pre-training read 900 tokens once;" in card
    assert "- 24 conversations to imitate" in card
    assert "- Nobody measured how often its answers are right." in card
    assert "| domain | 20.00 | 15.00 | -30.0% to -20.0% |" in card
    assert "| general | 9.00 | 9.10 | too little text to tell |" in card
    plain = model_card(RECIPE, STAGES, None, model="@sft", chat=False)
    assert "apply_chat_template" not in plain
    assert "System prompt" not in plain


def test_results_are_shown(tmp_path: Path) -> None:
    score = {"value": 0.5, "interval": [0.4, 0.6], "groups": {}}
    (tmp_path / "results.json").write_text(json.dumps({"tasks": 9, "scores": {"final": score}}))
    card = model_card(RECIPE, STAGES, tmp_path / "results.json", model="@sft")
    assert "| final | 50.0 % (40.0 to 60.0) |" in card
    assert "Nobody measured" not in card


CARD = "---\nlicense: llama3.2\nlanguage: [en, de]\n---\n# Model\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"README.md": CARD, "config.json": "{}"}, Origin("llama3.2", languages=("en", "de"))),
        ({"config.json": '{"_name_or_path": "org/name"}'}, Origin(repository="org/name")),
        ({"config.json": '{"_name_or_path": "/home/me/model"}'}, Origin()),
        ({"README.md": "---\nlicense: [mit]\n---", "config.json": "["}, Origin("mit")),
        ({"README.md": "---\n- a\n---"}, Origin()),
        ({"README.md": "---\na: [\n---"}, Origin()),
        ({"README.md": "# No front matter"}, Origin()),
        ({"README.md": "---\ntags: [burnish]\nbase_model: org/first\n---"}, Origin(repository="org/first")),
        ({"README.md": "---\nlicense: mit\nbase_model: org/first\n---"}, Origin("mit")),
        ({}, Origin()),
    ],
)
def test_a_folder_says_where_it_comes_from(files: dict[str, str], expected: Origin, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert origin(tmp_path) == expected


def test_the_hubs_cache_names_the_repository(tmp_path: Path) -> None:
    folder = tmp_path / "models--org--a-name" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    assert origin(folder).repository == "org/a-name"


def test_a_gguf_file_says_it_too(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_license("apache-2.0")
    writer.add_languages(["en"])
    writer.add_repo_url("https://huggingface.co/org/name")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert origin(tmp_path / "model.gguf") == Origin("apache-2.0", repository="org/name", languages=("en",))
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    assert origin(tmp_path / "broken.gguf") == Origin()


def test_the_repository_of_a_gguf_file_may_be_presumed_and_is_said_to_be(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    file = tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_license("apache-2.0")
    writer.add_organization("HuggingFaceTB")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    found = origin(file)
    assert (found.repository, found.presumed) == ("HuggingFaceTB/SmolLM2-135M-Instruct", True)
    assert "is put together from the base model's file: check it" in model_card(
        RECIPE, STAGES, None, model="@sft", origin=found
    )


@pytest.mark.slow
def test_the_cards_of_an_export_follow_the_recipes_system_prompt(tmp_path: Path) -> None:
    recipe = make_workshop(
        tmp_path / "workshop",
        "name: card" + SAME_BITS + "system: Answer in SQL.\nstages:\n  - {type: export, model: base}\n",
    )
    run(recipe, runs=tmp_path / "runs", display=Display(quiet=True))
    card = tmp_path / "runs" / "card" / "01-export" / "model" / "README.md"
    assert "## System prompt\n\n    Answer in SQL." in card.read_text()
    run(recipe, overrides=["system=Answer in prose."], runs=tmp_path / "runs", display=Display(quiet=True))
    assert "## System prompt\n\n    Answer in prose." in card.read_text()
