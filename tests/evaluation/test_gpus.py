"""Costs on a GPU by its published figures."""

import pytest

from burnish.errors import BurnishError
from burnish.evaluation.gpus import GPUS, UTILIZATION, named_gpu, rates_on
from burnish.evaluation.rates import Rates
from burnish.nn.config import DecoderConfig

HERE = Rates(1, 1, 1, 1, 1, 1, 1, kept_layer=1000.0, kept_head=500.0)
LARGE = DecoderConfig(
    vocab_size=32_000, d_model=4096, n_layers=32, n_heads=32, n_kv_heads=8, head_dim=128, d_ff=14_336,
    tie_embeddings=False,
)  # fmt: skip
PARAMETERS = 7_240_000_000


def test_names_are_read_as_people_write_them() -> None:
    for written in ("H100", "h100", "NVIDIA H100", "rtx-4090", "RTX 4090", "A100 80GB"):
        assert named_gpu(written) in GPUS
    assert len({gpu.name for gpu in GPUS}) == len(GPUS)
    with pytest.raises(BurnishError, match=r"--gpu: got 'TPU'; expected one of: L4, A10, .*H200"):
        named_gpu("TPU")


def test_training_is_six_operations_a_weight() -> None:
    gpu = named_gpu("H100")
    found = rates_on(gpu, LARGE, HERE, parameters=PARAMETERS, rows=1)
    blocks = PARAMETERS - 2 * 32_000 * 4096
    seconds = 32 * found.train_layer
    assert seconds == pytest.approx(6 * blocks / (UTILIZATION * 989e12))
    assert found.train_layer == pytest.approx(3 * found.score_layer)
    assert 6e3 < 1 / (seconds + found.train_head) < 1.2e4, "a 7B model trains on some 8,000 tokens/s"
    assert (found.kept_layer, found.kept_head) == (1000.0, 500.0), "what a token keeps is the same anywhere"


def test_decoding_reads_all_weights_once_for_all_rows() -> None:
    gpu = named_gpu("A100-80GB")
    one, many = (rates_on(gpu, LARGE, HERE, parameters=PARAMETERS, rows=rows) for rows in (1, 64))
    assert 30 < 1 / (32 * one.decode_layer + one.decode_head) < 120, "a 7B model alone: weights over bandwidth"
    assert one.decode_layer > 20 * many.decode_layer
    slower = rates_on(named_gpu("L4"), LARGE, HERE, parameters=PARAMETERS, rows=1)
    assert slower.decode_layer / one.decode_layer == pytest.approx(2039 / 300, rel=0.05)
    small = DecoderConfig(
        vocab_size=49_152, d_model=576, n_layers=30, n_heads=9, n_kv_heads=3, head_dim=64, d_ff=1536
    )  # fmt: skip
    launched = rates_on(gpu, small, HERE, parameters=134_515_008, rows=1)
    assert launched.decode_layer > 60 * 3e-6, "a small model waits for its kernels"
