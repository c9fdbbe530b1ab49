"""Tools of stages whose models may call them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.stage import Action, FileReference, StageContext, StrictModel

if TYPE_CHECKING:
    from burnish.agents.tool import ToolBox
    from burnish.methods.acted import ToolsAtHand


class Tooled(StrictModel):
    """Keys of a stage whose models may call the functions of a file."""

    tools: FileReference | None = Field(
        None, description="Python file with functions that the model may call; one turn without if left out"
    )
    judged_call: str | None = Field(
        None,
        pattern=r"^\w+\.\w+$",
        description="TOOL.ARGUMENT: judges read what the last call of it was given; the last answer if left out",
    )
    max_calls: int = Field(8, ge=1, description="calls of tools for a prompt")

    def actions(self, folder: Path) -> Iterator[Action]:
        yield from super().actions(folder)
        if self.tools is not None:
            yield Action("imports", ", for the model to call its functions", "tools", self.tools)

    def tool_problems(self) -> Iterator[tuple[KeyPath, str]]:
        """Keys that say something of tools where there are none."""
        if self.tools is None and self.judged_call is not None:
            yield ("judged_call",), "is about calls of tools; name a file of `tools` or remove it"

    @property
    def turns(self) -> int:
        """Turns of an answer with tools at most; 0 where there are none."""
        return 0 if self.tools is None else self.max_calls + 1

    def tools_at_hand(self, context: StageContext) -> "ToolsAtHand | None":
        """What models are asked with, None without. Raises as `open_box`."""
        from burnish.methods.acted import ToolsAtHand

        open_box = self.open_box(context)
        return None if open_box is None else ToolsAtHand(open_box, self.judged_call)

    def open_box(self, context: StageContext) -> "Callable[[], ToolBox] | None":
        """What makes the tools of a new conversation, None without; the file runs now.

        Raises BurnishError where something is wrong with it.
        """
        if self.tools is None:
            return None
        from burnish.agents.functions import ToolsFile
        from burnish.agents.tool import AgentLimits, ToolBox

        loaded, limits = ToolsFile(context.path(self.tools)), AgentLimits(calls=self.max_calls)
        return lambda: ToolBox(loaded.open(), limits)
