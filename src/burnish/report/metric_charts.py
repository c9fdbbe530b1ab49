"""What the report draws of a stage's metrics: which share a chart, and in which order."""

from burnish.report import learning
from burnish.report.charts import LineChart, line_chart
from burnish.runs.record import StageRecord

DRAWN_TOGETHER = (
    ("rewards", ("rewards/chosen", "rewards/rejected")),
    ("log-probabilities", ("logps/chosen", "logps/rejected")),
)
"""Metrics that only say something side by side, under the name of their common chart."""
DRAWN_FIRST = (
    "eval_pass@k",
    "eval_reward",
    "reward",
    "accuracy",
    "loss",
    "rewards",
    "rewards/margins",
    "rewards/accuracies",
    "kl",
    "log-probabilities",
)
DRAWN_LAST = ("grad_norm", "learning_rate", "tokens", "tokens_per_second")


def charts(stage: StageRecord) -> tuple[list[LineChart], list[tuple[str, float]]]:
    """One chart a metric, reward first, where those of DRAWN_TOGETHER share one; and the metrics that never changed."""
    curves = learning.curves(stage)
    constants = [(name, points[0][1]) for name, points in curves.items() if len({y for _, y in points}) == 1]
    curves = {name: points for name, points in curves.items() if name not in dict(constants)}
    panels: learning.Panels = {}
    for name, members in DRAWN_TOGETHER:
        if all(member in curves for member in members):
            panels[name] = [(member.rpartition("/")[2], curves.pop(member)) for member in members]
    panels |= learning.together(curves)

    def place(name: str) -> tuple[int, str]:
        if name in DRAWN_FIRST:
            return DRAWN_FIRST.index(name), ""
        return len(DRAWN_FIRST) + (name in DRAWN_LAST), name

    return [line_chart(name, panels[name]) for name in sorted(panels, key=place)], constants
