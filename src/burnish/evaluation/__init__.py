"""What a trained model is worth: numbers only."""

from burnish.evaluation.pass_at_k import biased_pass_at_k, pass_at_k
from burnish.evaluation.statistics import (
    bootstrap_interval,
    paired_bootstrap_interval,
    paired_permutation_test,
    perplexity_change_interval,
)

__all__ = [
    "biased_pass_at_k",
    "bootstrap_interval",
    "paired_bootstrap_interval",
    "paired_permutation_test",
    "pass_at_k",
    "perplexity_change_interval",
]
