"""Every method trains from Python: rows and settings in, a model that loads and its measurements out."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import burnish
from burnish.corpus.documents import Document
from burnish.corpus.text_tokens import tokenize
from burnish.corpus.token_corpus import TokenCorpus
from burnish.corpus.windows import pack
from burnish.datasets.rows import Conversation, Labelled, Preference, Ranking, Stepwise
from burnish.errors import BurnishError, DataError
from burnish.methods import cpt, dpo, kto, outcome_reward_model, process_reward_model, reward_model, sft
from burnish.methods.settings import LoraSettings, TrainingSettings
from burnish.nn.decoder import Decoder
from burnish.nn.lora import lora_config
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer
from burnish.training.events import read_events
from workshop import make_workshop

TRAINING = {"learning_rate": 5e-3, "batch_size": 4, "epochs": 4, "micro_batch_tokens": 200}


def said(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


ASKED = [
    (said("user", f"{i} mod 3?"), said("assistant", f"SELECT {i % 3}"), said("assistant", "prose")) for i in range(12)
]
ROWS: dict[str, list[Any]] = {
    "sft": [Conversation(question + right) for question, right, _ in ASKED],
    "dpo": [Preference(*turns) for turns in ASKED],
    "kto": [Labelled(turns[0], turns[1 + i % 2], i % 2 == 0) for i, turns in enumerate(ASKED)],
    "reward_model": [Ranking(question, [right, wrong]) for question, right, wrong in ASKED],
    "process_reward_model": [
        Stepwise(turns[0], ["SELECT 1", turns[1 + i % 2][0]["content"]], [1.0, 1.0 - i % 2])
        for i, turns in enumerate(ASKED)
    ],
    "outcome_reward_model": [Labelled(turns[0], turns[1 + i % 2], i % 2 == 0) for i, turns in enumerate(ASKED)],
}
LOADERS: dict[str, Callable[..., Any]] = {
    "reward_model": burnish.load_reward_model,
    "process_reward_model": burnish.load_process_reward_model,
    "outcome_reward_model": burnish.load_reward_model,
}
METHODS: Mapping[str, tuple[Callable[..., dict[str, Any]], TrainingSettings, str]] = {
    "sft": (sft.train, sft.Settings.model_validate({"heldout": 0.3, "training": TRAINING}), "heldout_loss"),
    "dpo": (dpo.train, dpo.Settings.model_validate({"heldout": 3, "training": TRAINING}), "heldout"),
    "kto": (kto.train, kto.Settings.model_validate({"heldout": 4, "training": TRAINING}), "heldout"),
    "reward_model": (
        reward_model.train,
        reward_model.Settings.model_validate({"heldout": 3, "training": TRAINING}),
        "heldout",
    ),
    "process_reward_model": (
        process_reward_model.train,
        process_reward_model.Settings.model_validate({"heldout": 4, "training": TRAINING}),
        "heldout",
    ),
    "outcome_reward_model": (
        outcome_reward_model.train,
        outcome_reward_model.Settings.model_validate({"heldout": 4, "training": TRAINING}),
        "heldout",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workshop(tmp_path_factory.mktemp("workshop")).parent / "model"


def loaded(folder: Path) -> tuple[Decoder, Tokenizer]:
    return burnish.load(folder, compute_dtype="float32", device="cpu")


def loss(measured: Any) -> float:
    return float(measured["loss"] if isinstance(measured, dict) else measured)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_learns_and_leaves_a_model(name: str, folder: Path, tmp_path: Path) -> None:
    train, settings, key = METHODS[name]
    run = Run(tmp_path / "run" / name)
    measured = train(*loaded(folder), ROWS[name], settings, run)
    assert loss(measured[key]["after"]) < loss(measured[key]["before"])
    assert json.loads(json.dumps(measured)) == measured
    assert len((run.folder / "events.jsonl").read_text().splitlines()) == measured["steps"]
    load = LOADERS.get(name, burnish.load)
    assert load(run.folder / "model", compute_dtype="float32", device="cpu")


@pytest.mark.parametrize(
    ("name", "lora"),
    [(name, False) for name in METHODS] + [("sft", True), ("process_reward_model", True), ("reward_model", True)],
)
def test_a_method_looks_at_what_is_held_out_and_keeps_models_on_the_way(
    name: str, lora: bool, folder: Path, tmp_path: Path
) -> None:
    train, settings, key = METHODS[name]
    on_the_way = {"eval_steps": 2, "keep_best": True, "snapshot_steps": 3, "residual_dropout": 0.1, "epochs": 2}
    changes: dict[str, Any] = {"training": settings.training.model_copy(update=on_the_way)}
    if lora:
        changes["lora"] = LoraSettings.model_validate({"rank": 2})
    run = Run(tmp_path / "run" / name)
    measured = train(*loaded(folder), ROWS[name], settings.model_copy(update=changes), run)
    steps = measured["steps"]
    looked = {event["step"] + 1: event["eval_loss"] for event in read_events(run.folder) if "eval_loss" in event}
    assert list(looked) == sorted({*range(2, steps + 1, 2), steps})
    assert measured["best_eval_loss"] == min(looked.values()) == looked[measured["best_step"]]
    assert loss(measured[key]["after"]) == pytest.approx(measured["best_eval_loss"], rel=1e-4)
    load = LOADERS.get(name, burnish.load)
    for step in range(3, steps + 1, 3):
        kept, _ = load(run.folder / "snapshots" / str(step), compute_dtype="float32", device="cpu")
        assert lora_config(kept.decoder if name in LOADERS else kept) is None


@pytest.mark.parametrize("name", METHODS)
def test_looking_needs_something_held_out(name: str, folder: Path, tmp_path: Path) -> None:
    train, settings, _ = METHODS[name]
    training = settings.training.model_copy(update={"eval_steps": 2})
    with pytest.raises(BurnishError, match=r"training\.eval_steps: got 2, but nothing is held out"):
        train(
            *loaded(folder),
            ROWS[name],
            settings.model_copy(update={"heldout": 0, "training": training}),
            Run(tmp_path / "run" / name),
        )


def test_a_corpus_is_learned(folder: Path, tmp_path: Path) -> None:
    model, tokenizer = loaded(folder)
    words = [Document(f"{i}", f"SELECT {i} " * 12, "words") for i in range(8)]
    train, heldout = (pack(tokenize(part, tokenizer), 64) for part in (words[2:], words[:2]))
    corpus = TokenCorpus(64, tokenizer.vocab_size, {"domain": train}, {"domain": heldout})
    settings = cpt.Settings.model_validate({"replay": 0.0, "training": TRAINING | {"eval_steps": 2}})
    measured = cpt.train(model, tokenizer, corpus, settings, Run(tmp_path / "run" / "cpt"))
    perplexity = measured["perplexity"]["domain"]
    assert perplexity["after"] < perplexity["before"]
    assert math.exp(measured["eval_loss"]) == pytest.approx(perplexity["after"], rel=1e-4)


def test_the_same_call_gives_the_same_model_and_another_is_not_gone_on_from(folder: Path, tmp_path: Path) -> None:
    """What a finished or interrupted call has left belongs to its model, rows and settings."""

    def weights(settings: dpo.Settings, place: str) -> bytes:
        dpo.train(*loaded(folder), ROWS["dpo"], settings, Run(tmp_path / place / "dpo"))
        return (tmp_path / place / "dpo" / "model" / "model.safetensors").read_bytes()

    training = TRAINING | {"epochs": 1, "checkpoint_seconds": 0}
    one, other = (dpo.Settings.model_validate({"beta": beta, "training": training}) for beta in (0.1, 2.0))
    first = weights(one, "a")
    assert weights(one, "a") == first
    assert weights(other, "a") == weights(other, "b") != first


def test_an_adapter_names_the_model_that_it_belongs_to(folder: Path, tmp_path: Path) -> None:
    settings = dpo.Settings.model_validate({"lora": {"rank": 2}, "training": TRAINING})
    dpo.train(*loaded(folder), ROWS["dpo"], settings, Run(tmp_path / "run" / "dpo"))
    adapted, _ = burnish.load(tmp_path / "run" / "dpo" / "adapter", compute_dtype="float32", device="cpu")
    merged, _ = loaded(tmp_path / "run" / "dpo" / "model")
    for one, two in zip(adapted.parameters(), merged.parameters(), strict=True):
        assert one.equal(two)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss_type": "orpo", "label_smoothing": 0.1}, "label_smoothing: got 0.1; loss_type 'orpo' does not read it"),
        ({"freeze_layers": 2}, "freeze_layers: got 2; the model has 2 layers and at least one must train"),
        ({"lora": {}, "freeze_layers": 1}, "`lora` freezes all weights already"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    settings: dict[str, Any], message: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BurnishError, match=message):
        dpo.train(*loaded(folder), ROWS["dpo"], dpo.Settings.model_validate(settings), Run(tmp_path / "dpo"))


@pytest.mark.parametrize("name", ROWS)
def test_rows_without_room_are_refused(name: str, folder: Path, tmp_path: Path) -> None:
    train, settings, _ = METHODS[name]
    narrow = settings.model_copy(update={"max_length": 9, "heldout": 0})
    with pytest.raises(DataError, match=r"^memory: .*max_length"):
        train(*loaded(folder), [replace(row) for row in ROWS[name]], narrow, Run(tmp_path / name))
