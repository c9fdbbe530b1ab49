"""config.json of every family: what published keys mean, what is refused, and what a configuration is saved as."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from family_models import make_model
from hypothesis import given, settings
from hypothesis import strategies as st
from published import PUBLISHED
from references import assert_equal_logits, load_in_transformers, our_logits, transformers_logits
from safetensors.torch import load_file, save_file

import burnish
from burnish.checkpoints import huggingface
from burnish.checkpoints.families import FAMILIES, family_for, find_family, read_settings, write_settings
from burnish.errors import CheckpointError
from burnish.nn.config import DecoderConfig, RopeScaling
from burnish.nn.decoder import Decoder
from burnish.text.tokenizer import Tokenizer

MakeDecoder = Callable[..., Decoder]

IDS = [1, 17, 30, 4, 4, 9, 100, 101, 55, 2, 63, 200]


def read(values: dict[str, Any]) -> DecoderConfig:
    return read_settings(find_family("config.json", "model_type", values["model_type"]), "config.json", values)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_keys(name: str) -> None:
    values, expected = PUBLISHED[name]
    config = read(values)
    assert {field: getattr(config, field) for field in expected} == expected
    assert config.model_type == values["model_type"]
    written = write_settings(family_for(config), config)
    assert read(json.loads(json.dumps(written))) == config


LEFTOVERS: list[tuple[str, dict[str, Any]]] = [
    ("gpt2", {"_num_labels": 1, "output_past": True, "predict_special_tokens": True, "xla_device": True}),
    ("gpt_neox", {"custom_pipelines": {"text-generation": {"impl": "instruct_pipeline.InstructionTextGeneration"}}}),
    ("gemma2", {"sliding_window_size": 4096}),
    ("phi3", {"full_attn_mod": 1, "interpolate_factor": 1}),
    ("llama", {"neftune_noise_alpha": 5}),
    ("llama", {"rope_scaling": {"type": "yarn", "factor": 4.0, "finetuned": True}}),
]
"""Keys of published files that transformers keeps and does not read."""


@pytest.mark.parametrize(("model_type", "keys"), LEFTOVERS, ids=str)
def test_what_published_files_have_left_over(model_type: str, keys: dict[str, Any]) -> None:
    values = next(values for values, _ in PUBLISHED.values() if values["model_type"] == model_type)
    known = {"rope_scaling": {"type": "yarn", "factor": 4.0}} if "rope_scaling" in keys else {}
    assert read({**values, **keys}) == read({**values, **known})


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("without", [(), ("rope_parameters",), ("rope_scaling", "rope_theta", "rotary_pct")])
def test_transformers_takes_the_written_keys_as_the_published_ones(name: str, without: tuple[str, ...]) -> None:
    """Also those of transformers 4 alone, and those of transformers 5 alone."""
    transformers = pytest.importorskip("transformers")
    values, _ = PUBLISHED[name]
    config = read(values)
    written = write_settings(family_for(config), config)
    theirs, ours = (
        transformers.AutoConfig.for_model(**keys)
        for keys in (values, {key: value for key, value in written.items() if key not in without})
    )
    for key in ("rope_parameters", "layer_types", "no_rope_layers", "tie_word_embeddings", "sliding_window"):
        assert getattr(ours, key, None) == getattr(theirs, key, None), key


def test_every_family_is_published_here() -> None:
    assert {values["model_type"] for values, _ in PUBLISHED.values()} == {family.model_type for family in FAMILIES}


def test_an_unknown_family_lists_the_known_ones() -> None:
    with pytest.raises(CheckpointError) as caught:
        find_family("config.json", "model_type", "gemma3")
    for part in ("config.json", "'gemma3'", "gemma3_text", *(family.model_type for family in FAMILIES)):
        assert part in str(caught.value)


UNSUPPORTED: list[tuple[str, dict[str, Any], str]] = [
    ("Llama-3.2-1B", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "rope_scaling is .*dynamic"),
    ("Llama-3.2-1B", {"rope_scaling": {"type": "yarn", "factor": 2.0, "truncate": False}}, "truncate"),
    ("Llama-3.2-1B", {"rope_scaling": {"type": "linear", "factor": 0.5}}, "rope_scaling is .* at least 1"),
    ("Llama-3.2-1B", {"rope_scaling": {"type": "linear", "factor": "2"}}, "rope_scaling.factor must be a number"),
    ("Llama-3.2-1B", {"rope_scaling": [2.0]}, "rope_scaling is .*not an object"),
    ("Llama-3.2-1B", {"rope_scaling": {"partial_rotary_factor": 0.5}}, "rotates whole heads"),
    ("Llama-3.2-1B", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
    ("Llama-3.2-1B", {"num_attention_heads": 48, "num_key_value_heads": 8}, "hidden_size .2048. is not a multiple"),
    ("SmolLM3-3B", {"no_rope_layers": [1, 0]}, "no_rope_layers is"),
    ("SmolLM3-3B", {"no_rope_layers": [2] * 36}, "no_rope_layers is"),
    ("Mistral-7B-v0.1", {"sliding_window": 0}, "sliding_window must be above 0"),
    ("Mistral-7B-v0.1", {"layer_types": ["full_attention"] * 32}, "layer_types is"),
    (
        "Qwen3-0.6B",
        {"use_sliding_window": True, "sliding_window": 9, "layer_types": ["chunked_attention"] * 28},
        "layer_types is",
    ),
    (
        "Qwen3-0.6B",
        {"use_sliding_window": True, "sliding_window": 9, "layer_types": ["full_attention"] * 27},
        "layer_types is",
    ),
    ("gemma-2-2b", {"use_bidirectional_attention": True}, "use_bidirectional_attention is True"),
    ("gemma-3-1b", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is 50.0"),
    ("gemma-3-1b", {"rope_parameters": {"rope_theta": 5.0}}, "rope_parameters is .*rope_theta is not a type of layer"),
    (
        "gemma-3-1b",
        {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}},
        "rope_parameters.sliding_attention is",
    ),
    (
        "Phi-3-mini-4k",
        {"rope_scaling": {"type": "longrope", "short_factor": [1.0] * 48, "long_factor": [2.0] * 48}},
        "rope_scaling is .*longrope",
    ),
    ("Phi-3-mini-4k", {"partial_rotary_factor": 0.01}, "rotary_dim must be"),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
    ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights is False"),
    ("gpt2", {"add_cross_attention": True}, "add_cross_attention is True"),
    ("gpt2", {"activation_function": "tanh"}, "activation_function is 'tanh'"),
    ("gpt2", {"n_head": 11}, "n_embd .768. is not a multiple of n_head .11."),
    ("falcon-7b", {"alibi": True}, "alibi is True"),
    ("falcon-7b", {"new_decoder_architecture": True}, "new_decoder_architecture is True"),
    ("falcon-7b", {"multi_query": False}, "multi_query is False"),
    ("falcon-7b", {"parallel_attn": False}, "parallel_attn is False"),
    ("falcon-7b", {"bias": True}, "bias is True"),
    ("starcoderbase-1b", {"multi_query": False}, "multi_query is False"),
]


@pytest.mark.parametrize(("name", "changes", "message"), UNSUPPORTED)
def test_unsupported_settings_are_refused_by_their_key(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        read({**PUBLISHED[name][0], **changes})
    assert "config.json" in str(caught.value)


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just([]) | st.just({})


@settings(max_examples=300)
@given(st.sampled_from(sorted(PUBLISHED)), st.data())
def test_any_value_in_any_key_is_read_or_refused(name: str, data: st.DataObject) -> None:
    values, _ = PUBLISHED[name]
    written = write_settings(find_family("config.json", "model_type", values["model_type"]), read(values))
    values = json.loads(json.dumps({**values, **written}))
    inside = [value for value in values.values() if isinstance(value, dict | list) and value]
    where = data.draw(st.sampled_from([values, *inside]))
    key = data.draw(st.sampled_from(range(len(where)) if isinstance(where, list) else sorted(where)))
    where[key] = data.draw(VALUES | st.lists(VALUES, max_size=2) | st.dictionaries(st.text(max_size=3), VALUES))
    with suppress(CheckpointError):
        read({**values, "model_type": PUBLISHED[name][0]["model_type"]})


@pytest.mark.parametrize(
    ("changes", "model_type"),
    [
        ({}, "llama"),
        ({"activation": "relu", "rope_scaling": RopeScaling(kind="yarn", factor=2.0)}, "llama"),
        ({"sliding_window": 5}, "mistral"),
        ({"n_heads": 3, "n_kv_heads": 1}, "mistral"),
        ({"sliding_window": 5, "full_attention_layers": (0,)}, "smollm3"),
        ({"unrotated_layers": (1,)}, "smollm3"),
        ({"qkv_bias": True}, "qwen2"),
        ({"qk_norm": "head"}, "qwen3"),
        ({"qk_norm": "projection", "norm_placement": "reordered"}, "olmo2"),
        ({"rotary_dim": 4}, "phi3"),
        ({"norm_placement": "sandwich", "embedding_scale": 32**0.5, "attention_softcap": 9.0}, "gemma2"),
        ({"norm_placement": "sandwich", "embedding_scale": 32**0.5, "qk_norm": "head"}, "gemma3_text"),
        ({"model_type": "gpt2", "sliding_window": 5}, "mistral"),
        ({"model_type": "qwen3"}, "llama"),
    ],
)
def test_a_model_of_no_family_is_saved_as_the_first_that_fits(
    changes: dict[str, Any], model_type: str, make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    decoder = make_decoder(**{"model_type": None, **changes})
    burnish.save(decoder, tiny_tokenizer, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == model_type
    assert_equal_logits(our_logits(decoder, IDS), transformers_logits(load_in_transformers(tmp_path), IDS))
    again, _ = burnish.load(tmp_path, compute_dtype=torch.float32, device="cpu")
    assert_equal_logits(our_logits(again, IDS), our_logits(decoder, IDS))


def test_an_uptrained_model_leaves_the_family_that_cannot_hold_it() -> None:
    """GPT-2 has as many key-value heads as heads; with one, it is GPT-BigCode; with two, nothing."""
    gpt2 = read(PUBLISHED["gpt2"][0])
    assert family_for(gpt2).model_type == "gpt2"
    assert family_for(replace(gpt2, n_kv_heads=1)).model_type == "gpt_bigcode"
    with pytest.raises(CheckpointError, match="no model family has all its settings; gpt2 lacks n_kv_heads 2"):
        family_for(replace(gpt2, n_kv_heads=2))


def test_a_share_of_a_head_that_rounds_down_is_still_read_as_written() -> None:
    """30 / 44 · 44 is 29.999... in floating point, and transformers cuts it to a whole number."""
    config = replace(read(PUBLISHED["pythia-160m"][0]), d_model=12 * 44, head_dim=44, rotary_dim=30)
    family = family_for(config)
    assert family.model_type == "gpt_neox"
    assert read(write_settings(family, config)).rotary_dim == 30


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"norm": "batch"}, "no model family has norm 'batch'"),
        ({"norm": "weight"}, "no model family has norm 'weight'"),
        ({"norm_placement": "deepnorm"}, "no model family has norm_placement 'deepnorm'"),
        ({"residual": False}, "no model family has residual False"),
        ({"causal": False}, "no model family has causal False"),
        ({"attention_scale": 0.3}, "no model family has attention_scale 0.3"),
        ({"qk_norm": "head", "sliding_window": 5, "tie_embeddings": False, "positions": "learned"}, "'learned'"),
    ],
)
def test_a_setting_that_no_family_has_is_named(
    changes: dict[str, Any], named: str, make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    decoder = make_decoder(**changes)
    with pytest.raises(CheckpointError, match=named):
        huggingface.write(decoder, tiny_tokenizer, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    burnish.save(decoder, tiny_tokenizer, tmp_path / "model")
    assert not (tmp_path / "model" / "config.json").exists()


@pytest.mark.parametrize(
    ("case", "computed"),
    [
        ("gpt2", ("h.0.attn.bias", "h.0.attn.masked_bias")),
        ("gpt_neox", ("layers.0.attention.bias", "layers.0.attention.rotary_emb.inv_freq")),
    ],
)
def test_files_of_old_without_prefix_and_with_computed_tensors(
    case: str, computed: tuple[str, ...], tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    model = make_model(case)
    model.save_pretrained(tmp_path)
    tiny_tokenizer.save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    prefix = "transformer." if case == "gpt2" else "gpt_neox."
    tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    save_file({**tensors, **{name: torch.ones(2) for name in computed}}, tmp_path / "model.safetensors")
    decoder, _ = burnish.load(tmp_path, compute_dtype=torch.float32, device="cpu")
    assert_equal_logits(our_logits(decoder, IDS), transformers_logits(model, IDS))


@pytest.mark.parametrize(
    ("case", "name", "shape"),
    [
        ("gpt2", "transformer.h.1.attn.c_attn.weight", [96, 32]),
        ("gpt_bigcode", "transformer.h.1.attn.c_attn.weight", [32, 48]),
        ("phi3", "model.layers.1.self_attn.qkv_proj.weight", [96, 32]),
        ("gpt_neox", "gpt_neox.layers.1.attention.query_key_value.bias", [32]),
        ("qwen2", "model.layers.1.self_attn.k_proj.bias", [32]),
        ("gemma3", "model.layers.1.self_attn.q_norm.weight", [32]),
    ],
)
def test_a_tensor_of_another_shape_is_named(
    case: str, name: str, shape: list[int], tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    make_model(case).save_pretrained(tmp_path)
    tiny_tokenizer.save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({**tensors, name: torch.ones(shape)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        burnish.load(tmp_path, compute_dtype=torch.float32, device="cpu")
    for part in ("model.safetensors", name, f"has shape {shape}"):
        assert part in str(caught.value)
