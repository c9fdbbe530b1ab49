"""Folders of Burnish's own: every decoder comes back with the same bits, and hostile files are refused by name."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import burnish
from burnish.checkpoints import gguf, huggingface, own_format
from burnish.checkpoints.families import no_family
from burnish.errors import CheckpointError
from burnish.forest import Forest
from burnish.lab.norm.decoders import architecture, kinds
from burnish.nn.config import DecoderConfig, RopeScaling
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, add_lora
from burnish.text.tokenizer import Tokenizer

SMALL = replace(architecture(d_model=16, head_dim=4), n_layers=2, d_ff=24)
VARIANTS = {
    f"{name}, {placement}": config
    for name, placements in kinds(SMALL).items()
    for placement, config in placements.items()
} | {
    "shared heads and windows": replace(
        SMALL, norm="batch", n_kv_heads=2, sliding_window=3, full_attention_layers=(1,)
    ),
    "scaled positions": replace(
        SMALL, residual=False, rope_scaling=RopeScaling(kind="yarn", factor=2.0), unrotated_layers=(0,)
    ),
    "learned positions, tied": replace(SMALL, norm="weight", positions="learned", tie_embeddings=True),
    "gated, with caps and biases": replace(
        SMALL,
        norm="batch",
        gated=True,
        activation="silu",
        qk_norm="head",
        attention_softcap=9.0,
        logits_softcap=7.5,
        qkv_bias=True,
        attention_bias=True,
        feed_forward_bias=True,
        embedding_scale=4.0,
        attention_scale=0.3,
        norm_bias=False,
    ),
    "parallel": replace(SMALL, norm="none", parallel=True, shared_norm=True, rotary_dim=2),
}
"""Every norm in every placement, with and without residuals, as the lab has them; and the other keys."""


def drawn(config: DecoderConfig, tokenizer: Tokenizer) -> Decoder:
    """Random in all that a training changes: also in what begins at one or zero, and in the running statistics."""
    decoder = Decoder(replace(config, vocab_size=tokenizer.vocab_size))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in decoder.state_dict().values():
            tensor.normal_(1.0, 0.1, generator=generator)
    return decoder.eval()


def same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[name].view(torch.int32), other[name].view(torch.int32)) for name in one
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_comes_back_with_the_same_bits(name: str, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = drawn(VARIANTS[name], tiny_tokenizer)
    burnish.save(decoder, tiny_tokenizer, tmp_path / "model")
    again, tokenizer = burnish.load(tmp_path / "model", compute_dtype=torch.float32, device="cpu")
    own = no_family(decoder.config) is not None
    assert (tmp_path / "model" / "burnish.json").exists() == own
    assert (tmp_path / "model" / "config.json").exists() != own
    if own:
        assert again.config == decoder.config
    assert same_bits(again.state_dict(), decoder.state_dict())
    assert burnish.checkpoints.read_config(tmp_path / "model") == again.config
    forest = Forest.from_segments([([5, 6, 7, 8], -1), ([9, 10], 0)])
    with torch.no_grad():
        assert torch.equal(again(forest), decoder(forest))
    assert tokenizer.encode("one two") == tiny_tokenizer.encode("one two")
    assert tokenizer.stop_ids == tiny_tokenizer.stop_ids


def test_every_norm_that_no_family_has_is_among_the_variants() -> None:
    own = [config for config in VARIANTS.values() if no_family(config) is not None]
    assert {config.norm for config in own} >= {"batch", "weight", "none"}
    assert any(config.norm_placement == "deepnorm" for config in own)
    assert any(not config.residual for config in own)


@pytest.mark.parametrize("write", [huggingface.write, gguf.write], ids=["Hugging Face", "GGUF"])
def test_the_formats_of_others_refuse_it_with_the_reason(
    write: Callable[..., None], tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    decoder = drawn(replace(SMALL, norm="batch", residual=False), tiny_tokenizer)
    with pytest.raises(CheckpointError, match="no model family has norm 'batch', residual False"):
        write(decoder, tiny_tokenizer, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_weights_may_be_stored_smaller_and_statistics_stay(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = drawn(replace(SMALL, norm="batch"), tiny_tokenizer)
    burnish.save(decoder, tiny_tokenizer, tmp_path, dtype=torch.bfloat16, card="# A card", generation={"top_k": 3})
    stored = load_file(tmp_path / "model.safetensors")
    for name, tensor in decoder.state_dict().items():
        kept = "running" in name
        assert stored[name].dtype == (torch.float32 if kept else torch.bfloat16)
        assert torch.equal(stored[name], tensor if kept else tensor.bfloat16())
    assert (tmp_path / "README.md").read_text() == "# A card"
    assert json.loads((tmp_path / "generation_config.json").read_text())["top_k"] == 3


def test_adapters_are_not_lost_in_silence(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = drawn(replace(SMALL, norm="batch"), tiny_tokenizer)
    add_lora(decoder, LoraConfig(rank=2), seed=0)
    with pytest.raises(CheckpointError, match="merge_lora"):
        burnish.save(decoder, tiny_tokenizer, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def model(tiny_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "model"
    burnish.save(drawn(replace(SMALL, norm="batch"), tiny_tokenizer), tiny_tokenizer, folder)
    return folder


def changed(model: Path, folder: Path, path: str, value: Any) -> Path:
    """A copy of the model whose `burnish.json` has another value at a dotted path; `...` takes the key out."""
    folder.mkdir()
    for file in model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    document = json.loads((folder / "burnish.json").read_text())
    *inner, last = path.split(".")
    place = document
    for key in inner:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    (folder / "burnish.json").write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("format", "burnish-decoder-2", "format: Input should be 'burnish-decoder-1', found 'burnish-decoder-2'"),
        ("format", ..., "format: Field required"),
        ("code", "import os", "code is not a known setting; it may be of a newer version"),
        ("decoder.experts", 8, "decoder.experts is not a known setting"),
        ("decoder", [1], "decoder: "),
        ("decoder.norm", "group", "decoder.norm: Input should be 'rms', 'layer', 'batch', 'weight' or 'none'"),
        ("decoder.d_model", "16", "decoder.d_model: Input should be a valid integer, found '16'"),
        ("decoder.d_model", 16.0, "decoder.d_model: "),
        ("decoder.d_model", ..., "decoder.d_model: Field required"),
        ("decoder.d_model", -1, "d_model must be at least 1"),
        ("decoder.n_layers", 2_000_000_000, "decoder.n_layers must be above 0 and at most 10,000"),
        ("decoder.d_ff", 10**30, "decoder.d_ff"),
        ("decoder.d_ff", 2**31, "shape"),
        ("decoder.norm_eps", 0.0, "decoder.norm_eps must be above 0"),
        ("decoder.norm_eps", float("nan"), "decoder.norm_eps: Input should be a finite number"),
        ("decoder.residual", "yes", "decoder.residual: Input should be a valid boolean"),
        ("decoder.n_kv_heads", 3, "must be a multiple of n_kv_heads"),
        ("decoder.unrotated_layers", [0, 7], r"decoder.unrotated_layers is \(0, 7\); the model has layers 0 to 1"),
        ("decoder.rope_scaling", {"kind": "yarn", "factor": 2.0, "secret": 1}, "rope_scaling.secret is not a known"),
        ("decoder.rope_scaling", {"kind": "linear", "factor": 0.5}, "the factor of scaled rotary positions"),
        ("decoder.n_layers", 3, r"tensor blocks\.2\..* is missing"),
        ("decoder.n_layers", 1, r"tensor 'blocks\.1\..*' is not part of the model that burnish.json describes"),
        ("decoder.head_dim", 2, "has shape"),
        ("decoder.norm", "rms", r"tensor 'blocks\.0\.attention_norm\.bias' is not part of the model"),
        ("decoder.vocab_size", 8, "has shape|has only 8 rows"),
    ],
)
def test_a_wrong_description_is_refused_by_its_key(
    path: str, value: Any, said: str, model: Path, tmp_path: Path
) -> None:
    folder = changed(model, tmp_path / "model", path, value)
    with pytest.raises(CheckpointError, match=said) as caught:
        burnish.load(folder, compute_dtype=torch.float32, device="cpu")
    assert str(folder) in str(caught.value)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff\xfe", b'{"a":' * 5000, b"null", b'{"burnish": "\\ud800"}']
)
def test_what_is_no_description_is_refused(content: bytes, model: Path, tmp_path: Path) -> None:
    folder = changed(model, tmp_path / "model", "burnish", "0")
    (folder / "burnish.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"burnish\.json"):
        own_format.read_config(folder)


def test_damaged_weights_are_refused(model: Path, tmp_path: Path) -> None:
    folder = changed(model, tmp_path / "model", "burnish", "0")
    tensors = load_file(model / "model.safetensors")
    tensors["blocks.0.attention_norm.running_variance"][0] = float("inf")
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"running_variance holds values that are not finite"):
        burnish.load(folder, compute_dtype=torch.float32, device="cpu")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(CheckpointError, match="is a pickle"):
        burnish.load(folder, compute_dtype=torch.float32, device="cpu")
