"""A trained decoder with fewer key and value heads: multi-head to grouped-query to multi-query attention.

Ainslie 2023, arXiv:2305.13245, section 2.1 and figure 1: the projections of the heads of a group become one, and what
that costs is won back by training on for a small share of the original tokens ("up-training").
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from burnish.nn.attention import Attention
from burnish.nn.decoder import Decoder
from burnish.nn.linear import Linear, WeightNormLinear
from burnish.nn.lora import lora_config

Pooling = Literal["mean", "first", "random"]


@torch.no_grad()
def with_kv_heads(decoder: Decoder, n_kv_heads: int, *, pooling: Pooling = "mean", seed: int = 0) -> Decoder:
    """A copy of `decoder` with `n_kv_heads` key and value heads in every layer; the given one stays as it is.

    pooling: `mean` averages the K and V heads of each group, `first` keeps the first of them, `random` draws new ones
        from `seed` as at initialisation. Biases and a `k_norm` of the whole projection follow their heads.

    The new head j takes the place of the old heads j r to (j + 1) r - 1, r = old / new. Query heads keep their order,
    so each reads the group that its old K/V head fell into. The same number as before changes nothing.

    Raises ValueError where `n_kv_heads` does not divide the present number, or the decoder has low-rank adapters.
    """
    present = decoder.config.n_kv_heads
    if not 1 <= n_kv_heads <= present or present % n_kv_heads:
        divisors = ", ".join(str(n) for n in range(1, present + 1) if present % n == 0)
        raise ValueError(
            f"{present} key/value heads cannot become {n_kv_heads} groups of equal size; possible are: {divisors}"
        )
    if lora_config(decoder) is not None:
        raise ValueError("the decoder has low-rank adapters; merge them into its weights first")
    converted = Decoder(replace(decoder.config, n_kv_heads=n_kv_heads), compute_dtype=decoder.compute_dtype)
    converted.to(decoder.device).initialize(seed=seed)
    shapes = {name: tensor.shape for name, tensor in converted.state_dict().items()}
    same = {name: tensor for name, tensor in decoder.state_dict().items() if tensor.shape == shapes[name]}
    converted.load_state_dict(same, strict=False)
    if n_kv_heads < present:
        for old, new in zip(decoder.blocks, converted.blocks, strict=True):
            assert isinstance(old.attention, Attention)
            assert isinstance(new.attention, Attention)
            _convert(old.attention, new.attention, pooling)
    return converted.train(decoder.training)


def pooled(rows: Tensor, n_heads: int, n_groups: int, pooling: Literal["mean", "first"]) -> Tensor:
    """`[n_heads · head_dim, ...]` -> `[n_groups · head_dim, ...]`: the heads of each group averaged, or its first."""
    groups = rows.unflatten(0, (n_groups, n_heads // n_groups, -1))
    return (groups.mean(1) if pooling == "mean" else groups[:, 0]).flatten(0, 1)


def _convert(old: Attention, new: Attention, pooling: Pooling) -> None:
    """Fill `new`, whose k and v are as initialised, from `old`."""
    _copy_rows(old.qkv, new.qkv, "q", lambda rows: rows)
    if pooling == "random":
        return

    def pool(rows: Tensor) -> Tensor:
        return pooled(rows, old.n_kv_heads, new.n_kv_heads, pooling)

    for part in ("k", "v"):
        _copy_rows(old.qkv, new.qkv, part, pool)
    if old.qk_norm == "projection":
        new.k_norm.weight.copy_(pool(old.k_norm.weight))


def _copy_rows(old: Linear, new: Linear, part: str, change: Callable[[Tensor], Tensor]) -> None:
    """The rows of a part, weight and bias, after `change`. What WeightNorm splits is changed as one matrix."""
    source, target = old.parts[part], new.parts[part]
    weight = old.weight[source]
    if isinstance(old, WeightNormLinear):
        weight = weight * (old.gain[source] / torch.linalg.vector_norm(weight, dim=1))[:, None]
    new.weight[target] = change(weight)
    if isinstance(new, WeightNormLinear):
        new.gain[target] = torch.linalg.vector_norm(new.weight[target], dim=1)
    if old.bias is not None and new.bias is not None:
        new.bias[target] = change(old.bias[source])
