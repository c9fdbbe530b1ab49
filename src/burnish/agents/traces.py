"""What happened as rows that supervised fine-tuning reads: messages with calls and results, and the tools."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.errors import BurnishError


def trace_row(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """A conversation as a row, in OpenAI's form of fine-tuning files."""
    return {"messages": [dict(message) for message in messages], "tools": [dict(tool) for tool in tools], **more}


def append_trace(file: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a file. Raises BurnishError where it cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
    except OSError as error:
        raise BurnishError(f"{file}: a trace cannot be written: {error.strerror}") from error
