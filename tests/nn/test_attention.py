"""Every backend equals the padded, duplicated computation, in value and gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from burnish.forest import Forest
from burnish.nn.attention import Backend, cpu, flex, reference
from burnish.nn.attention.parts import attention_part, merge
from forests import forests, padded_attention

HEAD_DIM = 8


def _inputs(forest: Forest, n_heads: int, n_kv_heads: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(forest.n_tokens, heads, HEAD_DIM, generator=generator, requires_grad=True)
        for heads in (n_heads, n_kv_heads, n_kv_heads)
    ]


def _value_and_gradients(backend: Backend, inputs: list[Tensor], forest: Forest) -> list[Tensor]:
    out = backend(*inputs, forest)
    # Every output element gets a weight of its own, so that no error can cancel.
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), inputs)]


def _assert_close(found: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() <= 1e-5 * b.norm() + 1e-6


@pytest.mark.parametrize("backend", [reference.attention, cpu.attention])
@given(forest=forests(), heads=st.sampled_from([(4, 4), (4, 2), (6, 1)]), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_equals_the_padded_computation(backend: Backend, forest: Forest, heads: tuple[int, int], seed: int) -> None:
    inputs = _inputs(forest, *heads, seed)
    _assert_close(_value_and_gradients(backend, inputs, forest), _value_and_gradients(padded_attention, inputs, forest))


@given(forest=forests(), seed=st.integers(0, 99))
@settings(max_examples=10)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_reads_the_same_forest(forest: Forest, seed: int) -> None:
    with torch.no_grad():  # PyTorch has no backward of FlexAttention on a CPU.
        inputs = [x.detach() for x in _inputs(forest, 4, 2, seed)]
        expected = padded_attention(*inputs, forest)
        assert (flex.attention(*inputs, forest) - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.gpu
def test_compiled_flex_attention_on_a_gpu() -> None:
    forest, _ = Forest.from_sequences([[*range(300), i, *([7] * i)] for i in range(1, 40)])
    inputs = _inputs(forest, 8, 2, 0)
    on_gpu = [x.detach().cuda().requires_grad_() for x in inputs]
    found = _value_and_gradients(lambda q, k, v, f: flex.attention(q, k, v, f).cpu(), on_gpu, forest.to("cuda"))
    for a, b in zip(found, _value_and_gradients(padded_attention, inputs, forest), strict=True):
        assert (a.cpu() - b).norm() <= 1e-3 * b.norm()


def test_the_kernel_calls_do_not_grow_with_equal_leaves() -> None:
    forest, _ = Forest.from_sequences([[*range(40), 100 + i, 5, 6] for i in range(64)])
    plan = cpu._plan(forest)
    assert len(plan.own) == 2, "64 equal leaves are one call, their prompt another"
    assert len(plan.ancestors) == 1


def test_parts_with_a_bias_merge_to_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, HEAD_DIM, generator=generator) for n in (4, 9, 9))
    hidden = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    bias = torch.zeros(2, 5).masked_fill(hidden, -torch.inf)[:, None, None]
    out, lse = attention_part(q, k[:, :, :4], v[:, :, :4])
    merge(out, lse, *attention_part(q, k[:, :, 4:], v[:, :, 4:], bias=bias))
    scores = q @ k.transpose(-1, -2) / HEAD_DIM**0.5
    scores[..., 4:] += bias
    torch.testing.assert_close(out, scores.softmax(-1) @ v)
    torch.testing.assert_close(lse, scores.logsumexp(-1))
