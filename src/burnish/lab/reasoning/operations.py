"""What a training costs in floating point operations, so that methods can be compared where time cannot be.

Two operations for each parameter and token forwards, and twice as many backwards (Kaplan 2020, arXiv:2001.08361,
section 2.1); attention over the few tokens of an addition is left out for all alike.
"""

from dataclasses import dataclass

_FORWARD, _TRAINED = 2, 6


@dataclass(frozen=True)
class Operations:
    """A sum of operations."""

    total: float = 0.0

    def forward(self, parameters: int, tokens: float) -> "Operations":
        """With a model that reads so many tokens, to write the next or to be asked about them."""
        return Operations(self.total + _FORWARD * parameters * tokens)

    def training(self, parameters: int, tokens: float) -> "Operations":
        """With a model that learns from so many tokens."""
        return Operations(self.total + _TRAINED * parameters * tokens)
