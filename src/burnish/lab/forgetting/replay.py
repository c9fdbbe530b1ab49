"""`replay`: continued pre-training on source code of a decoder that has read prose; what each remedy costs and keeps.

Replay of 1, 5 and 25 % of general text (Ibrahim 2024, arXiv:2403.08763), of the model's own text, LoRA (Biderman 2024,
arXiv:2405.09673), a lower rate, the pull of the weights to where they started (Li 2018, arXiv:1802.01483), and dropout.
"""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from burnish.corpus.building import build_corpus
from burnish.corpus.documents import Document
from burnish.corpus.mix import DOMAIN, GENERAL
from burnish.corpus.prose import stdlib_documents
from burnish.corpus.token_corpus import TokenCorpus
from burnish.evaluation.heldout_text import measure_heldout, perplexities
from burnish.lab.experiment import Findings
from burnish.lab.forgetting import tables
from burnish.lab.forgetting.divergence import kl, log_probabilities
from burnish.lab.notebook import Notebook
from burnish.lab.reasoning.reading import Shape, n_parameters
from burnish.lab.seeded import SeededExperiment
from burnish.lab.text import read_documents
from burnish.lab.weights import load_trained, save_trained
from burnish.methods import cpt, pretrain
from burnish.methods.training import fit, make_trainable
from burnish.nn.actor_critic import sharing_copy
from burnish.nn.decoder import Decoder
from burnish.objectives.language_model import language_model
from burnish.runs.progress import Reporter
from burnish.runs.run import Run
from burnish.text.tokenizer_training import train_tokenizer

_MICRO_BATCH_TOKENS = 4096
_KL_SEQUENCES = 40


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """One way of going on: the settings of `cpt` that it changes."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


REMEDIES = [
    Remedy(name="none", settings={"replay": 0.0}),
    Remedy(name="replay 1 %", settings={"replay": 0.01}),
    Remedy(name="replay 5 %", settings={"replay": 0.05}),
    Remedy(name="replay 25 %", settings={"replay": 0.25}),
    Remedy(name="own text 25 %", settings={"replay": 0.25, "replay_from": "own_text"}),
    Remedy(name="LoRA", settings={"replay": 0.0, "lora": {"rank": 8, "alpha": 16.0}}),
    Remedy(name="a tenth of the rate", settings={"replay": 0.0}, training={"learning_rate": 1e-4}),
    Remedy(name="pull to the start", settings={"replay": 0.0}, training={"pull_to_start": 5.0}),
    Remedy(name="dropout 0.1", settings={"replay": 0.0}, training={"residual_dropout": 0.1}),
]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the experiment is. characters: of each kind of text. epochs: over prose, then over source code."""

    shape: Shape
    vocab_size: int
    window: int
    characters: int
    epochs: tuple[float, float]
    batch_size: int
    learning_rate: float
    remedies: Sequence[Remedy]


FULL = Scale(
    shape=Shape(d_model=96, n_layers=3, n_heads=4),
    vocab_size=512,
    window=128,
    characters=160_000,
    epochs=(6, 2),
    batch_size=16,
    learning_rate=1e-3,
    remedies=REMEDIES,
)
QUICK = Scale(
    shape=Shape(d_model=32, n_layers=1, n_heads=2),
    vocab_size=300,
    window=64,
    characters=20_000,
    epochs=(1, 1),
    batch_size=16,
    learning_rate=1e-3,
    remedies=[REMEDIES[0], REMEDIES[3], REMEDIES[4], REMEDIES[5]],
)


@dataclass(frozen=True)
class HeldOutLosses:
    """Held-out losses in nats a token, and KL(start || model) on held-out text of the domain."""

    general: float
    domain: float
    kl: float


@dataclass(frozen=True, kw_only=True)
class ReplayExperiment(SeededExperiment):
    """Read prose, then source code with each remedy; with each of so many seeds."""

    group: str = "forgetting"
    topic: str = "replay"
    scale: Scale

    def settings(self) -> dict[str, Any]:
        return {"command": self.command, "scale": asdict(self.scale)}

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        corpus = self._corpus(notebook.subfolder("corpus"))
        before: list[HeldOutLosses] = []
        after: dict[str, list[HeldOutLosses]] = {remedy.name: [] for remedy in self.scale.remedies}
        size = 0
        for seed in self.each_seed(display):
            start = self._start(corpus, seed, notebook, display)
            size = n_parameters(start)
            before.append(HeldOutLosses(**notebook.piece(f"before-{seed}", partial(self._look, corpus, start, start))))
            for number, remedy in enumerate(self.scale.remedies):
                name = f"remedy-{seed}-{number}"
                run = Run(notebook.subfolder(name), seed, f"{notebook.identity}-{name}", display)
                trained = partial(self._trained, corpus, start, remedy, run)
                after[remedy.name].append(HeldOutLosses(**notebook.piece(name, trained)))
        return tables.replay(before, after, self._note(corpus, size), self.command)

    def _corpus(self, folder: Path) -> TokenCorpus:
        scale = self.scale
        prose = _first(stdlib_documents(), scale.characters)
        code = [
            Document(str(number), text.decode("utf-8", "replace"), "code") for number, text in enumerate(_sources())
        ]
        groups = {DOMAIN: _first(code, scale.characters), GENERAL: prose}
        corpus, _ = build_corpus(
            groups,
            lambda texts: train_tokenizer(texts, vocab_size=scale.vocab_size),
            folder,
            window=scale.window,
            heldout_fraction=0.1,
        )
        return corpus

    def _start(self, corpus: TokenCorpus, seed: int, notebook: Notebook, display: Reporter) -> Decoder:
        scale = self.scale
        config = scale.shape.config(vocab_size=corpus.vocab_size, max_positions=scale.window)
        decoder, file = pretrain.drawn(config, seed=seed), notebook.subfolder("start") / f"{seed}.safetensors"
        run = Run(notebook.subfolder(f"reading-{seed}"), seed, f"{notebook.identity}-{seed}", display)
        settings = self._settings(Remedy(name="reading", training={"epochs": scale.epochs[0], "learning_rate": 3e-3}))
        prose = TokenCorpus(
            scale.window, corpus.vocab_size, {DOMAIN: corpus.train[GENERAL]}, {DOMAIN: corpus.heldout[GENERAL]}
        )
        if not load_trained(decoder, file, identity=run.key):
            steps, _ = cpt.planned(prose, settings, run)
            fit(decoder, language_model, steps, settings, run)
            save_trained(decoder, file, identity=run.key)
        return decoder.eval()

    def _settings(self, remedy: Remedy) -> cpt.Settings:
        training = {
            "learning_rate": self.scale.learning_rate,
            "epochs": self.scale.epochs[1],
            "batch_size": self.scale.batch_size,
            "micro_batch_tokens": _MICRO_BATCH_TOKENS,
            "checkpoint_seconds": 20.0,
            **remedy.training,
        }
        return cpt.Settings.model_validate({"replay": 0.0, **remedy.settings, "training": training}, strict=False)

    def _trained(self, corpus: TokenCorpus, start: Decoder, remedy: Remedy, run: Run) -> dict[str, Any]:
        policy = sharing_copy(start)
        settings = self._settings(remedy)
        assert corpus.tokenizer is not None
        mixed = cpt.with_replay(corpus, policy, corpus.tokenizer, settings, run)
        steps, _ = cpt.planned(mixed, settings, run)
        make_trainable(policy, settings, run)
        fit(policy, language_model, steps, settings, run)
        found = self._look(corpus, start, policy)
        shutil.rmtree(run.folder)
        return found

    def _look(self, corpus: TokenCorpus, start: Decoder, model: Decoder) -> dict[str, Any]:
        """`Measured` of a model, as JSON values."""
        assert corpus.tokenizer is not None
        found = perplexities(measure_heldout(model, corpus.tokenizer, corpus, _MICRO_BATCH_TOKENS, "the lab's"))
        code = corpus.sequences(DOMAIN, "heldout")[:_KL_SEQUENCES]
        divergence = kl(log_probabilities(start, code), log_probabilities(model, code))
        return asdict(HeldOutLosses(math.log(found[GENERAL]), math.log(found[DOMAIN]), divergence))

    def _note(self, corpus: TokenCorpus, size: int) -> str:
        scale, counts = self.scale, corpus.counts()
        tokens = {group: counts[group]["train"]["tokens"] for group in (GENERAL, DOMAIN)}
        return (
            f"{size:,} parameters, {corpus.vocab_size:,} tokens, windows of {scale.window}. Read first: "
            f"{tokens[GENERAL]:,} tokens of prose, {scale.epochs[0]:g} times. Then: {tokens[DOMAIN]:,} tokens of "
            f"source code of Python's standard library, {scale.epochs[1]:g} times, with a peak rate of "
            f"{scale.learning_rate:g}; replay is of the prose that was read. Losses of text that was held out, in "
            f"nats a token; means of {self.seeds} seeds, and between brackets the smallest and the largest."
        )


def _sources() -> list[bytes]:
    """The modules of the standard library that the lab's text has; its prose, which comes first, is left out."""
    return [text for text in read_documents() if b"\nimport " in text or b"\ndef " in text]


def _first(documents: Sequence[Document], characters: int) -> list[Document]:
    """The first documents that have so many characters together."""
    found, size = [], 0
    for document in documents:
        if size >= characters:
            break
        found.append(document)
        size += len(document.text)
    return found
