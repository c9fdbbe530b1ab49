"""A reward model that costs nothing, in the shape that TRL's PPOTrainer wants one."""

from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn


class _Counts(nn.Module):
    def forward(self, *, input_ids: Tensor, **_: Any) -> SimpleNamespace:
        share = (input_ids % 2).float().cumsum(1) / input_ids.shape[1]
        return SimpleNamespace(hidden_states=(share[..., None],))


class Parity(nn.Module):
    """The share of odd tokens so far, as the score of every token `[rows, tokens, 1]`."""

    base_model_prefix = "backbone"

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.score = _Counts(), nn.Identity()
