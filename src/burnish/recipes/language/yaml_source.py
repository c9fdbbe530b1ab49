"""Reads a recipe file and remembers where every key and value was written.

Notable choices:

- Plain scalars follow YAML 1.2, not PyYAML's YAML 1.1: `1e-4` is a number, `no` and `on` are text (the
  "Norway problem"), `1:30` is text rather than ninety, a date is text. `null`, `true` and `false` stay.
- The tree is built here from composed nodes: PyYAML's own constructor forgets lines and silently keeps the
  last of two equal keys.
- Anchors, aliases and `<<` merges work; a file that unfolds into more than `MAX_NODES` values is refused.
"""

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from burnish.errors import RecipeError
from burnish.recipes.language.places import KeyPath, Place, Problem, Source, clipped, dotted, nearest

PYTHON_RECIPE = "the recipe"
"""What messages call a recipe that is no file."""
MAX_BYTES = 2**20
MAX_NODES = 100_000
MAX_DEPTH = 50
MAX_WHOLE = 2**1024
"""Whole numbers are below this in size, as floating-point ones are."""
_TAG = "tag:yaml.org,2002:"
_NUMBER_START = list("-+.0123456789")


class Loader(yaml.SafeLoader):
    """Composes nodes; the implicit resolvers below replace YAML 1.1's."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own name)


def _implicit(name: str, pattern: str, first: list[str]) -> None:
    Loader.add_implicit_resolver(_TAG + name, re.compile(rf"^(?:{pattern})$"), first)


_implicit("null", r"~|null|Null|NULL|", ["~", "n", "N", ""])
_implicit("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF"))
_implicit("int", r"[-+]?[0-9][0-9_]*|0x[0-9a-fA-F]+|0o[0-7]+", _NUMBER_START)
_implicit("float", r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", _NUMBER_START)
_implicit("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", _NUMBER_START)
_implicit("merge", r"<<", ["<"])


def read_recipe(file: Path) -> Source:
    """Parse a recipe file; problems in its values are collected in `Source.problems`.

    Raises:
        RecipeError: the file cannot be read, is not YAML or not a mapping.
    """
    return parse(_read_text(file), file)


def from_values(values: Mapping[str, Any]) -> Source:
    """A recipe written in Python: the same values, with paths as texts; problems name the key instead of a line."""
    source = Source(file=PYTHON_RECIPE, data={}, has_lines=False)
    source.data = _plain(dict(values), (), source)
    return source


def _plain(value: Any, path: KeyPath, source: Source) -> Any:
    """A Python value as YAML would have given it."""
    if len(path) > MAX_DEPTH:
        raise RecipeError(f"{source.file}: {dotted(path[:3])}: values are nested more than {MAX_DEPTH} deep")
    if isinstance(value, Path):
        value = str(value)
    try:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return scalar_text(value)
        if isinstance(value, list | tuple):
            return [_plain(item, (*path, index), source) for index, item in enumerate(value)]
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {scalar_text(key): _plain(item, (*path, key), source) for key, item in value.items()}
        raise ValueError(f"got {clipped(repr(value), 80)}; expected what YAML can hold: keys are texts, values plain")
    except ValueError as error:
        source.problems.append(Problem(Place(source.file), path, str(error)))
        return None


def _read_text(file: Path) -> str:
    try:
        status = file.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise RecipeError(f"{file}: not a regular file; a recipe is read more than once, and from beside its data")
        if status.st_size > MAX_BYTES:
            raise RecipeError(
                f"{file}: {status.st_size:,} bytes; a recipe has at most {MAX_BYTES:,}. Is this a data file?"
            )
        data = file.read_bytes()
    except IsADirectoryError:
        found = sorted(path.name for path in file.glob("*.y*ml"))
        hint = f"; did you mean {file / found[0]}?" if found else ""
        raise RecipeError(f"{file}: is a folder, expected a recipe file{hint}") from None
    except FileNotFoundError:
        folder = file.parent
        close = nearest(file.name, [path.name for path in folder.glob("*")] if folder.is_dir() else [])
        hint = f"; did you mean {folder / close}?" if close else ""
        raise RecipeError(f"{file}: no such recipe file{hint}") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise RecipeError(f"{clipped(str(file), 200)}: cannot read the recipe: {reason}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RecipeError(
            f"{file}:{line}: byte {data[error.start]:#04x} is not UTF-8; save the file as UTF-8"
        ) from None


def parse(text: str, file: Path) -> Source:
    """Build the tree of a recipe's text; problems in its values are collected in `Source.problems`."""
    try:
        node = compose(text)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise RecipeError(f"{file}:{line}: character {error.character:#x} is not allowed in YAML") from None
    except yaml.MarkedYAMLError as error:
        raise RecipeError(_explain(error, text, file)) from None
    except RecursionError:
        raise RecipeError(f"{file}: not a recipe: its values are nested too deeply") from None
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "null"):
        raise RecipeError(f"{file}: the recipe is empty; expected at least `name`, `model` and `stages`")
    source = Source(file=str(file), data={})
    tree = Tree(source)
    if not isinstance(node, yaml.MappingNode):
        kind = "a list" if isinstance(node, yaml.SequenceNode) else "text"
        raise RecipeError(f"{tree.place(node)}: a recipe is a mapping (`key: value` lines), got {kind}")
    source.data = tree.mapping(node, ())
    return source


def compose(text: str) -> yaml.Node | None:
    loader = Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _explain(error: yaml.MarkedYAMLError, text: str, file: Path) -> str:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.splitlines()
    written = lines[line] if line < len(lines) else ""
    reason = (error.problem or "cannot be read").replace("\\t", "tab")
    if "\t" in written[: column + 1]:
        hint = "; indent with spaces, YAML does not allow tabs"
    elif "mapping values are not allowed" in reason:
        hint = "; put quotes around a text that contains ': '"
    elif "single document" in (error.context or ""):
        hint = "; a recipe is one document, remove the '---' line"
    elif "found undefined alias" in reason:
        hint = "; '*' starts an alias, put quotes around a text that starts with it"
    elif "cannot start any token" in reason:
        hint = "; put quotes around a text that starts with this character"
    else:
        hint = ""
    context = f" ({error.context})" if error.context else ""
    return f"{file}:{line + 1}: not valid YAML at column {column + 1}: {reason}{context}{hint}"


@dataclass
class Tree:
    """Turns composed nodes into plain values, filling `source.places` and `source.problems`."""

    source: Source
    nodes: int = 0
    open: list[yaml.Node] = field(default_factory=list)

    def place(self, node: yaml.Node) -> Place:
        return Place(self.source.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def problem(self, node: yaml.Node, path: KeyPath, text: str) -> None:
        self.source.problems.append(Problem(self.place(node), path, text))

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise RecipeError(
                f"{self.place(node)}: the recipe unfolds into more than {MAX_NODES:,} values; are its aliases nested?"
            )
        if len(self.open) > MAX_DEPTH:
            raise RecipeError(f"{self.place(node)}: values are nested more than {MAX_DEPTH} deep")
        if any(node is parent for parent in self.open):
            self.problem(node, path, "an alias refers to the value it stands in")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, path)
        self.open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, path)
            assert isinstance(node, yaml.SequenceNode)
            return self.sequence(node, path)
        finally:
            self.open.pop()

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        if node.tag != _TAG + "map":
            self.problem(node, path, f"the tag {_tag(node)} has no meaning in a recipe")
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, Place] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                merged = {**self.merged(value_node, path), **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self.problem(key_node, path, "a key must be text")
                continue
            try:
                key = scalar_text(key_node.value)
            except ValueError as error:
                self.problem(key_node, path, f"as a key, {error}")
                continue
            if key in own:
                self.problem(
                    key_node, (*path, key), f"the key '{key}' is written twice, first on line {lines[key].line}"
                )
                continue
            lines[key] = self.place(key_node)
            self.source.keys[(*path, key)] = lines[key]
            own[key] = self.child(value_node, (*path, key))
        return {**merged, **own}

    def merged(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        """The keys that `<<: *anchor` (or a list of anchors) brings in; earlier anchors win."""
        if isinstance(node, yaml.MappingNode):
            result: dict[str, Any] = self.value(node, path) or {}
            return result
        if isinstance(node, yaml.SequenceNode) and all(isinstance(n, yaml.MappingNode) for n in node.value):
            parts = [self.value(part, path) or {} for part in node.value]
            return {key: value for part in reversed(parts) for key, value in part.items()}
        self.problem(node, (*path, "<<"), "'<<' takes a mapping or a list of mappings")
        return {}

    def sequence(self, node: yaml.SequenceNode, path: KeyPath) -> list[Any]:
        if node.tag != _TAG + "seq":
            self.problem(node, path, f"the tag {_tag(node)} has no meaning in a recipe")
        return [self.child(item, (*path, index)) for index, item in enumerate(node.value)]

    def child(self, node: yaml.Node, path: KeyPath) -> Any:
        self.source.values[path] = self.place(node)
        return self.value(node, path)

    def scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        try:
            return scalar_value(node)
        except ValueError as error:
            self.problem(node, path, str(error))
            return None


def _tag(node: yaml.Node) -> str:
    return node.tag.replace(_TAG, "!!")


def scalar_value(node: yaml.ScalarNode) -> Any:
    """The value of a scalar node. Raises ValueError with the reason when it has none."""
    text, tag = node.value, node.tag.removeprefix(_TAG)
    if tag in ("str", "merge"):
        return scalar_text(text)
    if tag == "null":
        return None
    if tag == "int":
        return _whole(text)
    try:
        if tag == "bool":
            return {"true": True, "false": False}[text.lower()]
        if tag == "float":
            return float(re.sub(r"^([-+]?)\.(inf|nan)$", r"\1\2", text.lower()).replace("_", ""))
    except (ValueError, KeyError):
        raise ValueError(f"'{clipped(text, 40)}' is not a {tag}") from None
    raise ValueError(f"the tag {_tag(node)} has no meaning in a recipe")


def _whole(text: str) -> int:
    """A whole number below `MAX_WHOLE`. Raises ValueError with the reason for anything else."""
    digits = text.replace("_", "")
    try:
        whole = int(digits, 0) if digits.lower().startswith(("0x", "0o")) else int(digits)
    except ValueError:
        if not (digits.isascii() and digits.lstrip("+-").isdecimal()):
            raise ValueError(f"'{clipped(text, 40)}' is not a int") from None
        whole = MAX_WHOLE  # more digits than Python reads
    if abs(whole) >= MAX_WHOLE:
        raise ValueError(f"'{clipped(text, 40)}' is too large a number")
    return whole


def scalar_text(text: str) -> str:
    """The text itself. Raises ValueError for half a surrogate pair, and for the null character, which no path holds."""
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise ValueError(f"{clipped(ascii(text), 80)} is not valid Unicode")
    if "\0" in text:
        raise ValueError(f"{clipped(ascii(text), 80)} has a null character, which nothing in a recipe may have")
    return text
