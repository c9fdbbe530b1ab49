"""What the rows over preference pairs have in common: their material, the order of the pairs, the peer's settings.

Both sides get the same pairs in the same order, `batch_size` an optimizer step, as token ids of a prompt and of two
answers. A pair counts as one, however long it is.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import material, our_training, worker
from benchmarks.row import BenchmarkError, Config

if TYPE_CHECKING:
    from burnish.text.tokenizer import Tokenizer

COMMON: dict[str, Any] = {
    "unit": "pairs/s",
    "axes": {
        "precision": ("float32", "bfloat16"),
        "micro_batches": (2, 1),
        "keep_freed_memory": (True, False),
    },
    "check": {"compute_dtype": "float32", "precision": "float32", "warm_up_steps": 1, "timed_steps": 0},
    "search": {"timed_steps": 1},
    "packages": ("trl", "transformers", "accelerate", "datasets"),
}
"""Gradient checkpointing is not searched: it computes the forward pass twice, and cost a fifth in `sft_packed`."""

_SIZES: dict[str, Any] = {"batch_size": 2, "warm_up_steps": 3, "timed_steps": 3}
DEMO: dict[str, Any] = {"pairs": "demo", "longest": 1024, **_SIZES}
"""Pairs of `dpo_en_demo.json` of at most 1,024 tokens."""
LONG_PROMPT: dict[str, Any] = {"pairs": "wiki", "prompt": 768, "answer": 64, **_SIZES}
"""Prompts of 768 tokens with two answers of 64."""


def prepare(config: Config) -> Config:
    folder = Path(config["folder"])
    decoder, tokenizer = material.load_model()
    return {
        "models": material.save_folders(decoder, tokenizer, folder, "float32"),
        "work": write(config, tokenizer, folder),
    }


def write(config: Config, tokenizer: "Tokenizer", folder: Path) -> str:
    """Keep the row's pairs for its workers; returns what `read` finds as `work`."""
    if config["pairs"] == "demo":
        pairs = material.demo_pairs(tokenizer, longest=config["longest"])
    else:
        pairs = material.wiki_pairs(tokenizer, n=_needed(config), prompt=config["prompt"], answer=config["answer"])
    return material.write_work(folder, pairs)


def read(config: Config) -> list[dict[str, list[int]]]:
    """The pairs of the first steps and of the timed ones."""
    pairs, n = material.read_work(config["work"]), _needed(config)
    if len(pairs) < n:
        raise BenchmarkError(f"the sample data has {len(pairs)} such pairs, fewer than {n}")
    return pairs[:n]


def answer(
    config: Config, watch: worker.Stopwatch, history: list[dict[str, float]], evidence: dict[str, float]
) -> Config:
    """The rate in pairs, the tokens that passed as whole sequences, the losses and the evidence."""
    timed = read(config)[config["batch_size"] * our_training.warm_up_steps(config) :]
    tokens = sum(2 * len(pair["prompt"]) + len(pair["chosen"]) + len(pair["rejected"]) for pair in timed)
    losses = [step["loss"] for step in history]
    return watch.answer(len(timed)) | {"tokens": tokens, "losses": losses, "evidence": evidence}


def _needed(config: Config) -> int:
    return int(config["batch_size"]) * our_training.n_steps(config)
