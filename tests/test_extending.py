"""What CONTRIBUTING says of adding an objective, a method or a judge is enough: done here, in a copy of the package."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import test_floors
from workshop import SAME_BITS, make_workshop

ROOT = Path(__file__).parents[1]

OBJECTIVE = '''"""A toy: raise the chosen answers, lower the rejected ones, without end."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from burnish.datasets.batches import Batch, Column
from burnish.objectives.objective import Measured, Number
from burnish.objectives.pairs import chosen_and_rejected, n_pairs, pair_metrics


@dataclass(frozen=True)
class Linear:
    """The loss is β times what the rejected answers are likelier."""

    beta: float
    reads: ClassVar[tuple[Column, ...]] = ()

    def counts(self, batch: Batch) -> tuple[Number, ...]:
        return (n_pairs(batch),)

    def __call__(self, logps: Tensor, batch: Batch) -> Measured:
        chosen, rejected = chosen_and_rejected(batch.row_sums(logps[batch.entries]))
        return (self.beta * (rejected - chosen).sum(),), pair_metrics(chosen, rejected, chosen, rejected)
'''
IN_THE_METHOD = {
    '"orpo", "cpo"]': '"orpo", "cpo", "linear"]',
    '    "orpo": set(),\n': '    "orpo": set(),\n    "linear": set(),\n',
    "REFERENCE_FREE = (": 'REFERENCE_FREE = ("linear", ',
    '        case "orpo":\n': """        case "linear":
            from burnish.objectives.linear import Linear

            return Linear(settings.beta)
        case "orpo":
""",
}

METHOD = '''"""A toy: imitate whole conversations, the questions too."""

from pydantic import Field

from burnish.methods.settings import TrainingSettings
from burnish.methods.saving import save
from burnish.methods.training import begin, fit, make_trainable


class Settings(TrainingSettings):
    """How much is read."""

    beginning: int = Field(8, ge=2, description="tokens of each conversation that are imitated")


def train(model, tokenizer, conversations, settings, run, *, base=None):
    """Train the model in place; returns what it measured."""
    from burnish.datasets.batches import Steps, document_batches, shuffled_steps
    from burnish.objectives.language_model import language_model
    from burnish.text.chat import encode_conversation

    run = begin(model, conversations, settings, run)
    texts = [encode_conversation(tokenizer, one.messages)[0][: settings.beginning] for one in conversations]
    training = settings.training
    plan = shuffled_steps(len(texts), batch_size=training.batch_size, epochs=training.epochs, seed=run.seed)
    size = training.micro_batch_tokens
    steps = Steps(plan, lambda numbers: document_batches([texts[i] for i in numbers], micro_batch_tokens=size))
    make_trainable(model, settings, run)
    trained = fit(model, language_model, steps, settings, run)
    save(model, tokenizer, settings, run, base=base)
    return {"steps": trained.steps, **trained.metrics}
'''
STAGE = '''"""parrot: a toy."""

from typing import Literal

from pydantic import Field

from burnish.methods import parrot
from burnish.recipes.schema.stage import FileReference
from burnish.recipes.schema.training_stage import TrainingStage


class ParrotStage(parrot.Settings, TrainingStage):
    """Imitates whole conversations."""

    type: Literal["parrot"] = Field("parrot", description="parrot")
    data: FileReference = Field(description="conversations")

    def run(self, context):
        from burnish.datasets.rows import read_conversations

        model, tokenizer = context.load(self.model)
        rows = read_conversations(context.paths(self.data))
        return parrot.train(model, tokenizer, rows, self, context, base=context.path(self.model))
'''
IN_THE_LIST_OF_STAGES = {
    "from burnish.recipes.stages.perplexity import": "from burnish.recipes.stages.parrot import ParrotStage\n"
    "from burnish.recipes.stages.perplexity import",
    "| PerplexityStage": "| ParrotStage\n    | PerplexityStage",
}

JUDGE = '''"""A toy: answers that say please."""

from burnish.rewards.judgement import Judge, Judgement, each


def politeness(word: str) -> Judge:
    """Judge an answer by whether a word is in it."""
    return each(lambda _prompt, text, _row: Judgement(float(word in text), correct=word in text))
'''
JUDGE_KEYS = '''"""politeness: a toy."""

from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar, Literal

from pydantic import Field

from burnish.recipes.schema.judges.base import JudgeBase
from burnish.recipes.schema.stage import StageContext
from burnish.rewards.judgement import Judge


class PolitenessJudge(JudgeBase):
    """How polite an answer is."""

    type: Literal["politeness"] = Field(description="kind of judge: politeness")
    word: str = Field("please", description="the word that has to be there")

    tells_right: ClassVar[bool] = True

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.politeness import politeness

        return nullcontext(politeness(self.word))
'''
IN_THE_UNION = {
    "from burnish.recipes.schema.judges.python ": "from burnish.recipes.schema.judges.polite import PolitenessJudge\n"
    "from burnish.recipes.schema.judges.python ",
    "    | PythonJudge": "    | PolitenessJudge\n    | PythonJudge",
}

RECIPE = f"""name: toys{SAME_BITS}keep: all
stages:
  - {{type: dpo, pairs: pairs.jsonl, loss_type: linear, training: {{batch_size: 4}}}}
  - {{type: parrot, data: conversations.jsonl, beginning: 6, training: {{batch_size: 4}}}}
  - {{type: evaluate, tasks: pairs.jsonl, models: {{base: base}}, max_new_tokens: 4,
     judges: [{{type: politeness, word: "", where: {{row: even}}}},
              {{type: politeness, name: odd, word: no such word, where: {{row: odd}}}}]}}
"""


def change(file: Path, changes: dict[str, str]) -> None:
    text = file.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert text.count(old) == 1, f"{file.name}: {old!r}"
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with a toy objective in two files, a toy method and a toy judge in two and a line."""
    package = tmp_path_factory.mktemp("copy") / "burnish"
    shutil.copytree(ROOT / "src" / "burnish", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "objectives" / "linear.py").write_text(OBJECTIVE, encoding="utf-8")
    change(package / "methods" / "dpo.py", IN_THE_METHOD)
    (package / "methods" / "parrot.py").write_text(METHOD, encoding="utf-8")
    (package / "recipes" / "stages" / "parrot.py").write_text(STAGE, encoding="utf-8")
    change(package / "recipes" / "stages" / "__init__.py", IN_THE_LIST_OF_STAGES)
    (package / "rewards" / "politeness.py").write_text(JUDGE, encoding="utf-8")
    judges = package / "recipes" / "schema" / "judges"
    (judges / "polite.py").write_text(JUDGE_KEYS, encoding="utf-8")
    change(judges / "union.py", IN_THE_UNION)
    return package


def test_toys_stand_on_their_floors(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_floors, "SOURCE", package)
    judge = ("rewards/politeness.py", "recipes/schema/judges/polite.py")
    for name in ("objectives/linear.py", "methods/dpo.py", "methods/parrot.py", "recipes/stages/parrot.py", *judge):
        tree = test_floors.parse(package / name)
        assert list(test_floors.violations_of_floors(package / name, tree)) == []
        assert not name.startswith("recipes") or list(test_floors.algorithms_in(package / name, tree)) == []


def test_a_recipe_uses_them(package: Path, tmp_path: Path) -> None:
    recipe = make_workshop(tmp_path, RECIPE)
    asked = [(f"{i} mod 3?", f"SELECT {i % 3}") for i in range(8)]
    rows = {
        "pairs": [
            {"prompt": question, "chosen": answer, "rejected": "prose", "row": ("even", "odd")[i % 2]}
            for i, (question, answer) in enumerate(asked)
        ],
        "conversations": [{"prompt": question, "completion": answer} for question, answer in asked],
    }
    for name, of_file in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in of_file))
    program = "import sys, burnish; burnish.run(sys.argv[1], runs=sys.argv[2])"
    done = subprocess.run(
        [sys.executable, "-c", program, str(recipe), str(tmp_path / "runs")],
        env={"PYTHONPATH": str(package.parent), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for folder, key in (("01-dpo", "rewards/margins"), ("02-parrot", "loss")):
        record = json.loads((tmp_path / "runs" / "toys" / folder / "stage.json").read_text())
        assert record["metrics"]["steps"] == 2
        assert key in record["metrics"]
        assert (tmp_path / "runs" / "toys" / folder / "model" / "model.safetensors").exists()
    results = json.loads((tmp_path / "runs" / "toys" / "03-evaluate" / "results.json").read_text())
    scores = results["scores"]["base"]
    assert (scores["value"], scores["judges"]["politeness"]["value"], scores["judges"]["odd"]["value"]) == (0.5, 1, 0)


def test_contributing_says_so() -> None:
    text = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    assert "An objective of a method is two files and a test" in text
    assert "A method is one file, one stage, one test and one page" in text
    assert "one class in a file of `recipes/schema/judges/`, a line in its `union.py`" in text
