"""The gate in front of answers, as a recipe writes it."""

from pydantic import Field, field_validator

from burnish.recipes.schema.judges import JudgeConfig
from burnish.recipes.schema.stage import StrictModel


class GateConfig(StrictModel):
    """Answers are given only above a score of a judge that needs nothing of a row."""

    judge: JudgeConfig = Field(description="the judge, such as a reward_model, regex, format or python")
    threshold: float = Field(description="least score of an answer that is given")
    attempts: int = Field(4, ge=1, description="answers that are sampled before there is said to be none")

    @field_validator("judge")
    @classmethod
    def _judges_alone(cls, judge: JudgeConfig) -> JudgeConfig:
        if judge.compares:
            raise ValueError("compares answers, and there is one; set `ask: score`")
        if judge.where:
            raise ValueError("`where` chooses among rows, and a question has none")
        problem = judge.row_problem({})
        if problem is not None:
            raise ValueError(f"reads a row, and a question has none: {problem}")
        return judge
