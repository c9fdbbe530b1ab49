"""Every kind of bad model folder, GGUF file and adapter is a `CheckpointError` that names the file and the fault."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf as gguf_package
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import burnish
from burnish.checkpoints import gguf
from burnish.checkpoints.gguf_file import open_gguf
from burnish.checkpoints.peft import save_adapter
from burnish.errors import BurnishError, CheckpointError
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, add_lora
from burnish.text.tokenizer import Tokenizer

Damage = Callable[[Path], object]


@pytest.fixture(scope="session")
def good(tiny_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good model folder, GGUF file and adapter, for each test to copy and damage."""
    sizes = {"d_model": 32, "n_layers": 1, "n_heads": 4, "n_kv_heads": 2, "head_dim": 8, "d_ff": 64}
    decoder = Decoder(DecoderConfig(vocab_size=tiny_tokenizer.vocab_size, tie_embeddings=False, **sizes))
    folder = tmp_path_factory.mktemp("good")
    burnish.save(decoder, tiny_tokenizer, folder / "model")
    gguf.write(decoder, tiny_tokenizer, folder / "model.gguf", quantization="F32")
    add_lora(decoder, LoraConfig(rank=2), seed=0)
    save_adapter(decoder, folder / "adapter", base="../model")
    return folder


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "copy"))


def assert_refused(path: Path, named: str, fault: str) -> None:
    """Loading fails with a CheckpointError that names the file `named` and says `fault`."""
    with pytest.raises(CheckpointError) as caught:
        burnish.load(path, compute_dtype=torch.float32, device="cpu")
    message = str(caught.value)
    assert named in message
    assert fault in message


def test_the_copies_are_good_before_they_are_damaged(copy: Path) -> None:
    for name in ("model", "model.gguf", "adapter"):
        burnish.load(copy / name, compute_dtype=torch.float32, device="cpu")


def edit_json(name: str, **changes: Any) -> Damage:
    """Changes keys of a JSON file; ... removes one."""

    def damage(folder: Path) -> None:
        values = {**json.loads((folder / name).read_text()), **changes}
        (folder / name).write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))

    return damage


def write(name: str, content: str | bytes) -> Damage:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def cut(name: str, size: int) -> Damage:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def edit_tensors(name: str, change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / name)
        change(tensors)
        save_file(tensors, folder / name)

    return damage


def pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def index_to(file: str) -> Damage:
    def damage(folder: Path) -> None:
        names = list(load_file(folder / "model.safetensors"))
        index = {"weight_map": dict.fromkeys(names, file)}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return damage


WEIGHTS = "model.safetensors"
Q = "model.layers.0.self_attn.q_proj.weight"

FOLDERS: dict[str, tuple[Damage, str, str]] = {
    "no configuration": (remove("config.json"), "config.json", "No such file"),
    "configuration is not JSON": (write("config.json", "{'a': 1}"), "config.json", "not valid JSON"),
    "configuration is a list": (write("config.json", "[]"), "config.json", "JSON object"),
    "configuration is not text": (write("config.json", b"\xff\xfe\x00"), "config.json", "not valid JSON"),
    "unknown family": (edit_json("config.json", model_type="mamba"), "config.json", "model_type is 'mamba'"),
    "no family": (edit_json("config.json", model_type=...), "config.json", "model_type is None"),
    "a classifier": (
        edit_json("config.json", architectures=["LlamaForSequenceClassification"]),
        "config.json",
        "architectures",
    ),
    "a size is missing": (edit_json("config.json", hidden_size=...), "config.json", "hidden_size is missing"),
    "a size is text": (edit_json("config.json", hidden_size="32"), "config.json", "whole number, found '32'"),
    "a size is negative": (edit_json("config.json", hidden_size=-1), "config.json", "hidden_size must be above 0"),
    "heads do not divide": (edit_json("config.json", num_key_value_heads=3), "config.json", "multiple of n_kv_heads"),
    "scaled positions": (
        edit_json("config.json", rope_scaling={"rope_type": "llama3", "factor": 8.0}),
        "config.json",
        "rope_scaling is",
    ),
    "scaled positions, transformers 5": (
        edit_json("config.json", rope_parameters={"rope_type": "yarn", "rope_theta": 1e4}),
        "config.json",
        "rope_parameters is",
    ),
    "attention bias": (
        edit_json("config.json", attention_bias=True),
        "model",
        "tensor model.layers.0.self_attn.q_proj.bias is missing",
    ),
    "feed-forward bias": (
        edit_json("config.json", mlp_bias=True),
        "model",
        "tensor model.layers.0.mlp.gate_proj.bias is missing",
    ),
    "another activation": (edit_json("config.json", hidden_act="mish"), "config.json", "hidden_act is 'mish'"),
    "sliding window": (edit_json("config.json", sliding_window=128), "config.json", "sliding_window is 128"),
    "quantized": (
        edit_json("config.json", quantization_config={"quant_method": "gptq"}),
        "config.json",
        "quantization_config is",
    ),
    "weights cut short": (cut(WEIGHTS, 5000), WEIGHTS, "not a complete safetensors file"),
    "weights are something else": (write(WEIGHTS, "hello world"), WEIGHTS, "not a complete safetensors file"),
    "weights are empty": (write(WEIGHTS, ""), WEIGHTS, "not a complete safetensors file"),
    "only a pickle": (pickle_only, "pytorch_model.bin", "is a pickle, which can run code"),
    "no weights": (remove(WEIGHTS), WEIGHTS, "is missing"),
    "a tensor is missing": (edit_tensors(WEIGHTS, lambda t: t.pop(Q)), "model", f"tensor {Q} is missing"),
    "a tensor is too small": (
        edit_tensors(WEIGHTS, lambda t: t.update({Q: torch.zeros(32, 31)})),
        WEIGHTS,
        f"tensor {Q} has shape [32, 31], but the configuration says [32, 32]",
    ),
    "a tensor of integers": (
        edit_tensors(WEIGHTS, lambda t: t.update({Q: torch.zeros(32, 32, dtype=torch.int8)})),
        WEIGHTS,
        f"tensor {Q} is stored as I8",
    ),
    "a tensor with NaN": (
        edit_tensors(WEIGHTS, lambda t: t.update({Q: torch.full((32, 32), float("nan"))})),
        WEIGHTS,
        f"tensor {Q} holds values that are not finite",
    ),
    "a tensor too many": (
        edit_tensors(WEIGHTS, lambda t: t.update({"model.layers.0.self_attn.q_norm.weight": torch.ones(8)})),
        WEIGHTS,
        "model.layers.0.self_attn.q_norm.weight is not part of",
    ),
    "a shard is missing": (index_to("model-00001-of-00002.safetensors"), "model-00001-of-00002", "is missing"),
    "a shard elsewhere": (index_to("../model.safetensors"), "index.json", "not a file name"),
    "an index without a map": (write("model.safetensors.index.json", "{}"), "index.json", "weight_map is missing"),
    "no tokenizer": (remove("tokenizer.json"), "tokenizer.json", "is missing"),
    "tokenizer is not JSON": (cut("tokenizer.json", 100), "tokenizer.json", "not a tokenizer"),
    "tokenizer has no model": (edit_json("tokenizer.json", model={}), "tokenizer.json", "not a tokenizer"),
    "half a surrogate pair in a template": (
        edit_json("tokenizer_config.json", chat_template="\ud800"),
        "tokenizer_config.json",
        "surrogates",
    ),
    "half a surrogate pair in a token": (
        edit_json("tokenizer_config.json", pad_token={"content": "\udfff"}),
        "tokenizer_config.json",
        "surrogates",
    ),
    "tokenizer settings are not JSON": (write("tokenizer_config.json", "?"), "tokenizer_config.json", "JSON"),
    "end token not in the vocabulary": (
        edit_json("tokenizer_config.json", eos_token="</s>"),
        "tokenizer_config.json",
        "eos_token is '</s>'",
    ),
    "template is not text": (
        edit_json("tokenizer_config.json", chat_template=3),
        "tokenizer_config.json",
        "must be text",
    ),
    "stop token out of range": (
        edit_json("generation_config.json", eos_token_id=[2, 9999]),
        "generation_config.json",
        "eos_token_id 9999",
    ),
    "more tokens than rows": (
        lambda folder: (
            edit_json("config.json", vocab_size=290)(folder),
            edit_tensors(
                WEIGHTS,
                lambda t: t.update(
                    {n: t[n][:290].clone() for n in ("model.embed_tokens.weight", "lm_head.weight")},
                ),
            )(folder),
        ),
        "tokenizer.json",
        "only 290 rows",
    ),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_bad_model_folders(name: str, copy: Path) -> None:
    damage, named, fault = FOLDERS[name]
    damage(copy / "model")
    assert_refused(copy / "model", named, fault)


def edit_gguf(
    metadata: dict[str, Any] | None = None,
    tensors: Callable[[dict[str, np.ndarray[Any, Any]]], object] | None = None,
    architecture: str = "llama",
) -> Damage:
    """Writes the file again with other metadata (... removes a key) and tensors."""

    def damage(path: Path) -> None:
        file = open_gguf(path)
        values = {**file.metadata, **(metadata or {})}
        arrays = {n: t.data.view(np.float32).reshape(t.shape).copy() for n, t in file.tensors.items()}
        if tensors is not None:
            tensors(arrays)
        writer = gguf_package.GGUFWriter(path.with_suffix(".new"), architecture)
        for key, value in values.items():
            if value is ... or key == "general.architecture":
                continue
            kind = gguf_package.GGUFValueType.get_type(value)
            inner = gguf_package.GGUFValueType.get_type(value[0]) if isinstance(value, list) else None
            writer.add_key_value(key, value, kind, sub_type=inner)
        for name, array in arrays.items():
            writer.add_tensor(name, array)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        path.with_suffix(".new").replace(path)

    return damage


def overwrite(offset: int, data: bytes) -> Damage:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[offset : offset + len(data)] = data
        path.write_bytes(content)

    return damage


def shorten(size: int) -> Damage:
    return lambda path: path.write_bytes(path.read_bytes()[:size])


def of_kind(name: str, kind: int) -> Damage:
    """Changes the type of a tensor in the header, which follows its name, dimensions and shape."""

    def damage(path: Path) -> None:
        place = path.read_bytes().index(name.encode()) + len(name) + 4 + 2 * 8
        overwrite(place, struct.pack("<I", kind))(path)

    return damage


def info_of(path: Path, name: str) -> int:
    """Where the header says of a tensor how many dimensions it has; sizes, type and offset follow."""
    return path.read_bytes().index(struct.pack("<Q", len(name)) + name.encode()) + 8 + len(name)


def offset_of(path: Path, name: str) -> tuple[int, int]:
    """Where the header has a tensor's offset, and the offset."""
    content, place = path.read_bytes(), info_of(path, name)
    place += 4 + 8 * int(struct.unpack_from("<I", content, place)[0]) + 4
    return place, struct.unpack_from("<Q", content, place)[0]


def move(name: str, by: int) -> Damage:
    def damage(path: Path) -> None:
        place, offset = offset_of(path, name)
        overwrite(place, struct.pack("<Q", offset + by))(path)

    return damage


def swap_offsets(one: str, other: str) -> Damage:
    def damage(path: Path) -> None:
        (place, offset), (place_2, offset_2) = offset_of(path, one), offset_of(path, other)
        overwrite(place, struct.pack("<Q", offset_2))(path)
        overwrite(place_2, struct.pack("<Q", offset))(path)

    return damage


def resize(name: str, *sizes: int) -> Damage:
    return lambda path: overwrite(info_of(path, name) + 4, struct.pack(f"<{len(sizes)}Q", *sizes))(path)


def rename(name: str, other: str) -> Damage:
    """Gives a tensor or a key another name of the same length."""
    return lambda path: path.write_bytes(path.read_bytes().replace(name.encode(), other.encode(), 1))


def huge_list(path: Path) -> None:
    content = path.read_bytes()
    place = content.index(b"tokenizer.ggml.tokens") + len("tokenizer.ggml.tokens") + 4 + 4
    overwrite(place, struct.pack("<Q", 2**40))(path)


def nested_lists(path: Path) -> None:
    """A key whose value is a list of a list of a list ... a thousand deep."""
    content = path.read_bytes()
    place = content.index(b"tokenizer.ggml.tokens") + len("tokenizer.ggml.tokens") + 4
    path.write_bytes(content[:place] + struct.pack("<IQ", 9, 1) * 100_000 + content[place:])


TOKENS = "tokenizer.ggml.tokens"
GGUF_FILES: dict[str, tuple[Damage, str]] = {
    "empty": (shorten(0), "cannot read"),
    "something else": (overwrite(0, b"PK\x03\x04"), "not a GGUF file"),
    "version 1": (overwrite(4, struct.pack("<I", 1)), "GGUF version 1"),
    "big-endian": (overwrite(4, struct.pack(">I", 3)), "GGUF version 50331648"),
    "cut in the header": (shorten(3000), "truncated or damaged"),
    "cut after the version": (shorten(10), "truncated or damaged"),
    "cut in the tensors": (lambda path: shorten(path.stat().st_size - 100)(path), "is truncated: tensor"),
    "absurd number of keys": (overwrite(16, struct.pack("<Q", 2**60)), "announces"),
    "absurd number of tensors": (overwrite(8, struct.pack("<Q", 2**60)), "announces"),
    "absurd length of a key": (overwrite(24, struct.pack("<Q", 2**62)), "truncated or damaged"),
    "a key that is not text": (overwrite(32, b"\xff\xff"), "not UTF-8"),
    "a list of 2^40 texts": (huge_list, "announces a list of 1,099,511,627,776 entries"),
    "lists in lists": (nested_lists, "a list of lists"),
    "a key twice": (rename("llama.rope.freq_base", "llama.context_length"), "twice"),
    "two tensors of one name": (rename("blk.0.attn_k.weight", "blk.0.attn_q.weight"), "two tensors of the name"),
    "tensors that swap places": (
        swap_offsets("blk.0.attn_k.weight", "blk.0.attn_v.weight"),
        "is said to begin at byte",
    ),
    "a tensor over another": (move("blk.0.attn_k.weight", -32), "blk.0.attn_k.weight is said to begin at byte"),
    "a tensor between two bounds": (move("blk.0.attn_k.weight", 4), "blk.0.attn_k.weight is said to begin at byte"),
    "a tensor beyond the end": (move("output_norm.weight", 2**62), "is said to begin at byte"),
    "a tensor of 2^80 bytes": (resize("blk.0.attn_k.weight", 2**40, 2**40), "is truncated: tensor blk.0.attn_k.weight"),
    "an alignment of no power of two": (edit_gguf({"general.alignment": 48}), "general.alignment is 48"),
    "seen from both sides": (edit_gguf({"llama.attention.causal": False}), "llama.attention.causal is False"),
    "a key of another model": (edit_gguf({"llama.logit_scale": 2.0}), "llama.logit_scale is 2.0, which is not a known"),
    "layers that differ": (
        edit_gguf({"llama.block_count": 2, "llama.attention.head_count_kv": [2, 4]}),
        "llama.attention.head_count_kv is [2, 4], but layers that differ",
    ),
    "numbers of other layers": (edit_gguf({"llama.feed_forward_length": [64, 64]}), "each of the 1 layers"),
    "one part of several": (edit_gguf({"split.count": 3}), "one of 3 parts"),
    "unknown family": (edit_gguf(architecture="rwkv7"), "general.architecture is 'rwkv7'"),
    "a size is missing": (edit_gguf({"llama.block_count": ...}), "llama.block_count is missing"),
    "a size is text": (edit_gguf({"llama.block_count": "one"}), "llama.block_count must be a whole number"),
    "more layers than tensors": (edit_gguf({"llama.block_count": 2}), "tensor blk.1.attn_norm.weight is missing"),
    "scaled positions": (edit_gguf({"llama.rope.scaling.type": "yarn"}), "llama.rope.scaling.type is 'yarn'"),
    "experts": (edit_gguf({"llama.expert_count": 8}), "llama.expert_count is 8"),
    "partly rotated heads": (edit_gguf({"llama.rope.dimension_count": 4}), "llama.rope.dimension_count is 4"),
    "a tensor is missing": (
        edit_gguf(tensors=lambda t: t.pop("blk.0.ffn_up.weight")),
        "blk.0.ffn_up.weight is missing",
    ),
    "no embedding": (edit_gguf(tensors=lambda t: t.pop("token_embd.weight")), "token_embd.weight is missing"),
    "a tensor too many": (
        edit_gguf(tensors=lambda t: t.update({"rope_freqs.weight": np.ones(4, np.float32)})),
        "rope_freqs.weight is not part of",
    ),
    "a tensor of another shape": (
        edit_gguf(tensors=lambda t: t.update({"blk.0.attn_q.weight": np.ones((32, 16), np.float32)})),
        "blk.0.attn_q.weight has shape [32, 16]",
    ),
    "a tensor with infinities": (
        edit_gguf(tensors=lambda t: t.update({"blk.0.attn_q.weight": np.full((32, 32), np.inf, np.float32)})),
        "blk.0.attn_q.weight holds values that are not finite",
    ),
    "a tensor of integers": (of_kind("blk.0.attn_q.weight", 26), "blk.0.attn_q.weight is stored as I32"),
    "a tensor of unknown kind": (of_kind("blk.0.attn_q.weight", 999), "blk.0.attn_q.weight has the unknown type 999"),
    "rows that do not fill blocks": (of_kind("blk.0.attn_q.weight", 14), "blk.0.attn_q.weight has rows of 32 values"),
    "another kind of tokenizer": (edit_gguf({"tokenizer.ggml.model": "llama"}), "tokenizer.ggml.model is 'llama'"),
    "unknown pre-tokenizer": (
        edit_gguf({"tokenizer.ggml.pre": "viking"}),
        "tokenizer.ggml.pre is 'viking'; the known ones are gpt-2, smollm, llama-bpe, qwen2",
    ),
    "no pre-tokenizer": (edit_gguf({"tokenizer.ggml.pre": ...}), "tokenizer.ggml.pre is None"),
    "no vocabulary": (edit_gguf({TOKENS: ...}), "tokenizer.ggml.tokens is missing"),
    "a vocabulary of numbers": (edit_gguf({TOKENS: [1, 2]}), "tokenizer.ggml.tokens is not a list of str"),
    "fewer types than tokens": (edit_gguf({"tokenizer.ggml.token_type": [1]}), "has 1 entries for 2"),
    "a token twice": (
        lambda path: edit_gguf({TOKENS: [*open_gguf(path).metadata[TOKENS][:-1], "a"]})(path),
        "tokenizer.ggml.tokens holds 'a' twice",
    ),
    "a merge that is no pair": (edit_gguf({"tokenizer.ggml.merges": ["a b c"]}), "'a b c', which is not a pair"),
    "a merge of unknown tokens": (edit_gguf({"tokenizer.ggml.merges": ["zz zz"]}), "merges do not fit the tokens"),
    "end token out of range": (edit_gguf({"tokenizer.ggml.eos_token_id": 5000}), "eos_token_id is 5000"),
    "template is not text": (edit_gguf({"tokenizer.chat_template": 3}), "tokenizer.chat_template must be text"),
}


@pytest.mark.parametrize("name", GGUF_FILES)
def test_bad_gguf_files(name: str, copy: Path) -> None:
    damage, fault = GGUF_FILES[name]
    damage(copy / "model.gguf")
    assert_refused(copy / "model.gguf", "model.gguf", fault)


ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"

ADAPTERS: dict[str, tuple[Damage, str, str]] = {
    "configuration is not JSON": (write(ADAPTER, "r=4"), ADAPTER, "not valid JSON"),
    "another method": (edit_json(ADAPTER, peft_type="IA3"), ADAPTER, "peft_type is 'IA3'"),
    "DoRA": (edit_json(ADAPTER, use_dora=True), ADAPTER, "use_dora is True"),
    "biases": (edit_json(ADAPTER, bias="all"), ADAPTER, "bias is 'all'"),
    "saved modules": (
        edit_json(ADAPTER, modules_to_save=["lm_head"]),
        ADAPTER_WEIGHTS,
        "tensor base_model.model.lm_head.weight is missing",
    ),
    "saved modules that are none": (edit_json(ADAPTER, modules_to_save=["classifier"]), ADAPTER, "modules_to_save is"),
    "ranks of its own": (edit_json(ADAPTER, rank_pattern={"q_proj": 8}), ADAPTER_WEIGHTS, "says [8, 32]"),
    "ranks that are none": (edit_json(ADAPTER, rank_pattern={"q_proj": "8"}), ADAPTER, "rank_pattern is"),
    "an endless expression": (edit_json(ADAPTER, target_modules="(.*.*.*)*(.*.*)*x"), ADAPTER, "target_modules is"),
    "fewer modules": (edit_json(ADAPTER, target_modules=["q_proj"]), ADAPTER_WEIGHTS, "not of one that"),
    "fewer layers": (edit_json(ADAPTER, layers_to_transform=[1]), ADAPTER, "nothing of the base is adapted"),
    "an infinite scale": (edit_json(ADAPTER, lora_alpha=float("inf")), ADAPTER, "lora_alpha is inf"),
    "no scale": (edit_json(ADAPTER, lora_alpha=float("nan")), ADAPTER, "lora_alpha is nan"),
    "a scale beyond float32": (edit_json(ADAPTER, lora_alpha=1e39), ADAPTER, "lora_alpha is 1e+39"),
    "an infinite scale of one": (
        edit_json(ADAPTER, alpha_pattern={"q_proj": float("inf")}),
        ADAPTER,
        "alpha_pattern is {'q_proj': inf}",
    ),
    "true as a rank": (edit_json(ADAPTER, r=True), ADAPTER, "r must be a number"),
    "an initialization that moves the base": (edit_json(ADAPTER, init_lora_weights="pissa"), ADAPTER, "'pissa'"),
    "activated behind tokens": (edit_json(ADAPTER, alora_invocation_tokens=[5]), ADAPTER, "alora_invocation_tokens"),
    "a key of a later version": (edit_json(ADAPTER, use_newlora=True), ADAPTER, "use_newlora is True, which is not a"),
    "no rank": (edit_json(ADAPTER, r=...), ADAPTER, "r must be a number"),
    "rank zero": (edit_json(ADAPTER, r=0), ADAPTER, "rank must be at least 1"),
    "another rank": (edit_json(ADAPTER, r=3), ADAPTER_WEIGHTS, "has shape [2, 32], but the configuration says [3, 32]"),
    "no weights": (remove(ADAPTER_WEIGHTS), ADAPTER_WEIGHTS, "is missing"),
    "only a pickle": (
        lambda folder: (folder / ADAPTER_WEIGHTS).rename(folder / "adapter_model.bin"),
        ADAPTER_WEIGHTS,
        "adapter_model.bin is a pickle",
    ),
    "weights cut short": (cut(ADAPTER_WEIGHTS, 900), ADAPTER_WEIGHTS, "not a complete safetensors file"),
    "no tensors": (edit_tensors(ADAPTER_WEIGHTS, lambda t: t.clear()), ADAPTER, "targets must be some of"),
    "a tensor is missing": (
        edit_tensors(ADAPTER_WEIGHTS, lambda t: t.pop(A)),
        ADAPTER_WEIGHTS,
        f"tensor {A} is missing",
    ),
    "a tensor too many": (
        edit_tensors(ADAPTER_WEIGHTS, lambda t: t.update({A.replace("layers.0", "layers.7"): torch.ones(2, 32)})),
        ADAPTER_WEIGHTS,
        "layers.7.self_attn.q_proj.lora_A.weight is not part of",
    ),
    "no base": (edit_json(ADAPTER, base_model_name_or_path=None), ADAPTER, "names no base model"),
    "a base elsewhere": (
        edit_json(ADAPTER, base_model_name_or_path="org/model"),
        ADAPTER,
        "base model 'org/model' is not a file or folder here",
    ),
    "its own base": (edit_json(ADAPTER, base_model_name_or_path="../adapter"), ADAPTER, "is not a file or folder"),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_bad_adapters(name: str, copy: Path) -> None:
    damage, named, fault = ADAPTERS[name]
    damage(copy / "adapter")
    assert_refused(copy / "adapter", named, fault)


OTHERS: dict[str, tuple[str, Damage, str]] = {
    "nothing": ("missing", lambda path: None, "does not exist"),
    "an empty folder": ("empty", lambda path: path.mkdir(), "config.json"),
    "a pickle": ("model.pt", lambda path: path.write_bytes(b"\x80\x02."), "is a pickle, which can run code"),
    "weights alone": ("alone.safetensors", lambda path: path.write_bytes(b""), "give the folder"),
    "a text": ("notes.txt", lambda path: path.write_text("hello"), "is not a GGUF file"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_things_that_are_no_model(name: str, tmp_path: Path) -> None:
    file, make, fault = OTHERS[name]
    make(tmp_path / file)
    assert_refused(tmp_path / file, file, fault)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
@pytest.mark.parametrize(
    "name", ["model.gguf", "model/config.json", "model/model.safetensors", "adapter/adapter_config.json"]
)
def test_a_pipe_is_not_waited_for(name: str, copy: Path) -> None:
    (copy / name).unlink()
    os.mkfifo(copy / name)
    assert_refused(copy / name if name.endswith(".gguf") else copy / name.split("/")[0], name, "is a pipe")


def test_two_tokens_of_one_id(copy: Path) -> None:
    file = copy / "model" / "tokenizer.json"
    values = json.loads(file.read_text())
    values["model"]["vocab"]["zzz"] = values["model"]["vocab"]["a"]
    file.write_text(json.dumps(values))
    assert_refused(copy / "model", "tokenizer.json", "both have the id")


HEADER_VALUES = st.integers(-(2**70), 2**70) | st.text(max_size=5) | st.none() | st.lists(st.integers(), max_size=3)


@settings(max_examples=100)
@given(st.data())
def test_any_header_of_a_safetensors_file(good: Path, scratch: Path, data: st.DataObject) -> None:
    """Offsets that overlap, run backwards or beyond the file, other types and shapes, and lengths of the header."""
    shutil.copytree(good / "model", scratch / "model", dirs_exist_ok=True)
    content = (good / "model" / WEIGHTS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for name in data.draw(st.lists(st.sampled_from(sorted(header)), max_size=2)):
        key = data.draw(st.sampled_from(["dtype", "shape", "data_offsets"]))
        header[name][key] = data.draw(st.sampled_from(["F16", "I64", "F8_E4M3"]) if key == "dtype" else HEADER_VALUES)
    text = json.dumps(header).encode()
    stated = data.draw(st.just(len(text)) | st.integers(0, 2**64 - 1))
    (scratch / "model" / WEIGHTS).write_bytes(stated.to_bytes(8, "little") + text + content[8 + length :])
    load_or_refuse(scratch / "model")


@pytest.mark.parametrize("kind", ["[", '{"a":'])
def test_json_nested_a_million_deep(kind: str, copy: Path) -> None:
    (copy / "model" / "config.json").write_text(kind * 1_000_000)
    assert_refused(copy / "model", "config.json", "nested too deeply")


def load_or_refuse(path: Path) -> None:
    """Whatever the damage, loading works or gives an error for users; it never breaks in another way."""
    message = str(path.parent)
    try:
        burnish.load(path, compute_dtype=torch.float32, device="cpu")
    except BurnishError as error:
        message = str(error)
    assert str(path.parent) in message


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), min_size=1, max_size=3),
    st.none() | st.floats(0, 1),
)
def test_random_damage_of_a_gguf_header(
    good: Path, scratch: Path, edits: list[tuple[float, bytes]], kept: float | None
) -> None:
    content = bytearray((good / "model.gguf").read_bytes())
    n_header = len(content) - sum(t.data.nbytes for t in open_gguf(good / "model.gguf").tensors.values())
    for place, data in edits:
        start = int(place * n_header)
        content[start : start + len(data)] = data
    (scratch / "model.gguf").write_bytes(content if kept is None else content[: int(kept * len(content))])
    load_or_refuse(scratch / "model.gguf")


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just([]) | st.just({})
JSON_FILES = ("model/config.json", "model/tokenizer_config.json", "model/generation_config.json", "adapter/" + ADAPTER)


@settings(max_examples=200)
@given(st.sampled_from(JSON_FILES), st.data())
def test_any_value_in_any_key(good: Path, scratch: Path, name: str, data: st.DataObject) -> None:
    for folder in ("model", "adapter"):
        shutil.copytree(good / folder, scratch / folder, dirs_exist_ok=True)
    values = json.loads((good / name).read_text())
    key = data.draw(st.sampled_from(sorted(values)))
    values[key] = data.draw(VALUES | st.lists(VALUES, max_size=2))
    (scratch / name).write_text(json.dumps(values))
    load_or_refuse((scratch / name).parent)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")
