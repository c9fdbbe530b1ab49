"""What logits are made of, before they are: hidden states and the output layer that they have still to meet."""

from typing import NamedTuple, Self

from torch import Tensor

from burnish.nn.linear import float32_product
from burnish.nn.log_probabilities import soft_capped


class Predictions(NamedTuple):
    """The distributions of `n` next tokens, not computed yet: `[n, vocab]` never exists at once.

    hidden: `[n, d_model]`. weight: the output layer's, `[vocab, d_model]` float32. cast: the same in the compute dtype
    of the gradients, without a graph. softcap: see `soft_capped`.
    """

    hidden: Tensor
    weight: Tensor
    cast: Tensor
    softcap: float | None = None

    @property
    def vocab_size(self) -> int:
        return len(self.weight)

    def at(self, places: Tensor) -> Self:
        """Some of the distributions, `[m]` int64 of them."""
        return self._replace(hidden=self.hidden.index_select(0, places))

    def of_first(self, vocab_size: int) -> Self:
        """The same over the first tokens of the vocabulary alone, as if there were no others."""
        if vocab_size == self.vocab_size:
            return self
        return self._replace(weight=self.weight[:vocab_size], cast=self.cast[:vocab_size])

    def logits(self, rows: slice, temperature: float) -> Tensor:
        """Logits of some distributions divided by the temperature: new memory, float32 `[rows, vocab]`."""
        logits = soft_capped(float32_product(self.hidden[rows], self.weight, self.cast.dtype), self.softcap)
        return logits if temperature == 1 else logits.div_(temperature)

    def to_products(self, scores: Tensor, logits: Tensor, temperature: float) -> Tensor:
        """The gradient of the products of hidden states and weight, from that of `logits`, in the compute dtype.

        Changes `scores` in place.
        """
        if temperature != 1:
            scores.div_(temperature)
        if self.softcap is not None:
            scores.mul_(1 - (logits * (temperature / self.softcap)).square())
        return scores.to(self.cast.dtype)
