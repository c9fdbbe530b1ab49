"""Rewards as a recipe writes them; what they do is in `burnish.rewards`.

`python` runs a file of the user's beside the recipe, as `prepare` does: it is trusted. What a model wrote is only ever
run in the sandbox of `sql`.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from burnish.errors import BurnishError, DataError
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.gold import check_gold
from burnish.recipes.schema.python_files import check_function
from burnish.recipes.schema.stage import Action, FileReference, Name, RewardModelReference, StageContext, StrictModel
from burnish.recipes.schema.verifiers import VerifierConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from burnish.datasets.rows import Task
    from burnish.rewards.judgement import Judge, Judgement, WeightedJudge

_SHOWN_ROWS = 10


class _RewardConfig(StrictModel):
    """Keys of every reward."""

    name: Name | None = Field(None, description="name in the metrics, rewards/NAME/mean; the type if left out")
    weight: float = Field(1.0, description="what the reward is multiplied by before the rewards are added")

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        """What a task's row lacks."""
        return None

    def check(self, context: StageContext, tasks: "Sequence[Task]") -> None:
        """Raise BurnishError where the reward could not judge the tasks."""


class SqlReward(VerifierConfig, _RewardConfig):
    """1 for SQL whose result is that of the task's `sql`, else 0."""

    def check(self, context: StageContext, tasks: "Sequence[Task]") -> None:
        check_gold(context, self, tasks)

    @contextmanager
    def reward(self, context: StageContext) -> Iterator["Judge"]:
        with self.open(context.path, context.warn, context.cache) as verifier:
            yield verifier


class NumbersReward(_RewardConfig):
    """1 for a completion whose answer is the number of the task's row, else 0."""

    type: Literal["numbers"] = Field(description="kind of reward: numbers")
    key: str = Field("answer", description="key of the row with the number, or with a text that ends in `#### N`")

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        from burnish.rewards.numbers import NumberVerifier

        try:
            NumberVerifier(self.key).gold(row)
        except DataError as error:
            return str(error)
        return None

    @contextmanager
    def reward(self, context: StageContext) -> Iterator["Judge"]:
        from burnish.rewards.numbers import NumberVerifier

        yield NumberVerifier(self.key)


class FormatReward(_RewardConfig):
    """How well a completion keeps to `<think>…</think><answer>…</answer>`: full 1, nothing of it 0."""

    type: Literal["format"] = Field(description="kind of reward: format")
    partial: float = Field(0.5, ge=0, le=1, description="where one of the two blocks is there whole")
    think_opened: bool = Field(False, description="whether the chat template writes the first <think> itself")

    @contextmanager
    def reward(self, context: StageContext) -> Iterator["Judge"]:
        from burnish.rewards.format import grade_format
        from burnish.rewards.judgement import each

        worth = {"full": 1.0, "partial": self.partial, "none": 0.0}
        yield each(lambda _prompt, text, _row: worth[grade_format(text, think_opened=self.think_opened)])


class LengthReward(_RewardConfig):
    """0 for completions of up to `max_length - cache` tokens, falling to -1 at `max_length` (DAPO, equation 13)."""

    type: Literal["length"] = Field(description="kind of reward: length")
    max_length: int = Field(ge=2, description="tokens from which on a completion earns -1")
    cache: int = Field(ge=1, description="tokens before that over which the reward falls")

    @contextmanager
    def reward(self, context: StageContext) -> Iterator["Judge"]:
        from burnish.rewards.length import by_length

        yield by_length(max_length=self.max_length, cache=self.cache)


class LearnedReward(_RewardConfig):
    """The score that a reward model gives to prompt and completion."""

    type: Literal["reward_model"] = Field(description="kind of reward: reward_model")
    model: RewardModelReference = Field(description="@STAGE of a reward_model stage, or the folder of a reward model")

    @contextmanager
    def reward(self, context: StageContext) -> Iterator["Judge"]:
        from burnish.rewards.learned import by_reward_model

        yield by_reward_model(*context.load_reward_model(self.model))


class PythonReward(_RewardConfig):
    """A function of yours: `def reward(prompt, completion, row)`, returning a number.

    prompt is the list of messages, row the task's row. The file is code that you trust: it runs in this process.
    """

    type: Literal["python"] = Field(description="kind of reward: python")
    file: FileReference = Field(description="Python file, relative to the recipe")
    function: str = Field("reward", description="name of the function in it")

    def actions(self, folder: Path) -> Iterator[Action]:
        yield Action("imports", f", function {self.function}", self.function, self.file)

    def check(self, context: StageContext, tasks: "Sequence[Task]") -> None:
        check_function(context.path(self.file), self.function)

    @contextmanager
    def reward(self, context: StageContext) -> Iterator["Judge"]:
        from burnish.rewards.judgement import as_judgement, each

        file = context.path(self.file)
        function = load_function(file, self.function)

        def call(prompt: Any, completion: str, row: Any) -> "Judgement":
            try:
                return as_judgement(function(prompt, completion, row))
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                raise BurnishError(f"{file}: {self.function} fails for {completion[:80]!r}: {problem}") from error

        yield each(call)


RewardConfig = Annotated[
    SqlReward | NumbersReward | FormatReward | LengthReward | LearnedReward | PythonReward,
    Field(discriminator="type"),
]


def reward_names(rewards: "Sequence[RewardConfig]") -> list[str]:
    """The name of each in the metrics."""
    return [reward.name or reward.type for reward in rewards]


def reward_problems(rewards: "Sequence[RewardConfig]") -> Iterator[tuple[KeyPath, str]]:
    """Rewards that would have one name in the metrics."""
    names = reward_names(rewards)
    for index, name in enumerate(names):
        if name in names[:index]:
            yield ("rewards", index), f"there is a reward '{name}' already; give this one a `name` of its own"


def check_rewards(context: StageContext, rewards: "Sequence[RewardConfig]", tasks: "Sequence[Task]") -> None:
    """Raise BurnishError where one of the rewards could not judge the tasks, such as by a gold query that fails."""
    for reward in rewards:
        reward.check(context, tasks)


@contextmanager
def open_rewards(context: StageContext, rewards: "Sequence[RewardConfig]") -> "Iterator[list[WeightedJudge]]":
    """The rewards, ready to judge; what they need, such as a sandbox, is closed afterwards."""
    from burnish.rewards.judgement import WeightedJudge

    with ExitStack() as stack:
        yield [
            WeightedJudge(name, stack.enter_context(config.reward(context)), config.weight)
            for name, config in zip(reward_names(rewards), rewards, strict=True)
        ]


def read_rewarded_tasks(
    context: StageContext, reference: str, rewards: "Sequence[RewardConfig]", *, columns: dict[str, str]
) -> "list[Task]":
    """The tasks of a file, each with all that the rewards read. Raises DataError naming file and line."""
    from burnish.datasets.rows import read_tasks

    tasks = read_tasks(context.paths(reference), columns=columns)
    check_rows(tasks, rewards)
    return tasks


def check_rows(tasks: "Sequence[Task]", rewards: "Sequence[RewardConfig]") -> None:
    """Raise DataError naming file and line of the tasks that lack what a reward reads."""
    problems = [
        f"{task.place}: {problem}" for task in tasks for reward in rewards if (problem := reward.row_problem(task.row))
    ]
    if problems:
        more = [f"and {len(problems) - _SHOWN_ROWS} more"] if len(problems) > _SHOWN_ROWS else []
        raise DataError("\n".join(problems[:_SHOWN_ROWS] + more))


def load_function(file: Path, name: str) -> Any:
    """The function `name` of a Python file. Raises BurnishError where the file fails or has none."""
    spec = importlib.util.spec_from_file_location(f"burnish_reward_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise BurnishError(f"{file}: not a Python file; a reward needs one, ending in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BurnishError(f"{file}: fails when it is loaded: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        there = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise BurnishError(f"{file}: has no function '{name}'; it has: {', '.join(there) or 'none'}")
    return function
