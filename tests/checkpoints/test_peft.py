"""Adapters: peft computes the same logits from what we write, and we from what peft writes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from family_models import make_model
from references import assert_equal_logits, load_in_transformers, our_logits, transformers_logits

import burnish
from burnish.checkpoints.peft import load_adapter, save_adapter
from burnish.errors import CheckpointError
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, add_lora, lora_config, merge_lora
from burnish.text.tokenizer import Tokenizer

MakeDecoder = Callable[..., Decoder]

IDS = [1, 17, 30, 4, 4, 9, 100, 101, 55, 2, 63, 200]

CONFIGURATIONS = [
    LoraConfig(rank=4, alpha=8.0),
    LoraConfig(rank=3, alpha=1.5, targets=("q", "v")),
    LoraConfig(rank=1, alpha=2.0, dropout=0.1, targets=("gate", "down")),
]


def adapted(decoder: Decoder, config: LoraConfig) -> Decoder:
    """The decoder with adapters that change its output."""
    add_lora(decoder, config, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            if "lora_b" in name:
                parameter.normal_(std=0.2, generator=generator)
    return decoder


@pytest.fixture
def base(make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path) -> Path:
    burnish.save(make_decoder(n_kv_heads=1), tiny_tokenizer, tmp_path / "base")
    return tmp_path / "base"


@pytest.mark.parametrize("config", CONFIGURATIONS, ids=str)
def test_peft_loads_what_we_save(config: LoraConfig, base: Path, make_decoder: MakeDecoder, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    decoder = adapted(make_decoder(n_kv_heads=1), config)
    save_adapter(decoder, tmp_path / "adapter", base=str(base))
    files = sorted(file.name for file in (tmp_path / "adapter").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]
    model = peft.PeftModel.from_pretrained(load_in_transformers(base), tmp_path / "adapter")
    expected = transformers_logits(model, IDS)
    assert_equal_logits(our_logits(decoder, IDS), expected)

    apart, _ = burnish.load(tmp_path / "adapter", merged=False, compute_dtype=torch.float32, device="cpu")
    assert lora_config(apart) == config
    assert torch.equal(our_logits(apart, IDS), our_logits(decoder, IDS))
    merged, _ = burnish.load(tmp_path / "adapter", compute_dtype=torch.float32, device="cpu")
    assert lora_config(merged) is None
    assert_equal_logits(our_logits(merged, IDS), expected)


@pytest.mark.parametrize("modules", [["q_proj", "v_proj"], "all-linear"])
def test_loads_what_peft_saves(modules: str | list[str], base: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model = load_in_transformers(base)
    config = peft.LoraConfig(r=4, lora_alpha=12, target_modules=modules, task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2, generator=generator)
    model.save_pretrained(tmp_path / "adapter")
    decoder, _ = burnish.load(tmp_path / "adapter", base=base, compute_dtype=torch.float32, device="cpu")
    assert_equal_logits(our_logits(decoder, IDS), transformers_logits(model, IDS))


FAMILIES = ["smollm3", "qwen2", "gemma3", "olmo2", "phi3", "gpt2", "gpt_neox", "falcon", "gpt_bigcode"]
ALL_PARTS = ("q", "k", "v", "o", "gate", "up", "down")
TARGETS = [ALL_PARTS, ("qkv", "o", "gate_up", "up", "down"), ("v", "down")]


@pytest.fixture(params=FAMILIES)
def family_base(request: pytest.FixtureRequest, tiny_tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """A model of a family, as transformers saves it."""
    pytest.importorskip("transformers")
    make_model(request.param).save_pretrained(tmp_path / "base")
    tiny_tokenizer.save(tmp_path / "base")
    return tmp_path / "base"


@pytest.mark.parametrize("targets", TARGETS, ids=", ".join)
def test_peft_loads_the_adapters_of_every_family(targets: tuple[str, ...], family_base: Path, tmp_path: Path) -> None:
    """Also those of parts that the family stores as one matrix, and of a whole that it stores in parts."""
    peft = pytest.importorskip("peft")
    config = LoraConfig(rank=2, alpha=3.0, targets=targets)
    decoder, _ = burnish.load(family_base, compute_dtype=torch.float32, device="cpu")
    before = our_logits(decoder, IDS)
    adapted(decoder, config)
    ours = our_logits(decoder, IDS)
    assert (ours - before).abs().max() > 0.01
    save_adapter(decoder, tmp_path / "adapter", base=str(family_base))
    model = peft.PeftModel.from_pretrained(load_in_transformers(family_base), tmp_path / "adapter")
    assert_equal_logits(ours, transformers_logits(model, IDS))
    for merged in (True, False):
        again, _ = burnish.load(tmp_path / "adapter", merged=merged, compute_dtype=torch.float32, device="cpu")
        assert_equal_logits(our_logits(again, IDS), ours)
    save_adapter(again, tmp_path / "again", base=str(family_base))
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "adapter" / name).read_bytes()


def test_loads_what_peft_saves_for_every_family(family_base: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model = load_in_transformers(family_base)
    config = peft.LoraConfig(r=4, lora_alpha=12, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2, generator=generator)
    model.save_pretrained(tmp_path / "adapter")
    decoder, _ = burnish.load(tmp_path / "adapter", base=family_base, compute_dtype=torch.float32, device="cpu")
    assert_equal_logits(our_logits(decoder, IDS), transformers_logits(model, IDS))


def test_base_relative_to_the_adapter(base: Path, make_decoder: MakeDecoder, tmp_path: Path) -> None:
    save_adapter(adapted(make_decoder(n_kv_heads=1), CONFIGURATIONS[0]), tmp_path / "adapter", base="../base")
    assert burnish.load(tmp_path / "adapter", device="cpu")[0].config.n_kv_heads == 1


def test_an_adapter_with_its_own_tokenizer(
    base: Path, make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    folder = tmp_path / "adapter"
    save_adapter(adapted(make_decoder(n_kv_heads=1), CONFIGURATIONS[0]), folder, base=str(base))
    tiny_tokenizer.save(folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": "its own"}))
    assert burnish.load(folder, device="cpu")[1].chat_template == "its own"


def test_misuse(make_decoder: MakeDecoder, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no LoRA adapters"):
        save_adapter(make_decoder(), tmp_path / "adapter", base="base")
    decoder = adapted(make_decoder(), CONFIGURATIONS[0])
    save_adapter(decoder, tmp_path / "adapter", base="base")
    with pytest.raises(CheckpointError, match="merge them first"):
        load_adapter(decoder, tmp_path / "adapter")
    merge_lora(decoder)
    load_adapter(decoder, tmp_path / "adapter")
    with pytest.raises(CheckpointError, match=r"lora_A\.weight has shape \[4, 32\]"):
        load_adapter(make_decoder(d_model=64), tmp_path / "adapter")
