"""The steps that settings may name."""

from typing import Annotated

from pydantic import Field

from burnish.corpus.steps.basic import ExactDuplicates, MinCharacters, Normalize

Step = Annotated[Normalize | MinCharacters | ExactDuplicates, Field(discriminator="step")]
