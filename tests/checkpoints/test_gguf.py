"""GGUF files of every architecture: read back as written, understood by the gguf package; what they cannot hold."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gguf as gguf_package
import numpy as np
import pytest
import torch
from gguf_models import CASES, make_model

import burnish
from burnish.checkpoints import gguf
from burnish.checkpoints.families import family_for
from burnish.checkpoints.gguf_file import GgufFile, StoredTensor, open_gguf
from burnish.errors import CheckpointError
from burnish.nn.config import RopeScaling
from burnish.nn.decoder import Decoder
from burnish.text.tokenizer import Tokenizer

MakeDecoder = Callable[..., Decoder]


def load(path: Path) -> tuple[Decoder, Tokenizer]:
    return burnish.load(path, compute_dtype=torch.float32, device="cpu")


@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": False}, {"head_dim": 16}, {"n_kv_heads": 1}])
@pytest.mark.parametrize("quantization", ["F32", "F16", "Q8_0"])
def test_read_back_as_written(
    quantization: str, changes: dict[str, Any], make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    decoder = make_decoder(norm_eps=1e-5, rope_theta=12345.0, **changes)
    gguf.write(decoder, tiny_tokenizer, tmp_path / "model.gguf", quantization=quantization)
    again, tokenizer = load(tmp_path / "model.gguf")
    assert again.config == decoder.config
    for (name, found), expected in zip(again.state_dict().items(), decoder.state_dict().values(), strict=True):
        if quantization == "F32" or expected.ndim == 1:
            assert torch.equal(found, expected), name
        elif quantization == "F16":
            assert torch.equal(found, expected.half().float()), name
        else:
            # Q8_0 rounds a block of 32 to 255 steps between its extremes, with a float16 step.
            largest = expected.reshape(-1, 32).abs().amax(dim=1, keepdim=True)
            assert ((found - expected).reshape(-1, 32).abs() <= 0.57 * largest / 127 + 1e-6).all(), name
    for name in ("bos_id", "eos_id", "pad_id", "stop_ids", "chat_template", "context_length", "add_bos", "vocab_size"):
        assert getattr(tokenizer, name) == getattr(tiny_tokenizer, name), name
    for text in ("the quick brown fox, 123 times", "<|im_end|>"):
        assert tokenizer.encode(text) == tiny_tokenizer.encode(text)
        assert tokenizer.encode(text, special=True) == tiny_tokenizer.encode(text, special=True)


def test_rows_that_do_not_fill_blocks_are_f16(
    make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    decoder = make_decoder(d_model=48)
    gguf.write(decoder, tiny_tokenizer, tmp_path / "model.gguf", quantization="Q8_0")
    kinds = {name: tensor.kind.name for name, tensor in open_gguf(tmp_path / "model.gguf").tensors.items()}
    assert kinds["blk.0.attn_q.weight"] == "F16"  # 48 values a row
    assert kinds["blk.0.ffn_down.weight"] == "Q8_0"  # 64
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    load(tmp_path / "model.gguf")


def test_the_gguf_package_reads_it(make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = make_decoder()
    gguf.write(decoder, tiny_tokenizer, tmp_path / "tiny.gguf", quantization="F16")
    reader = gguf_package.GGUFReader(tmp_path / "tiny.gguf")
    ours = open_gguf(tmp_path / "tiny.gguf")
    fields = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    assert fields.keys() == ours.metadata.keys()
    for key, value in fields.items():
        assert ours.metadata[key] == (pytest.approx(value) if isinstance(value, float) else value), key
    assert fields["general.name"] == "tiny"
    assert fields["llama.attention.head_count_kv"] == 2
    assert [tensor.name for tensor in reader.tensors] == list(ours.tensors)
    for tensor in reader.tensors:
        stored = ours.tensors[tensor.name]
        assert stored.kind == tensor.tensor_type
        assert stored.shape == tuple(reversed(tensor.shape.tolist()))
        assert stored.data.tobytes() == tensor.data.tobytes()


def test_query_rows_are_stored_pair_by_pair(
    make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """llama.cpp's `convert_hf_to_gguf.py` (`LlamaModel.permute`), written out row by row."""
    decoder = make_decoder()
    gguf.write(decoder, tiny_tokenizer, tmp_path / "model.gguf", quantization="F32")
    stored = open_gguf(tmp_path / "model.gguf").tensors["blk.1.attn_k.weight"].data.view(np.float32)
    head_dim, n_queries = decoder.config.head_dim, decoder.config.n_heads * decoder.config.head_dim
    weight = decoder.state_dict()["blocks.1.attention.qkv.weight"].numpy()[n_queries:]
    for head in range(decoder.config.n_kv_heads):
        for pair in range(head_dim // 2):
            for half in range(2):
                source = head * head_dim + half * head_dim // 2 + pair
                assert np.array_equal(stored[head * head_dim + 2 * pair + half], weight[source])


def test_what_cannot_be_written(make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'Q3' is not one of F32, F16, BF16, Q8_0, Q5_1, "):
        gguf.write(make_decoder(), tiny_tokenizer, tmp_path / "model.gguf", quantization="Q3")
    with pytest.raises(CheckpointError, match="only 280 rows"):
        gguf.write(make_decoder(vocab_size=280), tiny_tokenizer, tmp_path / "model.gguf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", CASES)
def test_every_architecture_is_read_back_as_written(name: str, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = make_model(name, tiny_tokenizer.vocab_size)
    gguf.write(decoder, tiny_tokenizer, tmp_path / "model.gguf", quantization="F32")
    again, _ = load(tmp_path / "model.gguf")
    found, expected = asdict(again.config), asdict(decoder.config)
    for scaled in (found, expected):
        if scaled["rope_scaling"] is not None and scaled["rope_scaling"]["attention_factor"] is not None:
            assert scaled["rope_scaling"].pop("attention_factor") == pytest.approx(1.25)
    assert found == expected
    for (key, tensor), written in zip(again.state_dict().items(), decoder.state_dict().values(), strict=True):
        assert torch.equal(tensor, written), key


def test_norms_of_gemma_are_stored_with_the_one_added(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """llama.cpp multiplies by the weight itself, Hugging Face's Gemma by one more."""
    decoder = make_model("gemma3", tiny_tokenizer.vocab_size)
    gguf.write(decoder, tiny_tokenizer, tmp_path / "model.gguf", quantization="F32")
    tensors = open_gguf(tmp_path / "model.gguf").tensors
    for name, stored in (
        ("blocks.2.attention_norm.weight", "blk.2.attn_norm.weight"),
        ("blocks.2.attention.q_norm.weight", "blk.2.attn_q_norm.weight"),
    ):
        assert np.array_equal(tensors[stored].data.view(np.float32).ravel(), decoder.state_dict()[name].numpy())


def metadata_of(decoder: Decoder, tokenizer: Tokenizer, path: Path) -> dict[str, Any]:
    gguf.write(decoder, tokenizer, path, quantization="F32")
    return open_gguf(path).metadata


def test_what_the_keys_say(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Names and values as llama.cpp's `convert_hf_to_gguf.py` writes them."""
    n = tiny_tokenizer.vocab_size
    mistral = metadata_of(make_model("mistral", n), tiny_tokenizer, tmp_path / "a.gguf")
    assert mistral["general.architecture"] == "llama"
    assert mistral["llama.attention.sliding_window"] == 128
    gemma = metadata_of(make_model("gemma2", n), tiny_tokenizer, tmp_path / "b.gguf")
    assert gemma["gemma2.attn_logit_softcapping"] == 20.0
    assert gemma["gemma2.final_logit_softcapping"] == 10.0
    assert "gemma2.attention.sliding_window_pattern" not in gemma  # every second layer, as usual
    neox = metadata_of(make_model("gpt_neox", n), tiny_tokenizer, tmp_path / "c.gguf")
    assert neox["gptneox.use_parallel_residual"] is True
    assert neox["gptneox.rope.dimension_count"] == 8
    assert neox["gptneox.attention.layer_norm_epsilon"] == 1e-5
    falcon = metadata_of(make_model("falcon", n), tiny_tokenizer, tmp_path / "d.gguf")
    assert falcon["falcon.attention.head_count_kv"] == 1
    yarn = metadata_of(make_model("llama, yarn", n), tiny_tokenizer, tmp_path / "e.gguf")
    assert yarn["llama.rope.scaling.type"] == "yarn"
    assert yarn["llama.rope.scaling.factor"] == 4.0
    assert yarn["llama.rope.scaling.original_context_length"] == 32


def test_factors_of_llama3_positions(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """The rule of Llama 3's published code, frequency by frequency (`apply_scaling` of llama-models)."""
    decoder = make_model("llama, llama3 positions", tiny_tokenizer.vocab_size)
    gguf.write(decoder, tiny_tokenizer, tmp_path / "model.gguf")
    stored = open_gguf(tmp_path / "model.gguf").tensors["rope_freqs.weight"]
    expected = []
    for pair in range(16):
        wavelength = 2 * np.pi * 500.0 ** (pair / 16)
        smooth = (32 / wavelength - 1.0) / (4.0 - 1.0)
        if wavelength < 32 / 4.0:
            expected.append(1.0)
        elif wavelength > 32 / 1.0:
            expected.append(8.0)
        else:
            expected.append(1 / ((1 - smooth) / 8.0 + smooth))
    assert stored.kind.name == "F32"
    assert np.allclose(stored.data.view(np.float32).ravel(), expected, rtol=1e-5)


def edited(path: Path, **changes: Any) -> GgufFile:
    """The file with other metadata under its architecture's prefix; ... removes a key."""
    file = open_gguf(path)
    prefix = file.metadata["general.architecture"]
    metadata = {**file.metadata, **{f"{prefix}.{key.replace('__', '.')}": value for key, value in changes.items()}}
    kept = {key: value for key, value in metadata.items() if value is not ...}
    return GgufFile(path=path, metadata=kept, tensors=file.tensors)


def test_what_absent_keys_mean(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Older files say less; then llama.cpp's own assumptions hold."""
    path, n = tmp_path / "model.gguf", tiny_tokenizer.vocab_size
    gguf.write(make_model("gemma2", n, sliding_window=16), tiny_tokenizer, path)
    config = gguf.read_config(
        edited(path, attention__sliding_window=..., attn_logit_softcapping=..., final_logit_softcapping=...)
    )[1]
    assert (config.sliding_window, config.attention_softcap, config.logits_softcap) == (4096, 50.0, 30.0)
    assert gguf.read_config(edited(path, block_count=46))[1].attention_scale == 32**-0.5
    gguf.write(make_model("gemma3", n), tiny_tokenizer, path)
    assert gguf.read_config(edited(path, rope__freq_base_swa=...))[1].local_rope_theta == 10_000.0
    assert gguf.read_config(edited(path, attention__sliding_window=...))[1].sliding_window is None
    gguf.write(make_model("falcon", n), tiny_tokenizer, path)
    absent = dict.fromkeys(("rope__freq_base", "rope__dimension_count", "attention__key_length", "vocab_size"), ...)
    assert gguf.read_config(edited(path, **absent))[1] == gguf.read_config(open_gguf(path))[1]
    gguf.write(make_model("llama", n), tiny_tokenizer, path)
    scaled = gguf.read_config(edited(path, rope__scale_linear=2.0))[1]
    assert scaled.rope_scaling == RopeScaling(kind="linear", factor=2.0)
    assert gguf.read_config(edited(path, rope__scaling__type="none", rope__scaling__factor=2.0))[1].rope_scaling is None
    # OLMo 3 is OLMo 2 with windows, whose layers are not scaled.
    gguf.write(make_model("olmo2", n), tiny_tokenizer, path)
    windows = {"attention__sliding_window": 16, "rope__scaling__type": "yarn", "rope__scaling__factor": 2.0}
    config = gguf.read_config(edited(path, **windows))[1]
    assert (config.full_attention_layers, config.local_rope_theta) == ((3,), config.rope_theta)


@pytest.mark.parametrize(
    ("name", "changes", "fault"),
    [
        ("llama", {"rope__scaling__type": "longrope"}, "llama.rope.scaling.type is 'longrope', which is not supported"),
        (
            "llama",
            {"rope__scaling__attn_factor": 1.5},
            "llama.rope.scaling.attn_factor is 1.5, which is supported with",
        ),
        ("llama", {"attention__value_length": 8}, "llama.attention.value_length is 8"),
        ("falcon", {"attention__head_count_kv": 2}, "falcon.attention.head_count_kv is 2"),
        ("gemma2", {"attention__sliding_window_pattern": [True]}, "gemma2.attention.sliding_window_pattern is"),
        ("gemma2", {"attention__sliding_window": -1}, "gemma2.attention.sliding_window must be above 0"),
        ("qwen2, yarn", {"rope__scaling__yarn_log_multiplier": 0.1}, "qwen2.rope.scaling.yarn_log_multiplier is 0.1"),
        ("llama, llama3 positions", {"rope__freq_base": 2.0}, "rope_freqs.weight is not part of a plain llama model"),
    ],
)
def test_what_cannot_be_read(
    name: str, changes: dict[str, Any], fault: str, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    gguf.write(make_model(name, tiny_tokenizer.vocab_size), tiny_tokenizer, tmp_path / "model.gguf")
    with pytest.raises(CheckpointError) as caught:
        gguf.read_config(edited(tmp_path / "model.gguf", **changes))
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("name", "changes", "fault"),
    [
        ("smollm3", {"unrotated_layers": (1,)}, r"smollm3 has no unrotated_layers \(1,\)"),
        ("qwen3", {"qkv_bias": True, "attention_bias": True}, "qwen3 has no attention_bias True, qkv_bias True"),
        ("gemma2", {"tie_embeddings": False}, "gemma2 has no tie_embeddings False"),
        ("gemma2", {"sliding_window": None}, "gemma2 has no .*sliding_window None"),
        ("gemma3", {"attention_scale": 0.1}, "gemma3 has no attention_scale 0.1"),
        ("olmo2", {"tie_embeddings": True}, "olmo2 has no tie_embeddings True"),
        ("phi3", {"head_dim": 64}, "phi3 has no head_dim 64"),
        ("qwen2", {"rope_scaling": RopeScaling(kind="llama3", factor=8.0)}, "qwen2 has no rope_scaling"),
        ("llama", {"rope_scaling": RopeScaling(kind="yarn", factor=8.0, beta_fast=4.0)}, "llama has no rope_scaling"),
    ],
)
def test_what_llama_cpp_does_not_compute_is_not_written(
    name: str, changes: dict[str, Any], fault: str, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    decoder = make_model(name, tiny_tokenizer.vocab_size, **changes)
    with pytest.raises(CheckpointError, match=fault):
        gguf.write(decoder, tiny_tokenizer, tmp_path / "model.gguf")
    assert list(tmp_path.iterdir()) == []


def test_layers_without_positions_of_a_file_with_longer_ones(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Phi-3's longrope has factors in two tensors, which are refused as what they are."""
    path = tmp_path / "model.gguf"
    gguf.write(make_model("phi3", tiny_tokenizer.vocab_size), tiny_tokenizer, path)
    file = open_gguf(path)
    ones = np.ones((1, 16), np.float32)
    factors = StoredTensor(
        name="rope_factors_long.weight",
        shape=(16,),
        kind=gguf_package.GGMLQuantizationType.F32,
        data=ones.view(np.uint8),
    )
    longer = GgufFile(path=path, metadata=file.metadata, tensors={**file.tensors, factors.name: factors})
    with pytest.raises(CheckpointError, match=r"rope_factors_long.weight is not part of a plain phi3 model"):
        gguf.read_state(longer, *gguf.read_config(longer))


@pytest.mark.parametrize("name", ["mistral", "qwen2", "qwen3", "smollm3", "phi3"])
def test_windows_that_llama_cpp_does_not_compute(name: str, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """They are refused, unless no text within the stated context can outgrow them."""
    path = tmp_path / "model.gguf"
    decoder = make_model(name, tiny_tokenizer.vocab_size, sliding_window=64)
    with pytest.raises(CheckpointError, match=r"has no sliding_window \(64 tokens\).*context_length=64 or less"):
        gguf.write(decoder, tiny_tokenizer, path)
    with pytest.raises(CheckpointError, match="no sliding_window"):
        gguf.write(decoder, tiny_tokenizer, path, context_length=65)
    assert list(tmp_path.iterdir()) == []
    gguf.write(decoder, tiny_tokenizer, path, context_length=64)
    _, config = gguf.read_config(open_gguf(path))
    assert (config.max_positions, config.sliding_window) == (64, 64)
    for wrong in (0, 129):
        with pytest.raises(CheckpointError, match=f"context_length is {wrong}"):
            gguf.write(decoder, tiny_tokenizer, path, context_length=wrong)


def test_one_number_for_each_layer(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    gguf.write(make_model("llama", tiny_tokenizer.vocab_size), tiny_tokenizer, tmp_path / "model.gguf")
    plain = gguf.read_config(open_gguf(tmp_path / "model.gguf"))
    lists = {"attention__head_count": [2] * 4, "attention__head_count_kv": [1] * 4, "feed_forward_length": [96] * 4}
    assert gguf.read_config(edited(tmp_path / "model.gguf", **lists)) == plain


def test_a_name_says_nothing_about_the_model(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """llama.cpp takes "phi3" in a name for a promise about the tokenizer, and loads no other one."""
    decoder = make_model("llama", tiny_tokenizer.vocab_size)
    gguf.write(decoder, tiny_tokenizer, tmp_path / "my-phi3.gguf", quantization="F32")
    assert open_gguf(tmp_path / "my-phi3.gguf").metadata["general.name"] == "my-phi_3"
    gguf.write(decoder, tiny_tokenizer, tmp_path / "x.gguf", name="Phi-3 of mine")
    assert open_gguf(tmp_path / "x.gguf").metadata["general.name"] == "Phi_3 of mine"
    again, tokenizer = load(tmp_path / "my-phi3.gguf")
    assert again.config == decoder.config
    text = "<|im_end|> \n the fox"
    assert tokenizer.encode(text, special=True) == tiny_tokenizer.encode(text, special=True)


ARCHITECTURES = {value: key for key, value in gguf_package.MODEL_ARCH_NAMES.items()}
NAMED_KEYS = {
    template
    for group in vars(gguf_package.Keys).values()
    if isinstance(group, type)
    for template in vars(group).values()
    if isinstance(template, str)
}


@pytest.mark.parametrize("name", CASES)
def test_names_are_those_of_the_gguf_package(name: str, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Tensors by its map from Hugging Face's names, keys by its constants."""
    decoder = make_model(name, tiny_tokenizer.vocab_size)
    family = family_for(decoder.config)
    names = gguf_package.get_tensor_name_map(ARCHITECTURES[family.gguf_architecture], decoder.config.n_layers)
    for weight in family.expected_weights(decoder.config):
        assert names.get_name(weight.huggingface, try_suffixes=(".weight", ".bias")) == weight.gguf
    metadata = metadata_of(decoder, tiny_tokenizer, tmp_path / "model.gguf")
    templates = {key.replace(f"{family.gguf_architecture}.", "{arch}.", 1) for key in metadata}
    assert templates <= {*NAMED_KEYS, "tokenizer.ggml.eot_token_id"}
