"""GGUF files: read back as written, understood by the gguf package and run by llama.cpp."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import gguf as gguf_package
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from references import our_greedy, our_logits

import burnish
from burnish.checkpoints import gguf
from burnish.checkpoints.families import LLAMA
from burnish.checkpoints.gguf_file import GgufFile, StoredTensor, open_gguf
from burnish.errors import CheckpointError
from burnish.nn.decoder import Decoder
from burnish.text.chat import encode_prompt
from burnish.text.tokenizer import Tokenizer

MakeDecoder = Callable[..., Decoder]

IDS = [1, 17, 30, 4, 4, 9, 100, 101, 55, 2, 63, 200]


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
    weight = decoder.state_dict()["blocks.1.attention.k.weight"].numpy()
    head_dim = decoder.config.head_dim
    for head in range(decoder.config.n_kv_heads):
        for pair in range(head_dim // 2):
            for half in range(2):
                source = head * head_dim + half * head_dim // 2 + pair
                assert np.array_equal(stored[head * head_dim + 2 * pair + half], weight[source])


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_every_kind_is_dequantized_as_the_gguf_package_does(kind: str, make_decoder: MakeDecoder) -> None:
    decoder = make_decoder(d_model=64, n_kv_heads=1)
    stored = {}
    expected = {}
    for weight in LLAMA.expected_weights(decoder.config):
        blocks = quantize(decoder.state_dict()[weight.name].numpy(), GGMLQuantizationType[kind])
        rows = blocks.view(np.uint8).reshape(int(np.prod(weight.shape[:-1])), -1)
        expected[weight.name] = torch.tensor(dequantize(blocks, GGMLQuantizationType[kind]))
        stored[weight.gguf] = StoredTensor(
            name=weight.gguf, shape=weight.shape, kind=GGMLQuantizationType[kind], data=rows
        )
    file = GgufFile(path=Path("made"), metadata={}, tensors=stored)
    state = gguf.read_state(file, LLAMA, decoder.config)
    for name, tensor in expected.items():
        found = state[name]
        if name.endswith(("q.weight", "k.weight")):  # these were also put into another order
            found, tensor = found.sort(dim=0).values, tensor.sort(dim=0).values
        assert torch.equal(found, tensor), name


def test_what_cannot_be_written(make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'Q3' is not one of F32, F16, Q8_0"):
        gguf.write(make_decoder(), tiny_tokenizer, tmp_path / "model.gguf", quantization="Q3")
    with pytest.raises(CheckpointError, match="only 280 rows"):
        gguf.write(make_decoder(vocab_size=280), tiny_tokenizer, tmp_path / "model.gguf")
    assert list(tmp_path.iterdir()) == []


LLAMA_CPP_TEXTS = [
    "Hello world, it's 12345 o'clock!\n\n  indented\tand tabbed  ",
    "x² ¾ ٣٤ Ⅻ naïve — 日本語 🙂👍🏽",
    "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n",
    "SELECT carrier, COUNT(*) FROM flights WHERE dep_delay >= 15 GROUP BY 1;",
]


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["F32", "F16", "Q8_0"])
def test_llama_cpp_gives_the_same_tokens(quantization: str, smollm2_path: Path, tmp_path: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: it must be compiled")
    decoder, tokenizer = load(smollm2_path)
    file = tmp_path / "model.gguf"
    gguf.write(decoder, tokenizer, file, quantization=quantization)
    decoder, tokenizer = load(file)
    llama = llama_cpp.Llama(model_path=str(file), n_ctx=256, n_threads=2, seed=0, verbose=False)
    for text in LLAMA_CPP_TEXTS:
        for special in (True, False):
            theirs = llama.tokenize(text.encode("utf-8"), add_bos=False, special=special)
            assert tokenizer.encode(text, special=special) == theirs, (text, special)
    for question in ("What is the capital of France?", "Count from one to ten."):
        ids = encode_prompt(tokenizer, [{"role": "user", "content": question}])
        theirs = list(islice(llama.generate(ids, temp=0.0, top_k=1, repeat_penalty=1.0), 12))
        if quantization == "Q8_0":
            # llama.cpp also rounds the activations to 8 bits, which may decide between equally good tokens.
            logits = our_logits(decoder, ids + theirs)[len(ids) - 1 : -1]
            behind = logits.amax(dim=1) - logits[range(len(theirs)), theirs]
            assert float(behind.max()) < 0.25, (question, tokenizer.decode(theirs))
        else:
            assert theirs == our_greedy(decoder, ids, 12), question
