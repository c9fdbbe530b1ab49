"""What a trained model is worth: intervals, perplexity and the report of a run."""

from burnish.evaluation.perplexity import perplexity, surprises
from burnish.evaluation.report import write_report
from burnish.evaluation.statistics import bootstrap_interval, paired_bootstrap_interval, perplexity_change_interval

__all__ = [
    "bootstrap_interval",
    "paired_bootstrap_interval",
    "perplexity",
    "perplexity_change_interval",
    "surprises",
    "write_report",
]
