"""What a trained model is worth: numbers only."""

from burnish.evaluation.statistics import bootstrap_interval, paired_bootstrap_interval, perplexity_change_interval

__all__ = ["bootstrap_interval", "paired_bootstrap_interval", "perplexity_change_interval"]
