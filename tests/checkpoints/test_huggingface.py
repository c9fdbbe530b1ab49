"""Model folders: what we write loads in transformers to the same logits, and what transformers writes loads here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from references import (
    assert_equal_logits,
    load_in_transformers,
    our_greedy,
    our_logits,
    transformers_greedy,
    transformers_logits,
)

import burnish
from burnish.checkpoints import huggingface
from burnish.errors import BurnishError, CheckpointError
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, add_lora
from burnish.text.chat import encode_prompt
from burnish.text.tokenizer import Tokenizer

MakeDecoder = Callable[..., Decoder]

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "multi-head": {"n_kv_heads": 4},
    "grouped-query": {"n_kv_heads": 2},
    "multi-query": {"n_kv_heads": 1},
    "untied": {"tie_embeddings": False},
    "wide heads": {"head_dim": 16},
    "narrow heads": {"head_dim": 4, "tie_embeddings": False},
    "long rotary base": {"rope_theta": 100_000.0},
    "another epsilon": {"norm_eps": 1e-3},
    "padded vocabulary": {"vocab_size": 320},
}
IDS = [1, 17, 30, 4, 4, 9, 100, 101, 55, 2, 63, 200]


def load(path: Path, **options: Any) -> tuple[Decoder, Tokenizer]:
    return burnish.load(path, compute_dtype=torch.float32, device="cpu", **options)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_transformers_computes_the_same_logits(
    name: str, make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    decoder = make_decoder(**CONFIGURATIONS[name])
    burnish.save(decoder, tiny_tokenizer, tmp_path / "model")
    model = load_in_transformers(tmp_path / "model")
    assert_equal_logits(our_logits(decoder, IDS), transformers_logits(model, IDS))
    again, tokenizer = load(tmp_path / "model")
    assert again.config == decoder.config
    assert torch.equal(our_logits(again, IDS), our_logits(decoder, IDS))
    assert tokenizer.encode("the lazy dog") == tiny_tokenizer.encode("the lazy dog")


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shard", ["1GB", "20KB"])
def test_loads_what_transformers_saves(tied: bool, shard: str, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0},
        initializer_range=0.3,
    )
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(tmp_path, max_shard_size=shard)
    tiny_tokenizer.save(tmp_path)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard == "20KB")
    decoder, _ = load(tmp_path)
    assert decoder.config.rope_theta == 5000.0
    assert_equal_logits(our_logits(decoder, IDS), transformers_logits(model, IDS))


def test_keys_of_transformers_4(make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """rope_theta at the top, head_dim and num_key_value_heads absent, a half-precision file."""
    decoder = make_decoder(rope_theta=500.0, n_kv_heads=4)
    burnish.save(decoder, tiny_tokenizer, tmp_path / "model", dtype=torch.bfloat16)
    file = tmp_path / "model/config.json"
    config = json.loads(file.read_text())
    for key in ("rope_parameters", "head_dim", "num_key_value_heads", "dtype"):
        del config[key]
    file.write_text(json.dumps({**config, "rope_scaling": None}))
    again, _ = load(tmp_path / "model")
    assert again.config == decoder.config
    assert again.embedding.weight.dtype == torch.float32
    assert torch.equal(again.embedding.weight, decoder.embedding.weight.bfloat16().float())


def test_shards(make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    decoder = make_decoder(tie_embeddings=False)
    huggingface.write(decoder, tiny_tokenizer, tmp_path / "model", max_shard_bytes=40_000)
    files = sorted(file.name for file in (tmp_path / "model").glob("*.safetensors"))
    assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    assert len(files) > 2
    index = json.loads((tmp_path / "model/model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4 * sum(p.numel() for p in decoder.parameters())
    assert torch.equal(our_logits(load(tmp_path / "model")[0], IDS), our_logits(decoder, IDS))
    model = load_in_transformers(tmp_path / "model")
    assert_equal_logits(our_logits(decoder, IDS), transformers_logits(model, IDS))


def test_the_other_files_of_a_folder(make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "left over.txt").write_text("from an earlier model")
    burnish.save(
        make_decoder(), tiny_tokenizer, folder, card="# A model\n", generation={"temperature": 0.2, "do_sample": True}
    )
    assert sorted(file.name for file in folder.iterdir()) == [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert (folder / "README.md").read_text() == "# A model\n"
    generation = transformers.GenerationConfig.from_pretrained(folder)
    assert (generation.eos_token_id, generation.bos_token_id, generation.pad_token_id) == (2, 1, 0)
    assert (generation.temperature, generation.do_sample) == (0.2, True)


def test_a_failed_save_leaves_the_old_folder(
    make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    burnish.save(make_decoder(), tiny_tokenizer, tmp_path / "model", card="old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface, "save_file", full)
    with pytest.raises(BurnishError, match=r"cannot write .*model: No space left on device"):
        burnish.save(make_decoder(1), tiny_tokenizer, tmp_path / "model", card="new")
    assert (tmp_path / "model/README.md").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_what_cannot_be_saved(make_decoder: MakeDecoder, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    adapted = make_decoder()
    add_lora(adapted, LoraConfig(rank=2), seed=0)
    for decoder, options, message in (
        (adapted, {}, "merge_lora"),
        (make_decoder(vocab_size=200), {}, "only 200 rows"),
        (make_decoder(), {"dtype": torch.int8}, "torch.int8"),
    ):
        with pytest.raises(CheckpointError, match=message):
            burnish.save(decoder, tiny_tokenizer, tmp_path / "model", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def real_model(smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Decoder, Tokenizer, Any]:
    """SmolLM2 here and, through the folder we write, in transformers."""
    pytest.importorskip("transformers")
    decoder, tokenizer = load(smollm2_path)
    folder = tmp_path_factory.mktemp("real") / "model"
    burnish.save(decoder, tokenizer, folder)
    return decoder, tokenizer, load_in_transformers(folder)


QUESTIONS = ["What is the capital of France?", "Write one line of SQL.", "一 plus 2 = 三?"]


@pytest.mark.parametrize(
    "question", [QUESTIONS[0], *(pytest.param(question, marks=pytest.mark.slow) for question in QUESTIONS[1:])]
)
def test_the_real_model_in_transformers(real_model: tuple[Decoder, Tokenizer, Any], question: str) -> None:
    decoder, tokenizer, model = real_model
    ids = encode_prompt(tokenizer, [{"role": "user", "content": question}])
    assert_equal_logits(our_logits(decoder, ids), transformers_logits(model, ids))
    assert our_greedy(decoder, ids, 8) == transformers_greedy(model, ids, 8)


@pytest.mark.slow
def test_the_real_model_as_transformers_reads_it(smollm2_path: Path) -> None:
    """transformers dequantizes and reorders the GGUF file by itself."""
    transformers = pytest.importorskip("transformers")
    decoder, tokenizer = load(smollm2_path)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        smollm2_path.parent, gguf_file=smollm2_path.name, dtype=torch.float32
    )
    for question in QUESTIONS:
        ids = encode_prompt(tokenizer, [{"role": "user", "content": question}])
        assert_equal_logits(our_logits(decoder, ids), transformers_logits(model, ids))
