"""Projections equal the textbook product in both compute dtypes, and what they keep of a weight is never stale."""

import copy
from collections.abc import Callable, Iterable

import pytest
import torch
import torch.nn.functional as F
from agreement import assert_agree
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from burnish.nn.linear import Embedding, Linear, WeightNormLinear

DTYPES = [torch.float32, torch.bfloat16]
KINDS = [Linear, WeightNormLinear]
IN, OUT = 12, 20


def _draw(module: nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, generator=generator)


def _linear(kind: type[Linear] = Linear, *, bias: bool = True, dtype: torch.dtype = torch.float32) -> Linear:
    linear = kind(IN, OUT, bias=bias, parts={"first": 5, "second": 15}, compute_dtype=dtype)
    _draw(linear)
    return linear


def _input(*shape: int) -> Tensor:
    return torch.randn(*shape, IN, generator=torch.Generator().manual_seed(1)).requires_grad_()


def _matrix(linear: Linear) -> Tensor:
    if not isinstance(linear, WeightNormLinear):
        return linear.weight
    return linear.gain[:, None] * linear.weight / linear.weight.square().sum(1, keepdim=True).sqrt()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7,), (1,), (2, 3), ()])
def test_the_product_runs_in_the_compute_dtype_and_equals_the_textbook(
    kind: type[Linear], bias: bool, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    linear, x = _linear(kind, bias=bias, dtype=dtype), _input(*shape)
    found = linear(x)
    assert found.dtype == dtype
    cast_bias = linear.bias.to(dtype) if bias else None
    expected = F.linear(x.to(dtype), _matrix(linear).to(dtype), cast_bias)
    rtol = 1e-5 if dtype == torch.float32 else 1e-2
    assert_agree(found.float(), expected.float(), [x, *linear.parameters()], rtol=rtol)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_frozen_weight_or_a_constant_input_leaves_the_other_gradients_as_they_are(dtype: torch.dtype) -> None:
    linear, x = _linear(dtype=dtype), _input(7)
    whole = dict(zip("xwb", torch.autograd.grad(linear(x).sum(), [x, linear.weight, linear.bias]), strict=True))
    for wanted in ("x", "w", "b", "xb", "wb", "xw"):
        tensors = {"x": x.detach().clone(), "w": linear.weight, "b": linear.bias}
        for name, tensor in tensors.items():
            tensor.requires_grad_(name in wanted)
        gradients = torch.autograd.grad(linear(tensors["x"]).sum(), [tensors[name] for name in wanted])
        for name, gradient in zip(wanted, gradients, strict=True):
            torch.testing.assert_close(gradient, whole[name])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_of_a_bfloat16_bias_is_summed_in_float32(dtype: torch.dtype) -> None:
    linear = _linear(dtype=dtype)
    (gradient,) = torch.autograd.grad(linear(torch.zeros(1001, IN)).sum(), [linear.bias])
    assert torch.equal(gradient, torch.full((OUT,), 1001.0)), "bfloat16 holds no 1001"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("grad", [True, False])
def test_rows_are_those_of_the_whole_product(kind: type[Linear], bias: bool, dtype: torch.dtype, grad: bool) -> None:
    linear, x = _linear(kind, bias=bias, dtype=dtype), _input(7)
    assert linear.parts == {"first": slice(0, 5), "second": slice(5, 20)}
    for part in linear.parts.values():
        with torch.set_grad_enabled(grad):
            found, expected = linear.rows(part.start, part.stop, x), linear(x)[:, part]
        rtol = 1e-5 if dtype == torch.float32 else 1e-2
        assert found.dtype == dtype
        assert_agree(found.float(), expected.float(), [x, *linear.parameters()] if grad else [], rtol=rtol)


@pytest.mark.parametrize("bias", [True, False])
def test_weight_norm_equals_pytorchs_parametrization(bias: bool) -> None:
    linear, x = _linear(WeightNormLinear, bias=bias), _input(7)
    theirs = weight_norm(nn.Linear(IN, OUT, bias=bias))
    gain, direction = theirs.parametrizations.weight.original0, theirs.parametrizations.weight.original1
    with torch.no_grad():
        gain.copy_(linear.gain[:, None])
        direction.copy_(linear.weight)
        if bias:
            theirs.bias.copy_(linear.bias)
    ours, expected = [x, linear.gain, linear.weight], [x, gain, direction]
    if bias:
        ours.append(linear.bias)
        expected.append(theirs.bias)
    weights = torch.randn(7, OUT, generator=torch.Generator().manual_seed(2))
    found, value = linear(x), theirs(x)
    torch.testing.assert_close(found, value)
    gradients = [torch.autograd.grad((y * weights).sum(), of) for y, of in ((found, ours), (value, expected))]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b.view_as(a), rtol=1e-4, atol=1e-5)


def test_scaling_the_direction_of_weight_norm_changes_nothing_and_the_gain_everything() -> None:
    linear, x = _linear(WeightNormLinear, bias=False), _input(7)
    before = linear(x)
    linear.weight.data.mul_(3)
    torch.testing.assert_close(linear(x), before)
    linear.gain.data.mul_(3)
    torch.testing.assert_close(linear(x), 3 * before)


def test_an_embedding_looks_up_rows_in_float32_and_projects_onto_them() -> None:
    embedding = Embedding(9, IN, compute_dtype=torch.bfloat16)
    _draw(embedding)
    tokens = torch.tensor([3, 3, 0])
    assert torch.equal(embedding.lookup(tokens), embedding.weight[tokens])
    (gradient,) = torch.autograd.grad(embedding.lookup(tokens).sum(), embedding.weight)
    assert gradient[:, 0].tolist() == [1, 0, 0, 2, 0, 0, 0, 0, 0]
    assert embedding(_input(4)).shape == (4, 9)


# How a weight changes: every way has to be followed.


def _in_place(linear: Linear) -> None:
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.add_(1.0)


def _loaded(linear: Linear) -> None:
    linear.load_state_dict({name: tensor + 1 for name, tensor in linear.state_dict().items()})


def _assigned(linear: Linear) -> None:
    linear.load_state_dict({name: tensor + 1 for name, tensor in linear.state_dict().items()}, assign=True)


def _replaced(linear: Linear) -> None:
    for name, parameter in list(linear.named_parameters()):
        setattr(linear, name, nn.Parameter(parameter.detach() + 1))


def _replaced_at_the_same_address(linear: Linear) -> None:
    """As the memory allocator may place it once the earlier parameter is freed."""
    for name, parameter in list(linear.named_parameters()):
        memory = parameter.detach().numpy()
        memory += 1
        setattr(linear, name, nn.Parameter(torch.from_numpy(memory)))


def _gain_alone(linear: Linear) -> None:
    if isinstance(linear, WeightNormLinear):
        with torch.no_grad():
            linear.gain.add_(1.0)


def _stepped(make: Callable[..., torch.optim.Optimizer], **options: bool) -> Callable[[Linear], None]:
    def change(linear: Linear) -> None:
        optimizer = make(linear.parameters(), lr=0.1, **options)
        with torch.enable_grad():
            linear(_input(7)).float().square().sum().backward()
        optimizer.step()
        if options.get("fused"):  # PyTorch's fused optimizers do not count what they change.
            torch.autograd.graph.increment_version(linear.parameters())

    return change


CHANGES = {
    "in place": _in_place,
    "loaded": _loaded,
    "assigned": _assigned,
    "replaced": _replaced,
    "replaced at the same address": _replaced_at_the_same_address,
    "gain alone": _gain_alone,
    "SGD": _stepped(torch.optim.SGD),
    "AdamW": _stepped(torch.optim.AdamW, foreach=False),
    "AdamW foreach": _stepped(torch.optim.AdamW, foreach=True),
    "AdamW fused": _stepped(torch.optim.AdamW, fused=True),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("pack", [True, False])
def test_the_kept_matrix_follows_every_change_of_the_parameters(
    kind: type[Linear], dtype: torch.dtype, change: Callable[[Linear], None], pack: bool
) -> None:
    linear, x = _linear(kind, dtype=dtype), _input(8)
    for _ in range(3):
        with torch.no_grad():
            if pack:
                linear.pack(8)
            linear(x)
        change(linear)
        expected = _matrix(linear).to(dtype)
        with torch.no_grad():
            torch.testing.assert_close(linear.cast_weight(), expected)
            product = F.linear(x.to(dtype), expected, linear.bias.to(dtype))
            torch.testing.assert_close(linear(x), product, rtol=0.02, atol=1e-4)


def test_an_unchanged_weight_is_cast_once() -> None:
    linear = _linear(dtype=torch.bfloat16)
    before = linear.cast_weight()
    linear(_input(7)).sum().backward()
    assert linear.cast_weight() is before
    _in_place(linear)
    assert linear.cast_weight() is not before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grad", [True, False])
def test_the_compute_dtype_can_change_at_any_time(kind: type[Linear], grad: bool) -> None:
    linear, x = _linear(kind), _input(8)
    with torch.set_grad_enabled(grad):
        for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float32):
            linear.compute_dtype = dtype
            expected = F.linear(x.to(dtype), _matrix(linear).to(dtype), linear.bias.to(dtype))
            for rows in (None, 8):
                if rows and dtype != torch.float16:
                    linear.pack(rows)
                torch.testing.assert_close(linear(x), expected, rtol=0.02, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_copy_has_a_weight_of_its_own(kind: type[Linear], dtype: torch.dtype) -> None:
    linear, x = _linear(kind, dtype=dtype), _input(8)
    with torch.no_grad():
        linear.pack(8)
        before = linear(x)
        copied = copy.deepcopy(linear)
        torch.testing.assert_close(copied(x), before)
        _in_place(copied)
        torch.testing.assert_close(linear(x), before)
        assert not torch.allclose(copied(x), before)


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_is_the_parameters_alone(kind: type[Linear]) -> None:
    linear = _linear(kind, dtype=torch.bfloat16)
    with torch.no_grad():
        linear.pack(8)
        linear(_input(8))
    names: Iterable[str] = {"weight", "bias"} | ({"gain"} if kind is WeightNormLinear else set())
    state = linear.state_dict()
    assert set(state) == names
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert state._metadata[""]["version"] == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_weight_that_inference_mode_used_first_can_be_trained(kind: type[Linear], dtype: torch.dtype) -> None:
    linear, x = _linear(kind, dtype=dtype), _input(7)
    with torch.inference_mode():
        first = linear(x)
    second = linear(x)
    second.float().sum().backward()
    assert second.equal(first)
    assert all(parameter.grad is not None for parameter in linear.parameters())
