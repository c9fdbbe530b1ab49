"""A chat remembers, forgets, obeys and never answers twice from the same draw."""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import burnish
from burnish.console import conversation as module
from burnish.console.chat import ChatOptions, Target, find_target, hold_chat
from burnish.console.conversation import Chat
from burnish.errors import BurnishError, DataError
from burnish.generation.engine import Engine
from burnish.generation.request import Completion, Drawn, Request
from burnish.generation.sampling import Sampling
from burnish.recipes.schema.recipe import ChatConfig
from burnish.recipes.schema.stage import StageContext
from burnish.retrieval import Index
from workshop import make_workshop


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    make_workshop(folder)
    return folder / "model"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the model is given: each prompt's text, the sampling and the seed. It answers 1, 2, 3 and so on."""
    calls: list[dict[str, Any]] = []

    class Answering(Engine):
        """Answers with a number instead of the model's tokens."""

        def add(self, request: Request) -> int:
            tokenizer = calls_tokenizer[0]
            calls.append({"prompt": tokenizer.backend.decode(request.prompt, skip_special_tokens=False)})
            calls[-1] |= {"seed": request.seed, "sampling": request.sampling}
            self.answer = tokenizer.encode(str(len(calls)))
            return super().add(request)

        def step(self) -> list[Drawn]:
            (number,) = {*self._running, *(row.number for row in self._waiting)}
            token, *self.answer = self.answer
            if self.answer:
                return [Drawn(number, token, 0.0)]
            self.remove(number)
            return [Drawn(number, token, 0.0, completion=Completion([], 0.0, "length"))]

    calls_tokenizer: list[Any] = []
    load = burnish.load

    def loaded(*args: Any, **options: Any) -> Any:
        decoder, tokenizer = load(*args, **options)
        calls_tokenizer[:] = [tokenizer]
        return decoder, tokenizer

    monkeypatch.setattr(module, "Engine", Answering)
    monkeypatch.setattr(burnish, "load", loaded)
    return calls


def chat(model: Path, questions: Sequence[str], **options: Any) -> str:
    console = Console(file=io.StringIO(), width=200)
    hold_chat(Target(model, device="cpu", compute_dtype="float32"), iter(questions), console, ChatOptions(**options))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_turns_are_remembered_until_reset(model: Path, asked: list[dict[str, Any]]) -> None:
    out = chat(model, ["first?", "second?", "/reset", "third?"], system="Be brief.")
    one, two, three = (call["prompt"] for call in asked)
    assert "first?" in one
    assert "first?" in two
    assert "assistant\n1<|im_end|>" in two
    assert "first?" not in three
    assert all("Be brief." in prompt for prompt in (one, two, three)), "the system prompt stays"
    assert "forgotten" in out


def test_without_memory_each_question_stands_alone(model: Path, asked: list[dict[str, Any]]) -> None:
    chat(model, ["first?", "second?"], memory=False)
    assert "first?" not in asked[1]["prompt"]


def test_a_new_system_prompt_begins_a_new_conversation(model: Path, asked: list[dict[str, Any]]) -> None:
    out = chat(model, ["/system", "a?", "/system Speak French.", "b?", "/system"])
    assert "no system prompt" in out
    assert "system prompt: Speak French." in out
    assert "Speak French." in asked[1]["prompt"]
    assert "a?" not in asked[1]["prompt"]


def test_every_answer_draws_anew_and_a_seed_repeats_them(model: Path, asked: list[dict[str, Any]]) -> None:
    for options in ({"seed": 7}, {"seed": 7}, {}, {}):
        chat(model, ["same?", "same?"], temperature=1.0, **options)
    seeds = [call["seed"] for call in asked]
    assert seeds[0] != seeds[1]
    assert seeds[:2] == seeds[2:4]
    assert len(set(seeds)) == 6


def test_length_and_truncation_reach_the_sampling(model: Path, asked: list[dict[str, Any]]) -> None:
    chat(model, ["?"], temperature=0.5, top_p=0.9, top_k=5, repetition_penalty=1.2, max_new_tokens=3)
    found = asked[0]["sampling"]
    assert (found.temperature, found.top_p, found.top_k) == (0.5, 0.9, 5)
    assert (found.repetition_penalty, found.max_new_tokens) == (1.2, 3)


@pytest.mark.parametrize("option", [{"top_p": 0.5}, {"top_k": 3}])
def test_truncation_without_draws_is_an_error(option: dict[str, Any]) -> None:
    with pytest.raises(BurnishError, match="--temperature"):
        ChatOptions(**option)


def test_commands_end_explain_and_are_not_questions(model: Path, asked: list[dict[str, Any]]) -> None:
    out = chat(model, ["/help", "/rest", "/etc/passwd, what is it?", "//reset is a word", "/exit", "never asked"])
    assert "no such command: /rest. /reset forgets" in out
    assert ["/etc/passwd, what is it?" in asked[0]["prompt"], "\n/reset is a word" in asked[1]["prompt"]] == [True] * 2
    assert len(asked) == 2


def test_a_full_context_ends_a_question_and_not_the_chat_at_the_keyboard(
    model: Path, asked: list[dict[str, Any]]
) -> None:
    out = chat(model, ["word " * 400, "short?"], keyboard=True)
    assert "start a new one with /reset" in out
    assert len(asked) == 1
    with pytest.raises(DataError, match="leaves no room"):
        chat(model, ["word " * 400, "short?"])


def test_ctrl_c_stops_an_answer_and_forgets_its_question(
    model: Path, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering = module.Engine

    class Interrupted(answering):  # type: ignore[misc, valid-type]
        def step(self) -> list[Drawn]:
            drawn: list[Drawn] = super().step()
            if len(asked) == 1:
                raise KeyboardInterrupt
            return drawn

    monkeypatch.setattr(module, "Engine", Interrupted)
    out = chat(model, ["long?", "next?"], keyboard=True)
    assert "the question is forgotten" in out
    assert "long?" not in asked[1]["prompt"]


def test_a_seeded_chat_gives_the_same_text_twice(model: Path) -> None:
    decoder, tokenizer = burnish.load(model, device="cpu", compute_dtype="float32")
    sampling = Sampling(temperature=1.0, max_new_tokens=8)
    one, two = (Chat(decoder, tokenizer, sampling=sampling, seed=3) for _ in range(2))
    first = ["".join(one.ask("1 mod 3?")) for _ in range(2)]
    assert first == ["".join(two.ask("1 mod 3?")) for _ in range(2)]
    assert first[0] != first[1]


def test_a_conversation_goes_on_from_its_keys_and_values(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reused: list[int] = []
    prompts: list[int] = []
    step = Engine.step

    def watched(engine: Engine) -> list[Drawn]:
        drawn = step(engine)
        reused.extend(one.completion.reused for one in drawn if one.completion is not None)
        prompts.extend(len(row.prompt) for row in engine._running.values())
        return drawn

    monkeypatch.setattr(Engine, "step", watched)
    decoder, tokenizer = burnish.load(model, device="cpu", compute_dtype="float32")
    with_memory = Chat(decoder, tokenizer, system="Be brief.", sampling=Sampling(temperature=0, max_new_tokens=8))
    answers = ["".join(with_memory.ask(f"{number} mod 3?")) for number in range(3)]
    assert reused[0] == 0
    assert reused[2] > reused[1] > 10, "the system prompt, then also the turns before"
    for number, answer in enumerate(answers[:1]):
        fresh = Chat(decoder, tokenizer, system="Be brief.", sampling=Sampling(temperature=0, max_new_tokens=8))
        assert answer == "".join(fresh.ask(f"{number} mod 3?"))


@pytest.mark.parametrize("command", ["/top-p 0.5", "/top_p 7", "/Temperature 1", "/length2"])
def test_what_looks_like_a_command_is_not_asked(command: str, model: Path, asked: list[dict[str, Any]]) -> None:
    assert "no such command: " + command.split()[0].lower() in chat(model, [command])
    assert not asked
    chat(model, ["/usr/bin is what?"])
    assert len(asked) == 1, "a path is a question"


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b'{"chat": []}',
        b'{"chat": null, "chat_inputs": [], "model": "m"}',
        b'{"chat": null, "chat_inputs": {}, "model": "m"}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_runs_record_that_is_broken_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(BurnishError, match=r"run\.json: not what a run writes"):
        find_target(tmp_path)


def test_a_name_that_is_too_long_for_a_file_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match="no such file or folder"):
        find_target(tmp_path / ("x" * 5000))


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_system_prompt_that_is_no_text_is_named(content: bytes | None, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    if content is None:
        os.mkfifo(tmp_path / "system.txt")  # would never be read to its end
    else:
        (tmp_path / "system.txt").write_bytes(content)
    run = {"chat": None, "system": "@prepare/system.txt", "chat_inputs": {"@prepare/system.txt": ["system.txt"]}}
    run |= {"model": "model", "device": "cpu", "compute_dtype": "float32", "recipe": "recipe.yaml"}
    (tmp_path / "run.json").write_text(json.dumps(run))
    with pytest.raises(DataError, match=r"system\.txt"):
        find_target(tmp_path)


@pytest.mark.parametrize(
    ("judge", "threshold", "said"),
    [
        ({"type": "regex", "pattern": "(?s).*"}, 1, None),
        ({"type": "regex", "pattern": "never said"}, 1, "no answer: of 3 none has a better one than 0, and it takes 1"),
        ({"type": "length", "max_length": 2, "cache": 1}, -2, None),
    ],
)
def test_only_answers_that_pass_the_gate_are_given(
    judge: dict[str, Any], threshold: float, said: str | None, model: Path, tmp_path: Path
) -> None:
    config = ChatConfig.model_validate({"gate": {"judge": judge, "threshold": threshold, "attempts": 3}})
    context = StageContext(
        folder=tmp_path, device="cpu", compute_dtype="float32", inputs={}, input_keys={}, recipe_folder=tmp_path
    )
    target = Target(model, config=config, device="cpu", compute_dtype="float32", context=context)
    plain = chat(model, ["How many?"], max_new_tokens=5, seed=1)
    console = Console(file=io.StringIO(), width=200)
    hold_chat(target, iter(["How many?"]), console, ChatOptions(max_new_tokens=5, seed=1))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert shown == (plain if said is None else said + "\n")
    with pytest.raises(BurnishError, match="--votes: this target's recipe has a gate"):
        hold_chat(target, iter([]), console, ChatOptions(votes=3))


@pytest.mark.parametrize(
    ("judge", "problem"),
    [
        ({"type": "numbers"}, "reads a row, and a question has none: 'answer': no number in None"),
        ({"type": "format", "where": {"kind": "sum"}}, "`where` chooses among rows"),
        ({"type": "chat", "address": "http://localhost/v1", "model": "m"}, "compares answers, and there is one"),
    ],
)
def test_a_gate_needs_a_judge_that_reads_no_row(judge: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ChatConfig.model_validate({"gate": {"judge": judge, "threshold": 1}})


@pytest.fixture(scope="module")
def well_read(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model with room for passages, and an index."""
    folder = tmp_path_factory.mktemp("well-read")
    make_workshop(folder, context=2048)
    (folder / "leave.md").write_text("# Leave\n\nEveryone has thirty days of leave.\n")
    return folder / "model", Index.build(folder / "leave.md", folder / "index")[0].folder


def test_with_an_index_the_question_stands_behind_its_passages(
    well_read: tuple[Path, Path], asked: list[dict[str, Any]]
) -> None:
    model, index = well_read
    out = chat(model, ["How many days of leave?", "zebra?", "And days?"], retrieve=index)
    one, two, three = (call["prompt"] for call in asked)
    assert "[1] leave.md, Leave\nEveryone has thirty days of leave.\n\nQuestion: How many days of leave?" in one
    assert "[1] leave.md, Leave" in out
    assert "answered without passages: the index has nothing about it" in out
    assert "Everyone" not in two, "of the turns before only the questions and answers are seen"
    assert three.count("Everyone") == 1
    assert "How many days of leave?" in three


def test_passages_without_room_are_told(
    model: Path, well_read: tuple[Path, Path], asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    wide, index = well_read
    for named, options in ((wide, {"passage_tokens": 5}), (model, {"max_new_tokens": 200})):
        out = chat(named, ["leave?"], retrieve=index, **options)
        assert "answered without passages: none of the passages found has room" in out
        assert "Everyone" not in asked[-1]["prompt"]
    with pytest.raises(BurnishError, match="there is no such folder"):
        chat(model, ["leave?"], retrieve=tmp_path / "none")
    with pytest.raises(BurnishError, match="was made without a graph"):
        chat(wide, ["leave?"], retrieve=index, ranking="graph")


@pytest.mark.parametrize(("system", "shown"), [(None, "Answer in SQL."), ("", None), ("Be brief.", "Be brief.")])
def test_an_empty_system_prompt_takes_the_recipes_away(
    model: Path, asked: list[dict[str, Any]], system: str | None, shown: str | None
) -> None:
    target = Target(model, "Answer in SQL.", device="cpu", compute_dtype="float32")
    hold_chat(target, iter(["one?"]), Console(file=io.StringIO()), ChatOptions(system=system))
    prompt = asked[0]["prompt"]
    assert ("<|im_start|>system" in prompt) == (shown is not None)
    assert shown is None or shown in prompt


def test_an_answer_without_a_query_is_said_to_have_none(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    duckdb.connect(str(tmp_path / "t.duckdb")).close()
    monkeypatch.setattr(module.Chat, "ask", lambda chat, question: iter(["<think>", "select 1"]))
    config = ChatConfig.model_validate({"judges": [{"type": "sql", "database": "t.duckdb"}]})
    context = StageContext(
        folder=tmp_path,
        device="cpu",
        compute_dtype="float32",
        inputs={"t.duckdb": (tmp_path / "t.duckdb",)},
        input_keys={},
        recipe_folder=tmp_path,
    )
    target = Target(model, config=config, device="cpu", compute_dtype="float32", context=context)
    console = Console(file=io.StringIO(), width=200)
    hold_chat(target, iter(["How many?"]), console, ChatOptions())
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert shown == "<think>select 1\nno query in the answer\n"
