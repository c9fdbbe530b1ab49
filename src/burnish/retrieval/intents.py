"""What a question wants, learned from a few labelled ones: vectors of an encoder, and a linear classifier on them.

Notable choices:
- the encoder stays as it is: a few examples of each intent cannot train one, and a linear model on its vectors needs no
  more (Tunstall 2022, arXiv:2209.11055, is the same with the encoder trained too);
- multinomial logistic regression with an L2 penalty is convex: the same examples give the same classifier;
- where the best intent has little probability, the question is none of them: it is answered as without intents.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from burnish.corpus.embeddings import Encoder
from burnish.errors import DataError
from burnish.files import atomic_write_bytes

_FORMAT = "burnish intents 1"
FOLDS = 5
LEAST = 3
"""Examples of each intent."""
Ways = tuple[str, ...]
WAYS = ("documents", "database", "examples", "graph")
"""Where an answer may be looked up: passages of an index; a database, by SQL; solved examples; what passages name."""


@dataclass(frozen=True)
class Intent:
    """What a question wants, how sure that is, and in which ways its answer is looked up. name: "" for none of them."""

    name: str
    probability: float
    ways: Ways


@dataclass(frozen=True, eq=False)
class Intents:
    """A classifier. weights: `[intents, dimension]`, bias: `[intents]`, float32; ways: of each; encoder: its name.

    threshold: the probability below which a question is none of them. accuracy: of examples that were held out.
    """

    names: tuple[str, ...]
    ways: tuple[Ways, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    encoder: str
    threshold: float = 0.5
    accuracy: float = 0.0

    def probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of each question, by its vector, the probability of each intent: `[questions, intents]`."""
        logits = vectors.astype(np.float64) @ self.weights.T + self.bias
        logits -= logits.max(axis=1, keepdims=True)
        found = np.exp(logits)
        return np.asarray(found / found.sum(axis=1, keepdims=True))

    def decided(self, vectors: NDArray[np.float32]) -> list[Intent]:
        """What each question wants."""
        found = []
        for row in self.probabilities(vectors):
            best = int(row.argmax())
            sure = row[best] >= self.threshold
            found.append(Intent(self.names[best] if sure else "", float(row[best]), self.ways[best] if sure else ()))
        return found

    def save(self, path: Path) -> None:
        """Write a safetensors file. Raises BurnishError where it cannot be written."""
        facts = {
            "names": self.names,
            "ways": self.ways,
            "encoder": self.encoder,
            "threshold": self.threshold,
            "accuracy": self.accuracy,
        }
        tensors = {"weights": self.weights, "bias": self.bias}
        atomic_write_bytes(path, save(tensors, metadata={"format": _FORMAT, "facts": json.dumps(facts)}))

    @classmethod
    def load(cls, path: Path) -> "Intents":
        """Read what `save` wrote. Raises DataError where the file is something else."""
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != _FORMAT:
                    raise DataError(f"{path}: no classifier of intents; `burnish intents` makes one")
                weights, bias = file.get_tensor("weights"), file.get_tensor("bias")
            facts: dict[str, Any] = json.loads(metadata["facts"])
            names, ways = tuple(facts["names"]), tuple(tuple(one) for one in facts["ways"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: cannot be read as a classifier of intents: {error}") from error
        if weights.ndim != 2 or not len(names) == len(ways) == len(weights) == len(bias):
            raise DataError(f"{path}: {len(names)} intents with weights of shape {weights.shape}")
        return cls(names, ways, weights, bias, facts["encoder"], facts["threshold"], facts["accuracy"])


@dataclass(frozen=True)
class LabelledQuestion:
    """A question and what it wants. place: where it stands, such as intents.jsonl:3."""

    text: str
    intent: str
    place: str = ""


def read_labelled(file: Path) -> list[LabelledQuestion]:
    """JSON lines with `question` and `intent`. Raises DataError naming the line at fault."""
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text, intent = row["question"], row["intent"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f'{file}:{number}: expected {{"question": ..., "intent": ...}} ({error!r})') from error
        if not all(isinstance(one, str) and one.strip() for one in (text, intent)):
            raise DataError(f"{file}:{number}: question and intent must be texts")
        found.append(LabelledQuestion(text.strip(), intent.strip(), f"{file}:{number}"))
    return found


def train(
    questions: Sequence[LabelledQuestion],
    ways: "dict[str, Ways]",
    encoder: Encoder,
    *,
    threshold: float = 0.5,
    penalty: float = 1.0,
) -> Intents:
    """Learn intents from labelled questions; `accuracy` is by cross-validation in five parts.

    ways: of each intent; an intent that is not there is answered by the model alone. penalty: of the weights' squares,
    divided by the number of examples.

    Raises DataError for fewer than two intents, fewer than three examples of one, one question with two intents, or
    ways of an intent that has no example.
    """
    names = tuple(sorted({one.intent for one in questions}))
    _check(questions, names, ways)
    vectors = encoder.embedder.embed([one.text for one in questions], "query")
    labels = np.array([names.index(one.intent) for one in questions])
    right = np.zeros(len(labels), dtype=bool)
    # Examples of each intent take turns in the parts.
    parts = np.zeros(len(labels), dtype=int)
    for label in range(len(names)):
        places = np.flatnonzero(labels == label)
        parts[places] = np.arange(len(places)) % FOLDS
    for part in range(FOLDS):
        held = parts == part
        weights, bias = _fitted(vectors[~held], labels[~held], len(names), penalty)
        right[held] = (vectors[held] @ weights.T + bias).argmax(axis=1) == labels[held]
    weights, bias = _fitted(vectors, labels, len(names), penalty)
    return Intents(
        names,
        tuple(tuple(ways.get(name, ())) for name in names),
        weights,
        bias,
        encoder.reference,
        threshold,
        float(right.mean()),
    )


def _check(questions: Sequence[LabelledQuestion], names: Sequence[str], ways: "dict[str, Ways]") -> None:
    if len(names) < 2:
        raise DataError(f"{len(names)} intents; expected questions of two at least")
    seen: dict[str, LabelledQuestion] = {}
    for one in questions:
        known = seen.setdefault(" ".join(one.text.lower().split()), one)
        if known.intent != one.intent:
            raise DataError(f"{one.place}: is {one.intent}, but the same question is {known.intent} ({known.place})")
    for name in names:
        count = sum(one.intent == name for one in questions)
        if count < LEAST:
            raise DataError(f"intent {name}: {count} examples; expected {LEAST} at least")
    unknown = sorted(set(ways) - set(names))
    if unknown:
        raise DataError(f"ways of the intent {unknown[0]!r}, which no question has; there are: {', '.join(names)}")
    for name, of_name in ways.items():
        wrong = [way for way in of_name if way not in WAYS]
        if wrong:
            raise DataError(f"intent {name}: no way {wrong[0]!r}; expected of {', '.join(WAYS)}")


def _fitted(
    vectors: NDArray[np.float32], labels: NDArray[Any], n_intents: int, penalty: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Multinomial logistic regression, every intent counting the same; Newton-like by L-BFGS, from zero."""
    x = torch.from_numpy(vectors).double()
    y = torch.from_numpy(np.asarray(labels))
    counts = torch.bincount(y, minlength=n_intents).clamp(min=1)
    of_example = (len(y) / (n_intents * counts.double()))[y]
    weights = torch.zeros(n_intents, x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(n_intents, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logps = (x @ weights.T + bias).log_softmax(-1)
        loss = -(of_example * logps.gather(1, y[:, None]).squeeze(1)).mean()
        # Vectors have unit length, so the penalty is small: the examples are few and the classes apart.
        loss = loss + 0.01 * penalty / len(y) * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach().float().numpy(), bias.detach().float().numpy()
