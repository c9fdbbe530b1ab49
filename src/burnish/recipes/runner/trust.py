"""What a recipe executes, imports and sends, and whether the person at this machine has agreed to it.

A recipe is a text that one gets from others, and a script that it names can do what its user can. So everything of that
kind is named by a dry run, and asked about once before the first run: by its content, so that a changed script or
another address is asked about again, and a changed learning rate is not. Answers are kept in the user's own state
folder: a run's folder comes along with a recipe, and could bring its own consent.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from burnish.errors import BurnishError
from burnish.files import atomic_write_text, open_regular
from burnish.recipes.plan.plan import Plan, PlannedStage
from burnish.recipes.schema.python_files import imported_packages
from burnish.recipes.schema.stage import Action, parts
from burnish.runs.hashes import digest


@dataclass(frozen=True)
class TrustRequest:
    """Something to agree to: the line that a person reads, and the hash under which the answer is kept."""

    line: str
    key: str


def requests(plan: Plan) -> list[TrustRequest]:
    """Everything that the plan's stages execute, import and send, each once."""
    found = [
        _request(action, stage)
        for stage in plan.stages
        for part in parts(stage.config)
        for action in part.actions(plan.recipe_folder)
    ]
    return list({request.key: request for request in found}.values())


def _request(action: Action, stage: PlannedStage) -> TrustRequest:
    shown, content = action.shown, [action.kind, action.content]
    if action.reference is not None:
        source = next(item for item in stage.inputs if item.written == action.reference)
        content.append(source.key)
        shown = f"{source.paths[0]}{shown}" if source.producer is None else f"{source.written}{shown}"
        shown += _imports(source.paths) if source.producer is None else f", made by stage {source.producer}"
    else:
        content.append(action.shown)
    return TrustRequest(f"{action.kind:<7} {shown} (stage {stage.name})", digest(content))


def _imports(files: Sequence[Path]) -> str:
    names = sorted({name for file in files for name in imported_packages(file)})
    return f", which imports {', '.join(names)}" if names else ""


def ask_once(plan: Plan, ask: Callable[[list[str]], bool] | None = None) -> None:
    """Have what the recipe executes, imports and sends agreed to, where it was not before.

    ask: shows lines to a person and returns the answer; None where nobody is there.

    Raises:
        BurnishError: it is not agreed to; the message names it all and says what to do.
    """
    agree_once(requests(plan), f"{plan.file}: a new or changed recipe that", f"{plan.file}: not run", ask)


def agree_once(
    wanted: Iterable[TrustRequest], subject: str, refused: str, ask: Callable[[list[str]], bool] | None = None
) -> None:
    """Have requests agreed to, where they were not before; `ask` as for `ask_once`.

    subject: what would do so; refused: what becomes of it without an agreement. Both begin an error.
    """
    known = _remembered()
    new = [request for request in wanted if request.key not in known]
    if not new:
        return
    lines = [request.line for request in new]
    listed = "\n".join(f"  {line}" for line in lines)
    if ask is None:
        raise BurnishError(
            f"{subject}\n{listed}\nLook at it; if you trust it, run it again with --yes, or once on a terminal, where "
            "you are asked"
        )
    if not ask(lines):
        raise BurnishError(f"{refused}, because you do not trust that it\n{listed}")
    _remember(new)


def state_folder() -> Path:
    """Where answers are kept: `$XDG_STATE_HOME/burnish`, or `~/.local/state/burnish`."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "burnish"


def _file() -> Path:
    return state_folder() / "trusted.json"


def _remembered() -> dict[str, str]:
    try:
        with open_regular(_file()) as file:
            kept = json.loads(file.read())
    except (BurnishError, OSError, ValueError, RuntimeError):  # RuntimeError: a user without a home, deep nesting
        return {}
    return kept if isinstance(kept, dict) else {}


def _remember(agreed: Iterable[TrustRequest]) -> None:
    kept = _remembered() | {request.key: request.line for request in agreed}
    # Where nothing can be kept, the next run asks again.
    with suppress(BurnishError, RuntimeError):
        atomic_write_text(_file(), json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
