"""Questions to a model, or to the model that a run has made.

With a run's folder the system prompt and the judges are those of its recipe: they tell which of several answers come to
the same, and a judge of SQL shows the rows that a query returns.
"""

import json
import re
import secrets
import shlex
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import burnish
from burnish.console.conversation import Chat
from burnish.console.display import Display
from burnish.errors import BurnishError, DataError
from burnish.generation.answer import Answer
from burnish.generation.grammar import Grammars
from burnish.generation.sampling import Sampling
from burnish.methods.answering import Form
from burnish.recipes.plan.outside import removal
from burnish.recipes.schema.formed import GrammarName, form_of
from burnish.recipes.schema.judges import JudgeConfig, open_judges
from burnish.recipes.schema.recipe import ChatConfig
from burnish.recipes.schema.stage import StageContext, exists, read_text
from burnish.retrieval import Index
from burnish.retrieval.examples import Examples
from burnish.retrieval.grounding import Grounded, Passages, cited
from burnish.retrieval.routing import Router, told
from burnish.retrieval.settings import PASSAGE_TOKENS, Ranking
from burnish.rewards.gate import none_passed
from burnish.rewards.judgement import Judge, WeightedJudge, judge_answers, judged_answers
from burnish.rewards.sql import Result, SqlVerifier, extract_sql
from burnish.rewards.votes import VOTE_TEMPERATURE, Choose, Electing, choose_answer, guidance
from burnish.runs.names import RUN_FILE
from burnish.terminal import printable

SHOWN_ROWS = 20
MODEL_FILES = ("config.json", "burnish.json", "adapter_config.json")
"""Of which a model's folder has one."""
HELP = "/reset forgets the conversation, /system TEXT sets the system prompt, /system shows it, /exit ends."
COMMAND = re.compile(r"/(?P<name>[A-Za-z][\w-]*)(?P<rest>\s.*)?", re.DOTALL)


@dataclass(frozen=True)
class Target:
    """A model and how to talk to it.

    context: what the judges of its recipe are opened with, where it has a run. index: what its recipe answers from.
    """

    model: Path
    system: str | None = None
    config: ChatConfig = field(default_factory=ChatConfig)
    device: str = "auto"
    compute_dtype: str = "auto"
    context: StageContext | None = None
    index: Path | None = None

    def prompt(self, asked: str | None) -> str | None:
        """The system prompt: what was asked for, of which an empty one is none; its own where nothing was."""
        return self.system if asked is None else asked or None

    def form(self, grammar: GrammarName | None) -> Form | None:
        """What makes the grammar of answers. Raises BurnishError where no database says what may be named."""
        if grammar is None:
            return None
        found = None if self.context is None else form_of(self.context, grammar, self.config.judges)
        if found is None:
            raise BurnishError(
                f"a grammar for {grammar}: {self.model} has no database; expected a run whose recipe has a judge of "
                "type sql in `chat.judges`"
            )
        return found


def find_target(path: Path) -> Target:
    """What `burnish chat PATH` talks to: a run's model with its recipe's `chat`, or a model as it is.

    Raises BurnishError when the path is neither, or the run has no finished model.
    """
    file = path / RUN_FILE
    if not (exists(file) and file.is_file()):
        if not exists(path):
            hint = removal(path) or "; expected a run's folder, a model folder or a .gguf file"
            raise BurnishError(f"{path}: no such file or folder{hint}")
        if path.is_dir() and not any((path / name).exists() for name in MODEL_FILES):
            raise BurnishError(f"{path}: neither a run's folder (no {RUN_FILE}) nor a model's (no config.json)")
        return Target(path)
    try:
        run = json.loads(read_text(file))
        own = {key: value for key, value in (run["chat"] or {}).items() if value is not None}
        config = ChatConfig.model_validate_json(json.dumps({"system": run.get("system"), **own}))
        inputs = {written: [path / inner for inner in inners] for written, inners in run["chat_inputs"].items()}
        paths = {written: inners for written, inners in inputs.items() if inners}
        model = path / run["model"]
        device, compute_dtype = str(run["device"]), str(run["compute_dtype"])
        again = f"burnish run {shlex.quote(run['recipe'])}"
    except (DataError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BurnishError(f"{file}: not what a run writes ({error!r}); run the recipe again") from error
    if not model.exists():
        raise BurnishError(f"{path}: the run has no finished model yet; go on with: {again}")
    context = StageContext(
        folder=path / "chat",
        device=device,
        compute_dtype=compute_dtype,
        inputs={written: tuple(inners) for written, inners in paths.items()},
        input_keys={},
        recipe_folder=path,
    )
    index = None if config.retrieval is None else context.path(config.retrieval.index)
    return Target(model, _system_prompt(config, paths), config, device, compute_dtype, context, index)


def _system_prompt(config: ChatConfig, paths: dict[str, list[Path]]) -> str | None:
    if config.system is None or config.system not in paths:
        return config.system
    return read_text(paths[config.system][0])


@dataclass(frozen=True, kw_only=True)
class ChatOptions:
    """What the command line says beside the target; None leaves it to the recipe or the default.

    temperature None: 0, or 0.7 with votes. votes: answers that are sampled, of which `choose` says which is given: what
    most come to, what scores highest, or what weighs most by both. retrieve: the index whose best `passages`, together
    of at most `passage_tokens` tokens by `ranking`, questions are answered from. grammar: the form of answers. seed
    None: another one every time. keyboard: whether a person types the questions, so that a mistake or Ctrl-C ends an
    answer and not the chat.
    """

    system: str | None = None
    temperature: float | None = None
    votes: int = 1
    choose: Choose = "votes"
    retrieve: Path | None = None
    grammar: GrammarName | None = None
    passages: int | None = None
    passage_tokens: int | None = None
    ranking: Ranking | None = None
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float | None = None
    stop: tuple[str, ...] | None = None
    max_new_tokens: int | None = None
    memory: bool | None = None
    seed: int | None = None
    keyboard: bool = False
    intents: Path | None = None
    examples: Path | None = None

    def __post_init__(self) -> None:
        if self.votes > 1 and self.temperature == 0:
            raise BurnishError("--votes: at --temperature 0 all answers are the same; expected one above 0")
        if self.votes == 1 and self.choose != "votes":
            raise BurnishError(f"--choose {self.choose}: of several answers; add --votes, for example --votes 8")
        if self._temperature == 0 and (self.top_k > 0 or self.top_p < 1):
            raise BurnishError(
                "--top-k and --top-p choose among tokens that are drawn, and at --temperature 0 none is drawn; "
                "add for example --temperature 0.7"
            )

    @property
    def _temperature(self) -> float:
        usual = VOTE_TEMPERATURE if self.votes > 1 else 0.0
        return usual if self.temperature is None else self.temperature

    def sampling(self, config: ChatConfig) -> Sampling:
        return Sampling(
            temperature=self._temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            repetition_penalty=config.repetition_penalty
            if self.repetition_penalty is None
            else self.repetition_penalty,
            stop_strings=tuple(config.stop) if self.stop is None else self.stop,
            max_new_tokens=self.max_new_tokens or config.max_new_tokens,
        )


def hold_chat(target: Target, questions: Iterable[str], console: Console, options: ChatOptions) -> None:
    """Answer questions on the console; where a judge of the target runs SQL, also show what each query returns.

    A line that begins with `/` and a word is a command to the chat (`HELP`); `//` begins a question with `/`.
    """
    gate = target.config.gate
    if options.votes > 1 and gate is not None:
        raise BurnishError("--votes: this target's recipe has a gate, `chat.gate`, which takes one answer at a time")
    used = _needed_judges(target.config.judges, options)
    passages = _passages(target, options)
    decoder, tokenizer = burnish.load(target.model, device=target.device, compute_dtype=target.compute_dtype)
    form = target.form(options.grammar or target.config.grammar)
    chat = Chat(
        decoder,
        tokenizer,
        system=target.prompt(options.system),
        sampling=options.sampling(target.config),
        memory=target.config.memory if options.memory is None else options.memory,
        seed=secrets.randbits(32) if options.seed is None else options.seed,
        passages=passages,
        router=_router(target, options, passages),
        examples=read_examples(options.examples),
        grammar=None if form is None else form(Grammars(tokenizer, decoder.config.vocab_size)),
    )
    with ExitStack() as stack:
        judges: list[WeightedJudge] = []
        keeper: Judge | None = None
        if gate is not None and target.context is not None:
            gate.judge.check(target.context, [])
            keeper = stack.enter_context(gate.judge.open(replace(target.context, display=Display(console))))
        if used and target.context is not None:
            judges = stack.enter_context(open_judges(replace(target.context, display=Display(console)), used))
        sandbox = next((one.judge.sandbox for one in judges if isinstance(one.judge, SqlVerifier)), None)
        for question in questions:
            if (command := command_of(question)) is not None:
                said = obey(chat, *command)
                if said is None:
                    return
                console.print(Text(printable(said), style="dim"))
                continue
            question = question.removeprefix("/") if question.startswith("//") else question
            try:
                intent = chat.decide(question)
                if intent is not None:
                    console.print(Text(printable(told(intent)), style="cyan"))
                if options.votes > 1:
                    answer = _show(_chosen(chat, question, options, judges, console), console)
                elif gate is not None and keeper is not None:
                    found = chat.gated(question, keeper, threshold=gate.threshold, attempts=gate.attempts)
                    if found.answer is None:
                        said = none_passed(found.attempts, found.score, gate.threshold)
                        console.print(said, style="yellow", highlight=False)
                        continue
                    answer = _show([found.answer.text], console)
                else:
                    answer = _show(chat.ask(question), console)
                if chat.found is not None:
                    _show_sources(chat.found, answer, console)
                if sandbox is not None and (intent is None or "database" in intent.ways):
                    sql = extract_sql(answer)
                    result = sandbox.execute(sql) if sql.strip() else Result(error="no query in the answer")
                    console.print(_result_table(result))
            except (DataError, KeyboardInterrupt) as error:
                if not options.keyboard:
                    raise
                forgotten(error, console)


def _router(target: Target, options: ChatOptions, passages: Passages | None) -> Router | None:
    """What decides by intents where answers are looked up; None without."""
    if options.intents is None:
        return None
    tables = target.context is not None and any(judge.type == "sql" for judge in target.config.judges)
    return Router.open(
        options.intents, ways_of(passages, tables=tables, examples=options.examples), device=target.device
    )


def ways_of(passages: Passages | None, *, tables: bool, examples: Path | None) -> list[str]:
    """In which ways answers can be looked up here."""
    there = {
        "documents": passages is not None,
        "graph": passages is not None and passages.index.settings.graph,
        "database": tables,
        "examples": examples is not None,
    }
    return [way for way, yes in there.items() if yes]


def read_examples(file: Path | None) -> Examples | None:
    """Solved examples from a file of conversations: question and answer of each. Raises DataError for a bad row."""
    if file is None:
        return None
    from burnish.datasets.rows import read_conversations

    pairs = []
    for row in read_conversations([file]):
        turns = [turn for turn in row.messages if turn.get("role") in ("user", "assistant")][-2:]
        if [turn.get("role") for turn in turns] == ["user", "assistant"]:
            asked, answered = (str(turn.get("content") or "") for turn in turns)
            pairs.append((asked, answered))
    if not pairs:
        raise BurnishError(f"--examples {file}: no row has a question and its answer")
    return Examples(pairs)


def _show(pieces: Iterable[str], console: Console) -> str:
    answer = ""
    for piece in pieces:
        answer += piece
        console.out(printable(piece), end="", highlight=False)
    console.out("")
    return answer


def _passages(target: Target, options: ChatOptions) -> Passages | None:
    """What questions are answered from: as said, else as the recipe has it, else nothing."""
    config = target.config.retrieval
    folder = options.retrieve or target.index
    if folder is None:
        return None
    return Passages(
        Index.open(folder, device=target.device, compute_dtype=target.compute_dtype),
        k=options.passages or (4 if config is None else config.passages),
        max_tokens=options.passage_tokens or (PASSAGE_TOKENS if config is None else config.passage_tokens),
        ranking=options.ranking or (None if config is None else config.ranking),
    )


def _show_sources(found: Grounded, answer: str, console: Console) -> None:
    """The passages that the question was given, those that the answer names bright."""
    named = cited(answer, len(found.hits))
    if not found.hits:
        why = "none of the passages found has room" if found.left_out else "the index has nothing about it"
        console.print(f"answered without passages: {why}", style="yellow")
        return
    for number, hit in enumerate(found.hits, start=1):
        console.print(Text(f"[{number}] {printable(hit.place)}", style="cyan" if number in named else "dim"))
    if found.left_out:
        console.print(f"{found.left_out} further passages had no room", style="dim")


class Talk(Protocol):
    """A conversation that commands are given to."""

    system: str | None

    def reset(self) -> None:
        """Forget the turns so far."""


def command_of(question: str) -> tuple[str, str] | None:
    """A line's command and what stands behind it; None for a question."""
    found = COMMAND.fullmatch(question)
    return None if found is None else (found["name"].lower(), (found["rest"] or "").strip())


def obey(talk: Talk, name: str, rest: str, help_text: str = HELP) -> str | None:
    """Do what a command says; returns what to show, None to end the chat."""
    if name in ("exit", "quit"):
        return None
    if name == "reset":
        talk.reset()
        return "forgotten; the system prompt stays"
    if name == "system" and rest:
        talk.system = rest
        talk.reset()
        return "a new system prompt, and a new conversation"
    if name == "system":
        return f"system prompt: {talk.system}" if talk.system else "no system prompt; set one with /system TEXT"
    return help_text if name == "help" else f"no such command: /{name}. {help_text}"


def forgotten(error: BaseException, console: Console) -> None:
    """Say why a question was not answered, and go on."""
    console.out("")
    text = "stopped; the question is forgotten" if isinstance(error, KeyboardInterrupt) else str(error)
    console.print(Text(printable(text), style="red"))


def _needed_judges(judges: list[JudgeConfig], options: ChatOptions) -> list[JudgeConfig]:
    """The judges that see what answers come to, or score them. Raises BurnishError where one is needed and missing."""
    electing = next((judge for judge in judges if judge.elects and not judge.elects_by_row), None)
    if options.votes > 1 and options.choose != "best" and electing is None:
        raise BurnishError(
            "--votes: needs a judge that tells which answers come to the same, and this target's recipe "
            "has none in `chat.judges`"
        )
    scoring = [judge for judge in judges if not judge.tells_right] if options.choose != "votes" else []
    if options.choose != "votes" and not scoring:
        raise BurnishError(
            f"--choose {options.choose}: needs a judge that scores answers, such as reward_model, and this target's "
            "recipe has none in `chat.judges`"
        )
    return scoring if electing is None else [electing, *scoring]


def _chosen(
    chat: Chat, question: str, options: ChatOptions, judges: list[WeightedJudge], console: Console
) -> Iterator[str]:
    """The one of several answers that is given; what speaks for it goes to the console."""

    def choose(answers: list[Answer]) -> int:
        scores: list[float] = []
        if options.choose != "votes":
            scoring = [one for one in judges if not isinstance(one.judge, Electing)]
            judged = judged_answers(scoring, answers, judge_answers(scoring, answers))
            scores = [guidance(scoring, one, options.choose) for one in judged]
        election = choose_answer(judges, answers, options.choose, scores)
        said = f"{election.votes} of {options.votes} answers agree"
        if options.choose != "votes":
            said = f"score {scores[election.winner]:.3g}" + (f", {said}" if options.choose != "best" else "")
        console.print(f"{said}:", style="dim")
        return election.winner

    yield chat.elect(question, options.votes, choose)


def _result_table(result: Result) -> Table | Text:
    if result.error is not None:
        return Text(printable(result.error), style="red")
    table = Table(box=box.SIMPLE_HEAD)
    for column in result.columns:
        table.add_column(Text(printable(column)))
    for row in result.rows[:SHOWN_ROWS]:
        table.add_row(*(Text("NULL", style="dim") if value is None else Text(printable(str(value))) for value in row))
    if len(result.rows) > SHOWN_ROWS:
        table.caption = f"{SHOWN_ROWS} of {len(result.rows):,} rows"
    return table
