"""GGUF files in llama.cpp: every architecture computes the same, every quantization is read as it reads it."""

import ctypes
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType
from gguf.quants import dequantize
from gguf_models import CASES, make_model
from numpy.typing import NDArray
from references import our_greedy, our_logits

import burnish
from burnish.checkpoints import gguf
from burnish.checkpoints.gguf_file import open_gguf
from burnish.errors import CheckpointError
from burnish.nn.config import RopeScaling
from burnish.nn.decoder import Decoder
from burnish.text.chat import encode_prompt
from burnish.text.tokenizer import Tokenizer

pytestmark = pytest.mark.slow
llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: it must be compiled")

IDS = [1, 17, 30, 4, 4, 9, 100, 101, 55, 2, 63, 200, 7, 8, 9, 10, 44, 71]
"""Longer than the windows of the tiny models."""


def load(path: Path) -> tuple[Decoder, Tokenizer]:
    return burnish.load(path, compute_dtype=torch.float32, device="cpu")


def in_llama_cpp(path: Path, n_context: int = 256, *, flash_attention: bool = False) -> Any:
    """The model with its keys and values in float32."""
    kinds = {"type_k": int(GGMLQuantizationType.F32), "type_v": int(GGMLQuantizationType.F32)}
    return llama_cpp.Llama(
        model_path=str(path),
        n_ctx=n_context,
        n_threads=2,
        seed=0,
        verbose=False,
        logits_all=True,
        flash_attn=flash_attention,
        **kinds,
    )


def their_logits(model: Any, ids: list[int]) -> torch.Tensor:
    model.reset()
    model.eval(ids)
    return torch.tensor(np.array(model.scores[: len(ids)]))


def their_greedy(model: Any, ids: list[int], n: int) -> list[int]:
    model.reset()
    return list(islice(model.generate(ids, temp=0.0, top_k=1, repeat_penalty=1.0), n))


@pytest.mark.parametrize("name", CASES)
def test_every_architecture(name: str, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    gguf.write(make_model(name, tiny_tokenizer.vocab_size), tiny_tokenizer, tmp_path / "m.gguf", quantization="F32")
    decoder, _ = load(tmp_path / "m.gguf")
    model = in_llama_cpp(tmp_path / "m.gguf", decoder.config.max_positions)
    ours, theirs = our_logits(decoder, IDS), their_logits(model, IDS)
    # llama.cpp looks GELU up in a table of float16 values, and has only the one by tanh.
    tolerance = 1e-5 if decoder.config.activation == "silu" else 2e-3
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < tolerance
    assert our_greedy(decoder, IDS, 12) == their_greedy(model, IDS, 12)


VARIATIONS: list[dict[str, Any]] = [
    {"qkv_bias": True},
    {"attention_bias": True},
    {"feed_forward_bias": True},
    {"qk_norm": "head"},
    {"qk_norm": "projection"},
    {"qk_norm": None},
    {"sliding_window": 8, "full_attention_layers": ()},
    {"sliding_window": 8, "full_attention_layers": (1,)},
    {"sliding_window": 8, "full_attention_layers": (1,), "local_rope_theta": 100.0},
    {"sliding_window": None, "local_rope_theta": None, "full_attention_layers": ()},
    {"attention_scale": 0.1},
    {"attention_softcap": 3.0},
    {"logits_softcap": 3.0},
    {"logits_softcap": None},
    {"attention_softcap": None},
    {"embedding_scale": 3.0},
    {"rope_scaling": RopeScaling(kind="linear", factor=4.0)},
    {"rope_scaling": RopeScaling(kind="yarn", factor=4.0, original_max_positions=8)},
    {"rope_scaling": RopeScaling(kind="yarn", factor=4.0, original_max_positions=8, attention_factor=1.3)},
    {"rope_scaling": RopeScaling(kind="yarn", factor=4.0, original_max_positions=8, beta_fast=4.0)},
    {"rope_scaling": RopeScaling(kind="llama3", factor=4.0, original_max_positions=16)},
    {"rotary_dim": 16},
    {"unrotated_layers": ()},
    {"unrotated_layers": (0, 2)},
    {"unrotated_layers": (3,)},
    {"tie_embeddings": True},
    {"tie_embeddings": False},
    {"head_dim": 64},
    {"n_kv_heads": 1},
    {"n_kv_heads": 2},
    {"rope_theta": 77.0},
    {"norm_eps": 0.2},
    {"parallel": True},
    {"parallel": False, "shared_norm": False},
    {"shared_norm": True, "parallel": True},
    {"activation": "silu"},
    {"activation": "gelu_tanh"},
    {"activation": "relu"},
    {"causal": False},
    {"norm_placement": "pre"},
    {"norm_placement": "sandwich"},
    {"norm_placement": "reordered"},
    {"positions": "learned"},
]
FAMILY_CASES = ["llama", "qwen2", "qwen3", "smollm3", "olmo2", "phi3, partly rotated", "gemma2", "gemma3", "gpt2"]
FAMILY_CASES += ["gpt_neox", "falcon", "gpt_bigcode"]


@pytest.mark.parametrize("name", FAMILY_CASES)
def test_a_setting_is_computed_by_llama_cpp_or_not_written(
    name: str, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    written = 0
    for changes in VARIATIONS:
        try:
            decoder = make_model(name, tiny_tokenizer.vocab_size, **changes)
            gguf.write(decoder, tiny_tokenizer, tmp_path / "m.gguf", quantization="F32")
        except (ValueError, CheckpointError):
            continue
        written += 1
        theirs = their_logits(in_llama_cpp(tmp_path / "m.gguf", decoder.config.max_positions), IDS)
        difference = float((our_logits(decoder, IDS) - theirs).abs().max() / theirs.abs().max())
        assert difference < 3e-3, changes
    assert written > 5


TEXTS = [
    "Hello world, it's 12345 o'clock!\n\n  indented\tand tabbed  ",
    "x² ¾ ٣٤ Ⅻ naïve — 日本語 🙂👍🏽",
    "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n",
    "SELECT carrier, COUNT(*) FROM flights WHERE dep_delay >= 15 GROUP BY 1;",
]
QUESTIONS = ("What is the capital of France?", "Count from one to ten.")


def assert_same_model(path: Path, *, same_tokens: bool) -> None:
    """Our logits are no further from llama.cpp's than its own vary, and with `same_tokens` all greedy tokens equal.

    llama.cpp also rounds the activations, to the weights' number format or to 8 bits. Which way a value is rounded
    hangs on its last bits, and what that changes grows from layer to layer: llama.cpp's own logits of a quantized
    model, with flash attention and without, are as far from each other as ours are from them.
    """
    decoder, tokenizer = load(path)
    models = [in_llama_cpp(path, flash_attention=flash) for flash in (False, True)]
    for question in QUESTIONS:
        ids = encode_prompt(tokenizer, [{"role": "user", "content": question}])
        plain, flash = (their_logits(model, ids) for model in models)
        variation = float((plain - flash).abs().mean())
        assert float((our_logits(decoder, ids) - plain).abs().mean()) < 2 * variation, question
        if same_tokens:
            assert their_greedy(models[0], ids, 12) == our_greedy(decoder, ids, 12), question


@pytest.mark.parametrize("quantization", gguf.FILE_TYPES)
def test_the_real_model_in_each_format(quantization: str, smollm2_path: Path, tmp_path: Path) -> None:
    decoder, tokenizer = load(smollm2_path)
    gguf.write(decoder, tokenizer, tmp_path / "m.gguf", quantization=quantization)
    _, read = load(tmp_path / "m.gguf")
    model = llama_cpp.Llama(model_path=str(tmp_path / "m.gguf"), vocab_only=True, verbose=False)
    for text in TEXTS:
        for special in (True, False):
            theirs = model.tokenize(text.encode("utf-8"), add_bos=False, special=special)
            assert read.encode(text, special=special) == theirs, (text, special)
    assert_same_model(tmp_path / "m.gguf", same_tokens=quantization in ("F32", "F16"))


@pytest.fixture(scope="module")
def full_path(smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("full") / "full.gguf"
    gguf.write(*load(smollm2_path), path, quantization="F16")
    return path


def quantized_by_llama_cpp(source: Path, target: Path, kind: LlamaFileType) -> None:
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype, parameters.nthread, parameters.allow_requantize = int(kind), 2, True
    assert llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters)) == 0


KINDS = [
    LlamaFileType.MOSTLY_Q2_K,
    LlamaFileType.MOSTLY_Q3_K_M,
    LlamaFileType.MOSTLY_Q4_K_M,
    LlamaFileType.MOSTLY_Q5_K_M,
    LlamaFileType.MOSTLY_Q6_K,
    LlamaFileType.MOSTLY_IQ4_NL,
    LlamaFileType.MOSTLY_IQ4_XS,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_real_model_quantized_by_llama_cpp(kind: LlamaFileType, full_path: Path, tmp_path: Path) -> None:
    quantized_by_llama_cpp(full_path, tmp_path / "m.gguf", kind)
    assert_same_model(tmp_path / "m.gguf", same_tokens=False)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_rows_of_whole_blocks_quantized_by_llama_cpp(
    kind: LlamaFileType, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """SmolLM2's rows do not fill the blocks of 256 values that these formats have; llama.cpp then takes others."""
    sizes = {"d_model": 256, "n_heads": 8, "n_kv_heads": 4, "d_ff": 512, "n_layers": 2}
    decoder = make_model("llama", tiny_tokenizer.vocab_size, **sizes)
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.ndim == 2:
                parameter.div_(2.0)
    gguf.write(decoder, tiny_tokenizer, tmp_path / "full.gguf", quantization="F32")
    quantized_by_llama_cpp(tmp_path / "full.gguf", tmp_path / "m.gguf", kind)
    wanted = kind.name.removeprefix("MOSTLY_").removesuffix("_M")
    assert wanted in {tensor.kind.name for tensor in open_gguf(tmp_path / "m.gguf").tensors.values()}
    read, _ = load(tmp_path / "m.gguf")
    plain, flash = (
        their_logits(in_llama_cpp(tmp_path / "m.gguf", 128, flash_attention=flash), IDS) for flash in (False, True)
    )
    ours = our_logits(read, IDS)
    assert float((ours - plain).abs().mean()) < 2 * float((plain - flash).abs().mean())
    assert float((ours - our_logits(decoder, IDS)).abs().mean()) > 2 * float((ours - plain).abs().mean())


LIBRARY = Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"
ROWS = {
    "Q4_0": "q4_0",
    "Q4_1": "q4_1",
    "Q5_0": "q5_0",
    "Q5_1": "q5_1",
    "Q8_0": "q8_0",
    "Q2_K": "q2_K",
    "Q3_K": "q3_K",
    "Q4_K": "q4_K",
    "Q5_K": "q5_K",
    "Q6_K": "q6_K",
    "IQ4_NL": "iq4_nl",
    "IQ4_XS": "iq4_xs",
}


@pytest.mark.skipif(not LIBRARY.is_file(), reason="another name of ggml's library on this platform")
@pytest.mark.parametrize("name", ROWS)
def test_blocks_are_decoded_as_ggml_does(name: str) -> None:
    library, kind = ctypes.CDLL(str(LIBRARY)), GGMLQuantizationType[name]
    values = np.random.default_rng(0).normal(size=(8, 512)).astype(np.float32)
    block, size = GGML_QUANT_SIZES[kind]
    data: NDArray[np.uint8] = np.zeros((8, 512 // block * size), np.uint8)
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk(
        ctypes.c_int(int(kind)),
        values.ctypes.data_as(ctypes.c_void_p),
        data.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(0),
        ctypes.c_int64(8),
        ctypes.c_int64(512),
        None,
    )
    theirs = np.empty_like(values)
    getattr(library, f"dequantize_row_{ROWS[name]}")(
        data.ctypes.data_as(ctypes.c_void_p), theirs.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(values.size)
    )
    assert np.abs(theirs - values).mean() < 0.3
    assert np.allclose(dequantize(data, kind), theirs, rtol=1e-6, atol=1e-7)
