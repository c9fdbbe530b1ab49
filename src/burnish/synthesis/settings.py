"""What is synthesized and how, as a file of settings or a recipe says it."""

from typing import Annotated, Any

from pydantic import Field, field_validator

from burnish.methods.settings import Strict
from burnish.synthesis.chunk import RULES, Rule
from burnish.synthesis.filters import Filters
from burnish.synthesis.lessons import Lesson
from burnish.synthesis.restate import TIMES
from burnish.synthesis.teachers import ChatTeacher, ModelTeacher
from burnish.synthesis.variants import Variants


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

    restate: int = Field(
        0,
        ge=0,
        le=TIMES,
        description="how often what is found is said again in other words, in restated.jsonl, for the corpus to read",
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


class Lessons(Strict):
    """What a teacher is asked to write about each chunk."""

    kinds: list[Lesson] = Field(
        ["questions"],
        min_length=1,
        description="questions, rewrite, reasoning, dialogue, instructions, summary, classification",
    )
    per_chunk: int = Field(3, ge=1, le=20, description="questions, and instructions, that are asked for at once")
    max_chunks: int | None = Field(None, ge=1, description="chunks that the teacher reads, of all documents in turn")
    min_characters: int = Field(200, ge=1, description="shorter chunks are not worth a question")


class Settings(Strict):
    """What is made of documents."""

    chunk_characters: int = Field(3000, ge=200, description="longest chunk; cut between paragraphs, never in one")
    extract: Extraction = Field(Extraction.model_validate({}), description="pairs without a teacher")
    teacher: Annotated[ModelTeacher | ChatTeacher, Field(discriminator="type")] | None = Field(
        None, description="a model that writes further rows; without one nothing is asked"
    )
    lessons: Lessons = Field(Lessons.model_validate({}), description="what the teacher writes")
    filters: Filters = Field(Filters.model_validate({}), description="what the teacher's rows have to pass")
    variants: Variants = Field(Variants.model_validate({}), description="further wordings of rows, without a teacher")
    heldout: Heldout = Field(Heldout.model_validate({}), description="documents that are not learned from")
    practice: int = Field(
        300,
        ge=0,
        description="most questions with an exact answer about documents that are learned from, for sample or grpo; "
        "first those that `max_rows` leaves out",
    )
    max_rows: int | None = Field(None, ge=1, description="rows to learn from at most, of all methods and documents")
