"""Where the time of a training step goes: every operation that PyTorch's profiler saw, by kind, beside the ideal.

Notable choices:
- an operation counts for what it is (a product, attention, the optimizer), by its own time without its children's;
- matrix products that have the vocabulary as a dimension are kept apart, and so is everything else of that size: the
  log-softmax and its gradient;
- all that happens while completions are sampled is generation, whatever it is;
- the ideal is the operations of all products at the rate of a large product, measured in the same process.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.row import Config
from burnish.lab.attention.roofline import measure
from burnish.nn.decoder import Decoder

GENERATION = "generation"
KINDS = (
    "products of the layers",
    "products with the vocabulary",
    "log-softmax",
    "attention",
    GENERATION,
    "optimizer and clipping",
    "adding up gradients",
    "copies",
    "element-wise, norms, rotation",
    "everything else",
)
_PRODUCTS = ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "mkl::_mkl_linear", "mkldnn::_linear_pointwise")
_FLASH = "aten::_scaled_dot_product_flash_attention_for_cpu"
_COPIES = ("aten::copy_", "aten::cat", "aten::index_select", "aten::fill_", "aten::zero_")


class Recorder:
    """Records what happens around a model from `start` to `stop`, then sums up."""

    def __init__(self, model: nn.Module) -> None:
        decoder = next(module for module in model.modules() if isinstance(module, Decoder))
        self._vocab_size, self._dtype = decoder.config.vocab_size, decoder.compute_dtype
        self._profile = profile(activities=[ProfilerActivity.CPU], record_shapes=True, acc_events=True)

    def start(self) -> None:
        self._peak = _peak(self._dtype)
        self._profile.start()

    def stop(self, seconds: float) -> Config:
        """The record of the `seconds` since `start`."""
        self._profile.stop()
        self._peak = max(self._peak, _peak(self._dtype))
        spent, flops = dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0.0)
        for event in self._profile.events() or ():
            shapes = event.input_shapes or []
            kind = _kind(event, shapes, self._vocab_size)
            spent[kind] += event.self_cpu_time_total / 1e6
            flops[kind] += _flops(event.name, shapes)
        spent["everything else"] += seconds - sum(spent.values())
        return {
            "seconds": seconds,
            "peak_flops_per_second": self._peak,
            "dtype": str(self._dtype).removeprefix("torch."),
            "ideal_seconds": sum(flops.values()) / self._peak,
            "kinds": {
                kind: {"seconds": spent[kind], "flops": flops[kind], "ideal_seconds": flops[kind] / self._peak}
                for kind in KINDS
            },
        }


@contextmanager
def marked_generation() -> Iterator[None]:
    """Mark what the rollouts sample, so that a recorder knows it."""
    from burnish.rewards import sampled_groups

    generate = sampled_groups.generate

    def marked(*args: Any, **kwargs: Any) -> Any:
        with record_function(GENERATION):
            return generate(*args, **kwargs)

    sampled_groups.generate = marked
    try:
        yield
    finally:
        sampled_groups.generate = generate


def _peak(dtype: torch.dtype) -> float:
    """The best rate of a large product, in operations a second."""
    return measure(dtype, torch.device("cpu"), seconds=0.5).flops_per_second


def _kind(event: Any, shapes: Sequence[Any], vocab_size: int) -> str:
    above = list(_names_above(event))
    name = event.name
    if GENERATION in (name, *above):
        return GENERATION
    if any(one.startswith("Optimizer.step") for one in (name, *above)) or name.startswith("aten::_foreach"):
        return "optimizer and clipping"
    large = any(vocab_size in shape for shape in shapes if isinstance(shape, list | tuple))
    if name in _PRODUCTS:
        return "products with the vocabulary" if large else "products of the layers"
    if name.startswith(_FLASH):
        return "attention"
    if any("AccumulateGrad" in one for one in above):
        return "adding up gradients"
    if not name.startswith("aten::"):
        return "everything else"
    if large and "embedding" not in name:
        return "log-softmax"
    return "copies" if name in _COPIES else "element-wise, norms, rotation"


def _names_above(event: Any) -> Iterator[str]:
    while (event := event.cpu_parent) is not None:
        yield event.name


def _flops(name: str, shapes: Sequence[Any]) -> float:
    """Multiplications and additions of a product or of an attention kernel; 0 for everything else."""
    if name.startswith(_FLASH):
        backward = name.endswith("backward")
        q, k = (shapes[1], shapes[2]) if backward else (shapes[0], shapes[1])
        batch, heads, queries, dim = q
        keys = k[2]
        pairs = queries * (keys + 1) / 2 if queries == keys else queries * keys  # its own segment is causal
        return 2 * (5 if backward else 2) * batch * heads * pairs * dim
    if name not in _PRODUCTS or not shapes:
        return 0.0
    if "linear" in name:  # the packed products of generation: rows, then the weight among the further inputs
        weight = next((one for one in shapes[1:] if len(one) == 2 and one[1] == shapes[0][-1]), None)
        return 0.0 if weight is None else 2.0 * math.prod(shapes[0]) * weight[0]
    a, b = [shape for shape in shapes if len(shape) >= 2][-2:]
    return 2.0 * math.prod(a) * b[-1]
