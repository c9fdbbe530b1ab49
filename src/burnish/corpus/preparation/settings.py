"""What is prepared and how, as a file of settings or a recipe says it."""

from pydantic import BaseModel, ConfigDict, Field

from burnish.corpus.preparation.sources import DocumentSource
from burnish.corpus.preparation.steps import Step
from burnish.corpus.preparation.steps.basic import ExactDuplicates, MinCharacters, Normalize

DEFAULT_STEPS: tuple[Step, ...] = tuple(kind.model_validate({}) for kind in (Normalize, ExactDuplicates, MinCharacters))


class Preparation(BaseModel):
    """Sources of documents, and the steps that they go through in turn."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    sources: list[DocumentSource] = Field(
        min_length=1, description="groups of documents; of two equal ones that of the earlier source stays"
    )
    steps: list[Step] = Field(
        list(DEFAULT_STEPS), description="steps in their order, for example {type: min_characters, characters: 100}"
    )
