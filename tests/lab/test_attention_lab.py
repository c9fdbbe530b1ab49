"""`burnish lab attention` at toy scale: theory counts what is done and held, and an interruption loses nothing."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import burnish
from burnish.forest import Forest
from burnish.generation.cache import KVCache
from burnish.lab.attention import experiment as attention
from burnish.lab.attention.cross import time_writing
from burnish.lab.attention.experiment import FULL, QUICK, Scale, architecture
from burnish.lab.attention.roofline import Cost, Machine, decode_cost, kv_bytes_per_token, matrix_parameters, measure
from burnish.lab.attention.speed import name_of, time_decoder, variants
from burnish.lab.checkpoint import installed_checkpoint
from burnish.lab.notebook import Notebook
from burnish.lab.pretraining import Pretraining
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from conducting import conducted

TINY = architecture(d_model=32, n_layers=2, head_dim=4)
TOY = Scale(
    timed=TINY,
    kv_heads=(8, 2, 1),
    grid=((1, 8), (2, 8), (2, 16)),
    cross_grid=((1, 8), (2, 16)),
    decode_steps=3,
    trained=TINY,
    pretraining=Pretraining(steps=4, tokens_per_step=128, sequence_length=32, learning_rate=1e-2),
    seeds=2,
    converted_kv_heads=(1,),
    fractions=(0.25, 0.5),
    uptraining_rate=0.3,
    checkpoint_uptraining=Pretraining(steps=1, tokens_per_step=64, sequence_length=32, learning_rate=1e-3),
    heldout_tokens=256,
    checkpoint_heldout_tokens=256,
)


def run(folder: Path, **options: Any) -> dict[str, Any]:
    """The experiment at toy scale; what it wrote as JSON."""
    defaults: dict[str, Any] = {"minutes": 1e-6, "seed": 5, "threads": 1, "scale": TOY}
    files = conducted(attention.AttentionExperiment, folder, **(defaults | options))
    assert [file.name for file in files] == ["attention.md", "attention.json", "attention.svg"]
    return json.loads((folder / "attention.json").read_text())


@pytest.mark.parametrize("n_kv_heads", [8, 4, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bytes_that_the_cache_holds_are_those_of_theory(n_kv_heads: int, dtype: torch.dtype) -> None:
    config = replace(TINY, n_kv_heads=n_kv_heads)
    speed = time_decoder(Decoder(config, compute_dtype=dtype), batch=3, context=16, steps=2)
    assert speed.kv_bytes_per_token == kv_bytes_per_token(config, dtype)
    assert speed.prefill_seconds > 0
    assert speed.decode_seconds > 0


@pytest.mark.parametrize("n_kv_heads", [8, 4, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bytes_of_a_source_are_those_of_theory(n_kv_heads: int, dtype: torch.dtype) -> None:
    config = replace(TINY, n_kv_heads=n_kv_heads)
    writing = time_writing(config, batch=3, source=16, steps=2, dtype=dtype, device=torch.device("cpu"))
    assert writing.bytes_per_source_token == kv_bytes_per_token(config, dtype)
    assert writing.encode_seconds > 0
    assert writing.decode_seconds > 0


def linear_flops(x: torch.Size, weight: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * math.prod(x) * weight[0]


def product_flops(_: torch.Size, a: torch.Size, b: torch.Size, **__: Any) -> int:
    return 2 * a.numel() * b[-1]


@pytest.mark.parametrize("n_kv_heads", [8, 2, 1])
def test_the_operations_of_a_decoding_step_are_those_of_theory(n_kv_heads: int) -> None:
    config, batch, context = replace(TINY, n_kv_heads=n_kv_heads), 3, 10
    decoder = Decoder(config).eval()
    prompts = Forest.from_segments([([row + 1] * context, -1) for row in range(batch)])
    with torch.no_grad():
        cache = KVCache(decoder, prompts, range(batch))
        # The counter knows the product that adds in place only under its other name, and not oneDNN's at all.
        known = {torch.ops.aten.baddbmm_: product_flops, torch.ops.mkldnn._linear_pointwise: linear_flops}
        with FlopCounterMode(display=False, custom_mapping=known) as counter:
            decoder.logits(cache.step(torch.ones(batch, dtype=torch.int64)))
    theory = decode_cost(config, batch=batch, context=context, dtype=torch.float32)
    assert counter.get_total_flops() == theory.flops


def test_matrix_parameters_are_the_decoders() -> None:
    for config in (TINY, replace(TINY, n_kv_heads=2), replace(TINY, gated=False), replace(TINY, tie_embeddings=False)):
        matrices = [p.numel() for name, p in Decoder(config).named_parameters() if "blocks" in name and p.dim() == 2]
        assert matrix_parameters(config) == (sum(matrices), 256 * config.d_model)


def test_the_roofline_is_the_slower_of_its_two_sides() -> None:
    machine = Machine(flops_per_second=100.0, bytes_per_second=10.0)
    assert (Cost(200, 10).seconds(machine), Cost(200, 10).bound_by(machine)) == (2.0, "compute")
    assert (Cost(200, 30).seconds(machine), Cost(200, 30).bound_by(machine)) == (3.0, "memory")
    measured = measure(torch.float32, torch.device("cpu"), seconds=0.0)
    assert measured.flops_per_second > 1e8
    assert measured.bytes_per_second > 1e8


def test_names() -> None:
    assert [name_of(config) for config in variants(TINY, (8, 4, 2, 1))] == ["MHA", "GQA-4", "GQA-2", "MQA"]


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_the_scales_that_ship_are_sound(scale: Scale) -> None:
    configs: list[DecoderConfig] = [*variants(scale.timed, scale.kv_heads), *variants(scale.trained, scale.kv_heads)]
    assert all(config.max_positions >= max(context for _, context in scale.grid) for config in configs)
    assert scale.kv_heads[0] == scale.timed.n_heads, "the first is MHA, which the others are compared with"
    assert set(scale.converted_kv_heads) < set(scale.kv_heads)


@pytest.mark.slow
def test_the_whole_experiment(tmp_path: Path) -> None:
    document = run(tmp_path)
    tables = {table["title"]: table for table in document["tables"]}
    assert len(document["panels"]) == 6
    cache = tables["KV cache"]["rows"]
    assert [row[0] for row in cache] == ["MHA", "GQA-2", "MQA"]
    assert all(row[3] == row[4] for row in cache)
    assert [row[3] * 8 // row[1] for row in cache] == [cache[0][3]] * 3
    written = tables["Encoder-decoder: keys and values of the source"]["rows"]
    assert [row[0] for row in written] == ["MHA", "GQA-2", "MQA"]
    assert all(row[3] == row[4] for row in written)
    quality = tables["Quality after equal training"]["rows"]
    assert all(2 < row[3] < 7 and row[4] >= 0 for row in quality)
    ways = tables["Conversion of the MHA model"]["rows"]
    assert [(row[0], row[1]) for row in ways] == [
        ("MHA", "not converted"),
        *[("MQA", pooling) for pooling in ("mean", "first", "random")],
    ]
    assert ways[0][2] == ways[0][3]
    assert any("Published" in title for title in tables)
    page = (tmp_path / "attention.md").read_text()
    assert all(f"### {title}" in page for title in tables)


@pytest.mark.slow
def test_an_interrupted_experiment_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, stop_after = Notebook.piece, 12
    done: list[str] = []

    def interrupted(self: Notebook, name: str, compute: Any) -> Any:
        if len(done) == stop_after:
            raise KeyboardInterrupt

        def counted() -> Any:
            result = compute()
            done.append(name)
            return result

        return original(self, name, counted)

    monkeypatch.setattr(Notebook, "piece", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    before = list(done)
    stop_after = -1
    run(tmp_path)
    assert len(done) == len(set(done)), "a finished piece is not done again"
    assert done[: len(before)] == before
    done.clear()
    run(tmp_path)
    assert done == []


@pytest.mark.slow
def test_a_checkpoint_is_converted_too(tmp_path: Path, smollm2_path: Path) -> None:
    """With a small model of the same kind in place of the real one, which would take minutes."""
    tokenizer = burnish.load(smollm2_path)[1]
    small = Decoder(replace(TINY, vocab_size=tokenizer.vocab_size, n_kv_heads=2, model_type="llama"))
    burnish.save(small, tokenizer, tmp_path / "small")
    assert installed_checkpoint() == smollm2_path
    document = run(tmp_path, checkpoint=tmp_path / "small", scale=replace(TOY, kv_heads=(8, 1), seeds=1))
    table = next(table for table in document["tables"] if table["title"] == "Conversion of small")
    assert [row[1] for row in table["rows"]] == ["not converted", "mean", "first", "random"]
    assert all(9 < loss < 12 for row in table["rows"] for loss in row[2:])  # ln 49,152 is 10.8
