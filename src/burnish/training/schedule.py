"""Learning rate by step."""

import math

from burnish.training.config import TrainingConfig


def learning_rate(step: int, n_steps: int, config: TrainingConfig) -> float:
    """Linear warm-up to the peak, then the configured decay to `min_lr_fraction` of it at the last step.

    The first step already learns: the warm-up counts from 1, not from 0. `wsd` is warm-up, stable, decay (Hu 2024,
    arXiv:2404.06395, section 4).
    """
    warmup = math.ceil(config.warmup_fraction * n_steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, n_steps - warmup)
    decaying = max(1, math.ceil(config.decay_fraction * n_steps))
    decay = {
        "constant": 1.0,
        "linear": 1.0 - progress,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * progress)),
        "wsd": min(1.0, (n_steps - step) / decaying),
    }[config.schedule]
    if config.schedule != "constant":
        decay = config.min_lr_fraction + (1.0 - config.min_lr_fraction) * decay
    return config.learning_rate * decay
