"""A projection with float32 parameters whose product runs in the compute dtype, by an explicit cast.

Notable choices:
- the cast weight is kept and made again only when the optimizer has changed the parameter, so that
  accumulating several micro-batches, or decoding a thousand tokens, casts once;
- projections that read the same input are one product with several named `parts` (query, key and value; gate and
  up): checkpoints and adapters see the parts, the machine sees one matrix;
- the projection to the vocabulary is the exception: its products are float32, since rounded logits are what
  log-probabilities are made of;
- for generation the weight can be packed once in the layout of the machine's matrix library (`pack`), which then
  no longer rearranges it for every product of a few rows.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from burnish.nn.packing import PackedWeight, float32_linear, pack

_Fingerprint = tuple[object, ...]


class Linear(nn.Module):
    """`y = x Wᵀ + b`, weight `[out_features, in_features]` float32 (uninitialised), y in `compute_dtype`.

    parts: names and widths of the projections that the rows of W are, in order; one without a name where left out.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = False,
        parts: Mapping[str, int] | None = None,
        compute_dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self.parts = _slices(parts or {"": out_features})
        self.compute_dtype = compute_dtype
        self._cast: tuple[_Fingerprint, Tensor] | None = None
        self._packed: tuple[_Fingerprint, PackedWeight] | None = None

    @property
    def in_features(self) -> int:
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        return self.weight.shape[0]

    def cast_weight(self) -> Tensor:
        """The matrix of the product in the compute dtype, without a graph."""
        if self.compute_dtype == self.weight.dtype:
            return self.weight.detach()
        return self._kept(lambda: self.weight.detach().to(self.compute_dtype))

    def forward(self, x: Tensor) -> Tensor:
        packed = self._packed if x.dim() == 2 and not torch.is_grad_enabled() else None
        if packed is not None and packed[0] == self._fingerprint():
            return packed[1](x.to(self.product_dtype), self.bias)
        return self._product(x)

    @property
    def product_dtype(self) -> torch.dtype:
        """Number format of the product's operands, and of y."""
        return self.compute_dtype

    def rows(self, start: int, stop: int, x: Tensor) -> Tensor:
        """The product with the rows `start` to `stop` of W alone."""
        matrix = self._matrix() if torch.is_grad_enabled() else self.cast_weight()
        bias = None if self.bias is None else self.bias[start:stop]
        dtype = self.compute_dtype
        return F.linear(x.to(dtype), matrix[start:stop].to(dtype), _cast_bias(bias, dtype))

    def _matrix(self) -> Tensor:
        """The matrix of the product, with its graph."""
        return self.weight

    def _packable(self) -> Tensor:
        """The matrix of the product as `pack` takes it, without a graph."""
        return self.cast_weight()

    def _product(self, x: Tensor) -> Tensor:
        if self.compute_dtype == self.weight.dtype:
            return F.linear(x.to(self.compute_dtype), self.weight, self.bias)
        return _CastLinear.apply(x, self.weight, self.cast_weight(), self.bias)

    def pack(self, rows: int) -> None:
        """Make the products of up to `rows` rows fast until the weight changes or `unpack`; only without gradients."""
        fingerprint = self._fingerprint()
        if self._packed is None or self._packed[0] != fingerprint or not self._packed[1].serves(rows):
            packed = pack(self._packable(), rows)
            self._packed = None if packed is None else (fingerprint, packed)

    def unpack(self) -> None:
        """Free what `pack` made."""
        self._packed = None

    def _kept(self, make: Callable[[], Tensor]) -> Tensor:
        """What `make` makes of the parameters, made again only when they have changed."""
        fingerprint = self._fingerprint()
        if self._cast is None or self._cast[0] != fingerprint:
            # Training may use what an evaluation in inference mode was the first to need.
            with torch.inference_mode(False), torch.no_grad():
                self._cast = (fingerprint, make())
        return self._cast[1]

    def _fingerprint(self) -> _Fingerprint:
        # The version counter grows with every in-place change, the address changes with every new tensor.
        return self.compute_dtype, self.weight.data_ptr(), self.weight._version

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """As in PyTorch; forgets what was made of an earlier parameter, whose address the new one may have."""
        super().register_parameter(name, param)
        self._cast, self._packed = None, None

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made of the parameters: a packed weight cannot be copied."""
        return {**self.__dict__, "_cast": None, "_packed": None}

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, compute_dtype={self.compute_dtype}"


class WeightNormLinear(Linear):
    """A projection whose rows have a direction and a length of their own: `w = g v / ‖v‖` (Salimans 2016, eq. 2).

    `weight` is v, `gain` is g `[out_features]`.
    """

    def __init__(self, in_features: int, out_features: int, **options: Any) -> None:
        super().__init__(in_features, out_features, **options)
        self.gain = nn.Parameter(torch.ones(out_features))

    @torch.no_grad()
    def cast_weight(self) -> Tensor:
        return self._kept(lambda: self._normalized().to(self.compute_dtype))

    def _matrix(self) -> Tensor:
        return self._normalized().to(self.compute_dtype) if torch.is_grad_enabled() else self.cast_weight()

    def _product(self, x: Tensor) -> Tensor:
        return F.linear(x.to(self.compute_dtype), self._matrix(), _cast_bias(self.bias, self.compute_dtype))

    def _normalized(self) -> Tensor:
        return self.weight * (self.gain / torch.linalg.vector_norm(self.weight, dim=1))[:, None]

    def _fingerprint(self) -> _Fingerprint:
        return *super()._fingerprint(), self.gain.data_ptr(), self.gain._version


class OutputProjection(Linear):
    """The projection to the vocabulary: float32 y of float32 operands in any `compute_dtype` (`float32_product`).

    `compute_dtype` is that of the gradients' products, see `burnish.nn.log_probabilities`.
    """

    @property
    def product_dtype(self) -> torch.dtype:
        return self.weight.dtype

    def _product(self, x: Tensor) -> Tensor:
        y = float32_product(x.to(self.product_dtype), self.weight, self.compute_dtype)
        return y if self.bias is None else y + self.bias

    def _packable(self) -> Tensor:
        return self.weight.detach()


def float32_product(x: Tensor, weight: Tensor, compute_dtype: torch.dtype) -> Tensor:
    """`x weightᵀ` `[..., out]` of float32 operands, accumulated and returned in float32.

    On CUDA below float32 the operands are rounded to TF32, eight times finer than bfloat16 at half of its rate; CUDA's
    float32 proper would be sixteen times slower. Elsewhere nothing is rounded.
    """
    if x.device.type == "cpu" and x.dim() == 2 and not torch.is_grad_enabled():
        return float32_linear(x, weight)
    if x.device.type != "cuda" or compute_dtype == torch.float32:
        return F.linear(x, weight)
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, True
    try:
        return F.linear(x, weight)
    finally:
        matmul.allow_tf32 = before


class Embedding(OutputProjection):
    """Rows of a `[vocab, d_model]` weight by token; as a projection, the tied output layer."""

    def __init__(self, vocab_size: int, d_model: int, *, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__(d_model, vocab_size, compute_dtype=compute_dtype)

    def lookup(self, tokens: Tensor) -> Tensor:
        """`[n]` int64 -> `[n, d_model]` float32."""
        return F.embedding(tokens, self.weight)


def _slices(widths: Mapping[str, int]) -> dict[str, slice]:
    slices, start = {}, 0
    for name, width in widths.items():
        slices[name] = slice(start, start + width)
        start += width
    return slices


def _cast_bias(bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if bias is None else bias.to(dtype)


class _CastLinear(torch.autograd.Function):
    """The product with an already cast weight; the gradients go to the float32 parameters."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, cast: Tensor, bias: Tensor | None) -> Tensor:
        x_cast = x.to(cast.dtype)
        ctx.save_for_backward(x_cast if ctx.needs_input_grad[1] else None, cast)
        ctx.input_dtype, ctx.weight_dtype = x.dtype, weight.dtype
        return F.linear(x_cast, cast, _cast_bias(bias, cast.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, Tensor | None]:
        x_cast, cast = ctx.saved_tensors
        grad_bias = grad.reshape(-1, grad.shape[-1]).float().sum(0) if ctx.needs_input_grad[3] else None
        grad = grad.to(cast.dtype)
        grad_x = (grad @ cast).to(ctx.input_dtype) if ctx.needs_input_grad[0] else None
        grad_weight = None
        if ctx.needs_input_grad[1]:
            out_features, in_features = cast.shape
            product = grad.reshape(-1, out_features).t() @ x_cast.reshape(-1, in_features)
            grad_weight = product.to(ctx.weight_dtype)
        return grad_x, grad_weight, None, grad_bias
