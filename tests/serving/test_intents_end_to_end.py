"""`burnish chat --intents` and `burnish serve --intents`: what a question wants decides what the model is given."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from burnish.console.chat import ChatOptions, Target, hold_chat
from burnish.console.serving import Serving
from burnish.corpus.embeddings import Encoder
from burnish.errors import BurnishError
from burnish.retrieval import Index, intents
from burnish.retrieval.intents import LabelledQuestion
from burnish.serving.api.settings import ServerSettings
from scripted_engine import ScriptedEngine
from served import LIMITS, Running, running
from tiny_encoder import save_encoder
from workshop import make_workshop, tiny_tokenizer

GROUPS = {
    "help": ("cancel task", "cancel queue", "task queue", "cancel, task", "queue cancel task", "task cancel queue"),
    "figures": ("a b c", "d e f", "g h i", "a c e", "b d f", "c b a"),
}
HELP, FIGURES = GROUPS["help"][0], GROUPS["figures"][0]


@dataclass
class Place:
    """Files of a small installation. prompts: what the model was given."""

    model: Path
    index: Path
    intents: Path
    examples: Path
    prompts: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("intents")
    make_workshop(folder / "workshop", context=2048)
    encoder = Encoder(str(save_encoder(folder / "encoder")), compute_dtype="float32", device="cpu")
    questions = [LabelledQuestion(text, name) for name, texts in GROUPS.items() for text in texts]
    found = intents.train(questions, {"help": ("documents",), "figures": ("examples",)}, encoder)
    found.save(folder / "intents.safetensors")
    (folder / "docs").mkdir()
    (folder / "docs" / "tasks.md").write_text("# Tasks\n\nCall cancel to cancel a task.\n")
    Index.build(folder / "docs", folder / "index")
    turns = [{"role": "user", "content": "a b d"}, {"role": "assistant", "content": "SELECT 4"}]
    (folder / "examples.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    paths = folder / "index", folder / "intents.safetensors", folder / "examples.jsonl"
    return Place(folder / "workshop" / "model", *paths)


@pytest.fixture
def place(files: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    one = replace(files, prompts=[])

    def writes(prompt: str) -> str:
        one.prompts.append(prompt)
        return "See [1]."

    tokenizer = replace(tiny_tokenizer(), context_length=2048)
    make: Callable[..., ScriptedEngine] = lambda *_, **__: ScriptedEngine(tokenizer, writes)  # noqa: E731
    monkeypatch.setattr("burnish.console.conversation.Engine", make)
    monkeypatch.setattr("burnish.serving.api.app.Engine", make)
    return one


def given_as_wanted(prompts: list[str]) -> bool:
    """Whether a question for help stood behind its passage alone, and one for figures behind a solved example."""
    helped, figured = prompts
    return (
        "Call cancel to cancel a task." in helped
        and "SELECT 4" not in helped
        and "a b d<|im_end|>" in figured
        and "SELECT 4<|im_end|>" in figured
        and "passages" not in figured
    )


def test_a_chat_says_what_a_question_wants_and_looks_there(place: Place) -> None:
    console = Console(file=io.StringIO(), width=120)
    options = ChatOptions(intents=place.intents, examples=place.examples, retrieve=place.index, memory=False)
    hold_chat(Target(place.model, device="cpu", compute_dtype="float32"), iter([HELP, FIGURES]), console, options)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0].startswith("intent: help (")
    assert lines[0].endswith("→ documents")
    assert lines[2] == "[1] tasks.md, Tasks"
    assert lines[3].startswith("intent: figures (")
    assert lines[3].endswith("→ examples")
    assert len(lines) == 5, "nothing is cited where nothing was looked up"
    assert given_as_wanted(place.prompts)


@pytest.fixture
def server(place: Place) -> Iterator[Running]:
    serving = Serving.of(place.model, None, retrieve=place.index, device="cpu")
    serving = replace(serving, intents=place.intents, examples=place.examples)
    with serving.opened() as load:
        served = load(place.model, ServerSettings(name="tiny", limits=LIMITS))
        more = {"passages": served.passages, "router": served.router, "examples": served.examples}
        with running((served.decoder, served.tokenizer), more=more) as one:
            yield one


def test_a_server_tells_the_hop_and_looks_there(server: Running, place: Place) -> None:
    found = [server.post(messages=[{"role": "user", "content": text}]).json() for text in (HELP, FIGURES)]
    assert [one["burnish"]["intent"]["name"] for one in found] == ["help", "figures"]
    assert [one["burnish"]["intent"]["ways"] for one in found] == [["documents"], ["examples"]]
    (cited,) = found[0]["burnish"]["citations"]
    assert (cited["document"], cited["text"]) == ("tasks.md", "Call cancel to cancel a task.")
    assert "citations" not in found[1]["burnish"]
    assert given_as_wanted(place.prompts)


def test_a_stream_tells_the_hop_before_the_answer(server: Running) -> None:
    messages: Any = [{"role": "user", "content": HELP}]
    chunks = list(server.client().chat.completions.create(model="tiny", messages=messages, stream=True))
    told = next(i for i, chunk in enumerate(chunks) if "burnish" in (chunk.model_extra or {}))
    said = next(i for i, chunk in enumerate(chunks) if chunk.choices and chunk.choices[0].delta.content)
    assert told < said
    assert set(chunks[told].model_extra["burnish"]) == {"intent", "citations"}


def test_what_an_intent_needs_and_is_not_there_is_said_at_the_start(place: Place) -> None:
    serving = Serving.of(place.model, None, retrieve=None, device="cpu")
    serving = replace(serving, intents=place.intents, examples=place.examples)
    with pytest.raises(BurnishError, match="help is answered from documents, which needs an index: --retrieve INDEX"):
        serving.opened().__enter__()
