"""Adapters: peft computes the same logits from what we write, and we from what peft writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from family_models import make_model
from references import assert_equal_logits, load_in_transformers, our_logits, transformers_logits
from safetensors.torch import load_file, save_file

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


def peft_adapter(base: Path, folder: Path, **settings: Any) -> Any:
    """An adapter that PEFT makes for the model in `base` and saves to `folder`; the model with it is returned."""
    peft = pytest.importorskip("peft")
    keys = {"r": 4, "lora_alpha": 12, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", **settings}
    model = peft.get_peft_model(load_in_transformers(base), peft.LoraConfig(**keys))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "lora_A" not in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    model.save_pretrained(folder)
    return model


ADAPTERS: dict[str, dict[str, Any]] = {
    "some layers": {"layers_to_transform": [1]},
    "one layer": {"layers_to_transform": 0, "layers_pattern": "layers"},
    "modules by their paths": {"target_modules": ["model.layers.1.self_attn.q_proj", "up_proj"]},
    "an expression": {"target_modules": r".*\.0\.(self_attn\.k_proj|mlp\.down_proj)"},
    "all linear": {"target_modules": "all-linear"},
    "without some": {"target_modules": "all-linear", "exclude_modules": ["down_proj", "model.layers.0.mlp.up_proj"]},
    "without an expression": {"target_modules": ["q_proj", "o_proj"], "exclude_modules": r".*layers\.1.*"},
    "ranks": {"rank_pattern": {"q_proj": 2, "layers.1.self_attn.v_proj": 7}},
    "alphas": {"alpha_pattern": {"v_proj": 3, r"layers\.0\.self_attn\.q_proj": 40}},
    "ranks and alphas": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 1, "v_proj": 2}},
    "rslora": {"use_rslora": True},
    "rslora with ranks": {"use_rslora": True, "rank_pattern": {"q_proj": 9}, "alpha_pattern": {"v_proj": 2}},
}
WHOLE: dict[str, dict[str, Any]] = {
    "saved head": {"modules_to_save": ["lm_head"]},
    "saved embedding": {"modules_to_save": ["embed_tokens"]},
    "saved both": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "saved norms": {"modules_to_save": ["norm", "input_layernorm"]},
    "saved projection": {"target_modules": ["q_proj", "v_proj"], "modules_to_save": ["down_proj", "k_proj"]},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "embedding alone": {"target_modules": ["embed_tokens"]},
    "head": {"target_modules": ["lm_head"], "rank_pattern": {"lm_head": 3}},
    "all of them": {"target_modules": ["embed_tokens", "lm_head", "o_proj"], "use_rslora": True},
}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", [*ADAPTERS, *WHOLE])
def test_loads_what_peft_loads(
    name: str, tied: bool, make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    base, folder = tmp_path / "base", tmp_path / "adapter"
    decoder = make_decoder(n_kv_heads=1, tie_embeddings=tied)
    burnish.save(decoder, tiny_tokenizer, base)
    peft_adapter(base, folder, **{**ADAPTERS, **WHOLE}[name])
    read = peft.PeftModel.from_pretrained(load_in_transformers(base), folder)
    expected = transformers_logits(read, IDS)
    assert (our_logits(decoder, IDS) - expected).abs().max() > 0.01
    merged, _ = burnish.load(folder, base=base, compute_dtype=torch.float32, device="cpu")
    assert_equal_logits(our_logits(merged, IDS), expected)
    if name in WHOLE:
        with pytest.raises(CheckpointError, match="load it merged"):
            burnish.load(folder, base=base, merged=False, device="cpu")
        burnish.save(merged, tiny_tokenizer, tmp_path / "again")
        assert_equal_logits(transformers_logits(load_in_transformers(tmp_path / "again"), IDS), expected)
        return
    apart, _ = burnish.load(folder, base=base, merged=False, compute_dtype=torch.float32, device="cpu")
    assert_equal_logits(our_logits(apart, IDS), expected)
    save_adapter(apart, tmp_path / "again", base=str(base))
    again = peft.PeftModel.from_pretrained(load_in_transformers(base), tmp_path / "again")
    assert_equal_logits(transformers_logits(again, IDS), expected)
    ours, _ = burnish.load(tmp_path / "again", compute_dtype=torch.float32, device="cpu")
    assert_equal_logits(our_logits(ours, IDS), expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"modules_to_save": ["lm_head"]},
        {"target_modules": ["query_key_value", "lm_head"]},
        {"target_modules": ["lm_head", "embed_in"]},
    ],
    ids=["saved", "adapted", "adapted alone"],
)
def test_gpt_neox_has_two_names_for_its_output_layer(
    settings: dict[str, Any], tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """`lm_head` in transformers 5, `embed_out` before, and in adapters of that time."""
    peft = pytest.importorskip("peft")
    base, folder = tmp_path / "base", tmp_path / "adapter"
    make_model("gpt_neox").save_pretrained(base)
    tiny_tokenizer.save(base)
    peft_adapter(base, folder, **{"target_modules": ["query_key_value"], **settings})
    read = peft.PeftModel.from_pretrained(load_in_transformers(base), folder)
    expected = transformers_logits(read, IDS)
    assert (transformers_logits(load_in_transformers(base), IDS) - expected).abs().max() > 0.01
    ours, _ = burnish.load(folder, base=base, compute_dtype=torch.float32, device="cpu")
    assert_equal_logits(our_logits(ours, IDS), expected)
    # As it was written when the module had its old name.
    file = folder / "adapter_config.json"
    file.write_text(file.read_text().replace("lm_head", "embed_out"))
    tensors = load_file(folder / "adapter_model.safetensors")
    renamed = {name.replace("lm_head", "embed_out"): tensor for name, tensor in tensors.items()}
    save_file(renamed, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    ours, _ = burnish.load(folder, base=base, compute_dtype=torch.float32, device="cpu")
    assert_equal_logits(our_logits(ours, IDS), expected)


def other_values(key: str, value: Any) -> list[Any]:
    """Values of a key of LoraConfig to try in place of `value`."""
    special: dict[str, list[Any]] = {
        "bias": ["all", "lora_only"],
        "init_lora_weights": [
            False,
            "gaussian",
            "pissa",
            "pissa_niter_4",
            "olora",
            "orthogonal",
            "eva",
            "corda",
            "loftq",
        ],
        "target_modules": [["q_proj"], "all-linear", r".*q_proj", ["k_proj", "q_proj", "v_proj"]],
        "exclude_modules": [["v_proj"], r".*v_proj"],
        "layers_to_transform": [[0], 1, [0, 1], [5]],
        "layers_pattern": ["layers", "other"],
        "rank_pattern": [{"q_proj": 2}, {"q_proj": 4}, {"other": 2}],
        "alpha_pattern": [{"q_proj": 2}, {r"layers\.0.*": 5}, {"other": 2}],
        "modules_to_save": [["lm_head"], ["norm"], ["q_proj"]],
        "trainable_token_indices": [[1, 2], {"embed_tokens": [3]}],
        "target_parameters": [["q_proj.weight"]],
        "layer_replication": [[[0, 2], [1, 2]]],
        "alora_invocation_tokens": [[4, 4], [100]],
        "loftq_config": [{"loftq_bits": 4, "loftq_iter": 1}],
        "megatron_config": [{"a": 1}],
        "peft_type": ["IA3", "LOHA", None],
        "task_type": [None, "SEQ_2_SEQ_LM"],
    }
    if key in special:
        return special[key]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, 2 * value + 0.5, 0, -1]
    return [True, 3, "x", {}, {"a": 1}, ["x"]]


def test_every_key_of_an_adapter_is_understood_or_refused(base: Path, tmp_path: Path) -> None:
    """Each key of PEFT's LoraConfig at other values: the logits are PEFT's, or the key is refused."""
    peft = pytest.importorskip("peft")
    peft_adapter(base, tmp_path)
    file = tmp_path / "adapter_config.json"
    usual = json.loads(file.read_text())
    keys = {**peft.LoraConfig().to_dict(), **usual}
    refused, equal = set(), set()
    for key, value in keys.items():
        for other in other_values(key, value):
            file.write_text(json.dumps({**usual, key: other}))
            try:
                decoder, _ = burnish.load(tmp_path, base=base, compute_dtype=torch.float32, device="cpu")
            except CheckpointError:
                refused.add(key)
                continue
            file.write_text(json.dumps({**usual, key: other}))
            try:
                model = peft.PeftModel.from_pretrained(load_in_transformers(base), tmp_path)
                expected = transformers_logits(model, IDS)
            except Exception:  # PEFT refuses it too, in one of many ways
                continue
            equal.add(key)
            difference = float((our_logits(decoder, IDS) - expected).abs().max() / expected.abs().max())
            assert difference < 1e-4, (key, other)
    assert refused >= {"use_dora", "bias", "alora_invocation_tokens", "target_parameters", "layer_replication"}
    assert equal >= {"lora_alpha", "alpha_pattern", "use_rslora", "task_type", "exclude_modules"} - refused
