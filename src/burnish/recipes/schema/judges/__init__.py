"""Judges as a recipe writes them, the same for every stage that judges answers; what they do is in `burnish.rewards`.

A file a family. What a model wrote is only ever run in a sandbox.
"""

from burnish.recipes.schema.judges.asked import ChatJudge
from burnish.recipes.schema.judges.base import JudgeBase
from burnish.recipes.schema.judges.learned import RewardModelJudge
from burnish.recipes.schema.judges.several import (
    alone_problems,
    check_judges,
    check_rows,
    check_votes,
    judge_problems,
    likelihood_choices,
    open_judges,
    read_judged_tasks,
    tell_right,
    with_judges,
)
from burnish.recipes.schema.judges.sql import SqlJudge
from burnish.recipes.schema.judges.union import JudgeConfig

__all__ = [
    "ChatJudge",
    "JudgeBase",
    "JudgeConfig",
    "RewardModelJudge",
    "SqlJudge",
    "alone_problems",
    "check_judges",
    "check_rows",
    "check_votes",
    "judge_problems",
    "likelihood_choices",
    "open_judges",
    "read_judged_tasks",
    "tell_right",
    "with_judges",
]
