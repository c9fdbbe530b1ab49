"""The union of all judges: a new one has its class in a file of this folder, and joins the others here."""

from typing import Annotated

from pydantic import Field

from burnish.recipes.schema.judges.asked import ChatJudge
from burnish.recipes.schema.judges.calls import CallsJudge
from burnish.recipes.schema.judges.cosine import CosineJudge
from burnish.recipes.schema.judges.language import LanguageJudge
from burnish.recipes.schema.judges.learned import ImplicitRewardJudge, ProcessRewardModelJudge, RewardModelJudge
from burnish.recipes.schema.judges.mathematics import MathJudge
from burnish.recipes.schema.judges.numbers import NumbersJudge
from burnish.recipes.schema.judges.python import PythonJudge
from burnish.recipes.schema.judges.reasoning_gym import ReasoningGymJudge
from burnish.recipes.schema.judges.shape import FormatJudge, LengthJudge, RepetitionJudge, WordsJudge
from burnish.recipes.schema.judges.sql import SqlJudge
from burnish.recipes.schema.judges.texts import ChoiceJudge, ContainsJudge, ExactJudge, RegexJudge
from burnish.recipes.schema.judges.unit_tests import UnitTestsJudge

JudgeConfig = Annotated[
    SqlJudge
    | NumbersJudge
    | CallsJudge
    | MathJudge
    | ReasoningGymJudge
    | ExactJudge
    | ContainsJudge
    | RegexJudge
    | ChoiceJudge
    | FormatJudge
    | LanguageJudge
    | LengthJudge
    | CosineJudge
    | RepetitionJudge
    | WordsJudge
    | RewardModelJudge
    | ProcessRewardModelJudge
    | ImplicitRewardJudge
    | PythonJudge
    | UnitTestsJudge
    | ChatJudge,
    Field(discriminator="type"),
]
