"""Count what one reads to understand a method, from its stage in a recipe down to its loss.

    python scripts/reading_count.py [--tree FOLDER]

The rule, from the imports of what runs (also those inside functions, but not those that only name types):

- one reads the stage, then follows imports through the files in which algorithms are written: those of `methods/`, of
  `objectives/`, the training loop without the files that serve it alone, those of `recipes/` that handle networks,
  losses or the loop, if only as types (today none: `tests/test_floors.py`), and the contracts between them: what a
  batch, an objective and the settings of a training are;
- of the losses that a method chooses from, one reads the one that has the method's name;
- contracts, and leaves, which import nothing of all this but contracts, know nothing of the method: they are used by
  what their docstrings say, like everything on the floors below (network, text, generation, rewards, records). They
  are counted apart.

Before there was a floor of methods (d77b358), DPO was 8 files with 1,340 lines and 5 with 374 beside them, GRPO 7 with
1,601 and 5 with 482.

Exits with 1 where a method is above its limit.
"""

import argparse
import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMITS = {"dpo": (6, 800), "grpo": (8, 1300)}
"""By method, the most files and lines, leaves not counted."""
CONTRACTS = ("datasets/batches.py", "objectives/objective.py", "training/config.py")
ALGORITHMS = ("torch", "burnish.nn", "burnish.objectives", "burnish.training.loop")


@dataclass(frozen=True)
class Reading:
    """What is read, in the order in which it is met, and the leaves beside it."""

    files: list[Path]
    leaves: list[Path]

    def __str__(self) -> str:
        beside = f"{len(self.leaves)} with {lines(self.leaves):,} lines used by their docstrings"
        return f"{len(self.files)} files with {lines(self.files):,} lines, and {beside}"


def reading(source: Path, method: str) -> Reading:
    """What one reads of `method` in the package's folder `source`."""
    stage = source / "recipes" / "stages" / f"{method}.py"
    met = {stage: None}  # a set that keeps its order
    for file in iter_growing(met):
        for other in imported(source, file):
            if other not in met and is_followed(source, other) and not is_another_loss(source, file, other, method):
                met[other] = None
    ends = (stage, source / "training" / "loop.py", source / "objectives" / f"{method}.py")
    read = {file for file in met if file.relative_to(source).as_posix() not in CONTRACTS}
    leaves = [file for file in met if file not in ends and (file not in read or not set(imported(source, file)) & read)]
    return Reading([file for file in met if file not in leaves], leaves)


def iter_growing(files: dict[Path, None]) -> Iterator[Path]:
    """Every file, also those that are added meanwhile."""
    seen = 0
    while seen < len(files):
        yield list(files)[seen]
        seen += 1


def is_followed(source: Path, file: Path) -> bool:
    """Whether the file is a contract, or algorithms are written in it."""
    if file.relative_to(source).as_posix() in CONTRACTS:
        return True
    loop, floor = source / "training" / "loop.py", file.relative_to(source).parts[0]
    if floor == "training":
        return file == loop or file not in imported(source, loop)
    if floor == "recipes":
        return any(name == one or name.startswith(f"{one}.") for name in names(file, types=True) for one in ALGORITHMS)
    return floor in ("methods", "objectives")


def is_another_loss(source: Path, file: Path, other: Path, method: str) -> bool:
    """Whether a method or a stage imports a loss that is not the one of its name."""
    objectives = source / "objectives"
    return other.parent == objectives and file.parent != objectives and other.stem not in (method, "objective")


def imported(source: Path, file: Path) -> list[Path]:
    """The package's files that a file imports where it runs."""
    found = []
    for name in names(file, types=False):
        path = source.parent.joinpath(*name.split("."))
        candidates = [path.with_suffix(".py"), path.parent.with_suffix(".py")]
        found += [one for one in candidates if one.is_file() and source in one.parents][:1]
    return list(dict.fromkeys(found))


def names(file: Path, *, types: bool) -> Iterator[str]:
    """Full dotted names that a file imports; types: also those under `if TYPE_CHECKING`."""
    todo: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop(0)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not types and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
        else:
            todo += ast.iter_child_nodes(node)


def lines(files: list[Path]) -> int:
    """Lines of the files together."""
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def main() -> None:
    parser = argparse.ArgumentParser(description="Count what one reads to understand a method.")
    parser.add_argument("--tree", type=Path, default=ROOT, help="another checkout to count in")
    source = parser.parse_args().tree / "src" / "burnish"
    above = False
    for method, (most_files, most_lines) in LIMITS.items():
        found = reading(source, method)
        print(f"{method}: {found} (at most {most_files} files, {most_lines:,} lines)")
        for file in [*found.files, *found.leaves]:
            kind = "" if file in found.files else "  (by its docstrings)"
            print(f"  {lines([file]):4} {file.relative_to(source)}{kind}")
        above |= len(found.files) > most_files or lines(found.files) > most_lines
    if above:
        sys.exit("above the limit: read together what belongs together, and move down what does not")


if __name__ == "__main__":
    main()
