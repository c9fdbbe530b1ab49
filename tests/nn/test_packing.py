"""Products with packed weights equal the plain ones, for every number of rows and layout."""

import weakref
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from burnish.forest import Forest
from burnish.nn import packing
from burnish.nn.decoder import Decoder
from burnish.nn.linear import Linear, WeightNormLinear
from burnish.nn.norm import BatchNorm
from tiny_models import TINY

DTYPES = [torch.float32, torch.bfloat16]
FOREST, _ = Forest.from_sequences([[1, 2, 3, 4], [1, 2, 9, 9, 9]], min_shared=2)


def _linear(n_in: int, n_out: int, *, bias: bool, dtype: torch.dtype, kind: type[Linear] = Linear) -> Linear:
    linear = kind(n_in, n_out, bias=bias, compute_dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    for parameter in linear.parameters():
        nn.init.normal_(parameter, generator=generator)
    return linear


def _assert_close(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    rtol = 1e-5 if expected.dtype == torch.float32 else 1e-2
    assert (found - expected).float().norm() <= rtol * expected.float().norm()


@pytest.mark.parametrize("kind", [Linear, WeightNormLinear])
@pytest.mark.parametrize("dtype", DTYPES)
@given(
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    bias=st.booleans(),
    packed_for=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    rows=st.lists(st.integers(1, 40), min_size=1, max_size=5),
)
@settings(max_examples=40)
@torch.no_grad()
def test_packed_products_equal_plain_ones_for_any_number_of_rows(
    kind: type[Linear],
    dtype: torch.dtype,
    sizes: tuple[int, int],
    bias: bool,
    packed_for: list[int],
    rows: list[int],
) -> None:
    linear = _linear(*sizes, bias=bias, dtype=dtype, kind=kind)
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(n, sizes[0], generator=generator) for n in rows]
    expected = [linear(x) for x in inputs]
    for n in packed_for:
        linear.pack(n)
        for x, product in zip(inputs, expected, strict=True):
            _assert_close(linear(x), product)


@pytest.mark.parametrize("dtype", DTYPES)
@torch.no_grad()
def test_inputs_may_have_any_layout_and_number_of_dimensions(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    wide = torch.randn(8, 48, generator=generator)
    views = [wide[:, ::2], wide[:, 24:], wide[:, :8].t()[:, :1].expand(8, 24), wide[:, :24].flip(0), wide[::2, :24]]
    shaped = [wide[0, :24], wide.view(16, 24).view(8, 2, 24), wide.view(16, 24).view(2, 8, 24), wide[:0, :24]]
    for rows in (1, 4, 8, 24, 30):
        linear = _linear(24, 10, bias=True, dtype=dtype)
        for x in views + shaped:
            linear.unpack()
            expected = linear(x)
            linear.pack(rows)
            _assert_close(linear(x), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_with_gradients_the_plain_product_runs(dtype: torch.dtype) -> None:
    linear = _linear(24, 10, bias=True, dtype=dtype)
    x = torch.randn(8, 24, generator=torch.Generator().manual_seed(1)).requires_grad_()
    expected = torch.autograd.grad(linear(x).sum(), [x, *linear.parameters()])
    linear.pack(8)
    for found, gradient in zip(torch.autograd.grad(linear(x).sum(), [x, *linear.parameters()]), expected, strict=True):
        assert torch.equal(found, gradient)


@pytest.mark.parametrize("dtype", DTYPES)
def test_packing_twice_and_unpacking_change_nothing(dtype: torch.dtype) -> None:
    linear = _linear(24, 10, bias=True, dtype=dtype)
    x = torch.randn(8, 24, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = linear(x)
        for prepare in (linear.unpack, lambda: linear.pack(8), lambda: linear.pack(8), linear.unpack, linear.unpack):
            prepare()
            _assert_close(linear(x), expected)


@pytest.mark.parametrize("norm", ["rms", "weight", "batch"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tied", [True, False])
def test_a_packed_decoder_computes_the_same_and_trains_on(norm: str, dtype: torch.dtype, tied: bool) -> None:
    config = replace(TINY, norm=norm, tie_embeddings=tied, qkv_bias=True, feed_forward_bias=True)
    decoder, plain = Decoder(config, compute_dtype=dtype), Decoder(config, compute_dtype=dtype)
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in (decoder, plain)]
    scored = torch.arange(FOREST.n_tokens)[FOREST.predecessors >= 0]
    for _ in range(3):
        for model, optimizer in zip((decoder, plain), optimizers, strict=True):
            model.train()
            model.zero_grad()
            model.logps(FOREST, scored).sum().backward()
            optimizer.step()
            model.eval()
        with torch.no_grad():
            decoder.pack(FOREST.n_tokens)
            _assert_close(decoder(FOREST), plain(FOREST))
            _assert_close(decoder.logits(decoder(FOREST)), plain.logits(plain(FOREST)))
            for row in (0, -1):
                _assert_close(decoder.logits(decoder(FOREST)[row]), plain.logits(plain(FOREST)[row]))
    if norm == "batch":
        for ours, theirs in zip(decoder.modules(), plain.modules(), strict=True):
            assert not isinstance(ours, BatchNorm) or torch.equal(ours.running_mean, theirs.running_mean)


@pytest.mark.parametrize("leads", [True, False], ids=["onednn", "mkl"])
@given(rows=st.integers(0, 70), sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)), strided=st.booleans())
@settings(max_examples=30)
@torch.no_grad()
def test_float32_products_of_either_library_are_the_plain_one(
    leads: bool, rows: int, sizes: tuple[int, int], strided: bool
) -> None:
    """On any processor: which library leads is asked of the hardware, and both have to be right."""
    if leads and not torch.backends.mkldnn.is_available():
        pytest.skip("this PyTorch has no oneDNN")
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(sizes[1] + 1, sizes[0], generator=generator)[1:]  # as of a part of the vocabulary
    x = torch.randn(sizes[0], rows, generator=generator).t() if strided else torch.randn(rows, sizes[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "onednn_leads", lambda: leads)
        _assert_close(packing.float32_linear(x, weight), x @ weight.t())
        packed = packing.pack(weight, max(rows, 1))
        assert packed is not None or not leads
        if packed is not None and rows:
            _assert_close(packed(x, None), x @ weight.t())


class _Recorded:
    """A packed weight that answers with zeros and counts how often it is asked."""

    def __init__(self, weight: Tensor, rows: int) -> None:
        self.out_features, self.packed_for, self.calls = len(weight), rows, 0

    def serves(self, rows: int) -> bool:
        return rows == self.packed_for

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        self.calls += 1
        return x.new_zeros(len(x), self.out_features)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> "weakref.WeakSet[_Recorded]":
    """The packed weights that are alive; they are made on every machine."""
    alive: weakref.WeakSet[_Recorded] = weakref.WeakSet()

    def pack(weight: Tensor, rows: int) -> _Recorded:
        packed = _Recorded(weight, rows)
        alive.add(packed)
        return packed

    monkeypatch.setattr("burnish.nn.linear.pack", pack)
    return alive


def test_training_frees_the_packed_weights_and_evaluation_keeps_them(made: "weakref.WeakSet[_Recorded]") -> None:
    decoder = Decoder(TINY)
    decoder.eval().pack(8)
    assert len(made) == sum(isinstance(module, Linear) for module in decoder.modules())
    decoder.eval()
    assert made
    decoder.train()
    assert not made


@torch.no_grad()
def test_a_weight_is_packed_again_only_for_other_rows_or_after_a_change(made: "weakref.WeakSet[_Recorded]") -> None:
    linear, x = _linear(24, 10, bias=False, dtype=torch.bfloat16), torch.ones(8, 24)
    linear.pack(8)
    (first,) = made
    linear.pack(8)
    assert set(made) == {first}
    assert not linear(x).any()
    assert first.calls == 1
    linear.weight.add_(1.0)
    assert linear(x).any(), "the product of a changed weight is the plain one"
    linear.pack(8)
    assert first.calls == 1
    del first
    (second,) = made
    linear.pack(9)
    assert set(made) != {second}
