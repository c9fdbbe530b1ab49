"""No backend holds K or V once for each query head, in neither pass."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from burnish.forest import Forest
from burnish.nn.attention import Backend, cpu, reference
from burnish.nn.config import AttentionRule

N_HEADS, HEAD_DIM = 32, 16
CHAIN = Forest(torch.zeros(45, dtype=torch.long), (20, 10, 15), (-1, 0, -1))


class _MostOften(TorchDispatchMode):
    """How often, at most, one of some tensors stands in the memory that a single operation returns, by a few values."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()
        self._values = [tensor.detach().flatten()[:: tensor.numel() // 12] for tensor in tensors]
        self.found = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.dtype == torch.float32:
                memory = torch.empty(0).set_(tensor.untyped_storage())
                for values in self._values:
                    self.found = max(self.found, torch.isin(memory, values).sum().item() / len(values))
        return result


def _inputs(n_kv_heads: int) -> list[Tensor]:
    # New values each time: uninitialised memory still holds those of earlier calls.
    return [torch.randn(CHAIN.n_tokens, n, HEAD_DIM).requires_grad_() for n in (N_HEADS, n_kv_heads, n_kv_heads)]


def _copies(backend: Backend, rule: AttentionRule, n_kv_heads: int) -> float:
    inputs = _inputs(n_kv_heads)
    with _MostOften(inputs[1:]) as most:
        out = backend(*inputs, CHAIN, rule)
        torch.autograd.grad(out, inputs, torch.ones_like(out))
    return most.found


def _repeating(q: Tensor, k: Tensor, v: Tensor, forest: Forest, rule: AttentionRule) -> Tensor:
    return reference.attention(q, *(x.repeat_interleave(N_HEADS // x.shape[1], dim=1) for x in (k, v)), forest, rule)


def test_the_measurement_sees_repeated_heads() -> None:
    assert _copies(_repeating, AttentionRule(), n_kv_heads=4) >= N_HEADS / 4


@pytest.mark.parametrize("n_kv_heads", [1, 4])
@pytest.mark.parametrize("rule", [AttentionRule(), AttentionRule(causal=False), AttentionRule(window=9, softcap=5.0)])
@pytest.mark.parametrize("backend", [reference.attention, cpu.attention])
def test_no_operation_returns_k_or_v_for_each_query_head(
    backend: Backend, rule: AttentionRule, n_kv_heads: int
) -> None:
    # Not just once: the output of a query that sees a single key is that key's value.
    assert _copies(backend, rule, n_kv_heads) < N_HEADS / n_kv_heads / 2


@pytest.mark.parametrize("run", [reference.cross_attention, cpu.cross_attention])
def test_one_query_to_a_long_context_allocates_nothing_larger_than_k(run: Callable[..., Tensor]) -> None:
    """Kernels and gradients included: the profiler sees every allocation, also those inside of an operation."""
    n_keys, head_dim = 500, 4 * HEAD_DIM
    queries, context = (Forest(torch.zeros(n, dtype=torch.long), (n,), (-1,)) for n in (1, n_keys))
    q, k, v = (
        torch.randn(n, heads, head_dim).requires_grad_() for n, heads in ((1, N_HEADS), (n_keys, 1), (n_keys, 1))
    )
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        out = run(q, k, v, queries, context)
        torch.autograd.grad(out, (q, k, v), torch.ones_like(out))
    sizes = [event.nbytes() for event in profile.kineto_results.events() if event.name() == "[memory]"]
    assert max(sizes) == k.nbytes, f"a gradient is as large as K; K for every query head is {N_HEADS} times as large"
