"""A new judge takes what CONTRIBUTING says: a function in one file, and a class with its keys in the schema's."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from pydantic import Field, TypeAdapter

from burnish.generation.answer import Answer
from burnish.recipes.schema.judges import JudgeBase, open_judges
from burnish.recipes.schema.stage import StageContext
from burnish.rewards.judgement import Judge, Judgement, each, judge_answers, together


# What would be rewards/politeness.py ...
def politeness(word: str) -> Judge:
    return each(lambda _prompt, text, _row: Judgement(float(word in text), reason="polite" if word in text else "rude"))


# ... and its class in a file of recipes/schema/judges/, which would join the union there.
class PolitenessJudge(JudgeBase):
    """How polite an answer is."""

    type: Literal["politeness"] = Field(description="kind of judge: politeness")
    word: str = Field("please", description="the word that has to be there")

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        return nullcontext(politeness(self.word))


def test_a_toy_judge_works_beside_the_others() -> None:
    written = [
        {"type": "politeness", "word": "bitte", "weight": 0.5, "where": {"language": "de"}},
        {"type": "politeness", "name": "english", "where": {"language": ["en", None]}},
    ]
    judges = TypeAdapter(list[PolitenessJudge]).validate_python(written)
    answers = [Answer([], "Nein, bitte.", {"language": "de"}), Answer([], "No.", {})]
    with open_judges(None, judges) as opened:  # type: ignore[arg-type]
        judged = judge_answers(opened, answers)
        assert [one and one.score for one in judged[0]] == [1.0, None]
        assert [one and one.score for one in judged[1]] == [None, 0.0]
        assert together(opened, [one[0] for one in judged]) == Judgement(0.5, reason="polite")
