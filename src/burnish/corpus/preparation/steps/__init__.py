"""The steps that settings may name."""

from typing import Annotated

from pydantic import Field

from burnish.corpus.preparation.steps.basic import ExactDuplicates, MinCharacters, Normalize

Step = Annotated[Normalize | MinCharacters | ExactDuplicates, Field(discriminator="type")]
