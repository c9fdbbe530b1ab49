"""Teachers and filters in a recipe: the model is a reference, and what is sent to an address is said before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from burnish.recipes.schema.stage import Action, ModelReference, Reference, StrictModel
from burnish.synthesis import filters, teachers


class RecipeModelTeacher(teachers.ModelTeacher, StrictModel):
    """A model on this machine that writes rows."""

    model: ModelReference = Field(description="base, @STAGE, a Hugging Face folder, a .gguf file or package:NAME/FILE")


class RecipeChatTeacher(teachers.ChatTeacher, StrictModel):
    """A model behind an OpenAI-compatible address that writes rows; nothing else is asked."""

    @field_validator("api_key_env")
    @classmethod
    def _no_key_in_the_open(cls, name: str | None, info: ValidationInfo) -> str | None:
        from burnish.rewards.chat_endpoint import NO_KEY_OVER_HTTP, exposes_key

        address = info.data.get("address")
        if name is not None and address is not None and exposes_key(address):
            raise ValueError(f"{NO_KEY_OVER_HTTP} (the address is {address})")
        return name

    def actions(self, folder: Path) -> Iterator[Action]:
        """What is sent to another machine."""
        key = f", with the key in the environment variable {self.api_key_env}" if self.api_key_env else ""
        yield Action("sends", f"passages of the documents to {self.address}{key}")


class TeacherFilters(filters.Filters, StrictModel):
    """What a teacher's rows have to pass."""

    encoder: Annotated[str, Reference("text_encoder")] | None = Field(
        None,
        description="encoder by whose vectors question and answer have to be like the chunk: its folder, or package:…",
    )
    helped_by: ModelReference | None = Field(
        None, description="model that has to find the answer more probable with the chunk than without; slow"
    )
