"""How fast a decoder could be: the operations and bytes that theory counts, against what this machine measures.

The roofline (Williams 2009, doi:10.1145/1498765.1498785): no step is faster than its operations at the machine's best
rate of matrix products, nor than its bytes at the memory's best rate. Activations are counted as free.
"""

from dataclasses import dataclass

import torch

from burnish.lab.notebook import fastest
from burnish.nn.config import DecoderConfig


@dataclass(frozen=True)
class Machine:
    """Best measured rates, in one number format."""

    flops_per_second: float
    bytes_per_second: float


@dataclass(frozen=True)
class Cost:
    """What a pass through a decoder needs at least."""

    flops: float
    bytes: float

    def seconds(self, machine: Machine) -> float:
        """The roofline's lower bound."""
        return max(self.flops / machine.flops_per_second, self.bytes / machine.bytes_per_second)

    def bound_by(self, machine: Machine) -> str:
        """`memory` or `compute`."""
        memory = self.bytes / machine.bytes_per_second
        return "memory" if memory > self.flops / machine.flops_per_second else "compute"


def measure(dtype: torch.dtype, device: torch.device, *, seconds: float = 1.0) -> Machine:
    """The rate of a large matrix product and of reading a tensor that no cache holds; takes a few `seconds`."""
    size = 4096 if device.type == "cuda" else 1536
    a, b = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    product = fastest(lambda: _waited(torch.mm(a, b)), seconds=seconds)
    big = torch.ones(2**26, dtype=torch.float32, device=device)
    read = fastest(lambda: _waited(big.sum()), seconds=seconds)
    return Machine(2 * size**3 / product, big.nbytes / read)


def kv_bytes_per_token(config: DecoderConfig, dtype: torch.dtype) -> int:
    """`2 · n_layers · n_kv_heads · head_dim` numbers: a key and a value for each layer and KV head."""
    return 2 * config.n_layers * config.n_kv_heads * config.head_dim * dtype.itemsize


def matrix_parameters(config: DecoderConfig) -> tuple[int, int]:
    """Weights that multiply every token: those of all blocks, and those of the output layer."""
    attention = config.d_model * config.head_dim * (2 * config.n_heads + 2 * config.n_kv_heads)
    feed_forward = (3 if config.gated else 2) * config.d_model * config.d_ff
    return config.n_layers * (attention + feed_forward), config.vocab_size * config.d_model


def prefill_cost(config: DecoderConfig, *, batch: int, context: int, dtype: torch.dtype) -> Cost:
    """Running `batch` prompts of `context` tokens: all through the blocks, each last one through the output layer."""
    blocks, output = matrix_parameters(config)
    pairs = context * (context + 1) / 2  # causal: a token sees itself and what is before it
    flops = batch * (2 * context * blocks + pairs * _flops_per_pair(config) + 2 * output)
    moved = (blocks + output) * dtype.itemsize + batch * context * kv_bytes_per_token(config, dtype)
    return Cost(flops, moved)


def decode_cost(config: DecoderConfig, *, batch: int, context: int, dtype: torch.dtype) -> Cost:
    """One more token for each of `batch` rows that hold `context`: reads all weights and every row's keys, values."""
    blocks, output = matrix_parameters(config)
    flops = batch * (2 * (blocks + output) + (context + 1) * _flops_per_pair(config))
    moved = (blocks + output) * dtype.itemsize + batch * (context + 2) * kv_bytes_per_token(config, dtype)
    return Cost(flops, moved)


def _flops_per_pair(config: DecoderConfig) -> int:
    """A query and a key in all heads and layers: a product for the score, one for the weighted value."""
    return 4 * config.n_layers * config.n_heads * config.head_dim


def _waited(result: torch.Tensor) -> torch.Tensor:
    """A GPU returns before it has computed."""
    if result.device.type == "cuda":
        torch.cuda.synchronize(result.device)
    return result
