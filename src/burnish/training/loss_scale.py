"""Dynamic scaling of the loss, so that float16 gradients are not lost below its smallest number (Micikevicius 2018,
arXiv:1710.03740, section 3.2).

Above bfloat16 and float32 nothing is scaled. A step whose gradients are no longer finite changes nothing but the scale.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from burnish.nn.decoder import Decoder

INITIAL, SMALLEST, INTERVAL = 2.0**16, 2.0**-8, 2000
"""The first scale, the one at which there is no hope, and the good steps after which it doubles."""


class LossScale:
    """The scale of a run, 1 unless a decoder of the model computes in float16."""

    def __init__(self, model: nn.Module, facts: Mapping[str, Any]) -> None:
        self.on = any(m.compute_dtype == torch.float16 for m in model.modules() if isinstance(m, Decoder))
        self.value = float(facts.get("loss_scale", INITIAL)) if self.on else 1.0
        self._good = int(facts.get("good_steps", 0))

    @property
    def facts(self) -> dict[str, Any]:
        """What the resumable state keeps."""
        return {"loss_scale": self.value, "good_steps": self._good} if self.on else {}

    def unscale(self, gradients: Sequence[Tensor]) -> None:
        """Divide the gradients, in place."""
        if self.on:
            torch._foreach_mul_(list(gradients), 1 / self.value)

    def after(self, *, finite: bool) -> None:
        """Halve the scale where a step's gradients were not finite, double it after many that were."""
        if not self.on:
            return
        self._good = self._good + 1 if finite else 0
        if not finite:
            self.value /= 2
        elif self._good == INTERVAL:
            self.value, self._good = self.value * 2, 0

    @property
    def hopeless(self) -> bool:
        """Whether no scale makes the gradients finite."""
        return not self.on or self.value < SMALLEST
