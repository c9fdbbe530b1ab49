"""What is synthesized and how, as a file of settings or a recipe says it."""

from typing import Any

from pydantic import Field, field_validator

from burnish.methods.settings import Strict
from burnish.synthesis.extract import RULES, Rule


class Extraction(Strict):
    """Pairs from the structure of the documents, without a teacher."""

    rules: list[Rule] = Field(list(RULES), description="what is asked, see the page on synthesis; [] extracts nothing")
    max_answer_characters: int = Field(
        400, ge=40, description="longest answer; longer ones are cut between sentences, or left out"
    )
    per_document: int | None = Field(
        40, ge=1, description="pairs of each rule from one document at most, so that no large one drowns the others"
    )
    choices: int = Field(4, ge=2, le=10, description="options of a question of multiple choice")
    choice_share: float = Field(
        0.15, ge=0, le=1, description="share of the exact answers that are also taught as multiple choice"
    )

    @field_validator("rules")
    @classmethod
    def _distinct(cls, rules: list[Any]) -> list[Any]:
        if len(set(rules)) < len(rules):
            raise ValueError("a rule is there twice")
        return rules


class Heldout(Strict):
    """Documents of which no row is taught, and the questions about them that models are measured by."""

    share: float = Field(0.1, ge=0, lt=1, description="share of the documents; 0 holds none out")
    questions: int = Field(300, ge=0, description="most questions with an exact short answer")
    choices: int = Field(300, ge=0, description="most questions of multiple choice")


class Settings(Strict):
    """What is made of documents."""

    chunk_characters: int = Field(3000, ge=200, description="longest chunk; cut between paragraphs, never in one")
    extract: Extraction = Field(Extraction.model_validate({}), description="pairs without a teacher")
    heldout: Heldout = Field(Heldout.model_validate({}), description="documents that are not learned from")
    max_rows: int | None = Field(
        None, ge=1, description="rows to learn from at most, spread over methods and documents"
    )
