"""What a flywheel file says: a recipe that trains a round, and what its model has to prove."""

from pathlib import Path

from pydantic import Field

from burnish.recipes.language.validation import validate
from burnish.recipes.language.yaml_source import read_recipe
from burnish.recipes.schema.stage import Name, StrictModel


class Promotion(StrictModel):
    """When the candidate of a round takes the place of the model in force."""

    p: float = Field(
        0.05, gt=0, lt=0.5, description="most of the paired permutation test, two-sided, for which better counts as so"
    )
    max_forgetting: float = Field(
        0.02,
        gt=0,
        description="most that the 95 % interval of the perplexity's relative change may reach, on any text that the "
        "corpus of the evaluation holds out",
    )


class FlywheelSettings(StrictModel):
    """A flywheel: whose judgements, how a round is trained, and what decides."""

    name: Name = Field(description="name of the flywheel")
    recipe: str = Field(
        min_length=1,
        description="the recipe of a round, relative to this file; it has a stage of type `feedback`, and one of type "
        "`evaluate` that measures the models `current` and `candidate`, the first of them `base`",
    )
    model: str = Field(
        min_length=1, description="the model that the first round begins from: a run, a model's folder or a .gguf file"
    )
    folder: str | None = Field(None, description="where rounds and history are kept; flywheel/NAME if left out")
    minimum: int = Field(50, ge=1, description="judgements that a round needs")
    promotion: Promotion = Field(Promotion.model_validate({}), description="what the candidate has to prove")


def read_settings(file: Path) -> FlywheelSettings:
    """The settings in a YAML file.

    Raises RecipeError with line, key and expectation of everything that is wrong.
    """
    return validate(FlywheelSettings, read_recipe(file))
