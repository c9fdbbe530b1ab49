"""Activations that are cheaper to compute again in the backward pass than to keep until then.

A projection keeps its input for the gradient of its weight. Where that input is one pass over memory away from
something that is kept anyhow (a norm of the residual stream, the product of gate and up), keeping it as well costs a
third of all activations and saves next to no time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def recomputed(value: Tensor, make: Callable[[], Tensor]) -> Iterator[None]:
    """Within the context autograd keeps no reference to `value`; its backward pass calls `make()` for the same numbers.

    make: must depend on nothing that an optimizer step changes before the backward pass, and must not hold `value`.
    The caller holds `value` until the context ends, since its address is what it is known by; a projection that casts
    its input keeps the cast, as without the context. Of nested contexts the innermost alone is in force.
    """
    # Only the address: the hooks live as long as the graph, which is not to hold the value.
    address, size, dtype = value.data_ptr(), value.numel(), value.dtype

    def keep(saved: Tensor) -> Tensor | torch.Size:
        same = saved.data_ptr() == address and saved.numel() == size and saved.dtype == dtype
        return saved.shape if same and saved.is_contiguous() else saved

    def restore(kept: Tensor | torch.Size) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        with torch.no_grad():
            return make().view(kept)

    with torch.autograd.graph.saved_tensors_hooks(keep, restore):
        yield
