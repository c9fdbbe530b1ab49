"""Small decoders that read documents made for an experiment: trained once, kept in its notebook."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish.datasets.batches import Batch, document_batches
from burnish.lab.notebook import Notebook
from burnish.lab.weights import load_trained, save_trained
from burnish.methods import pretrain
from burnish.methods.pretrain import drawn
from burnish.nn.actor_critic import sharing_copy
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.runs.progress import Reporter
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer
from burnish.training.loop import Progress

MICRO_BATCH_TOKENS = 8192

Curves = dict[str, Any]
"""What each step of a training has logged, by name."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of the decoder."""

    d_model: int = 96
    n_layers: int = 4
    n_heads: int = 4

    def config(self, *, vocab_size: int, max_positions: int) -> DecoderConfig:
        """A Llama of this shape."""
        return DecoderConfig(
            vocab_size=vocab_size,
            d_model=self.d_model,
            n_layers=self.n_layers,
            n_heads=self.n_heads,
            n_kv_heads=self.n_heads,
            head_dim=self.d_model // self.n_heads,
            d_ff=-(-self.d_model * 8 // 3 // 32) * 32,
            max_positions=max_positions,
        )


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How much is read: steps of `batch_size` documents, each of which sees no other, and the peak learning rate."""

    steps: int
    batch_size: int = 128
    learning_rate: float = 3e-3

    @property
    def settings(self) -> pretrain.Settings:
        """Linear warm-up, then cosine decay to a tenth of the peak."""
        training = {
            "learning_rate": self.learning_rate,
            "warmup_fraction": 0.05,
            "batch_size": self.batch_size,
            "micro_batch_tokens": MICRO_BATCH_TOKENS,
            "checkpoint_seconds": 20.0,
        }
        return pretrain.Settings.model_validate({"training": pretrain.PretrainingConfig.model_validate(training)})


@dataclass(frozen=True)
class Documents:
    """The micro-batches of each step of a reading: new documents, a function of (seed, step).

    make: so many documents, drawn from a generator.
    """

    make: Callable[[np.random.Generator, int], list[str]]
    tokenizer: Tokenizer
    pace: Pace
    seed: int

    def __len__(self) -> int:
        return self.pace.steps

    def __getitem__(self, step: int) -> list[Batch]:
        texts = self.make(np.random.default_rng([self.seed, 1, step]), self.pace.batch_size)
        return document_batches([self.tokenizer.encode(text) for text in texts], micro_batch_tokens=MICRO_BATCH_TOKENS)


def pretrained(
    config: DecoderConfig, documents: Documents, notebook: Notebook, display: Reporter, *, name: str = "pretrained"
) -> Decoder:
    """A decoder with random weights from the documents' seed, after reading them; kept under a name and that seed."""
    seed = documents.seed
    name = f"{name}-{seed}"
    decoder, file = drawn(config, seed=seed), notebook.subfolder("pretrained") / f"{name}.safetensors"
    run = Run(notebook.subfolder(name), seed, f"{notebook.identity}-{name}", display)
    if not load_trained(decoder, file, identity=run.key):
        pretrain.learn(decoder, documents, documents.pace.settings, run)
        save_trained(decoder, file, identity=run.key)
    shutil.rmtree(run.folder)
    return decoder.eval()


def trained_once(
    name: str,
    start: Decoder,
    seed: int,
    notebook: Notebook,
    display: Reporter,
    *,
    learn: Callable[[Decoder, Run, Callable[[Progress], None]], Curves],
    measure: Callable[[Decoder], dict[str, Any]],
) -> dict[str, Any]:
    """What a training of a copy of `start` has logged, `curves`, and what it has made of it, `after`: JSON values.

    learn: trains in place, tells of each step, and returns what was logged. A training is over when its last
    measurement is in the notebook; one that was interrupted goes on.
    """
    name = f"{name.replace(',', '').replace(' ', '-')}-{seed}"

    def whole() -> dict[str, Any]:
        policy = sharing_copy(start)
        run = Run(notebook.subfolder(name), seed, f"{notebook.identity}-{name}", display)

        def after() -> dict[str, Any]:
            return notebook.piece(f"{name}-after", lambda: measure(policy.eval()))

        def look(progress: Progress) -> None:
            if progress.step == progress.n_steps:
                after()

        found = {"curves": learn(policy, run, look), "after": after()}
        shutil.rmtree(run.folder)
        return found

    return notebook.piece(name, whole)


def n_parameters(decoder: Decoder) -> int:
    """Numbers that train."""
    return sum(parameter.numel() for parameter in decoder.parameters())
