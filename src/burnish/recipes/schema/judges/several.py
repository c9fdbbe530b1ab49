"""What stages do with the judges of a recipe: check them and the rows they read, open them, let answers vote."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from burnish.corpus.records import shown
from burnish.errors import DataError
from burnish.methods.evaluate import ChoiceTasks
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.judges.base import raise_problems
from burnish.recipes.schema.judges.python import PythonJudge
from burnish.recipes.schema.judges.texts import ChoiceJudge
from burnish.recipes.schema.judges.union import JudgeConfig
from burnish.recipes.schema.stage import StageContext
from burnish.rewards.judgement import WeightedJudge
from burnish.rewards.votes import Choose

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.recipes.plan.work import Work


def judge_problems(
    judges: "Sequence[JudgeConfig]", key: str = "judges", *, taken: Sequence[str] = ()
) -> Iterator[tuple[KeyPath, str]]:
    """Judges that would have one name in the results. taken: names that something else has."""
    names = [judge.title for judge in judges]
    for index, name in enumerate(names):
        if name in (*taken, *names[:index]):
            yield (key, index), f"there is a {key.rstrip('s')} '{name}' already; give this one a `name` of its own"


def tell_right(judges: "Sequence[JudgeConfig]") -> bool:
    """Whether some of them may tell right from wrong; of a function of the user's it is not known before it runs."""
    return any(judge.tells_right or isinstance(judge, PythonJudge) for judge in judges)


def check_judges(context: StageContext, judges: "Sequence[JudgeConfig]", tasks: "Sequence[Task]") -> None:
    """Raise BurnishError where one of the judges could not judge the tasks, such as by a gold query that fails."""
    for judge in judges:
        judge.check(context, [task for task in tasks if judge.applies(task.row)])


def with_judges(work: "Work", context: StageContext, judges: "Sequence[JudgeConfig]", tokens: int) -> "Work":
    """The work with that of the models that judges ask, which read `tokens` tokens of prompts and answers.

    A token of theirs is priced as the share of the stage's own that their parameters are.
    """
    models = [context.size_beside(model) for judge in judges for model in judge.asks()]
    beside, times = (sum(part) for part in zip(*models, strict=True)) if models else (0, 0.0)
    return replace(work, beside=work.beside + beside, scored=work.scored + (round(times * tokens) if beside else 0))


@contextmanager
def open_judges(context: StageContext, judges: "Sequence[JudgeConfig]") -> "Iterator[list[WeightedJudge]]":
    """The judges, ready to judge; what they need is closed afterwards."""
    with ExitStack() as stack:
        yield [
            WeightedJudge(
                config.title,
                stack.enter_context(config.open(context)),
                config.weight,
                config.applies if config.where else None,
                config.log_odds,
            )
            for config in judges
        ]


def read_judged_tasks(
    context: StageContext, reference: str, judges: "Sequence[JudgeConfig]", *, columns: dict[str, str]
) -> "list[Task]":
    """The tasks of a file, each with all that its judges read. Raises DataError naming file and line."""
    from burnish.datasets.rows import read_tasks

    tasks = read_tasks(context.paths(reference), columns=columns)
    check_rows(tasks, judges)
    return tasks


def check_rows(tasks: "Sequence[Task]", judges: "Sequence[JudgeConfig]") -> None:
    """Raise DataError naming file and line of the tasks that no judge applies to, or that lack what one reads."""
    raise_problems((task, problem) for task in tasks for problem in _row_problems(task.row, judges))


def _row_problems(row: Mapping[str, Any], judges: "Sequence[JudgeConfig]") -> Iterator[str]:
    applying = [judge for judge in judges if judge.applies(row)]
    if judges and not applying:
        keys = sorted({key for judge in judges for key in judge.where})
        there = ", ".join(f"{key}: {shown(row.get(key))}" for key in keys)
        yield f"no judge for this row ({there}): the `where` of each names other values; add one that fits"
    for judge in applying:
        problem = judge.row_problem(row)
        if problem is not None:
            yield problem


def check_votes(tasks: "Sequence[Task]", judges: "Sequence[JudgeConfig]", votes: int, choose: Choose = "votes") -> None:
    """Raise DataError naming file and line of a task of whose answers none can be chosen."""
    for task in tasks if votes > 1 else ():
        applying = [judge for judge in judges if judge.applies(task.row)]
        if any(isinstance(judge, ChoiceJudge) and judge.likelihood is not None for judge in applying):
            continue
        if choose != "best" and not any(judge.elects for judge in applying):
            raise DataError(f"{task.place}: no judge of this row can tell which answers come to the same; set votes: 1")
        if choose != "votes" and all(judge.tells_right for judge in applying):
            raise DataError(f"{task.place}: choose is {choose}, and every judge of this row tells right from wrong")


def alone_problems(
    judges: "Sequence[JudgeConfig]", votes: int, choose: Choose = "votes"
) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong where each answer is judged alone, but for the choice of one of several."""
    for index, judge in enumerate(judges):
        if judge.compares:
            yield ("judges", index, "ask"), "compares answers, and here each model gives one; set `ask: score`"
    if votes > 1 and choose != "best" and not any(judge.elects for judge in judges):
        yield ("votes",), f"got {votes}; no judge here can tell which answers come to the same: expected 1"
    if choose == "votes":
        return
    if votes == 1:
        yield ("choose",), f"got '{choose}' of one answer: set `votes`, the number of answers that are sampled"
    if all(judge.tells_right for judge in judges):
        yield (
            ("choose",),
            f"got '{choose}'; every judge here tells right from wrong, so it knows what is expected and has no say in "
            "the choice: add one that scores, such as reward_model",
        )


def likelihood_choices(judges: "Sequence[JudgeConfig]") -> list[ChoiceTasks]:
    """The rows that are answered by the most probable of their options."""
    return [
        ChoiceTasks(one.judge, one.applies, one.likelihood == "label", one.length_normalized)
        for one in judges
        if isinstance(one, ChoiceJudge) and one.likelihood is not None
    ]
