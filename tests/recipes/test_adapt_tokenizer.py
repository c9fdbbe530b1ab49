"""New tokens and templates: read in text, kept through SFT, loaded by transformers; mistakes are named."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoTokenizer

import burnish
from burnish.console.display import Display
from burnish.errors import BurnishError
from burnish.recipes.runner.running import run
from workshop import SAME_BITS, make_workshop


def recipe(folder: Path, **keys: Any) -> Path:
    stages = [
        {"type": "adapt_tokenizer", **keys},
        {"type": "sft", "data": "rows.jsonl", "training": {"batch_size": 2}},
    ]
    file = make_workshop(
        folder, yaml.safe_dump({"name": "tokens", "keep": "all", **yaml.safe_load(SAME_BITS), "stages": stages})
    )
    rows = [{"prompt": f"{n}?", "completion": f"<|reasoning|>so {n}<|summary|>{n}"} for n in range(4)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_new_tokens_are_single_ids_in_text_and_stay_so(tmp_path: Path) -> None:
    file = recipe(tmp_path, tokens={"<|reasoning|>": "SELECT", "<|summary|>": "SELECT 1"})
    run(file, runs=tmp_path / "runs", display=Display(quiet=True))
    stage = json.loads((tmp_path / "runs/tokens/01-adapt_tokenizer/stage.json").read_text())["metrics"]
    before, plain = burnish.load(tmp_path / "model", compute_dtype="float32", device="cpu")
    grown, _ = burnish.load(tmp_path / "runs/tokens/01-adapt_tokenizer/model", compute_dtype="float32", device="cpu")
    pieces = plain.encode("SELECT 1")
    assert len(pieces) > 1
    row = grown.embedding.weight[stage["ids"]["<|summary|>"]]
    assert row.allclose(before.embedding.weight[pieces].mean(0))
    for tokenizer in (
        burnish.load(tmp_path / "runs/tokens/02-sft/model", compute_dtype="float32", device="cpu")[1],
        AutoTokenizer.from_pretrained(tmp_path / "runs/tokens/02-sft/model"),
    ):
        ids = list(tokenizer.encode("so<|summary|>1"))
        assert ids.count(stage["ids"]["<|summary|>"]) == 1
        assert tokenizer.decode(ids).replace(" ", "") == "so<|summary|>1"


def test_another_template_is_the_models_from_then_on(tmp_path: Path) -> None:
    file = recipe(tmp_path, chat_template="plain.jinja")
    (tmp_path / "plain.jinja").write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ '<|im_end|>' if m.role == 'assistant' }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    run(file, runs=tmp_path / "runs", display=Display(quiet=True))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "runs/tokens/02-sft/model")
    said = tokenizer.apply_chat_template(
        [{"role": "user", "content": "1?"}], tokenize=False, add_generation_prompt=True
    )
    assert said == "user: 1?\nassistant: "


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"tokens": {"<|a b|> ": "one"}}, "is no name of a token"),
        ({"tokens": {"<|one|>": " "}}, "has no text to begin as"),
        ({"tokens": {"<|im_end|>": "one"}}, "'<|im_end|>' is a token of"),
        ({}, "has nothing to adapt"),
        ({"chat_template": "endless.jinja"}, "endless.jinja"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    file = recipe(tmp_path, **keys)
    (tmp_path / "endless.jinja").write_text("{% for m in messages %}{{ m.content }} {% endfor %}")
    with pytest.raises(BurnishError) as error:
        run(file, runs=tmp_path / "runs", display=Display(quiet=True))
    assert said in str(error.value)
