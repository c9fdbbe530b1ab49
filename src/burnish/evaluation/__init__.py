"""What a trained model is worth: intervals, and perplexity."""

from burnish.evaluation.perplexity import perplexity, surprises
from burnish.evaluation.statistics import bootstrap_interval, paired_bootstrap_interval, perplexity_change_interval

__all__ = [
    "bootstrap_interval",
    "paired_bootstrap_interval",
    "perplexity",
    "perplexity_change_interval",
    "surprises",
]
