"""Folders of 8-bit weights: torchao makes them, transformers and Burnish compute the same with them."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from gguf_models import make_model
from references import our_logits
from safetensors.torch import load_file, save_file

import burnish
from burnish.checkpoints.formats import write_formats
from burnish.checkpoints.huggingface import write_int8
from burnish.errors import BurnishError, CheckpointError
from burnish.text.tokenizer import Tokenizer

IDS = [1, 17, 30, 4, 4, 9, 100, 101, 55, 2, 63, 200, 7]
FAMILIES = ["llama", "qwen3", "gemma3", "gpt_neox"]


@pytest.fixture
def folder(tiny_tokenizer: Tokenizer, tmp_path: Path) -> Path:
    write_int8(make_model("llama", tiny_tokenizer.vocab_size), tiny_tokenizer, tmp_path / "small")
    return tmp_path / "small"


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_computes_with_it_what_burnish_does(
    family: str, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    decoder = make_model(family, tiny_tokenizer.vocab_size)
    write_int8(decoder, tiny_tokenizer, tmp_path / "small")
    read, _ = burnish.load(tmp_path / "small", compute_dtype=torch.float32, device="cpu")
    ours = our_logits(read, IDS)
    reference = AutoModelForCausalLM.from_pretrained(tmp_path / "small", dtype=torch.float32)
    with torch.no_grad():
        theirs = reference(torch.tensor([IDS])).logits[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    # It is another model than the original, and a near one.
    original = our_logits(decoder, IDS)
    assert 0 < float((ours - original).abs().mean()) < 0.1 * float(original.abs().mean())


def test_each_weight_is_within_half_a_step_of_its_rows_scale(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = make_model("llama", tiny_tokenizer.vocab_size)
    write_int8(decoder, tiny_tokenizer, tmp_path / "small")
    read, _ = burnish.load(tmp_path / "small", compute_dtype=torch.float32, device="cpu")
    changed = 0
    for (name, before), after in zip(decoder.named_parameters(), read.parameters(), strict=True):
        if not torch.equal(before, after):
            changed += 1
            step = before.abs().amax(dim=1, keepdim=True) / 127
            assert bool(((before - after).abs() <= 0.51 * step).all()), name
        else:
            assert before.ndim == 1 or "embedding" in name
    assert changed == 4 * decoder.config.n_layers  # qkv, out, gate_up, down


def test_the_folder_takes_a_quarter_of_the_space_of_its_matrices(folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    kinds = {name.rsplit("_weight_")[-1]: tensor.dtype for name, tensor in stored.items() if "_weight_" in name}
    assert kinds == {"qdata": torch.int8, "scale": torch.float32, "zero_point": torch.int8}
    assert stored["model.embed_tokens.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quant_method": "gptq"}, r"config\.json: quantization_config is"),
        ({"quant_type": {"default": {"_type": "Int4WeightOnlyConfig", "_data": {}}}}, "quantization_config is"),
        ({"quant_type": None}, "quantization_config is"),
        (None, r"tensor model\.layers\.0\.\S+\._weight_\w+ is not part of a plain llama model"),
    ],
)
def test_another_quantization_is_refused(change: dict[str, object] | None, message: str, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = None if change is None else {**config["quantization_config"], **change}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        burnish.load(folder)


@pytest.mark.parametrize(
    ("part", "damaged", "message"),
    [
        ("scale", None, r"tensor model\.layers\.0\.mlp\.down_proj\._weight_scale is missing; the file is incomplete"),
        ("scale", torch.ones(3, 1), r"_weight_scale is torch\.float32 \[3, 1\]; expected floating point"),
        ("qdata", torch.ones(2, 2, dtype=torch.int8), r"_weight_qdata is torch\.int8 \[2, 2\]; expected torch\.int8"),
        ("zero_point", torch.ones(1), r"_weight_zero_point is torch\.float32 \[1\]; expected torch\.int8"),
        ("scale", "infinite", "holds values that are not finite"),
    ],
)
def test_parts_that_do_not_fit_are_named(
    part: str, damaged: torch.Tensor | str | None, message: str, folder: Path
) -> None:
    file = folder / "model.safetensors"
    stored = load_file(file)
    name = f"model.layers.0.mlp.down_proj._weight_{part}"
    present = stored.pop(name)
    if damaged == "infinite":
        stored[name] = torch.full_like(present, float("inf"))
    elif isinstance(damaged, torch.Tensor):
        stored[name] = damaged
    save_file(stored, file)
    with pytest.raises(CheckpointError, match=message):
        burnish.load(folder)


def test_a_family_that_transformers_would_not_quantize_is_refused(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="gpt2 models in a class of their own"):
        write_int8(make_model("gpt2", tiny_tokenizer.vocab_size), tiny_tokenizer, tmp_path / "small")


def test_without_torchao_it_is_said_what_to_install_and_nothing_is_written(
    tiny_tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    decoder = make_model("llama", tiny_tokenizer.vocab_size)
    with pytest.raises(BurnishError, match=r"torchao: pip install 'burnish\[quantization\]'"):
        write_formats(decoder, tiny_tokenizer, tmp_path / "out", name="m", gguf=[], int8=tmp_path / "out" / "m")
    assert not (tmp_path / "out").exists()
