"""Where a piece of work happens: its folder, its seed, its identity, and who hears of its progress.

Every method is given one. A recipe makes it for each of its stages; a script of your own makes one in a line:
`Run(Path("work"))`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.kept import DamagedError, read_json, write_json
from burnish.runs.names import CACHE_FOLDER, DATA_REPORT_FILE, PARTIAL_FOLDER
from burnish.runs.progress import Reporter, Silent

if TYPE_CHECKING:
    from burnish.datasets.report import Report


@dataclass(frozen=True)
class Run:
    """A place to work in.

    Attributes:
        folder: made where it is missing; the product goes here, and what makes the work resumable.
        seed: of everything that is drawn.
        key: names all that the result depends on: what an interrupted run with another key has left is not used.
        display: who is told of the progress.
        notices: what `notice` was told.
    """

    folder: Path
    seed: int = 0
    key: str = ""
    display: Reporter = field(default_factory=Silent)
    notices: list[str] = field(default_factory=list)

    @property
    def cache(self) -> Path:
        """The folder, shared with the stages beside this one, for what is kept from one run to the next."""
        return self.folder.parent / CACHE_FOLDER

    @property
    def partial(self) -> Path:
        """The folder for what only an interrupted run needs."""
        return self.folder / PARTIAL_FOLDER

    def remembered(self, name: str, compute: Callable[[], Any]) -> Any:
        """`compute()`, a JSON value, done once even if the work is interrupted afterwards."""
        file = self.partial / f"{name}.json"
        if file.exists():
            try:
                return read_json(file, owner=self.key)
            except DamagedError as error:
                self.notice(f"{error}; computed again")
        write_json(file, compute(), owner=self.key)
        return read_json(file, owner=self.key)

    def notice(self, text: str) -> None:
        """Say, and keep, what a reader of the result has to know about how it came about."""
        self.notices.append(text)
        self.display.say(f"  {text}", style="yellow")

    def warn(self, text: str) -> None:
        """Show what the user should know about the work."""
        self.display.say("  " + text.replace("\n", "\n  "), style="yellow")

    def report(self, report: "Report", file: str = DATA_REPORT_FILE) -> None:
        """Show what became of the data's rows, and write it in full into `file` of the folder."""
        self.display.say("  " + report.summary().replace("\n", "\n  "))
        report.write(self.folder / file)
