"""Weights packed once for many products with few rows.

A matrix library copies the weight into blocks for every product; with the few rows of a decoding step that copy costs
as much as the product. PyTorch's own compiler avoids it with two operators that take a packed weight, and so
does this module. Where they are missing (no MKL, another device), nothing is packed and the plain product runs.
float32 goes to the faster of the two libraries (`burnish.hardware.onednn_leads`).
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from burnish.hardware import onednn_leads

_FEWEST_MKL_ROWS = 4
"""Below, a float32 product reads the weight once from memory either way: packed ones were slower."""


class PackedWeight(Protocol):
    """A weight in a library's own layout."""

    def serves(self, rows: int) -> bool:
        """Whether this packing is right for products of so many rows."""
        ...

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """`x Wᵀ + b` for `[rows, in]`, without gradients."""
        ...


def pack(weight: Tensor, rows: int) -> PackedWeight | None:
    """Pack `weight` `[out, in]` for products of up to `rows` rows; None where that gains nothing here."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return None
    if weight.dtype == torch.float32 and not onednn_leads():
        return _MklWeight(weight, rows) if torch.backends.mkl.is_available() and rows >= _FEWEST_MKL_ROWS else None
    return _OneDnnWeight(weight, rows)


class _MklWeight:
    """float32, packed by MKL for one number of rows: fewer are filled up, down to half of it."""

    def __init__(self, weight: Tensor, rows: int) -> None:
        self._weight, self._rows = weight, rows
        self._packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, rows)
        self._product = torch.ops.mkl._mkl_linear.default

    def serves(self, rows: int) -> bool:
        return self._rows // 2 < rows <= self._rows

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        rows = len(x)
        if not self.serves(rows):
            return F.linear(x, self._weight, bias)
        if rows < self._rows:
            x = F.pad(x, (0, 0, 0, self._rows - rows))
        y = self._product(x, self._packed, self._weight, bias, self._rows)
        return y if rows == self._rows else y[:rows]


class _OneDnnWeight:
    """Packed by oneDNN; serves any number of rows."""

    def __init__(self, weight: Tensor, rows: int) -> None:
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        self._product = torch.ops.mkldnn._linear_pointwise.default

    def serves(self, rows: int) -> bool:
        return True

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        bias = None if bias is None else bias.to(x.dtype)
        return self._product(x, self._packed, bias, "none", [], "")


def float32_linear(x: Tensor, weight: Tensor) -> Tensor:
    """`x Wᵀ` `[rows, out]` of float32 operands on a CPU by the faster library, without gradients or packing."""
    if not onednn_leads():
        return F.linear(x, weight)
    product: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight, None, "none", [], "")
    return product
