"""Text that every machine has: the reference and the docstrings of Python's standard library.

    python prepare.py --out FOLDER

Writes `documents.jsonl`: one object a line with `id` and `text`. The same Python gives the same bytes.
"""

import argparse
import ast
import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

MIN_CHARACTERS = 200


def reference() -> Iterator[tuple[str, str]]:
    """The pages of `help()`, each without the paragraphs that an earlier one already has."""
    known: set[str] = set()
    for topic, page in sorted(topics.items()):
        paragraphs = [paragraph for paragraph in page.strip().split("\n\n") if paragraph not in known]
        known.update(paragraphs)
        yield f"reference/{topic}", "\n\n".join(paragraphs)


def docstrings() -> Iterator[tuple[str, str]]:
    """The docstrings of each module, in order."""
    for module in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        tree = ast.parse(module.read_bytes())
        nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, nodes)]
        yield f"docstrings/{module.stem}", "\n\n".join(dict.fromkeys(text for text in found if text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    out = parser.parse_args().out
    count = characters = 0
    with (out / "documents.jsonl").open("w", encoding="utf-8") as file:
        for documents in (reference(), docstrings()):
            for name, text in documents:
                if len(text) >= MIN_CHARACTERS:
                    file.write(json.dumps({"id": name, "text": text}, ensure_ascii=False) + "\n")
                    count, characters = count + 1, characters + len(text)
    print(f"{count} documents, {characters:,} characters")


if __name__ == "__main__":
    main()
