"""Adapters that requests choose by the model's name."""

from pathlib import Path

import pytest
import torch

from burnish.checkpoints.peft import read_adapter, save_adapter
from burnish.console.serving import named_adapters
from burnish.errors import BurnishError
from burnish.nn.lora import LoraConfig, LoraLinear, add_lora, merge_lora
from burnish.serving.api.served import ServedAdapter
from served import Model, running
from tiny_models import tiny_decoder
from workshop import tiny_tokenizer

ASKED = {"prompt": "abcab", "max_tokens": 8, "seed": 1}


def _model() -> Model:
    tokenizer = tiny_tokenizer()
    return tiny_decoder(scale=8, vocab_size=tokenizer.vocab_size), tokenizer


def test_a_request_names_the_adapter_that_answers(tmp_path: Path) -> None:
    decoder, tokenizer = _model()
    add_lora(decoder, LoraConfig(rank=2, alpha=4), seed=1)
    for module in decoder.modules():
        if isinstance(module, LoraLinear):
            for b in module.lora_b.values():
                torch.nn.init.normal_(b, std=2, generator=torch.Generator().manual_seed(1))
    save_adapter(decoder, tmp_path / "polite", "tiny")
    merge_lora(decoder)
    with running((decoder, tokenizer)) as merged:
        expected = merged.post("/v1/completions", **ASKED, logprobs=0, echo=True).json()["choices"][0]
    model = _model()
    adapters = {"polite": ServedAdapter(read_adapter(model[0], tmp_path / "polite"), "f00")}
    with running(model, more={"adapters": adapters, "version": "ba5e"}, adapters=("polite",)) as server:
        both = [
            server.post("/v1/completions", **ASKED, model=name, logprobs=0, echo=True).json()
            for name in ("tiny", "polite", "tiny")
        ]
        assert [one["model"] for one in both] == ["tiny", "polite", "tiny"]
        plain, polite, again = (one["choices"][0] for one in both)
        assert polite["text"] == expected["text"]
        assert polite["text"] != plain["text"] == again["text"]
        logprobs = [one["logprobs"]["token_logprobs"][1:] for one in (polite, expected)]
        assert logprobs[0] == pytest.approx(logprobs[1], abs=1e-3), "of the prompt, too"
        listed = server.client().models.list().data
        assert [(one.id, getattr(one, "parent", None)) for one in listed] == [("tiny", None), ("polite", "tiny")]
        served = server.api.served
        assert [served.version_of(name) for name in ("tiny", "polite")] == ["ba5e", "ba5e+f00"]
        for name in ("../polite", str(tmp_path / "polite"), "polite/../../etc", "", "Polite"):
            refused = server.post("/v1/completions", **ASKED, model=name)
            assert refused.status_code == 404
            assert "expected 'tiny' or 'polite'" in refused.json()["error"]["message"]


def test_names_of_adapters_are_names(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "adapter_config.json").write_text("{}")
    folder = tmp_path / "a"
    assert named_adapters([f"x={folder}", f"y.1={folder}"], ["m"]) == {"x": folder, "y.1": folder}
    for given, said in (
        ([f"../x={folder}"], "expected NAME=FOLDER"),
        ([f"a/b={folder}"], "expected NAME=FOLDER"),
        ([str(folder)], "expected NAME=FOLDER"),
        ([f"{'x' * 65}={folder}"], "64 at most"),
        ([f"m={folder}"], "name of another"),
        ([f"x={folder}", f"x={folder}"], "name of another"),
        ([f"x={tmp_path}"], "no adapter's folder"),
    ):
        with pytest.raises(BurnishError, match=said):
            named_adapters(given, ["m"])
