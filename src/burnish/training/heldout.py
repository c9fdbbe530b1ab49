"""The held-out loss on the way: measured every so many steps, the best weights kept, training stopped in time.

Notable choices:
- what is measured is logged with the step, under `eval_...`;
- the best weights lie beside the resumable state, which knows of which step they are: a run that was killed between the
  two does the steps again and keeps the same.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from burnish.errors import BurnishError
from burnish.training.config import TrainingConfig
from burnish.training.state import load_best, save_best

Evaluate = Callable[[], Mapping[str, Any]]
"""What the model as it is now says of held-out data: at least `loss`, smaller is better; what is no number is not
logged."""


class HeldOut:
    """What a run knows of its held-out loss; nothing where `eval_steps` is left out."""

    def __init__(
        self,
        model: nn.Module,
        evaluate: Evaluate | None,
        config: TrainingConfig,
        *,
        folder: Path,
        identity: str,
        facts: Mapping[str, Any],
    ) -> None:
        """facts: those of an interrupted run. Raises BurnishError where there is nothing to measure on."""
        if config.eval_steps is not None and evaluate is None:
            raise BurnishError(
                f"training.eval_steps: got {config.eval_steps}, but nothing is held out to measure on; set what is "
                "held out, or remove eval_steps"
            )
        self._model, self._evaluate, self._config = model, evaluate, config
        self._folder, self._identity = folder, identity
        self.best_step = int(facts.get("best_step", 0))
        self.best_loss = float(facts.get("best_loss") or math.inf)
        self._waited = int(facts.get("waited", 0))

    @property
    def facts(self) -> dict[str, Any]:
        """What the resumable state keeps."""
        if not self.best_step:
            return {}
        return {"best_step": self.best_step, "best_loss": self.best_loss, "waited": self._waited}

    def measure(self, step: int, *, last: bool) -> dict[str, float]:
        """Measure after `step` finished steps where it is time to; returns what is logged."""
        if self._config.eval_steps is None or self._evaluate is None:
            return {}
        if step % self._config.eval_steps and not last:
            return {}
        self._model.eval()
        found = {name: value for name, value in self._evaluate().items() if isinstance(value, int | float)}
        if not math.isfinite(found["loss"]):
            raise BurnishError(f"step {step}: the held-out loss is {found['loss']}; lower the learning rate")
        if found["loss"] < self.best_loss:
            self.best_step, self.best_loss, self._waited = step, found["loss"], 0
            if self._config.keep_best:
                save_best(self._folder, model=self._model, step=step, identity=self._identity)
        else:
            self._waited += 1
        return {f"eval_{name}": value for name, value in found.items()}

    @property
    def out_of_patience(self) -> bool:
        """Whether training should stop."""
        return self._config.patience is not None and self._waited >= self._config.patience

    def end(self, steps: int, n_steps: int) -> tuple[dict[str, float], list[str]]:
        """Put the best weights in place where they are asked for; what was measured, and what is to be said."""
        if not self.best_step:
            return {}, []
        said = []
        best = f"the smallest held-out loss, {self.best_loss:.4f}, was that after step {self.best_step}"
        if steps < n_steps:
            said.append(f"stopped after step {steps} of {n_steps}, out of patience; {best}")
        if self._config.keep_best:
            if self.best_step != steps:
                load_best(self._folder, model=self._model, step=self.best_step, identity=self._identity)
            said.append(f"the model is the one after step {self.best_step} of {n_steps}; {best}")
        return {"best_step": self.best_step, "best_eval_loss": self.best_loss}, said
