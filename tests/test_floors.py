"""The house's rules, checked in the source: floors import downwards only, peers never, and nothing unsafe."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "burnish"
FILES = sorted(SOURCE.rglob("*.py"))

# Lowest first. Names on one line share a floor and may import each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "hardware", "files", "kept", "packages", "terminal"),
    ("forest",),
    ("nn",),
    ("text",),
    ("checkpoints",),
    ("corpus",),
    ("datasets",),
    ("generation",),
    ("rewards",),
    ("agents",),
    ("objectives",),
    ("training",),
    ("runs",),
    ("retrieval",),
    ("evaluation",),
    ("methods",),
    ("synthesis",),
    ("deployment",),
    ("report",),
    ("recipes",),
    ("serving",),
    ("lab",),
    ("console",),
    ("cli", "__main__"),
)
HEIGHT = {name: height for height, names in enumerate(FLOORS) for name in names}
# `from burnish import ...`: the names that the package itself gives, and the floor each one comes from.
PACKAGE_NAMES = {
    "__version__": 0,
    "Decoder": HEIGHT["nn"],
    "ProcessRewardModel": HEIGHT["nn"],
    "ScalarModel": HEIGHT["nn"],
    "load": HEIGHT["checkpoints"],
    "save": HEIGHT["checkpoints"],
    "run": HEIGHT["console"],
}

BY_CONVENTION = {
    "Settings": "each method's own, `dpo.Settings`, and those of synthesis",
    "Batch": "of training, and of decoding",
    "Chat": "the body of OpenAI's request, and the conversation at a terminal",
    "Choice": "a drawn token, and one of OpenAI's choices",
    "Completion": "what the engine has generated, and the body of OpenAI's request",
    "ToolCall": "what a model wrote, and its form in OpenAI's reply",
}
"""Names that classes of several floors have, and why that may stay; `docs/architecture.md` says so."""
ALGORITHMS = ("torch", "burnish.nn", "burnish.objectives", "burnish.training.loop")
"""What recipes leave to methods."""
LONGEST_STAGE = 100
"""Lines of a stage that trains: keys, checks, and one call of its method."""

PEERS = {
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
}  # references in tests, never used by the package
PREPARATION_EXTRAS = {"polars", "pyarrow"}
SERVING_EXTRAS = {"starlette", "uvicorn", "h11", "prometheus_client"}
EXTRAS = {
    "duckdb",
    "pyarrow",
    "tensorboard",
    "polars",
    "rensa",
    "openai",
    "llguidance",
    "torchao",
    *SERVING_EXTRAS,
    "matplotlib",
    "vaderSentiment",
    "ftfy",
    "phonenumbers",
    "stdnum",
    "schwifty",
    "detect_secrets",
    "presidio_analyzer",
    "bm25s",
    "Stemmer",
}  # imported where needed
POSIX = {"fcntl", "grp", "pwd", "pty", "resource", "termios", "tty"}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "torch.load", "torch.save", "os.system", "os.popen", "yaml.unsafe_load"}
SANDBOXED = SOURCE / "rewards" / "programs" / "inside"
"""What runs within the sandbox alone, and may run what a model wrote."""
FORBIDDEN_KEYWORDS = {
    "trust_remote_code": None,
    "shell": True,
    "allow_pickle": True,
}  # None: whatever the value


def name_of(file: Path) -> str:
    return str(file.relative_to(SOURCE.parent))


def floor_of(file: Path) -> str:
    """The first folder or file below `burnish/`, which is the floor's name."""
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(file: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything that `file` imports, relative imports resolved."""
    package = [*SOURCE.name.split("."), *file.relative_to(SOURCE).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def violations_of_floors(file: Path, tree: ast.AST) -> Iterator[str]:
    own = floor_of(file)
    if own not in HEIGHT:
        yield f"{name_of(file)}: {own!r} is on no floor; place it in FLOORS of {Path(__file__).name}"
        return
    for line, name in imported(file, tree):
        root, _, rest = name.partition(".")
        if root != "burnish":
            continue
        target = rest.partition(".")[0]
        # A bare `import burnish` is for what the package gives, which comes from checkpoints at the lowest.
        height = HEIGHT.get(target or "checkpoints", PACKAGE_NAMES.get(target))
        if height is None:
            yield f"{name_of(file)}:{line}: imports burnish.{target}, which is on no floor"
        elif height > HEIGHT[own]:
            yield f"{name_of(file)}:{line}: {own} imports {target}, a floor above it"


def dotted(node: ast.expr) -> str:
    """`torch.load` for the expression `torch.load`; empty for anything that is not names joined by dots."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (left := dotted(node.value)):
        return f"{left}.{node.attr}"
    return ""


def unsafe(file: Path, tree: ast.AST) -> Iterator[str]:
    for line, name in imported(file, tree):
        if name.partition(".")[0] in PICKLES or name in FORBIDDEN_CALLS:
            yield f"{name_of(file)}:{line}: imports {name}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if dotted(node.func) in FORBIDDEN_CALLS and not (dotted(node.func) == "exec" and file.parent == SANDBOXED):
            yield f"{name_of(file)}:{node.lineno}: calls {dotted(node.func)}"
        for keyword in node.keywords:
            if keyword.arg in FORBIDDEN_KEYWORDS:
                banned = FORBIDDEN_KEYWORDS[keyword.arg]
                value = keyword.value.value if isinstance(keyword.value, ast.Constant) else "not a constant"
                if banned is None or value == banned or value == "not a constant":
                    yield f"{name_of(file)}:{node.lineno}: passes {keyword.arg}"


def imports_at_import(tree: ast.AST) -> Iterator[ast.stmt]:
    """Import statements that run with the module: not those in functions, nor under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and dotted(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from imports_at_import(ast.Module(body=node.orelse, type_ignores=[]))
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports_at_import(node)


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def test_every_floor_imports_only_from_floors_below() -> None:
    files = [file for file in FILES if file != SOURCE / "__init__.py"]
    assert [problem for file in files for problem in violations_of_floors(file, parse(file))] == []


def algorithms_in(file: Path, tree: ast.AST) -> Iterator[str]:
    """What a file imports of networks, losses and loops, wherever in it and if only as a type."""
    for line, name in imported(file, tree):
        if any(name == one or name.startswith(f"{one}.") for one in ALGORITHMS):
            yield f"{name_of(file)}:{line}: imports {name}; a method or a floor below it does that"


def test_recipes_leave_algorithms_to_methods() -> None:
    files = [file for file in FILES if floor_of(file) == "recipes"]
    found = {str(file.relative_to(SOURCE)): list(algorithms_in(file, parse(file))) for file in files}
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_a_stage_of_a_method_is_keys_checks_and_one_call() -> None:
    methods = {file.stem for file in FILES if file.parent == SOURCE / "methods"}
    stages = [file for file in FILES if file.parent == SOURCE / "recipes" / "stages" and file.stem in methods]
    assert {"cpt", "distill", "dpo", "grpo", "kto", "ppo", "reward_model", "sft"} <= {file.stem for file in stages}
    lengths = {name_of(file): len(file.read_text(encoding="utf-8").splitlines()) for file in stages}
    assert {name: length for name, length in lengths.items() if length > LONGEST_STAGE} == {}


def test_classes_of_different_floors_have_different_names() -> None:
    """One concept, one name: of two things of one name a reader has to open both to know which is meant."""
    floors: dict[str, set[str]] = {}
    for file in FILES:
        for node in parse(file).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                floors.setdefault(node.name, set()).add(floor_of(file))
    assert {name for name, found in floors.items() if len(found) > 1} == set(BY_CONVENTION)
    text = (SOURCE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [name for name in BY_CONVENTION if f"`{name}`" not in text] == []


def test_the_page_on_architecture_has_the_floors_in_their_order() -> None:
    text = (SOURCE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("| floor | what it holds |")[2].partition("\n\n")[0]
    rows = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines() if line.count("|") > 2]
    assert [set(row) for row in rows if row] == [{*names} - {"__main__"} for names in FLOORS]


def test_test_files_have_names_of_their_own() -> None:
    """Pytest imports them by name: two of one name in different folders are one too many for it."""
    names = [file.name for file in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(name for name in {*names} if names.count(name) > 1) == []


def test_reference_implementations_are_never_imported() -> None:
    found = [
        f"{name_of(file)}:{line}: imports {name}"
        for file in FILES
        for line, name in imported(file, parse(file))
        if name.partition(".")[0] in PEERS
    ]
    assert found == []


def test_extras_are_imported_only_inside_functions() -> None:
    """But for `corpus/preparation` and `serving/api`: they say what they lack; nobody imports them with a module."""
    found = []
    for file in FILES:
        inside = SOURCE / "corpus" / "preparation" in file.parents
        served = SOURCE / "serving" / "api" in file.parents
        module = ast.Module(body=list(imports_at_import(parse(file))), type_ignores=[])
        for line, name in imported(file, module):
            allowed = PREPARATION_EXTRAS if inside else SERVING_EXTRAS if served else set()
            of_preparation = not inside and f"{name}.".startswith("burnish.corpus.preparation.")
            of_serving = not served and f"{name}.".startswith("burnish.serving.api.")
            if (
                of_preparation
                or of_serving
                or (name.partition(".")[0] in EXTRAS and name.partition(".")[0] not in allowed)
            ):
                found.append(f"{name_of(file)}:{line}: imports {name} with the module")
    assert found == []


def test_modules_of_posix_are_imported_only_inside_functions() -> None:
    """`import burnish`, training and chat work where they are missing, as on Windows; the sandbox is Linux's alone."""
    found = []
    for file in FILES:
        module = ast.Module(body=list(imports_at_import(parse(file))), type_ignores=[])
        for line, name in imported(file, module):
            if name.partition(".")[0] in POSIX and SANDBOXED not in file.parents:
                found.append(f"{name_of(file)}:{line}: imports {name} with the module")
    assert found == []


def test_nothing_unpickles_evaluates_text_or_opens_a_shell() -> None:
    assert [problem for file in FILES for problem in unsafe(file, parse(file))] == []


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("import torch\ntorch.load('x')", True),
        ("from torch import load", True),
        ("import pickle", True),
        ("eval('1')", True),
        ("model.eval()", False),
        ("subprocess.run('ls', shell=True)", True),
        ("subprocess.run(['ls'], shell=flag)", True),
        ("subprocess.run(['ls'], shell=False)", False),
        ("tokenizer(name, trust_remote_code=False)", True),
        ("safetensors.torch.load_file(path)", False),
    ],
)
def test_the_safety_check_sees_what_it_should(source: str, caught: bool) -> None:
    assert bool(list(unsafe(SOURCE / "nn" / "example.py", ast.parse(source)))) == caught


@pytest.mark.parametrize(
    ("file", "source", "caught"),
    [
        ("nn/example.py", "from burnish.forest import Forest", False),
        ("nn/example.py", "from burnish.text.chat import render", True),
        ("nn/example.py", "from .. import training", True),
        ("nn/attention/example.py", "from ..linear import Linear", False),
        ("nn/attention/example.py", "from ...cli import main", True),
        ("hardware.py", "def f():\n    import burnish.recipes.runner.running", True),
        ("recipes/example.py", "from burnish import __version__, load", False),
        ("nn/example.py", "from burnish import load", True),
        ("nn/example.py", "import burnish", True),
        ("recipes/example.py", "import burnish", False),
        ("attic.py", "", True),
    ],
)
def test_the_floor_check_sees_what_it_should(file: str, source: str, caught: bool) -> None:
    assert bool(list(violations_of_floors(SOURCE / file, ast.parse(source)))) == caught


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("import torch", True),
        ("from torch import Tensor", True),
        ("if TYPE_CHECKING:\n    from burnish.nn.decoder import Decoder", True),
        ("def run():\n    from burnish.objectives import dpo", True),
        ("from burnish.training.loop import train", True),
        ("from burnish.training.config import TrainingConfig", False),
        ("from burnish.methods import dpo", False),
    ],
)
def test_the_check_of_recipes_sees_what_it_should(source: str, caught: bool) -> None:
    assert bool(list(algorithms_in(SOURCE / "recipes" / "example.py", ast.parse(source)))) == caught


def test_importing_burnish_needs_only_the_core() -> None:
    """With every extra and every peer made unimportable, `import burnish` still works."""
    program = f"""
import sys
for name in {sorted(EXTRAS | PEERS)!r}:
    sys.modules[name] = None
import burnish
assert burnish.__version__
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
