"""Initial weights: small and normal; with DeepNorm as in its paper; a function of the seed."""

from dataclasses import replace

import pytest
import textbook
import torch
from torch import Tensor

from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from tiny_models import TINY

WIDE = replace(TINY, vocab_size=400, d_model=128, n_heads=8, n_kv_heads=2, head_dim=24, d_ff=320)
KINDS = ["rms", "layer", "batch", "weight", "none"]


def _matrices(decoder: Decoder) -> dict[str, Tensor]:
    """Every matrix by name and part, as the product uses it."""
    state = decoder.state_dict()
    names = [name.removesuffix(".weight") for name, tensor in state.items() if tensor.dim() == 2]
    found = {}
    for name in names:
        parts = decoder.get_submodule(name).parts
        found |= {f"{name}.{part}": textbook.matrix(state, name)[rows] for part, rows in parts.items()}
    return found


def _assert_normal(weight: Tensor, deviation: float) -> None:
    error = weight.numel() ** -0.5
    assert abs(weight.mean()) < 5 * deviation * error
    assert weight.std().item() == pytest.approx(deviation, rel=5 * error)
    assert weight.abs().max() < 6 * deviation


@pytest.mark.parametrize("norm", KINDS)
def test_all_matrices_have_deviation_two_hundredths(norm: str) -> None:
    matrices = _matrices(Decoder(replace(WIDE, norm=norm, tie_embeddings=False, positions="learned")))
    assert {name.split(".")[0] for name in matrices} == {"embedding", "position_embedding", "blocks", "head"}
    for weight in matrices.values():
        _assert_normal(weight, 0.02)


@pytest.mark.parametrize("norm", KINDS)
@pytest.mark.parametrize("gated", [True, False])
def test_deepnorm_draws_by_xavier_and_shrinks_what_adds_to_the_residual_stream(norm: str, gated: bool) -> None:
    """Wang 2022 (arXiv:2203.00555), figure 2: gain β for v, o and the feed-forward, 1 for q and k."""
    n_layers = 3
    decoder = Decoder(replace(WIDE, norm=norm, norm_placement="deepnorm", n_layers=n_layers, gated=gated))
    beta = (8 * n_layers) ** -0.25
    gains = {"q": 1.0, "k": 1.0, "v": beta, "o": beta, "gate": beta, "up": beta, "down": beta}
    seen = set()
    for name, weight in _matrices(decoder).items():
        part = name.rsplit(".", 1)[-1]
        seen.add(part)
        _assert_normal(weight, gains[part] * (2 / sum(weight.shape)) ** 0.5 if part else 0.02)
    assert seen == {"", *gains} - (set() if gated else {"gate"})


@pytest.mark.parametrize("placement", ["pre", "deepnorm"])
def test_weight_norm_starts_at_the_same_matrices(placement: str) -> None:
    plain, normed = (Decoder(replace(WIDE, norm=kind, norm_placement=placement)) for kind in ("none", "weight"))
    for name, weight in _matrices(plain).items():
        torch.testing.assert_close(_matrices(normed)[name], weight)


@pytest.mark.parametrize("norm", KINDS)
def test_norms_start_at_one_and_biases_at_zero(norm: str) -> None:
    decoder = Decoder(replace(TINY, norm=norm, qkv_bias=True, attention_bias=True, feed_forward_bias=True))
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter)
    for buffer in decoder.buffers():
        buffer.fill_(7.0)
    decoder.initialize(seed=0)
    for name, tensor in decoder.state_dict().items():
        if tensor.dim() == 1 and not name.endswith("gain"):
            one = name.endswith(("norm.weight", "running_variance"))
            assert torch.equal(tensor, torch.full_like(tensor, float(one))), name


@pytest.mark.parametrize("config", [TINY, replace(TINY, norm_placement="deepnorm"), replace(TINY, norm="weight")])
def test_initial_weights_are_a_function_of_the_seed(config: DecoderConfig) -> None:
    one, two = Decoder(config), Decoder(config)
    two.initialize(seed=1)
    assert not torch.equal(one.blocks[0].attention.qkv.weight, two.blocks[0].attention.qkv.weight)
    two.initialize(seed=0)
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("norm", KINDS)
def test_a_model_without_memory_is_filled_by_a_state(norm: str) -> None:
    config = replace(TINY, norm=norm, qkv_bias=True)
    full = Decoder(config)
    with torch.device("meta"):
        empty = Decoder(config)
    assert all(tensor.is_meta for tensor in empty.state_dict().values())
    empty.load_state_dict(full.state_dict(), assign=True)
    tokens = torch.arange(6)
    for model in (full, empty):
        model.eval()
    hidden = [
        model.hidden(tokens, tokens, lambda _layer: lambda q, k, v: q + k.mean() + v.mean()) for model in (full, empty)
    ]
    assert torch.equal(*hidden)
