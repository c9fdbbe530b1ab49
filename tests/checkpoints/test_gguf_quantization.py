"""Number formats of GGUF: how far rounding goes, and that blocks are read as ggml's format says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize
from gguf_models import make_model
from numpy.typing import NDArray

import burnish
from burnish.checkpoints import gguf
from burnish.checkpoints.families import Weight, family_for
from burnish.checkpoints.gguf_file import GgufFile, StoredTensor, open_gguf
from burnish.checkpoints.weights import weights_of
from burnish.errors import CheckpointError
from burnish.nn.decoder import Decoder
from burnish.text.tokenizer import Tokenizer

# Of the largest value of a block, or with an offset of its range: half a step, and what the float16 scale loses.
# Q4_0 and Q5_0 put the largest value on the edge of their steps, so that its opposite is a whole step away.
STEPS = {"Q8_0": 1 / 127, "Q5_1": 1 / 31, "Q5_0": 1 / 16, "Q4_1": 1 / 15, "Q4_0": 1 / 8}


def rounding_bound(quantization: str, values: torch.Tensor) -> torch.Tensor:
    """The furthest that a value of each block `[blocks, 32]` may move."""
    largest, least = values.amax(dim=1, keepdim=True), values.amin(dim=1, keepdim=True)
    offset = quantization.endswith("_1")
    span = largest - least if offset else torch.maximum(largest, -least)
    moved = 0.5 if offset or quantization == "Q8_0" else 1.0
    return (moved * STEPS[quantization] + 2**-10) * span + 2**-10 * (least.abs() if offset else 0.0)


@pytest.mark.parametrize("quantization", gguf.FILE_TYPES)
def test_error_of_rounding(quantization: str, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = make_model("llama, wide heads", tiny_tokenizer.vocab_size)
    gguf.write(decoder, tiny_tokenizer, tmp_path / "model.gguf", quantization=quantization)
    again, _ = burnish.load(tmp_path / "model.gguf", compute_dtype=torch.float32, device="cpu")
    for (name, found), expected in zip(again.state_dict().items(), decoder.state_dict().values(), strict=True):
        if quantization == "F32" or expected.ndim == 1:
            assert torch.equal(found, expected), name
        elif quantization in ("F16", "BF16"):
            assert torch.equal(found, expected.to(torch.float16 if quantization == "F16" else torch.bfloat16).float())
        else:
            kind = "Q8_0" if name == "head.weight" else quantization
            blocks, error = expected.reshape(-1, 32), (found - expected).reshape(-1, 32).abs()
            assert (error <= rounding_bound(kind, blocks)).all(), name
            assert (error > 0.4 * rounding_bound(kind, blocks)).any(), name  # and it is not another format


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("quantization", ["Q8_0", "Q5_0", "Q4_1"])
def test_which_tensor_is_stored_how(quantization: str, tied: bool, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = make_model("llama, biases", tiny_tokenizer.vocab_size, tie_embeddings=tied, d_ff=80)
    gguf.write(decoder, tiny_tokenizer, tmp_path / "model.gguf", quantization=quantization)
    kinds = {name: tensor.kind.name for name, tensor in open_gguf(tmp_path / "model.gguf").tensors.items()}
    assert kinds["blk.0.attn_q.weight"] == quantization
    assert kinds["blk.0.ffn_down.weight"] == "F16"  # rows of 80 values are not blocks of 32
    assert kinds["blk.0.attn_q.bias"] == kinds["blk.0.attn_norm.weight"] == "F32"
    assert kinds["token_embd.weight"] == ("Q8_0" if tied else quantization)
    assert tied or kinds["output.weight"] == "Q8_0"


def test_positions_are_never_rounded(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = make_model("gpt2", tiny_tokenizer.vocab_size)
    gguf.write(decoder, tiny_tokenizer, tmp_path / "model.gguf", quantization="Q4_0")
    assert open_gguf(tmp_path / "model.gguf").tensors["position_embd.weight"].kind.name == "F32"


def stored(decoder: Decoder, kind: str, blocks: dict[str, NDArray[np.uint8]]) -> GgufFile:
    """A file whose tensors are these blocks."""
    tensors = {}
    for weight in family_for(decoder.config).expected_weights(decoder.config):
        rows = blocks[weight.gguf].reshape(int(np.prod(weight.shape[:-1])), -1)
        tensors[weight.gguf] = StoredTensor(
            name=weight.gguf, shape=weight.shape, kind=GGMLQuantizationType[kind], data=rows
        )
    return GgufFile(path=Path("made"), metadata={}, tensors=tensors)


def assert_read_as(decoder: Decoder, file: GgufFile, expected: dict[str, torch.Tensor]) -> None:
    family = family_for(decoder.config)
    state = gguf.read_state(file, family, decoder.config)

    def ours(weight: Weight) -> torch.Tensor:
        tensor = state[weight.name]
        return tensor if weight.part is None else tensor[weight.rows]

    for weight in family.expected_weights(decoder.config):
        found, tensor = ours(weight), expected[weight.gguf].reshape(weight.shape)
        if weight.interleaved_heads is not None:  # these were also put into another order
            found, tensor = found.sort(dim=0).values, tensor.sort(dim=0).values
        assert torch.equal(found, tensor), weight.gguf


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_every_kind_is_dequantized_as_the_gguf_package_does(kind: str, tiny_tokenizer: Tokenizer) -> None:
    decoder = make_model("llama", tiny_tokenizer.vocab_size)
    blocks, expected = {}, {}
    for weight, tensor in weights_of(decoder):
        data = quantize(tensor.numpy(), GGMLQuantizationType[kind])
        blocks[weight.gguf] = data.view(np.uint8)
        expected[weight.gguf] = torch.tensor(dequantize(data, GGMLQuantizationType[kind]))
    assert_read_as(decoder, stored(decoder, kind, blocks), expected)


K_KINDS = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]


@pytest.mark.parametrize("kind", K_KINDS)
def test_kinds_that_are_only_read(kind: str, tiny_tokenizer: Tokenizer) -> None:
    """Blocks of random bits with small scales, whatever numbers they are."""
    decoder = make_model("llama", tiny_tokenizer.vocab_size, d_model=256, d_ff=256, n_heads=8, n_layers=1)
    block, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    random = np.random.default_rng(0)
    blocks, expected = {}, {}
    for weight, tensor in weights_of(decoder):
        data = random.integers(0, 256, (tensor.numel() // block, size), dtype=np.uint8)
        data[:, _SCALE_BYTES[kind]] = np.frombuffer(
            np.float16(0.01).tobytes() * (len(_SCALE_BYTES[kind]) // 2), np.uint8
        )
        blocks[weight.gguf] = data
        expected[weight.gguf] = torch.tensor(dequantize(data, GGMLQuantizationType[kind]).copy())
    assert_read_as(decoder, stored(decoder, kind, blocks), expected)


# Where a block has its float16 scales, by ggml's `ggml-common.h`.
_SCALE_BYTES = {
    "Q2_K": [80, 81, 82, 83],
    "Q3_K": [108, 109],
    "Q4_K": [0, 1, 2, 3],
    "Q5_K": [0, 1, 2, 3],
    "Q6_K": [208, 209],
    "IQ4_NL": [0, 1],
    "IQ4_XS": [0, 1],
}


def decode_q4_k(block: bytes) -> list[float]:
    """ggml's `block_q4_K`, value by value: 8 groups of 32, each with a scale and a minimum of 6 bits."""
    scale, least = np.frombuffer(block[:4], np.float16).astype(np.float64)
    packed, quants = block[4:16], block[16:]
    values = []
    for group in range(8):
        if group < 4:
            step, low = packed[group] & 63, packed[group + 4] & 63
        else:
            step = packed[group + 4] & 15 | (packed[group - 4] >> 6) << 4
            low = packed[group + 4] >> 4 | (packed[group] >> 6) << 4
        for place in range(32):
            byte = quants[group // 2 * 32 + place]
            values.append(scale * step * (byte >> 4 if group % 2 else byte & 15) - least * low)
    return values


def decode_q6_k(block: bytes) -> list[float]:
    """ggml's `block_q6_K`: 16 groups of 16 with scales of 8 bits; 4 bits of a value here, 2 there."""
    low, high, steps = block[:128], block[128:192], np.frombuffer(block[192:208], np.int8)
    scale = float(np.frombuffer(block[208:], np.float16)[0])
    values = []
    for place in range(256):
        half, quarter, column = place // 128, place % 128 // 32, place % 32
        byte = low[half * 64 + quarter % 2 * 32 + column]
        bits = byte >> 4 if quarter >= 2 else byte & 15
        bits |= (high[half * 32 + column] >> 2 * quarter & 3) << 4
        values.append(scale * float(steps[place // 16]) * (bits - 32))
    return values


@pytest.mark.parametrize(("kind", "decode"), [("Q4_K", decode_q4_k), ("Q6_K", decode_q6_k)])
def test_blocks_decoded_by_hand(kind: str, decode: Callable[[bytes], list[float]], tiny_tokenizer: Tokenizer) -> None:
    decoder = make_model("llama", tiny_tokenizer.vocab_size, d_model=256, d_ff=256, n_heads=8, n_layers=1)
    block, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    random = np.random.default_rng(1)
    blocks = {}
    for weight, tensor in weights_of(decoder):
        data = random.integers(0, 256, (tensor.numel() // block, size), dtype=np.uint8)
        data[:, _SCALE_BYTES[kind]] = np.frombuffer(
            np.float16(0.01).tobytes() * (len(_SCALE_BYTES[kind]) // 2), np.uint8
        )
        blocks[weight.gguf] = data
    state = gguf.read_state(stored(decoder, kind, blocks), family_for(decoder.config), decoder.config)
    for name, stored_name in (
        ("embedding.weight", "token_embd.weight"),
        ("blocks.0.feed_forward.down.weight", "blk.0.ffn_down.weight"),
    ):
        for row in range(3):
            by_hand = decode(blocks[stored_name][row].tobytes())
            assert np.allclose(state[name][row].numpy(), by_hand, rtol=1e-5, atol=1e-6)


def test_kinds_that_cannot_be_read(tiny_tokenizer: Tokenizer) -> None:
    decoder = make_model("llama", tiny_tokenizer.vocab_size, n_layers=1)
    blocks = {weight.gguf: np.zeros(tensor.numel() * 4, np.uint8) for weight, tensor in weights_of(decoder)}
    file = stored(decoder, "I32", blocks)
    with pytest.raises(CheckpointError, match=r"token_embd.weight is stored as I32, which cannot be read"):
        gguf.read_state(file, family_for(decoder.config), decoder.config)
