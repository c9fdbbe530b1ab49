"""The system prompt that a recipe says once, for all rows that have none of their own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field

from burnish.recipes.schema.stage import StageContext, StrictModel, SystemPrompt

if TYPE_CHECKING:
    from burnish.datasets.rows import Conversation, Labelled, Preference, Ranking, Stepwise, Task

Row = TypeVar("Row", "Conversation", "Preference", "Ranking", "Labelled", "Stepwise", "Task")

_SYSTEM_ROLES = ("system", "developer")


class Prompted(StrictModel):
    """Keys of the stages that read conversations, prompts or answers to them."""

    system: SystemPrompt = Field(
        None,
        description="system prompt of rows that have none: the text itself, or `@stage/file`; the recipe's if left out",
    )

    def with_system(self, context: StageContext, rows: Sequence[Row]) -> list[Row]:
        """The rows, each that has no system message of its own with the stage's."""
        system = context.text(self.system)
        return [_with_system(row, system) for row in rows] if system else list(rows)


def _with_system(row: Row, system: str) -> Row:
    field = "messages" if hasattr(row, "messages") else "prompt"
    turns: list[Any] = getattr(row, field)
    if not turns or turns[0].get("role") in _SYSTEM_ROLES:
        return row
    changed: dict[str, Any] = {field: [{"role": "system", "content": system}, *turns]}
    return replace(row, **changed)
