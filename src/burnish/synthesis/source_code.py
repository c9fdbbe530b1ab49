"""What source code says of itself: docstrings and comments in front of declarations, as definitions.

Python is parsed by its own grammar, so a signature is exact. Of other languages the comment that stands right above a
declaration is read: `/** ... */`, `///`, `//` and `#`, which is how their documentation tools read them too.
"""

import ast
import inspect
import re
import warnings
from collections.abc import Iterator

from burnish.synthesis.structure import Section, SectionBlock, plain

PYTHON_SUFFIXES = (".py", ".pyi")
MAX_CHARACTERS = 2 << 20
"""Longer files are tables of data or generated."""
MAX_DEPTH = 100

_LINE_COMMENTS = re.compile(r"(?:^[ \t]*(?P<mark>///?|#)!?(?!\S*!)[^\n]*\n)+", re.MULTILINE)
_DECLARATION = re.compile(
    r"(?:\b(?:function|func|fn|def|sub|class|struct|interface|enum|trait|type|record|module)\s+(?:\([^)]*\)\s*)?"
    r"(?P<named>[A-Za-z_]\w*))|(?P<called>[A-Za-z_]\w*)\s*\("
)
_NOT_DECLARED = ("if", "for", "while", "switch", "return", "catch", "assert", "require", "import", "include", "else")
_TAG_LINE = re.compile(r"^\s*[@\\]\w+.*$", re.MULTILINE)


def sections(text: str, name: str) -> list[Section]:
    """The documented parts of a source file, in one section below the file's name; none where nothing is documented."""
    if len(text) > MAX_CHARACTERS:
        return []
    found = list(_python(text) if name.endswith(PYTHON_SUFFIXES) else _commented(text))
    return [Section((name,), tuple(found))] if found else []


def _python(text: str) -> Iterator[SectionBlock]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in strings
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    if (said := ast.get_docstring(tree)) is not None:
        yield SectionBlock("paragraph", plain(_first(said)))
    yield from _members(tree, "", text, 0)


def _members(parent: ast.AST, prefix: str, text: str, depth: int) -> Iterator[SectionBlock]:
    if depth > MAX_DEPTH:
        return
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = prefix + node.name
            private = node.name.startswith("_")
            if (said := ast.get_docstring(node)) is not None and not private:
                yield SectionBlock("definition", _first(said), term=_signature(node, name))
            if isinstance(node, ast.ClassDef) and not private:
                yield from _members(node, name + ".", text, depth + 1)


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, name: str) -> str:
    if isinstance(node, ast.ClassDef):
        return f"class {name}"
    try:
        arguments = ast.unparse(node.args)
        returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    except (RecursionError, ValueError):
        return f"{name}(...)"
    return f"{name}({re.sub(r'^(self|cls)(, |$)', '', arguments)}){returns}"


def _first(said: str) -> str:
    """A docstring up to its sections and examples."""
    kept = []
    for paragraph in inspect.cleandoc(said).split("\n\n"):
        if re.match(
            r"\s*(Args|Arguments|Parameters|Returns|Raises|Yields|Examples?|Notes?|>>>|:param|@param)\b", paragraph
        ):
            break
        kept.append(" ".join(paragraph.split()))
    return "\n\n".join(kept) or " ".join(said.split())


def _commented(text: str) -> Iterator[SectionBlock]:
    for match in [*_comments(text)]:
        comment, end = match
        declaration = text[end : end + 400].lstrip("\n")
        if text[end : end + 1] == "\n":
            continue  # an empty line: the comment is of something else
        line = _declared(declaration)
        if line is None:
            continue
        name, signature = line
        said = " ".join(_TAG_LINE.sub("", comment).split())
        if said and len(said.split()) > 2:
            yield SectionBlock("definition", plain(said), term=signature if "(" in signature else name)


def _comments(text: str) -> Iterator[tuple[str, int]]:
    """Comments with where they end, in their order."""
    found = []
    for match in re.finditer(r"/\*\*(?!/)(.*?)\*/[ \t]*\n", text, re.DOTALL):
        found.append((re.sub(r"^\s*\*+ ?", "", match[1], flags=re.MULTILINE), match.end()))
    for match in _LINE_COMMENTS.finditer(text):
        found.append((re.sub(r"^[ \t]*(?:///?|#)!? ?", "", match[0], flags=re.MULTILINE), match.end()))
    yield from sorted(found, key=lambda one: one[1])


def _declared(code: str) -> tuple[str, str] | None:
    """Name and signature of the declaration that code begins with, attributes and decorators left out."""
    lines = [line.strip() for line in code.split("\n")]
    while lines and (not lines[0] or lines[0].startswith(("@", "#[", "[", "template"))):
        lines.pop(0)
    if not lines:
        return None
    whole = re.split(r"[{;]|=>|\s:$", " ".join(lines[:4]), maxsplit=1)[0].strip()
    found = _DECLARATION.search(whole)
    if found is None or found.start() > 80:
        return None
    name = found["named"] or found["called"]
    if name in _NOT_DECLARED or re.match(r"[\w.]+\s*[.=]", whole):
        return None
    balanced = _balanced(whole, found.end() if found["called"] else whole.find("(", found.end()))
    return name, f"{name}{balanced}" if balanced else name


def _balanced(text: str, after: int) -> str:
    """The parenthesis that opens at `after` (or just before it), whole; nothing where it does not close."""
    start = after - 1 if after > 0 and text[after - 1 : after] == "(" else after
    if start < 0 or text[start : start + 1] != "(":
        return ""
    depth = 0
    for end in range(start, len(text)):
        depth += (text[end] == "(") - (text[end] == ")")
        if depth == 0:
            return " ".join(text[start : end + 1].split())
    return ""
