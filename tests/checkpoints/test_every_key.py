"""Every key of config.json, at other values: the logits are those of transformers, or the key is refused.

The keys are those of the configuration classes of all families, each family's tried on every other family too, and what
transformers reads whatever the family.
"""

import copy
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from family_models import CASES, WINDOWS, make_model
from references import our_logits, transformers_logits
from torch import Tensor

from burnish.checkpoints import huggingface
from burnish.checkpoints.weights import build_decoder
from burnish.errors import CheckpointError

transformers = pytest.importorskip("transformers")

IDS = [1, 17, 30, 4, 4, 9, 100, 101, 55, 2, 63, 200, 0, 7]
BASES = (
    "llama 3.1",
    "llama, linear scaling",
    "mistral",
    "qwen2",
    "qwen2 with windows",
    "qwen3 with windows",
    "smollm3 with windows",
    "olmo2",
    "phi3",
    "gemma2",
    "gemma3",
    "gpt2",
    "gpt_neox",
    "falcon",
    "gpt_bigcode",
)
STRAY = (
    "is_causal",
    "per_layer_config",
    "quantization_config",
    "use_bidirectional_attention",
    "attention_chunk_size",
    "rope_theta",
    "rope_scaling",
    "partial_rotary_factor",
    "rotary_pct",
    "rotary_emb_base",
    "rope_local_base_freq",
    "sliding_window_pattern",
    "original_max_position_embeddings",
    "_rope_type_labels",
    "pruned_heads",
    "head_dim",
    "is_decoder",
    "num_experts",
    "clip_qkv",
    "qk_layernorm",
    "logits_scaling",
    "embedding_multiplier",
    "attention_multiplier",
    "residual_multiplier",
    "rope_interleaved",
    "apply_residual_connection_post_layernorm",
)
"""Keys of no class here, of files from other versions, and those that transformers looks for in any configuration."""

_LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 77.0}
_YARN = {"rope_type": "yarn", "factor": 3.0}
ROTARY: list[Any] = [
    _LINEAR,
    {"rope_type": "default", "rope_theta": 50.0},
    {"type": "linear", "factor": 2.0},
    {"rope_type": "llama3", "factor": 3.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    {"rope_type": "default", "partial_rotary_factor": 0.5},
    {"rope_type": "default", "mrope_section": [1, 1, 2]},
    {"full_attention": _LINEAR, "sliding_attention": {"rope_type": "default", "rope_theta": 33.0}},
    {"full_attention": None, "sliding_attention": _LINEAR},
    {"rope_type": "dynamic", "factor": 2.0},
    {"factor": 2.0},
    _YARN,
    {**_YARN, "mscale": 0.7, "mscale_all_dim": 0.3},
    {**_YARN, "truncate": False},
    {},
    None,
]
VALUES: dict[str, list[Any]] = {
    "rope_parameters": ROTARY,
    "rope_scaling": ROTARY,
    "layer_types": [
        ["full_attention"] * 3,
        WINDOWS,
        ["sliding_attention"] * 3,
        ["full_attention", "sliding_attention", "full_attention"],
        ["linear_attention"] * 3,
        ["full_attention"] * 2,
        [],
        None,
    ],
    "no_rope_layers": [[0, 0, 0], [1, 0, 1], [1, 1, 1], [], None],
    "per_layer_config": [{"0": {"num_key_value_heads": 1}}, {"1": {"sliding_window": 2}}, {}],
    "_rope_type_labels": [["a"], []],
}


def others(key: str, value: Any) -> list[Any]:
    """Values to try in place of `value`, the most telling first; ... is the key's absence."""
    if key in VALUES:
        return [*VALUES[key], ...]
    if isinstance(value, bool):
        return [not value, None, ...]
    if isinstance(value, int):
        return [2 * value, max(value // 2, 1), ..., value + 1, 0, 1, -1, None]
    if isinstance(value, float):
        return [2 * value + 0.1, value / 3, ..., 0.0, 1, None]
    if isinstance(value, str):
        return ["gelu", "relu", ..., "x", None]
    if isinstance(value, list):
        return [value[::-1], [], None, ...]
    if isinstance(value, dict):
        return [{}, None, ...]
    return [True, False, 16, 0.5, 1, 3, "x", {"a": 1}, [1]]


class Subject:
    """A model of a family that is read anew by both sides with other keys beside the same weights."""

    def __init__(self, case: str, folder: Path) -> None:
        model = make_model(case)
        model.save_pretrained(folder)
        self.folder, self.kind = folder, type(model.config)
        self.state = model.state_dict()
        self.keys: dict[str, Any] = json.loads((folder / "config.json").read_text())
        self.own: dict[str, Any] = json.loads(json.dumps(model.config.to_dict()))
        self.logits = transformers_logits(model, IDS)

    def ours(self, values: dict[str, Any]) -> Tensor:
        (self.folder / "config.json").write_text(json.dumps(values))
        family, config = huggingface.read_config(self.folder)
        config = huggingface.untied(self.folder, family, config)
        state = huggingface.read_state(self.folder, family, config)
        decoder = build_decoder(config, state, compute_dtype=torch.float32, device=torch.device("cpu"))
        return our_logits(decoder, IDS)

    def theirs(self, values: dict[str, Any]) -> Tensor | None:
        """None where transformers refuses the configuration, or weights of these shapes, too."""
        try:
            if values.get("tie_word_embeddings") != self.keys["tie_word_embeddings"]:
                # Whether weights are tied is decided as they are read from files.
                (self.folder / "config.json").write_text(json.dumps(values))
                read = transformers.AutoModelForCausalLM.from_pretrained(self.folder, attn_implementation="eager")
                return transformers_logits(read, IDS)
            config = self.kind.from_dict(copy.deepcopy(values))
            model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
            model.load_state_dict(self.state, strict=False)
            return transformers_logits(model, IDS)
        except Exception:  # of many kinds, down to the shapes of a product
            return None

    def check(self, key: str, value: Any) -> None:
        values = {**self.keys, key: value}
        if value is ...:
            del values[key]
        try:
            ours = self.ours(values)
        except CheckpointError:
            return
        theirs = self.theirs(values)
        if theirs is not None:
            difference = float((ours - theirs).abs().max() / theirs.abs().max())
            assert difference < 2e-4, f"{key}: {value!r} instead of {self.keys.get(key)!r}"


@pytest.fixture(scope="module")
def every_key() -> dict[str, Any]:
    """The keys of all configuration classes, with a value of each."""
    found: dict[str, Any] = dict.fromkeys(STRAY)
    for case in BASES:
        name, settings = CASES[case]
        found |= {key: value for key, value in getattr(transformers, name)(**settings).to_dict().items() if value}
    return found


def perturbations(subject: Subject, every_key: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in {**every_key, **subject.own, **subject.keys}:
        if key == "model_type":
            continue
        usual = subject.keys.get(key)
        for value in others(key, every_key.get(key) if usual is None else usual):
            if (value is not ... or key in subject.keys) and (value != usual or type(value) is not type(usual)):
                yield key, value


FAST = ("gemma3", "gpt2", "llama 3.1", "qwen3 with windows")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case in FAST else [pytest.mark.slow]) for case in BASES]
)
def test_the_most_telling_values(case: str, every_key: dict[str, Any], tmp_path: Path) -> None:
    subject = Subject(case, tmp_path)
    assert float((subject.ours(subject.keys) - subject.logits).abs().max()) < 1e-3
    seen = Counter[str]()
    for key, value in perturbations(subject, every_key):
        seen[key] += 1
        if seen[key] <= 2 * (key in subject.own) + (key in STRAY):
            subject.check(key, value)
    assert seen.keys() > subject.own.keys() - {"model_type"}


@pytest.mark.slow
@pytest.mark.parametrize("case", BASES)
def test_every_value(case: str, every_key: dict[str, Any], tmp_path: Path) -> None:
    subject = Subject(case, tmp_path)
    for key, value in perturbations(subject, every_key):
        subject.check(key, value)
        if key in every_key and key not in subject.keys:
            subject.check(key, every_key[key])


@pytest.mark.parametrize("inner", [None, 16, 32])
@pytest.mark.parametrize("kind", ["yarn", "llama3"])
def test_the_original_length_inside_and_outside(kind: str, inner: int | None, tmp_path: Path) -> None:
    """transformers takes the one outside, which the file of 4 may not mean: two that differ are refused."""
    subject = Subject("qwen2", tmp_path)
    rope = {"rope_type": kind, "rope_theta": 500.0, "factor": 8.0, "original_max_position_embeddings": inner}
    rope |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0} if kind == "llama3" else {}
    subject.keys["rope_parameters"] = {key: value for key, value in rope.items() if value is not None}
    if inner in (None, 16):
        subject.check("original_max_position_embeddings", 16)
        subject.ours({**subject.keys, "original_max_position_embeddings": 16})
    else:
        with pytest.raises(CheckpointError, match="original_max_position_embeddings is 16, but rope_parameters"):
            subject.ours({**subject.keys, "original_max_position_embeddings": 16})


@pytest.mark.parametrize("case", ["llama 3.2", "gemma2", "gpt2", "falcon"])
def test_a_tied_model_whose_files_have_the_output_layer_alone(case: str, tmp_path: Path) -> None:
    """transformers 5 ties the embedding to it."""
    from safetensors.torch import load_file, save_file

    subject = Subject(case, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    (name,) = (name for name in tensors if name.split(".")[-2] in ("embed_tokens", "wte", "word_embeddings"))
    tensors["lm_head.weight"] = tensors.pop(name)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    theirs = transformers_logits(model, IDS)
    assert torch.equal(theirs, subject.logits)
    assert float((subject.ours(subject.keys) - theirs).abs().max() / theirs.abs().max()) < 2e-4


def test_gpt_neox_with_the_name_of_transformers_5_for_its_output_layer(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    subject = Subject("gpt_neox", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors.pop("embed_out.weight")
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    assert torch.equal(transformers_logits(model, IDS), subject.logits)
    assert float((subject.ours(subject.keys) - subject.logits).abs().max() / subject.logits.abs().max()) < 2e-4


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("case", ["llama 3.2", "gemma2", "gpt2", "falcon"])
def test_a_tied_model_with_an_output_layer_in_its_files(case: str, equal: bool, tmp_path: Path) -> None:
    """transformers 5 ties what is equal only."""
    from safetensors.torch import load_file, save_file

    subject = Subject(case, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    names = ("embed_tokens", "wte", "word_embeddings")
    (embedding,) = (tensor for name, tensor in tensors.items() if name.split(".")[-2] in names)
    tensors["lm_head.weight"] = embedding.clone() if equal else embedding.flip(0).contiguous()
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    theirs = transformers_logits(model, IDS)
    assert torch.equal(theirs, subject.logits) is equal
    ours = subject.ours(subject.keys)
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 2e-4
