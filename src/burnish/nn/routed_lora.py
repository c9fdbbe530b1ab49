"""Several low-rank adapters of one decoder, each for the tokens that are its own: `y[i] += scale · B A x[i]`.

The products with the base's weights take all tokens together; an adapter's own are small products of its tokens alone
(Chen 2023, Punica, arXiv:2310.18547). The weights of the base stay as they are, packed ones too.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn.functional import linear

from burnish.nn.decoder import Decoder
from burnish.nn.linear import Linear
from burnish.nn.lora import LoraLinear, adaptable

Terms = Mapping[str, tuple[Tensor, Tensor]]
"""Of a projection, for each part that is adapted: A `[rank, in]` and B `[out, rank]`, scaled, in the compute dtype."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """The terms of an adapter by the projections' names in the decoder."""

    terms: Mapping[str, Terms]

    @classmethod
    def of(cls, adapted: Decoder) -> "Adapter":
        """The adapter that a decoder has (`burnish.nn.lora`)."""
        found = {}
        for name, module in adapted.named_modules():
            if isinstance(module, LoraLinear):
                dtype = module.compute_dtype
                found[name] = {
                    part: (a.detach().to(dtype), (module.scale * module.lora_b[part].detach()).to(dtype))
                    for part, a in module.lora_a.items()
                }
        return cls(found)

    @property
    def n_bytes(self) -> int:
        """Bytes of memory, on the device of the decoder."""
        return sum(x.nbytes for terms in self.terms.values() for pair in terms.values() for x in pair)


@dataclass(eq=False)
class _Route:
    """Which tokens of the product that runs are whose: all of them where the tensor is None."""

    tokens: Sequence[tuple[str, Tensor | None]] = field(default_factory=list)


class _RoutedLinear(Linear):
    """A projection that adds the terms of whose token each is."""

    def __init__(self, base: Linear, terms: Mapping[str, Terms], route: _Route) -> None:
        super(Linear, self).__init__()
        self.weight, self.bias, self.parts = base.weight, base.bias, base.parts
        self.compute_dtype = base.compute_dtype
        self._cast, self._packed = None, None
        self._terms, self._route = terms, route

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        for name, tokens in self._route.tokens:
            for part, (a, b) in self._terms.get(name, {}).items():
                rows = adaptable(self)[part]
                mine = x if tokens is None else x[tokens]
                term = linear(linear(mine.to(self.compute_dtype), a), b)
                if tokens is None:
                    y[:, rows] += term
                else:
                    y[tokens, rows] += term
        return y


class Adapters:
    """Adapters beside a decoder, whose projections they become part of; `routed` says whose tokens run."""

    def __init__(self, decoder: Decoder, adapters: Mapping[str, Adapter]) -> None:
        self.adapters = dict(adapters)
        self._route = _Route()
        names = {name for adapter in adapters.values() for name in adapter.terms}
        for name in sorted(names):
            parent, _, child = name.rpartition(".")
            terms = {key: adapter.terms[name] for key, adapter in adapters.items() if name in adapter.terms}
            base = decoder.get_submodule(name)
            assert isinstance(base, Linear)
            setattr(decoder.get_submodule(parent), child, _RoutedLinear(base, terms, self._route))

    @contextmanager
    def routed(self, tokens: Sequence[tuple[str, Tensor | None]]) -> Iterator[None]:
        """Within the block the decoder's tokens are those of adapters, by their indices; of the base where of none."""
        self._route.tokens = tokens
        try:
            yield
        finally:
            self._route.tokens = []
