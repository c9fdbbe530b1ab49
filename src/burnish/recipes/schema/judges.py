"""Judges as a recipe writes them, the same for every stage that judges answers; what they do is in `burnish.rewards`.

`python` runs a file of the user's beside the recipe, as `prepare` does: it is trusted. What a model wrote is only ever
run in the sandbox of `sql`. A judge behind an address is asked only because the recipe names that address; its replies
are kept in the run's `cache/judge`, so that a run that is resumed or repeated asks nothing twice.
"""

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from burnish.corpus.records import shown
from burnish.errors import BurnishError, DataError
from burnish.methods.evaluate import Choices
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.gold import check_gold
from burnish.recipes.schema.python_files import check_function, load_function
from burnish.recipes.schema.stage import (
    Action,
    FileReference,
    ModelReference,
    Name,
    RewardModelReference,
    StageContext,
    StrictModel,
)
from burnish.rewards.choice import MultipleChoice
from burnish.rewards.judgement import Judge, Judgement, WeightedJudge, as_judgement, each
from burnish.rewards.pairwise import CRITERION
from burnish.rewards.texts import CommonForm, ContainedText, ExactText, MatchedText, compiled, expected_texts
from burnish.runs.names import CACHE_FOLDER

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.generation.answer import Answer
    from burnish.rewards.chat_endpoint import ChatEndpoint
    from burnish.rewards.pairwise import Comparison, PairVerdict
    from burnish.rewards.sql import SqlSandbox, SqlVerifier

_SHOWN_ROWS = 10


class JudgeBase(StrictModel):
    """Keys of every judge."""

    name: Name | None = Field(None, description="name in metrics and results; the type if left out")
    weight: float = Field(1.0, description="what its score is multiplied by before those of several are added")
    where: dict[str, JsonValue] = Field(
        {}, description="judge only answers to rows whose keys have these values, for example {kind: [sum, product]}"
    )

    tells_right: ClassVar[bool] = False
    """Whether each of its judgements says right or wrong."""
    elects: ClassVar[bool] = False
    """Whether it can tell which answers come to the same, so that they may vote."""
    elects_by_row: ClassVar[bool] = False
    """Whether it needs a task's row to tell that."""
    compares: ClassVar[bool] = False
    """Whether its scores are relative: of several answers to one prompt."""

    @property
    def title(self) -> str:
        """What metrics and results call it."""
        return self.name or str(getattr(self, "type"))  # noqa: B009

    def applies(self, row: Mapping[str, Any]) -> bool:
        """Whether it judges answers to a row."""
        return all(row.get(key) in (value if isinstance(value, list) else [value]) for key, value in self.where.items())

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        """What a row lacks to be judged."""
        return None

    def check(self, context: StageContext, tasks: "Sequence[Task]") -> None:
        """Raise BurnishError where the judge could not judge the tasks, which have all that it reads."""

    @abstractmethod
    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        """The judge, ready; what it needs, such as a sandbox, is closed afterwards."""


def _problem_of(read: Any, *arguments: Any) -> str | None:
    """What a function of rewards says of a row that it cannot use."""
    try:
        read(*arguments)
    except DataError as error:
        return str(error)
    return None


class SqlJudge(JudgeBase):
    """SQL by running it: right if its result equals that of the task's query, in order where `ordered`.

    The task's query is its `sql`, or where it has none the one in its answer.
    """

    type: Literal["sql"] = Field(description="kind of judge: sql")
    database: FileReference = Field(description="DuckDB or SQLite file that queries are run in, read-only")
    timeout_seconds: float = Field(5.0, gt=0, description="processor time of one query; one that takes longer is wrong")
    memory_limit: str = Field(
        "512MB",
        pattern=r"^\s*\d+(\.\d+)?\s*[KMGkmg][Ii]?[Bb]\s*$",
        description="memory of one query, such as 512MB or 1GiB",
    )

    tells_right: ClassVar[bool] = True
    elects: ClassVar[bool] = True

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        from burnish.rewards.sql import gold_query

        if gold_query(row) is not None:
            return None
        if row.get("sql") is not None:
            return f"'sql' is {shown(row['sql'])}; expected a query, as text"
        return "the query whose result is expected is missing: 'sql' reads the text 'sql', else the row's answer"

    def check(self, context: StageContext, tasks: "Sequence[Task]") -> None:
        check_gold(context, self, tasks)

    @contextmanager
    def sandbox(self, context: StageContext) -> Iterator["SqlSandbox"]:
        """A running sandbox over the database, of a SQLite file over a copy in the run's cache."""
        from burnish.rewards.sql import SqlSandbox
        from burnish.rewards.sql_from_sqlite import duckdb_copy, is_sqlite

        database = context.path(self.database)
        with ExitStack() as stack:
            if is_sqlite(database):
                # A temporary folder where the run's is missing or cannot be written.
                kept = os.access(context.cache.parent, os.W_OK)
                folder = context.cache if kept else Path(stack.enter_context(TemporaryDirectory(prefix="burnish-")))
                database = duckdb_copy(database, folder / "databases", context.warn)
            yield stack.enter_context(
                SqlSandbox(database, memory_limit=self.memory_limit, timeout_seconds=self.timeout_seconds)
            )

    @contextmanager
    def open(self, context: StageContext) -> Iterator["SqlVerifier"]:
        from burnish.rewards.sql import SqlVerifier

        with self.sandbox(context) as sandbox:
            verifier = SqlVerifier(sandbox)
            yield verifier
            for remark in verifier.remarks():
                context.warn(remark)


class NumbersJudge(JudgeBase):
    """A completion is right if the number it answers with is that of the task's row."""

    type: Literal["numbers"] = Field(description="kind of judge: numbers")
    key: str = Field("answer", description="key of the row with the number, or with a text that ends in `#### N`")

    tells_right: ClassVar[bool] = True
    elects: ClassVar[bool] = True

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        from burnish.rewards.numbers import NumberVerifier

        return _problem_of(NumberVerifier(self.key).gold, row)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.numbers import NumberVerifier

        return nullcontext(NumberVerifier(self.key))


class _TextJudge(JudgeBase):
    """Keys of the judges that compare texts."""

    ignore_case: bool = Field(True, description="whether A is a")
    ignore_space: bool = Field(True, description="whether white space counts only as the gap between words")
    ignore_punctuation: bool = Field(True, description="whether punctuation at the ends of a text does not count")
    ignore_unicode_form: bool = Field(
        True, description="whether the ways of writing one character, such as full-width letters, are one (NFKC)"
    )

    tells_right: ClassVar[bool] = True
    elects: ClassVar[bool] = True

    @property
    def form(self) -> CommonForm:
        """What does not count."""
        return CommonForm(
            unicode=self.ignore_unicode_form,
            case=self.ignore_case,
            space=self.ignore_space,
            punctuation=self.ignore_punctuation,
        )


class ExactJudge(_TextJudge):
    """An answer is right if it is the expected text, or one of several."""

    type: Literal["exact"] = Field(description="kind of judge: exact")
    key: str = Field("answer", description="key of the row with the text, or a list of texts; else the row's answer")

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        return _problem_of(expected_texts, row, self.key)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        return nullcontext(ExactText(self.key, self.form))


class ContainsJudge(_TextJudge):
    """An answer is right if it contains the expected texts; the score is the share of them that it contains."""

    type: Literal["contains"] = Field(description="kind of judge: contains")
    key: str = Field("answer", description="key of the row with the text, or a list of texts; else the row's answer")
    require: Literal["all", "any"] = Field("all", description="whether all of several texts have to be there, or one")
    words: bool = Field(True, description="whether a text has to be there as whole words")

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        return _problem_of(expected_texts, row, self.key)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        return nullcontext(ContainedText(self.key, self.require == "all", self.words, self.form))


class RegexJudge(_TextJudge):
    """An answer is right if an expression is found in it; with `key`, if the last that it finds is what is expected."""

    type: Literal["regex"] = Field(description="kind of judge: regex")
    pattern: str = Field(
        min_length=1, description="regular expression; what it finds is its first group, or all if it has none"
    )
    key: str | None = Field(None, description="key of the row with what should be found; a match is enough if left out")
    whole: bool = Field(False, description="whether the expression has to cover the whole answer")
    timeout_seconds: float = Field(1.0, gt=0, description="time for one answer; what takes longer is wrong")

    @field_validator("pattern")
    @classmethod
    def _is_expression(cls, pattern: str) -> str:
        try:
            compiled(pattern)
        except DataError as error:
            raise ValueError(str(error).partition("; ")[2]) from error  # what was got is said before
        return pattern

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        return None if self.key is None else _problem_of(expected_texts, row, self.key)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        return nullcontext(MatchedText(self.pattern, self.key, self.whole, self.timeout_seconds, self.form))


class ChoiceJudge(JudgeBase):
    """An answer is right if it takes the right one of the row's options, by its label or its words.

    `evaluate` does not let the model write: the answer is the option that the model finds the most probable.
    """

    type: Literal["choice"] = Field(description="kind of judge: choice")
    choices: str = Field("choices", description="key of the options: a list of texts, or an object of texts by label")
    key: str = Field("answer", description="key of the right one: its label (A, B, …), its place from 0, or its text")
    likelihood: Literal["text", "label"] | None = Field(
        "text",
        description="in `evaluate`, what of an option has to be probable; label needs prompts that show the options; "
        "null: the model writes, and what it writes is read",
    )
    length_normalized: bool = Field(
        True, description="compare log-probabilities a token, so that long options are not at a loss"
    )

    tells_right: ClassVar[bool] = True
    elects: ClassVar[bool] = True
    elects_by_row: ClassVar[bool] = True

    @property
    def judge(self) -> MultipleChoice:
        """What reads the options of rows."""
        return MultipleChoice(self.choices, self.key)

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        return _problem_of(self.judge.options, row)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        return nullcontext(self.judge)


class FormatJudge(JudgeBase):
    """How well a completion keeps to `<think>…</think><answer>…</answer>`: full 1, nothing of it 0."""

    type: Literal["format"] = Field(description="kind of judge: format")
    partial: float = Field(0.5, ge=0, le=1, description="where one of the two blocks is there whole")
    think_opened: bool = Field(False, description="whether the chat template writes the first <think> itself")

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.format import grade_format

        worth = {"full": 1.0, "partial": self.partial, "none": 0.0}

        def grade(_prompt: Any, text: str, _row: Any) -> Judgement:
            found = grade_format(text, think_opened=self.think_opened)
            return Judgement(worth[found], reason=found)

        return nullcontext(each(grade))


class LengthJudge(JudgeBase):
    """0 for completions of up to `max_length - cache` tokens, falling to -1 at `max_length` (DAPO, equation 13)."""

    type: Literal["length"] = Field(description="kind of judge: length")
    max_length: int = Field(ge=2, description="tokens from which on a completion earns -1")
    cache: int = Field(ge=1, description="tokens before that over which the reward falls")

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.length import by_length

        return nullcontext(by_length(max_length=self.max_length, cache=self.cache))


class RewardModelJudge(JudgeBase):
    """The score that a reward model gives to prompt and completion."""

    type: Literal["reward_model"] = Field(description="kind of judge: reward_model")
    model: RewardModelReference = Field(description="@STAGE of a reward_model stage, or the folder of a reward model")

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.learned import by_reward_model

        return nullcontext(by_reward_model(*context.load_reward_model(self.model)))


class ImplicitRewardJudge(JudgeBase):
    """The implicit reward of a model that preferences have trained: beta log π/π_ref of prompt and completion."""

    type: Literal["implicit_reward"] = Field(description="kind of judge: implicit_reward")
    model: ModelReference = Field(description="the model that learned from preferences, for example @dpo")
    reference: ModelReference = Field(description="the model that its training started from, for example @sft")
    beta: float = Field(0.1, gt=0, description="what the ratio is multiplied by: the beta of its training")

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.learned import by_implicit_reward

        (model, tokenizer), (reference, its_own) = context.load(self.model), context.load(self.reference)
        if its_own.vocab_size != tokenizer.vocab_size:
            raise DataError(
                f"{self.reference} has a vocabulary of {its_own.vocab_size} tokens, {self.model} one of "
                f"{tokenizer.vocab_size}; take the model that its training started from"
            )
        return nullcontext(by_implicit_reward(model, reference, tokenizer, beta=self.beta))


class PythonJudge(JudgeBase):
    """A function of yours: `def reward(prompt, completion, row)`, returning a number, True or False, or a Judgement.

    prompt is the list of messages, row the task's row. The file is code that you trust: it runs in this process.
    """

    type: Literal["python"] = Field(description="kind of judge: python")
    file: FileReference = Field(description="Python file, relative to the recipe")
    function: str = Field("reward", description="name of the function in it")

    def actions(self, folder: Path) -> Iterator[Action]:
        yield Action("imports", f", function {self.function}", self.function, self.file)

    def check(self, context: StageContext, tasks: "Sequence[Task]") -> None:
        check_function(context.path(self.file), self.function)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        file = context.path(self.file)
        function = load_function(file, self.function)

        def call(prompt: Any, completion: str, row: Any) -> Judgement:
            try:
                return as_judgement(function(prompt, completion, row))
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                raise BurnishError(f"{file}: {self.function} fails for {completion[:80]!r}: {problem}") from error

        return nullcontext(each(call))


class ChatJudge(JudgeBase):
    """A model behind an OpenAI-compatible address: compares answers two by two, in both orders, or rates each."""

    type: Literal["chat"] = Field(description="kind of judge: chat")
    ask: Literal["compare", "score"] = Field(
        "compare",
        description="compare: the share of its comparisons with the other answers to its prompt that an answer wins, "
        "n (n - 1) requests for n answers; score: a rating of each answer, 0.1 to 1",
    )
    address: str = Field(
        pattern=r"^https?://[^\s/@?#\\]+(/\S*)?$",
        description="what comes before /chat/completions, for example http://localhost:8000/v1; nothing else is asked",
    )
    model: str = Field(min_length=1, description="the model's name at that address")
    api_key_env: str | None = Field(
        None, description="environment variable that holds the key, if one is needed; never the key itself"
    )
    criterion: str = Field(CRITERION, min_length=1, description="what makes an answer the better one")
    key: str | None = Field(
        None, description="key of the row with an answer that is known to be good, which the judge sees when it scores"
    )
    max_tokens: int = Field(512, ge=1, description="longest reply of the judge, in tokens")
    timeout_seconds: float = Field(120.0, gt=0, description="for one attempt")
    retries: int = Field(4, ge=0, description="further attempts where the server is busy or does not answer")
    concurrency: int = Field(4, ge=1, description="requests that wait at the same time")

    @field_validator("api_key_env")
    @classmethod
    def _no_key_in_the_open(cls, name: str | None, info: ValidationInfo) -> str | None:
        from burnish.rewards.chat_endpoint import NO_KEY_OVER_HTTP, exposes_key

        address = info.data.get("address")
        if name is not None and address is not None and exposes_key(address):
            raise ValueError(f"{NO_KEY_OVER_HTTP} (the address is {address})")
        return name

    @property
    def compares(self) -> bool:  # type: ignore[override]
        """Whether its scores are relative."""
        return self.ask == "compare"

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        return None if self.key is None else _problem_of(expected_texts, row, self.key)

    def actions(self, folder: Path) -> Iterator[Action]:
        key = f", with the key in the environment variable {self.api_key_env}" if self.api_key_env else ""
        yield Action("sends", f"prompts and answers to {self.address}{key}")

    def check(self, context: StageContext, tasks: "Sequence[Task]" = ()) -> None:
        if self.api_key_env is not None and not os.environ.get(self.api_key_env):
            raise BurnishError(
                f"{self.title}.api_key_env: the environment variable {self.api_key_env} is not set; export it with the "
                "key"
            )

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        return nullcontext(self._shares(context) if self.ask == "compare" else self._ratings(context))

    def compare(
        self, context: StageContext, comparisons: "Sequence[Comparison]", label: str = "judge"
    ) -> "list[PairVerdict]":
        """Judge all comparisons, with a progress bar."""
        from burnish.rewards.pairwise import PairwiseJudge

        with self._asking(context) as ask, context.display.bar(label, len(comparisons), "comparisons") as bar:
            judge = PairwiseJudge(ask, self.criterion, self.concurrency)
            judgements = judge.judge(comparisons, on_progress=bar.update)
        unclear = sum(one.unclear for one in judgements)
        if unclear:
            context.display.say(f"  {unclear} of {2 * len(judgements)} replies had no verdict and count as ties")
        return judgements

    def _shares(self, context: StageContext) -> Judge:
        """For each answer the share of the comparisons with its neighbours of the same prompt that it wins."""
        from burnish.rewards.pairwise import round_robin, scores

        def judge(answers: "Sequence[Answer]", /) -> list[Judgement]:
            groups = [list(group) for _, group in groupby(answers, key=lambda answer: answer.prompt)]
            rounds = [round_robin(group[0].prompt, [answer.text for answer in group]) for group in groups]
            judged = iter(self.compare(context, [comparison for pairs in rounds for _, comparison in pairs]))
            return [
                Judgement(score)
                for group, pairs in zip(groups, rounds, strict=True)
                for score in scores(len(group), [(places, next(judged)) for places, _ in pairs])
            ]

        return judge

    def _ratings(self, context: StageContext) -> Judge:
        from burnish.rewards.rating import UNCLEAR, RatingJudge

        def judge(answers: "Sequence[Answer]", /) -> list[Judgement]:
            with self._asking(context) as ask, context.display.bar("judge", len(answers), "answers") as bar:
                rating = RatingJudge(ask, self.criterion, self.concurrency, self.key)
                judgements = rating(answers, on_progress=bar.update)
            if unclear := sum(one.reason == UNCLEAR for one in judgements):
                context.display.say(f"  {unclear} of {len(judgements)} replies had no rating and count as 5.5 of 10")
            return judgements

        return judge

    @contextmanager
    def _asking(self, context: StageContext) -> Iterator[Any]:
        """The function that asks; what was damaged among the kept replies is said afterwards."""
        self.check(context)
        endpoint = self._endpoint(context)

        def ask(messages: Any) -> str:
            return endpoint.ask(messages, max_tokens=self.max_tokens)

        yield ask
        if endpoint.damaged:
            context.notice(
                f"{len(endpoint.damaged)} kept answers of the judge were not what it had said, and were asked for "
                f"again, the first in {endpoint.damaged[0]}"
            )

    def _endpoint(self, context: StageContext) -> "ChatEndpoint":
        from burnish.rewards.chat_endpoint import ChatEndpoint

        return ChatEndpoint(
            self.address,
            self.model,
            context.folder.parent / CACHE_FOLDER / "judge",
            api_key=os.environ.get(self.api_key_env) if self.api_key_env else None,
            timeout_seconds=self.timeout_seconds,
            retries=self.retries,
        )


JudgeConfig = Annotated[
    SqlJudge
    | NumbersJudge
    | ExactJudge
    | ContainsJudge
    | RegexJudge
    | ChoiceJudge
    | FormatJudge
    | LengthJudge
    | RewardModelJudge
    | ImplicitRewardJudge
    | PythonJudge
    | ChatJudge,
    Field(discriminator="type"),
]


def judge_problems(
    judges: "Sequence[JudgeConfig]", key: str = "judges", *, taken: Sequence[str] = ()
) -> Iterator[tuple[KeyPath, str]]:
    """Judges that would have one name in the results. taken: names that something else has."""
    names = [judge.title for judge in judges]
    for index, name in enumerate(names):
        if name in (*taken, *names[:index]):
            yield (key, index), f"there is a {key.rstrip('s')} '{name}' already; give this one a `name` of its own"


def check_judges(context: StageContext, judges: "Sequence[JudgeConfig]", tasks: "Sequence[Task]") -> None:
    """Raise BurnishError where one of the judges could not judge the tasks, such as by a gold query that fails."""
    for judge in judges:
        judge.check(context, [task for task in tasks if judge.applies(task.row)])


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
    problems = [f"{task.place}: {problem}" for task in tasks for problem in _row_problems(task.row, judges)]
    if problems:
        more = [f"and {len(problems) - _SHOWN_ROWS} more"] if len(problems) > _SHOWN_ROWS else []
        raise DataError("\n".join(problems[:_SHOWN_ROWS] + more))


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


def check_votes(tasks: "Sequence[Task]", judges: "Sequence[JudgeConfig]", votes: int) -> None:
    """Raise DataError naming file and line of a task whose answers are to vote and cannot."""
    for task in tasks if votes > 1 else ():
        if not any(judge.elects and judge.applies(task.row) for judge in judges):
            raise DataError(f"{task.place}: no judge of this row can tell which answers come to the same; set votes: 1")


def alone_problems(judges: "Sequence[JudgeConfig]", votes: int) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong where each answer is judged alone, but for those that vote on which it is."""
    for index, judge in enumerate(judges):
        if judge.compares:
            yield ("judges", index, "ask"), "compares answers, and here each model gives one; set `ask: score`"
    if votes > 1 and not any(judge.elects for judge in judges):
        yield ("votes",), f"got {votes}; no judge here can tell which answers come to the same: expected 1"


def likelihood_choices(judges: "Sequence[JudgeConfig]") -> list[Choices]:
    """The rows that are answered by the most probable of their options."""
    return [
        Choices(one.judge, one.applies, one.likelihood == "label", one.length_normalized)
        for one in judges
        if isinstance(one, ChoiceJudge) and one.likelihood is not None
    ]
