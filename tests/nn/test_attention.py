"""Every backend equals the textbook and the padded, duplicated computation, under every rule, in value and gradient."""

from itertools import product
from typing import Any

import pytest
import textbook
import torch
from agreement import assert_agree
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from burnish.forest import Forest
from burnish.nn.attention import Backend, backend_for, continued_attention, cpu, flex, paths, reference
from burnish.nn.config import AttentionRule
from forests import forests, padded_attention

HEAD_DIM = 8
BACKENDS = [reference.attention, cpu.attention]
HEADS = st.sampled_from([(1, 1), (4, 4), (4, 2), (6, 2), (6, 1)])
RULES = st.builds(
    AttentionRule,
    scale=st.sampled_from([None, 0.2, 1.0]),
    causal=st.booleans(),
    window=st.none() | st.integers(1, 20),
    softcap=st.sampled_from([None, 0.7, 30.0]),
)
LONG = Forest(torch.zeros(1250, dtype=torch.long), (300, 280, 30, 30, 600, 10), (-1, 0, 1, 1, 0, -1))


def _inputs(forest: Forest, n_heads: int, n_kv_heads: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(forest.n_tokens, heads, HEAD_DIM, generator=generator).requires_grad_()
        for heads in (n_heads, n_kv_heads, n_kv_heads)
    ]


def _textbook(inputs: list[Tensor], forest: Forest, rule: AttentionRule) -> Tensor:
    return textbook.attention(*(x.double() for x in inputs), textbook.visible(forest, rule), rule)


@pytest.mark.parametrize("backend", BACKENDS)
@given(forest=forests(), heads=HEADS, rule=RULES, seed=st.integers(0, 99))
@settings(max_examples=100)
def test_every_rule_equals_the_textbook(
    backend: Backend, forest: Forest, heads: tuple[int, int], rule: AttentionRule, seed: int
) -> None:
    inputs = _inputs(forest, *heads, seed)
    assert_agree(backend(*inputs, forest, rule), _textbook(inputs, forest, rule), inputs)


@pytest.mark.parametrize("run", [continued_attention, paths.attention])
@given(forest=forests(), heads=HEADS, rule=RULES, seed=st.integers(0, 99), data=st.data())
@settings(max_examples=60)
def test_new_segments_alone_equal_the_same_among_all(
    run: Any, forest: Forest, heads: tuple[int, int], rule: AttentionRule, seed: int, data: st.DataObject
) -> None:
    q, k, v = (x.detach() for x in _inputs(forest, *heads, seed))
    new = data.draw(st.lists(st.booleans(), min_size=forest.n_segments, max_size=forest.n_segments))
    new[data.draw(st.integers(0, forest.n_segments - 1))] = True
    mine = torch.tensor(new).repeat_interleave(torch.tensor(forest.lengths))
    options = (forest, new, rule) if run is continued_attention else (forest, rule, new)
    expected = reference.attention(q, k, v, forest, rule)[mine]
    torch.testing.assert_close(run(q[mine], k, v, *options), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@given(forest=forests(), heads=HEADS, seed=st.integers(0, 99))
@settings(max_examples=40)
def test_equals_the_padded_computation(backend: Backend, forest: Forest, heads: tuple[int, int], seed: int) -> None:
    inputs = _inputs(forest, *heads, seed)
    assert_agree(backend(*inputs, forest), padded_attention(*inputs, forest), inputs)


@pytest.mark.slow
@given(forest=forests(), heads=HEADS, rules=st.lists(RULES, min_size=1, max_size=2), seed=st.integers(0, 99))
@settings(max_examples=20)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_equals_the_textbook(
    forest: Forest, heads: tuple[int, int], rules: list[AttentionRule], seed: int
) -> None:
    with torch.no_grad():  # PyTorch has no backward of FlexAttention on a CPU.
        inputs = [x.detach() for x in _inputs(forest, *heads, seed)]
        for rule in rules:  # One forest under two rules: what is kept on it must not mix them.
            assert_agree(flex.attention(*inputs, forest, rule), _textbook(inputs, forest, rule))


@pytest.mark.parametrize(
    ("causal", "window", "softcap"),
    [
        (True, None, None),
        (True, 100, None),
        (True, 320, None),
        (False, 290, None),
        (True, 290, 2.0),
        (False, None, 2.0),
    ],
)
def test_the_fast_backend_is_exact_on_segments_of_hundreds_of_tokens(
    causal: bool, window: int | None, softcap: float | None
) -> None:
    rule = AttentionRule(causal=causal, window=window, softcap=softcap)
    inputs = _inputs(LONG, 2, 1)
    assert_agree(cpu.attention(*inputs, LONG, rule), _textbook(inputs, LONG, rule), inputs)


def test_an_extreme_score_neither_overflows_nor_loses_the_gradient() -> None:
    forest, _ = Forest.from_sequences([[*range(5), 7, 8], [*range(5), 9]], min_shared=2)
    inputs = [(100 * x.detach()).requires_grad_() for x in _inputs(forest, 4, 2)]
    for backend, softcap in product(BACKENDS, (None, 5.0)):
        rule = AttentionRule(softcap=softcap)
        found = backend(*inputs, forest, rule)
        assert_agree(found, _textbook(inputs, forest, rule))
        assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(found.sum(), inputs))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("window", [None, 3])
def test_inputs_may_be_views_of_one_tensor_and_some_of_them_constant(backend: Backend, window: int | None) -> None:
    forest, _ = Forest.from_sequences([[*range(5), 7, 8], [*range(5), 9]], min_shared=2)
    rule = AttentionRule(window=window)
    qkv = torch.randn(forest.n_tokens, 8, HEAD_DIM, generator=torch.Generator().manual_seed(0)).requires_grad_()
    views = list(qkv.split([4, 2, 2], dim=1))
    assert_agree(backend(*views, forest, rule), _textbook(views, forest, rule), [qkv])
    for trained in range(3):
        inputs = [x.detach().requires_grad_(index == trained) for index, x in enumerate(views)]
        assert_agree(backend(*inputs, forest, rule), _textbook(inputs, forest, rule), [inputs[trained]])


def test_a_window_counts_from_the_query_along_its_path() -> None:
    forest, _ = Forest.from_sequences([[0, 1, 2, 3], [0, 1, 4]], min_shared=2)
    assert forest.tokens.tolist() == [0, 1, 4, 2, 3]
    seen = reference.mask(forest, AttentionRule(window=2))
    assert [row.nonzero().flatten().tolist() for row in seen] == [[0], [0, 1], [1, 2], [1, 3], [3, 4]]


def test_without_causality_a_token_sees_its_own_segment_in_full_and_still_no_descendant() -> None:
    forest, _ = Forest.from_sequences([[0, 1, 2, 3], [0, 1, 4]], min_shared=2)
    seen = reference.mask(forest, AttentionRule(causal=False))
    assert [row.nonzero().flatten().tolist() for row in seen] == [[0, 1], [0, 1], [0, 1, 2], [0, 1, 3, 4], [0, 1, 3, 4]]


def test_every_device_has_a_backend() -> None:
    found = [backend_for(torch.device(kind)) for kind in ("cpu", "cuda", "mps")]
    assert found == [cpu.attention, flex.attention, reference.attention]


@pytest.mark.gpu
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 64])
@pytest.mark.parametrize("softcap", [None, 5.0])
def test_compiled_flex_attention_on_a_gpu(causal: bool, window: int | None, softcap: float | None) -> None:
    forest, _ = Forest.from_sequences([[*range(300), i, *([7] * i)] for i in range(1, 40)])
    rule = AttentionRule(causal=causal, window=window, softcap=softcap)
    inputs = _inputs(forest, 8, 2)
    on_gpu = [x.detach().cuda().requires_grad_() for x in inputs]
    found = flex.attention(*on_gpu, forest.to("cuda"), rule).cpu()
    assert_agree(found, _textbook(inputs, forest, rule), on_gpu, inputs, rtol=1e-3)


def test_the_kernel_calls_do_not_grow_with_equal_leaves() -> None:
    forest, _ = Forest.from_sequences([[*range(40), 100 + i, 5, 6] for i in range(64)])
    plan = cpu._plan(forest)
    assert len(plan.own) == 2, "64 equal leaves are one call, their prompt another"
    assert len(plan.ancestors) == 1


@pytest.mark.parametrize("backend", [reference.attention, cpu.attention, flex.attention])
def test_dropout_drops_weights_of_attention_and_their_gradients(backend: Backend) -> None:
    """A token that sees only itself has one weight, of 1: dropped it gives nothing, kept it gives v / (1 - p)."""
    n_roots, p = 60, 0.4
    forest = Forest.from_segments([([1], -1)] * n_roots)
    q, k, v = _inputs(forest, 2, 2)
    torch.manual_seed(1)
    alone = backend(q, k, v, forest, AttentionRule(dropout=p))
    kept = (alone != 0).all(-1)
    assert torch.equal(alone[~kept], torch.zeros_like(alone[~kept]))
    torch.testing.assert_close(alone[kept], v[kept] / (1 - p))
    assert 0.45 < kept.float().mean() < 0.75
    (gradient,) = torch.autograd.grad(alone.sum(), v)
    torch.testing.assert_close(gradient, (kept / (1 - p))[..., None].expand_as(v))


def test_dropout_changes_no_expectation() -> None:
    forest = Forest.from_segments([([2, 3, 4], -1), ([5, 6], 0), ([7], 0)])
    inputs = [x.detach() for x in _inputs(forest, 4, 2)]
    torch.manual_seed(1)
    draws = torch.stack([cpu.attention(*inputs, forest, AttentionRule(dropout=0.4)) for _ in range(200)])
    plain = cpu.attention(*inputs, forest, AttentionRule())
    assert (draws.mean(0) - plain).abs().max() < 5 * draws.std(0).max() / 200**0.5
